//! What optimizers remember, in the order in which Keras keeps it: the count of steps, the learning rate where it is a
//! variable, then slots, those of one kind or two taking turns for each trained weight.

use super::optimizers::{Keeps, Kept, keeps};
use super::parts::Place;
use crate::hdf5::{File, Writer};
use crate::{Error, Result};
use ndarray::{ArrayD, IxDyn};
use rnn_model::{Graph, GraphWeight, Optimizer, OptimizerState, Slot};
use serde_json::Value;

/// A variable of an optimizer's.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    /// as large as the weight
    Whole,
    /// a value for each row, and for each column, of a matrix
    Rows,
    Columns,
    /// made of the two again
    Product,
    /// a number that stands for nothing
    Unused,
}

#[derive(Clone, Copy, Debug)]
struct Variable {
    slot: Kept,
    /// index of its weight
    weight: usize,
    form: Form,
}

/// All variables behind the count and the learning rate, of the weights that are trained.
fn variables(keeps: &Keeps, places: &[Place], weights: &[GraphWeight]) -> Vec<Variable> {
    let mut all = Vec::new();
    for group in &keeps.groups {
        for place in places.iter().filter(|place| place.trainable) {
            let matrix = weights[place.weight].shape.len() >= 2;
            for &slot in group {
                let form = match (keeps.factored, slot.keras, matrix) {
                    (true, "r", true) => Form::Rows,
                    (true, "c", true) => Form::Columns,
                    (true, "velocity", true) => Form::Product,
                    (true, "r" | "c", false) => Form::Unused,
                    _ => Form::Whole,
                };
                all.push(Variable { slot, weight: place.weight, form });
            }
        }
    }
    all
}

impl Variable {
    fn shape(&self, weights: &[GraphWeight]) -> Vec<usize> {
        let shape = &weights[self.weight].shape;
        match (self.form, shape.as_slice()) {
            (Form::Rows, [outer @ .., _]) => outer.to_vec(),
            (Form::Columns, [outer @ .., _, last]) => [outer, &[*last]].concat(),
            (Form::Unused, _) => Vec::new(),
            _ => shape.clone(),
        }
    }
}

/// Where an optimizer's variables stand in a file, in order.
pub(super) struct Stored {
    /// data sets
    pub paths: Vec<String>,
    /// They are in the order of optimizers before TensorFlow 2.11: one slot of all weights after the other, named by their
    /// ends.
    pub legacy: bool,
}

impl Stored {
    /// Those of a file of Keras 3.
    pub fn of_3(file: &File) -> Stored {
        // The wrapper of float16 has variables of its own, which have no meaning in float32.
        let inner = "optimizer/inner_optimizer/vars";
        let folder = if file.members(inner).is_some() { inner } else { "optimizer/vars" };
        let path = |i: usize| format!("{folder}/{i}");
        let paths = (0..).map(path).take_while(|path| file.shape(path).is_some()).collect();
        Stored { paths, legacy: false }
    }
}

/// Reads what an optimizer remembers. `Err` within is a sentence about why the slots of this file can not be those of the
/// model: they are left out then, as Keras does.
pub(super) fn read(
    file: &File,
    stored: &Stored,
    optimizer: &Optimizer,
    places: &[Place],
    graph: &Graph,
    values: &[ArrayD<f32>],
) -> Result<Result<OptimizerState, String>> {
    let keeps = keeps(optimizer)?;
    let weights = graph.weights()?;
    let Some((count, rest)) = stored.paths.split_first() else {
        return Ok(Err("the file does not hold what the optimizer remembers: it starts anew".to_owned()));
    };
    let iterations = iterations(file, count)?;
    let fresh = OptimizerState { iterations, slots: Vec::new() };
    if stored.legacy {
        return read_legacy(file, rest, optimizer, &keeps, places, &weights, values, fresh);
    }
    let variables = variables(&keeps, places, &weights);
    let is_number = |path: &String| file.shape(path).is_some_and(<[u64]>::is_empty);
    let has_rate = match keeps.factored {
        true => rest.len() > variables.len(),
        false => rest.first().is_some_and(is_number),
    };
    let rest = &rest[usize::from(has_rate).min(rest.len())..];
    if rest.is_empty() {
        return Ok(Ok(fresh));
    }
    let product = usize::from(keeps.product.is_some());
    let fits = |(variable, path): (&Variable, &String)| {
        let expected = variable.shape(&weights);
        file.shape(path).is_some_and(|shape| shape.iter().copied().eq(expected.iter().map(|&n| n as u64)))
    };
    let length_fits = rest.len() == variables.len() || rest.len() == variables.len() + product;
    if !length_fits || !variables.iter().zip(rest).all(fits) {
        let problem = format!(
            "the optimizer's slots are left out: there are {} variables in the file, and {} of other shapes fit the weights \
             that are trained",
            rest.len(),
            variables.len()
        );
        return Ok(Err(problem));
    }
    let mut slots = Slots::new(optimizer, &keeps, &weights, values);
    for (variable, path) in variables.iter().zip(rest) {
        if matches!(variable.form, Form::Product | Form::Unused) {
            continue;
        }
        let read = file.read(path, &variable.shape(&weights)).map_err(|e| of_slot(variable, &weights, e))?;
        slots.put(variable, read);
    }
    Ok(Ok(OptimizerState { slots: slots.all, ..fresh }))
}

