//! What outputs are compared with while training and evaluating: targets and weights.

use super::Model;
use crate::array::Arrays;
use crate::error::count;
use crate::train::Loss;
use crate::{Error, HostArray, Result};

/// How targets stand beside outputs: `rows` per sample (steps, or 1) of `cols` values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TargetShape {
    pub rows: usize,
    pub cols: usize,
}

impl TargetShape {
    /// For outputs of `shape` per sample.
    pub fn new(shape: &[usize], loss: Loss) -> Self {
        let classes = shape.last().copied().unwrap_or(1);
        let rows = shape.iter().rev().skip(1).product();
        TargetShape { rows, cols: if loss.score().target_is_index() { 1 } else { classes } }
    }

    /// Shape of one sample's targets.
    pub fn sample(self, output: &[usize]) -> Vec<usize> {
        let mut sample = output.to_vec();
        if let Some(last) = sample.last_mut() {
            *last = self.cols;
        }
        sample
    }
}

/// What outputs are compared with: an array for each output, and for some the weights of samples or steps.
#[derive(Clone, Debug)]
pub(super) struct Targets<'a> {
    pub y: Arrays<'a>,
    /// `[samples]` or `[samples, time]` each
    pub weights: Vec<Option<HostArray<'a>>>,
}

impl Targets<'_> {
    /// Those of samples `from..to`.
    pub fn rows(&self, from: usize, to: usize) -> Targets<'_> {
        let weights = self.weights.iter().map(|w| w.as_ref().map(|w| w.rows(from, to)));
        Targets { y: self.y.rows(from, to), weights: weights.collect() }
    }

    /// Sample weights per sample of each output.
    pub fn weights_per_sample(&self) -> Vec<Option<usize>> {
        let count = |w: &HostArray<'_>| w.data.len() / w.samples().max(1);
        self.weights.iter().map(|w| w.as_ref().map(count)).collect()
    }
}

/// What each class counts in a loss, by its index; classes that are not named count 1.
pub(super) type ClassWeights = Vec<(usize, f32)>;

impl Model {
    /// Checks targets against the outputs that inputs of the given shapes give, and brings weights into their form.
    pub(super) fn targets<'a>(
        &self,
        y: Arrays<'a>,
        weights: Option<Arrays<'a>>,
        classes: Option<&ClassWeights>,
        samples: usize,
        inputs: &[Vec<usize>],
    ) -> Result<Targets<'a>> {
        let goals = &self.compiled("training")?.config.goals;
        let outputs = self.concrete_outputs(inputs)?;
        let names = self.output_names();
        let several = outputs.len() > 1;
        if y.0.len() != outputs.len() {
            return Err(Error::Shape {
                what: "y".into(),
                expected: format!("{} ({})", count(outputs.len(), "array"), names.join(", ")),
                got: y.0.len().to_string(),
            });
        }
        for (((y, output), goal), name) in y.0.iter().zip(&outputs).zip(goals).zip(&names) {
            let what = if several { format!("y ({name})") } else { "y".to_owned() };
            check_target(&what, y, samples, output, goal.loss)?;
        }
        // One array of weights counts for every output, as in Keras.
        let given = weights.map_or(Vec::new(), |w| w.0);
        if given.len() > 1 && given.len() != outputs.len() {
            let expected = format!("one array, or one for each of {} outputs", outputs.len());
            return Err(Error::Shape {
                what: "sample weights".into(),
                expected,
                got: given.len().to_string(),
            });
        }
        let mut weights: Vec<Option<HostArray<'a>>> = match given.len() {
            0 => vec![None; outputs.len()],
            1 => vec![Some(given[0].clone()); outputs.len()],
            _ => given.into_iter().map(Some).collect(),
        };
        for (w, output) in weights.iter().zip(&outputs) {
            if let Some(w) = w {
                check_weights(w, samples, output)?;
            }
        }
        if let Some(classes) = classes {
            if several {
                let problem = "class weights fit models of one output only; give sample weights";
                return Err(Error::invalid("class_weight", problem));
            }
            let of_classes = class_weights(&y.0[0], samples, &outputs[0], goals[0].loss, classes)?;
            weights[0] = Some(match weights[0].take() {
                Some(w) => multiply(&w, &of_classes, samples),
                None => of_classes,
            });
        }
        Ok(Targets { y, weights })
    }
}

