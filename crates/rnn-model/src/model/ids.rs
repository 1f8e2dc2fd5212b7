//! Ids that an [`Embedding`](crate::layer::Embedding) has no row for, found on the host where arrays come in.

use super::graph::{Edge, Graph};
use crate::array::Arrays;
use crate::{Error, Result};
use ndarray::{ArrayD, ArrayViewD, Dimension, IxDyn};

impl Graph {
    /// Refuses values that a table of a layer has no row for, as far as they come straight from the inputs or by way of layers
    /// that only move values. What a layer computes is not looked at.
    ///
    /// # Errors
    /// Naming layer, input, sample, step, value and range.
    pub(super) fn check_ids(&self, what: &str, arrays: &Arrays<'_>) -> Result<()> {
        if self.calls.iter().all(|call| self.table_rows(call.layer).is_none()) {
            return Ok(());
        }
        let moved = self.moved(arrays);
        for call in &self.calls {
            let Some(rows) = self.table_rows(call.layer) else { continue };
            let (ids, input) = match call.inputs[0] {
                Edge::Input(input) => (view(arrays, input), Some(input)),
                Edge::Output { call, .. } => match &moved[call] {
                    Some(ids) => (ids.view(), None),
                    None => continue,
                },
            };
            let Some((place, id)) = unknown(&ids, rows) else { continue };
            let what = match input {
                Some(input) if self.inputs.len() > 1 => format!("{what} ({})", self.inputs[input].name),
                _ => what.to_owned(),
            };
            let problem = format!(
                "layer {} takes ids, whole numbers from 0 to {}, got {id} in {}; make its input_dim larger than every \
                 id, or map ids that it does not know to one of its own",
                self.layers[call.layer].name,
                rows - 1,
                in_words(&place)
            );
            return Err(Error::invalid(what, problem));
        }
        Ok(())
    }

    fn table_rows(&self, layer: usize) -> Option<usize> {
        self.layers[layer].layer.kind().table_rows()
    }

    /// Of each call that ids of a table come through, what its layer makes of the inputs, if it only moves values.
    fn moved(&self, arrays: &Arrays<'_>) -> Vec<Option<ArrayD<f32>>> {
        let mut needed = vec![false; self.calls.len()];
        for (at, call) in self.calls.iter().enumerate().rev() {
            if needed[at] || self.table_rows(call.layer).is_some() {
                for edge in &call.inputs {
                    if let Edge::Output { call, .. } = *edge {
                        needed[call] = true;
                    }
                }
            }
        }
        let mut made: Vec<Option<ArrayD<f32>>> = Vec::with_capacity(self.calls.len());
        for (call, needed) in self.calls.iter().zip(needed) {
            let given = |edge: &Edge| match *edge {
                Edge::Input(input) => Some(view(arrays, input)),
                Edge::Output { call, .. } => made[call].as_ref().map(|moved| moved.view()),
            };
            let inputs: Option<Vec<ArrayViewD<'_, f32>>> =
                if needed { call.inputs.iter().map(given).collect() } else { None };
            let moved = inputs.and_then(|inputs| self.layers[call.layer].layer.kind().moved(&inputs));
            made.push(moved);
        }
        made
    }
}

fn view<'a>(arrays: &'a Arrays<'_>, input: usize) -> ArrayViewD<'a, f32> {
    let array = &arrays.0[input];
    ArrayViewD::from_shape(IxDyn(&array.shape), &array.data).expect("as many values as the shape says")
}

/// The first value, and its place, that is no whole number below `rows`.
fn unknown(ids: &ArrayViewD<'_, f32>, rows: usize) -> Option<(Vec<usize>, f32)> {
    let known = |&id: &f32| id >= 0.0 && f64::from(id) < rows as f64 && id == id.trunc();
    if ids.as_slice().is_some_and(|ids| ids.iter().all(known)) {
        return None;
    }
    let found = ids.indexed_iter().find(|(_, id)| !known(id));
    found.map(|(place, &id)| (place.slice().to_vec(), id))
}

/// A place in an array of samples.
fn in_words(place: &[usize]) -> String {
    match place {
        [sample] => format!("sample {sample}"),
        [sample, step] => format!("sample {sample}, step {step}"),
        [sample, step, rest @ ..] => format!("sample {sample}, step {step}, place {rest:?}"),
        [] => "the array".to_owned(),
    }
}