fn of_slot(variable: &Variable, weights: &[GraphWeight], error: Error) -> Error {
    super::weights::named(
        &format!("{}, optimizer slot {}", weights[variable.weight].name, variable.slot.keras),
        error,
    )
}

fn iterations(file: &File, path: &str) -> Result<u64> {
    // Up to which every whole number is one of f64 too.
    const LARGEST: f64 = 9_007_199_254_740_992.0;
    let count = file.number(path)?;
    if !(0.0..=LARGEST).contains(&count) || count.fract() != 0.0 {
        return Err(Error::damaged(path, format!("expected a count of steps, got {count}")));
    }
    Ok(count as u64)
}

/// Slots by the ends of their names: `Adam/lstm/lstm_cell/kernel/m:0`.
fn read_legacy(
    file: &File,
    paths: &[String],
    optimizer: &Optimizer,
    keeps: &Keeps,
    places: &[Place],
    weights: &[GraphWeight],
    values: &[ArrayD<f32>],
    fresh: OptimizerState,
) -> Result<Result<OptimizerState, String>> {
    let mut slots = Slots::new(optimizer, keeps, weights, values);
    let trained: Vec<&Place> = places.iter().filter(|place| place.trainable).collect();
    for &slot in keeps.groups.iter().flatten() {
        let end = |path: &String| {
            path.rsplit('/').next().is_some_and(|name| name.trim_end_matches(":0") == slot.legacy)
        };
        let of_slot_paths: Vec<&String> = paths.iter().filter(|path| end(path)).collect();
        let fits = |(place, path): (&&Place, &&String)| {
            let expected = weights[place.weight].shape.iter().map(|&n| n as u64);
            file.shape(path).is_some_and(|shape| shape.iter().copied().eq(expected))
        };
        if of_slot_paths.len() != trained.len() || !trained.iter().zip(&of_slot_paths).all(fits) {
            let problem = format!(
                "the optimizer's slots are left out: {} of {:?} are in the file for {} weights that are trained",
                of_slot_paths.len(),
                slot.legacy,
                trained.len()
            );
            return Ok(Err(problem));
        }
        for (place, path) in trained.iter().zip(of_slot_paths) {
            let variable = Variable { slot, weight: place.weight, form: Form::Whole };
            let read =
                file.read(path, &weights[place.weight].shape).map_err(|e| of_slot(&variable, weights, e))?;
            slots.put(&variable, read);
        }
    }
    Ok(Ok(OptimizerState { slots: slots.all, ..fresh }))
}

/// Slots of all weights, as they are before the first step.
struct Slots {
    all: Vec<Slot>,
}

impl Slots {
    fn new(optimizer: &Optimizer, keeps: &Keeps, weights: &[GraphWeight], values: &[ArrayD<f32>]) -> Self {
        let rule = serde_json::to_value(optimizer).unwrap_or_default();
        let accumulator =
            rule.pointer("/rule/initial_accumulator_value").and_then(Value::as_f64).unwrap_or(0.0);
        let mut all: Vec<Slot> = Vec::new();
        for kept in keeps.groups.iter().flatten() {
            if all.iter().any(|slot| slot.name == kept.ours) {
                continue;
            }
            let start = if kept.ours == "v" { accumulator as f32 } else { 0.0 };
            let values = match kept.ours {
                // Weights that are not trained are their own average.
                "average" => values.to_vec(),
                _ => weights.iter().map(|w| ArrayD::from_elem(IxDyn(&w.shape), start)).collect(),
            };
            all.push(Slot { name: kept.ours.to_owned(), values });
        }
        Slots { all }
    }

    fn put(&mut self, variable: &Variable, read: ArrayD<f32>) {
        let slot = self.all.iter_mut().find(|slot| slot.name == variable.slot.ours);
        let Some(array) = slot.and_then(|slot| slot.values.get_mut(variable.weight)) else { return };
        match variable.form {
            Form::Whole => *array = read,
            Form::Rows | Form::Columns => {
                for (mut matrix, read) in matrices(array).zip(parts(&read)) {
                    matrix.iter_mut().zip(read).for_each(|(to, from)| **to = from);
                }
            }
            Form::Product | Form::Unused => {}
        }
    }
}