fn check_weights(w: &HostArray<'_>, samples: usize, output: &[usize]) -> Result<()> {
    let fits = match (w.shape.as_slice(), output) {
        (&[n], _) => n == samples,
        (&[n, 1], _) => n == samples,
        (&[n, steps], &[time, _]) => n == samples && steps == time,
        _ => false,
    };
    if !fits {
        let mut expected = format!("[{samples}]");
        if let &[time, _] = output {
            expected.push_str(&format!(" or [{samples}, {time}]"));
        }
        return Err(Error::shape("sample weights", expected, w.shape.as_slice()));
    }
    match w.data.iter().find(|x| !x.is_finite()) {
        Some(bad) => Err(Error::invalid("sample weights", format!("must be finite, got {bad}"))),
        None => Ok(()),
    }
}

/// The weight of each row of targets, from its class.
fn class_weights(
    y: &HostArray<'_>,
    samples: usize,
    output: &[usize],
    loss: Loss,
    classes: &ClassWeights,
) -> Result<HostArray<'static>> {
    if let Some((class, weight)) = classes.iter().find(|(_, w)| !w.is_finite()) {
        return Err(Error::invalid("class_weight", format!("of class {class} must be finite, got {weight}")));
    }
    let TargetShape { rows, cols } = TargetShape::new(output, loss);
    let class_of = |row: &[f32]| match row {
        &[index] => index.round() as usize,
        row => (0..row.len()).fold(0, |best, i| if row[i] > row[best] { i } else { best }),
    };
    let weight = |class: usize| classes.iter().find(|(c, _)| *c == class).map_or(1.0, |&(_, w)| w);
    let data: Vec<f32> = y.data.chunks_exact(cols).map(|row| weight(class_of(row))).collect();
    Ok(HostArray { shape: vec![samples, rows], data: data.into() })
}

/// Element by element; one weight per sample counts for all of its steps.
fn multiply(a: &HostArray<'_>, b: &HostArray<'_>, samples: usize) -> HostArray<'static> {
    let (n, m) = (a.data.len() / samples, b.data.len() / samples);
    let steps = n.max(m);
    let at = |x: &HostArray<'_>, per: usize, i: usize| {
        x.data[i / steps * per + if per == 1 { 0 } else { i % steps }]
    };
    let data: Vec<f32> = (0..samples * steps).map(|i| at(a, n, i) * at(b, m, i)).collect();
    HostArray { shape: vec![samples, steps], data: data.into() }
}

fn check_target(what: &str, y: &HostArray<'_>, samples: usize, output: &[usize], loss: Loss) -> Result<()> {
    let TargetShape { rows, cols } = TargetShape::new(output, loss);
    let mut full = vec![samples];
    full.extend_from_slice(output);
    if let Some(last) = full.last_mut() {
        *last = cols;
    }
    // A last axis of one value may be left out, as people write it.
    let short = &full[..full.len() - 1];
    if y.shape != full && !(cols == 1 && y.shape == short) {
        let mut expected = format!("{full:?}");
        if cols == 1 {
            expected = format!("{expected} or {short:?}");
        }
        if loss.score().target_is_index() {
            expected.push_str(" (class indices)");
        }
        let by_class =
            matches!(loss, Loss::CategoricalCrossentropy { .. } | Loss::CategoricalFocalCrossentropy { .. });
        if by_class && y.shape == short {
            expected.push_str(" (a number for each class; class indices take a sparse loss)");
        }
        return Err(Error::shape(what, expected, y.shape.as_slice()));
    }
    debug_assert_eq!(y.data.len(), samples * rows * cols);
    if loss.score().target_is_index() {
        let classes = output.last().copied().unwrap_or(1);
        let bad = y.data.iter().position(|&v| !(v >= 0.0 && v < classes as f32 && v.fract() == 0.0));
        if let Some(at) = bad {
            let step = if rows > 1 { format!(", step {}", at % rows) } else { String::new() };
            let problem = format!(
                "class indices must be whole numbers from 0 to {}, as many as the output has values, got {} in sample {}{step}",
                classes - 1,
                y.data[at],
                at / rows
            );
            return Err(Error::invalid(what, problem));
        }
    }
    Ok(())
}
