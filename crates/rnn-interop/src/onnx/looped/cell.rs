//! Which cells a loop's formulas are.
//!
//! | cell | next state |
//! |---|---|
//! | SimpleRNN | `f(x W + h U + b)` |
//! | GRU | `z h + (1 - z) f(x W + r (h U + b_h) + b)`, or `f(x W + (r h) U + b)` |
//! | LSTM | `c' = s_f c + s_i f(x W + h U + b)`, `h' = s_o f(c')` |
//!
//! A masked step keeps each state; Keras also keeps the last output, beside them.

use super::body::{Body, Source};
use super::finder::Finder;
use crate::Result;
use crate::onnx::algebra::{Algebra, Formula, Id};
use crate::onnx::builder::Builder;
use ndarray::ArrayD;
use serde_json::Value as Json;

/// What a cell is applied to.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum From {
    /// the sequence
    Sequence,
    /// the outputs of the cell of this number
    Cell(usize),
}

/// The classes of layers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Class {
    Lstm,
    Gru { reset_after: bool },
    SimpleRnn,
}

/// A cell in the terms of the layers here.
pub(super) struct Cell {
    pub class: Class,
    pub units: usize,
    pub from: From,
    pub activation: Json,
    pub recurrent_activation: Json,
    pub use_bias: bool,
    /// kernel, recurrent kernel, bias
    pub weights: Vec<ArrayD<f32>>,
    /// the values that are its states: h, and c of an LSTM
    pub states: Vec<usize>,
    pub output: Formula,
}

/// What a loop is.
pub(super) struct Cells {
    /// each before those that it is applied to
    pub cells: Vec<Cell>,
    /// values that are the last output of a cell, and which
    pub kept: Vec<(usize, usize)>,
    /// the cell whose outputs each scan gives
    pub scanned: Vec<usize>,
    /// masked steps give outputs of 0
    pub zero_masked: bool,
}

/// A state while cells are looked for.
pub(super) struct State {
    /// its number among the values that go from step to step
    pub at: usize,
    pub id: Id,
    pub width: usize,
    /// at a step that is there
    pub next: Formula,
}

/// Finds the cells. `next` holds the formulas of states, `scanned` those of outputs.
pub(super) fn find(
    b: &mut Builder<'_>,
    body: &mut Body<'_>,
    next: &[Option<Formula>],
    scanned: &[Formula],
) -> Result<Cells> {
    let mut states = Vec::new();
    let mut zero_masked = false;
    for source in 0..body.sources.len() {
        let Source::State(at) = body.sources[source] else { continue };
        let Some(Some(formula)) = next.get(at) else { continue };
        let width = formula.width;
        let own = body.algebra.source(b, source, width)?;
        let there = unmasked(b, &mut body.algebra, formula, &own, body.flags.is_some(), &mut zero_masked)?;
        let Some(id) = own.as_atom() else { continue };
        states.push(State { at, id, width, next: there });
    }
    let x = body.sources.iter().position(|source| matches!(source, Source::Sequence(_)));
    let x = x.ok_or_else(|| b.unsupported("a loop that takes no steps of a sequence"))?;
    let mut finder = Finder { algebra: &body.algebra, x, cells: Vec::new() };
    let (mut open, copies) = finder.apart(states);
    while !open.is_empty() {
        let before = open.len();
        finder.find_one(b, &mut open)?;
        if open.len() == before {
            return Err(finder.unknown(b, &open));
        }
    }
    let cells = finder.cells;
    let of_cell = |formula: &Formula| cells.iter().position(|cell| cell.output == *formula);
    let mut kept = Vec::new();
    for copy in &copies {
        match of_cell(&copy.next) {
            Some(cell) => kept.push((copy.at, cell)),
            None => return Err(b.unsupported("a state that no cell uses")),
        }
    }
    let mut outputs = Vec::new();
    for formula in scanned {
        let masked = body.algebra.where_flag(b, formula, true)?.0;
        let off = body.algebra.where_flag(b, formula, false)?;
        let cell = of_cell(&masked)
            .ok_or_else(|| b.unsupported("outputs of all steps that are not those of its cell"))?;
        let carries =
            copies.iter().any(|copy| off.0.as_atom() == Some(copy.id) && of_cell(&copy.next) == Some(cell));
        match (body.flags.is_some(), off) {
            (false, (_, false)) => {}
            (true, (off, true)) if off.is_zero() => zero_masked = true,
            (true, (_, true)) if carries => {}
            _ => return Err(b.unsupported("outputs of masked steps that are neither 0 nor those before")),
        }
        outputs.push(cell);
    }
    Ok(Cells { cells, kept, scanned: outputs, zero_masked })
}

/// A state's formula at a step that is there; at one that is not, it must stay.
fn unmasked(
    b: &mut Builder<'_>,
    algebra: &mut Algebra,
    formula: &Formula,
    own: &Formula,
    masked: bool,
    zero_masked: &mut bool,
) -> Result<Formula> {
    let (there, differs) = algebra.where_flag(b, formula, true)?;
    let off = algebra.where_flag(b, formula, false)?.0;
    match (masked, differs) {
        (false, false) => {}
        (true, true) if off == *own => {}
        (true, true) if off.is_zero() => *zero_masked = true,
        _ => return Err(b.unsupported("a state that masked steps do not leave as it is")),
    }
    Ok(there)
}