/// The matrices of the last two axes, each as its values in order. Ours keeps the means of a matrix at its beginning.
fn matrices(array: &mut ArrayD<f32>) -> impl Iterator<Item = Vec<&mut f32>> {
    let size = array.shape().iter().rev().take(2).product::<usize>().max(1);
    let mut values: Vec<Vec<&mut f32>> = Vec::new();
    for (i, value) in array.iter_mut().enumerate() {
        if i % size == 0 {
            values.push(Vec::with_capacity(size));
        }
        if let Some(last) = values.last_mut() {
            last.push(value);
        }
    }
    values.into_iter()
}

/// The last axis of means, for each matrix.
fn parts(means: &ArrayD<f32>) -> impl Iterator<Item = Vec<f32>> {
    let size = means.shape().last().copied().unwrap_or(1).max(1);
    let values: Vec<f32> = means.iter().copied().collect();
    values.chunks(size).map(<[f32]>::to_vec).collect::<Vec<_>>().into_iter()
}

/// A variable of an optimizer's on its way into a file, by the name that Keras has for it.
pub(super) enum Written {
    Count(u64),
    Number(f64),
    Values(ArrayD<f32>),
}

/// What an optimizer remembers, in Keras's order, each with a name.
pub(super) fn write(
    optimizer: &Optimizer,
    state: &OptimizerState,
    learning_rate: f64,
    places: &[Place],
    graph: &Graph,
) -> Result<Vec<(String, Written)>> {
    let keeps = keeps(optimizer)?;
    let weights = graph.weights()?;
    let mut all = vec![("iteration".to_owned(), Written::Count(state.iterations))];
    if keeps.learning_rate {
        all.push(("learning_rate".to_owned(), Written::Number(learning_rate)));
    }
    let variables = variables(&keeps, places, &weights);
    let slot = |name: &str, weight: usize| -> Result<&ArrayD<f32>> {
        let slot = state.slots.iter().find(|slot| slot.name == name).and_then(|slot| slot.values.get(weight));
        slot.ok_or_else(|| {
            let problem = format!("it has no slot {name:?}, which its settings say it keeps");
            Error::damaged("optimizer", problem)
        })
    };
    for variable in &variables {
        let name = format!("{}_{}", weights[variable.weight].name.replace('/', "_"), variable.slot.keras);
        let shape = variable.shape(&weights);
        let fill = |values: Vec<f32>| {
            ArrayD::from_shape_vec(IxDyn(&shape), values)
                .map_err(|e| Error::damaged("optimizer", e.to_string()))
        };
        let means = |name: &str, by: usize| -> Result<Vec<Vec<f32>>> {
            let mut array = slot(name, variable.weight)?.clone();
            Ok(matrices(&mut array).map(|m| m.iter().take(by).map(|x| **x).collect()).collect())
        };
        let of_weight = &weights[variable.weight].shape;
        let sizes =
            (of_weight.iter().rev().nth(1).copied().unwrap_or(1), of_weight.last().copied().unwrap_or(1));
        let values = match variable.form {
            Form::Whole => slot(variable.slot.ours, variable.weight)?.clone(),
            Form::Unused => ArrayD::zeros(IxDyn(&[])),
            Form::Rows => fill(means("m", sizes.0)?.concat())?,
            Form::Columns => fill(means("v", sizes.1)?.concat())?,
            Form::Product => {
                let (rows, columns) = (means("m", sizes.0)?, means("v", sizes.1)?);
                let product = |(r, c): (&Vec<f32>, &Vec<f32>)| -> Vec<f32> {
                    let mean = r.iter().sum::<f32>() / r.len().max(1) as f32;
                    let scale = if mean > 0.0 { 1.0 / mean } else { 0.0 };
                    r.iter().flat_map(|r| c.iter().map(move |c| r * c * scale)).collect()
                };
                fill(rows.iter().zip(&columns).flat_map(product).collect())?
            }
        };
        all.push((name, Written::Values(values)));
    }
    if let Some(beta_1) = keeps.product {
        // Keras starts from 1 and multiplies with the momentum of each update.
        let momentum = |t: u64| beta_1 * (1.0 - 0.5 * 0.96f64.powf(t as f64));
        let product: f64 = (1..=state.iterations.min(100_000)).map(momentum).product();
        all.push(("variable".to_owned(), Written::Number(product)));
    }
    Ok(all)
}

impl Written {
    /// Puts it into a file.
    pub fn put(&self, writer: &mut Writer, path: &str) {
        match self {
            Written::Count(n) => {
                writer.i64(path, &ArrayD::from_elem(IxDyn(&[]), i64::try_from(*n).unwrap_or(i64::MAX)))
            }
            Written::Number(x) => writer.f32(path, &ArrayD::from_elem(IxDyn(&[]), *x as f32)),
            Written::Values(values) => writer.f32(path, values),
        }
    }
}
