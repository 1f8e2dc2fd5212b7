//! Samples and targets that stay on the device for a whole `fit`, `evaluate` or `predict`; batches are gathered there.

use super::Model;
use crate::array::Arrays;
use crate::device::{Buffer, IndexBuffer};
use crate::train::Loss;
use crate::{Error, HostArray, Result};
use std::sync::atomic::{AtomicU64, Ordering};

/// Arrays on the device.
pub(super) struct Dataset {
    /// never used twice: programs are kept for the data set they were recorded with
    pub id: u64,
    pub samples: usize,
    /// shape of one sample of each input
    pub shapes: Vec<Vec<usize>>,
    pub x: Vec<Buffer>,
    /// targets of each output, if there are any
    pub y: Vec<Buffer>,
    /// the order in which samples are gathered
    pub indices: IndexBuffer,
}

static NEXT: AtomicU64 = AtomicU64::new(1);

impl Dataset {
    /// Uploads checked arrays, in their own order.
    pub fn upload(model: &Model, x: &Arrays<'_>, y: Option<&Arrays<'_>>) -> Result<Self> {
        let samples = x.samples();
        if samples > u32::MAX as usize {
            return Err(Error::shape("x", "at most 2^32 - 1 samples", x.0[0].shape.as_slice()));
        }
        let device = &model.device;
        let room = |a: &Arrays<'_>| a.0.iter().map(|a| device.alloc(a.data.len())).collect::<Result<_>>();
        let dataset = Dataset {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            samples,
            shapes: x.0.iter().map(|x| x.shape[1..].to_vec()).collect(),
            x: room(x)?,
            y: y.map_or(Ok(Vec::new()), room)?,
            indices: device.alloc_index(samples)?,
        };
        let order: Vec<u32> = (0..samples as u32).collect();
        dataset.set_order(model, &order)?;
        dataset.write(model, x, y)?;
        Ok(dataset)
    }

    /// Whether other arrays of these shapes fit in place of the present ones.
    pub fn fits(&self, x: &Arrays<'_>, y: &Arrays<'_>) -> bool {
        let same = |own: &[Buffer], other: &Arrays<'_>| {
            own.len() == other.0.len() && own.iter().zip(&other.0).all(|(a, b)| a.all().len == b.data.len())
        };
        x.samples() == self.samples
            && x.0.iter().map(|x| &x.shape[1..]).eq(self.shapes.iter().map(Vec::as_slice))
            && same(&self.y, y)
    }

    pub fn write(&self, model: &Model, x: &Arrays<'_>, y: Option<&Arrays<'_>>) -> Result<()> {
        let mut engine = model.device.engine();
        let targets = self.y.iter().zip(y.map_or(&[][..], |y| &y.0));
        for (buffer, array) in self.x.iter().zip(&x.0).chain(targets) {
            engine.write(buffer.all(), &array.data)?;
        }
        Ok(())
    }

    pub fn set_order(&self, model: &Model, order: &[u32]) -> Result<()> {
        model.device.engine().write_index(self.indices.all(), order)
    }
}

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

impl Model {
    /// Checks targets against the outputs that inputs of the given shapes give.
    pub(super) fn check_targets(&self, y: &Arrays<'_>, samples: usize, inputs: &[Vec<usize>]) -> Result<()> {
        let goals = &self.compiled("training")?.config.goals;
        let outputs = self.concrete_outputs(inputs)?;
        let names = self.output_names();
        if y.0.len() != outputs.len() {
            return Err(Error::Shape {
                what: "y".into(),
                expected: format!("{} arrays ({})", outputs.len(), names.join(", ")),
                got: format!("{}", y.0.len()),
            });
        }
        for (((y, output), goal), name) in y.0.iter().zip(&outputs).zip(goals).zip(&names) {
            let what = if outputs.len() == 1 { "y".to_owned() } else { format!("y ({name})") };
            check_target(&what, y, samples, output, goal.loss)?;
        }
        Ok(())
    }
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
        return Err(Error::shape(what, expected, y.shape.as_slice()));
    }
    debug_assert_eq!(y.data.len(), samples * rows * cols);
    if loss.score().target_is_index() {
        let classes = output.last().copied().unwrap_or(1);
        let bad = y.data.iter().find(|&&v| !(v >= 0.0 && v < classes as f32 && v.fract() == 0.0));
        if let Some(bad) = bad {
            let problem = format!("class indices must be whole numbers from 0 to {}, got {bad}", classes - 1);
            return Err(Error::invalid(what, problem));
        }
    }
    Ok(())
}
