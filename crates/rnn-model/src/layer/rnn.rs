//! A cell as a layer: over a sequence, or one step.

use super::cell::{AnyCell, CellDefinition, RecurrentCell, StackedCells, schedule};
use super::recurrent::CellOptions;
use super::sequence::{SequenceOptions, sequence_options};
use super::{
    GruOptions, LayerKind, LstmOptions, RecurrentTraits, SampleShape, SimpleRnnOptions, VariableSpec, arity,
};
use crate::model::lowering::{Lowering, Node, Value};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// How one step alone is run.
const ONE_STEP: SequenceOptions = SequenceOptions {
    return_sequences: false,
    return_state: true,
    go_backwards: false,
    stateful: false,
    unroll: false,
    zero_output_for_mask: false,
};

/// A cell over a sequence (Keras's `RNN`): `[batch, time, features]` to the outputs of all steps or of the last.
///
/// The cell is a built-in one, which then runs by its layer's own kernels, one of
/// [one's own](crate::cell::CellDefinition), or several as one ([`StackedCells`]). Initial states are
/// further inputs, one for each state of the cell, in its order.
///
/// ```
/// use rnn_model::{Device, Input, Sequential, layer::{GruCell, Rnn}};
/// let rnn = Rnn::new(GruCell::new(16)).return_sequences(true).stateful(true);
/// let model = Sequential::new(Input::sequence(None, 4)).layer(rnn).build(&Device::cpu())?;
/// assert_eq!(model.weight_names(), ["rnn/kernel", "rnn/recurrent_kernel", "rnn/bias"]);
/// # Ok::<(), rnn_model::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rnn {
    cell: AnyCell,
    #[serde(flatten)]
    pub(super) sequence: SequenceOptions,
}

impl Rnn {
    /// A layer of this cell.
    pub fn new(cell: impl Into<AnyCell>) -> Self {
        Rnn { cell: cell.into(), sequence: SequenceOptions::default() }
    }

    sequence_options!();
}

impl LayerKind for Rnn {
    fn class(&self) -> &'static str {
        "RNN"
    }

    fn output_shapes(&self, inputs: &[SampleShape]) -> Result<Vec<SampleShape>> {
        check(&self.cell)?;
        let cell = self.cell.definition();
        self.sequence.output_shapes("RNN", inputs, cell.output_size(), &cell.state_sizes())
    }

    fn variables(&self, inputs: &[SampleShape]) -> Vec<VariableSpec> {
        schedule::variables(self.cell.definition(), inputs[0][1].unwrap_or(0))
    }

    fn recurrent_parts(&self) -> Vec<RecurrentTraits> {
        let cells = cells(&self.cell);
        let name = |i: usize| if cells.len() == 1 { String::new() } else { format!("cell_{i}") };
        let part = |(i, cell): (usize, &&AnyCell)| RecurrentTraits {
            part: name(i),
            fused: built_in(cell).and_then(|traits| traits.fused),
            states: cell.definition().state_sizes(),
            stateful: self.sequence.stateful,
            return_state: self.sequence.return_state,
        };
        cells.iter().enumerate().map(part).collect()
    }

    fn is_stepwise(&self) -> bool {
        !self.sequence.go_backwards
    }

    fn kernels(&self) -> &'static str {
        "see its recurrent parts"
    }

    fn lower(&self, l: &mut Lowering<'_>, node: &Node, inputs: &[Value]) -> Result<Vec<Value>> {
        run(l, node, &self.cell, inputs, self.sequence)
    }
}

/// One step of a cell, for loops of one's own: of `x [features]` and the states it gives the output and the new states.
///
/// A cell where a layer is wanted becomes one; [`LstmCell`](super::LstmCell) has an example.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CellLayer {
    cell: AnyCell,
}

impl CellLayer {
    /// One step of this cell.
    pub fn new(cell: impl Into<AnyCell>) -> Self {
        CellLayer { cell: cell.into() }
    }
}

/// A cell where a layer is wanted is one step of it.
impl<C: CellDefinition> From<C> for super::Layer {
    fn from(cell: C) -> Self {
        super::Layer::Cell(CellLayer::new(cell))
    }
}

impl LayerKind for CellLayer {
    fn class(&self) -> &'static str {
        fn of<C: CellOptions>(cell: &AnyCell) -> Option<&'static str> {
            cell.downcast::<RecurrentCell<C>>().map(|_| C::CELL_CLASS)
        }
        let cell = &self.cell;
        let built_in = of::<LstmOptions>(cell).or_else(|| of::<GruOptions>(cell));
        built_in.or_else(|| of::<SimpleRnnOptions>(cell)).unwrap_or("Cell")
    }

    fn output_shapes(&self, inputs: &[SampleShape]) -> Result<Vec<SampleShape>> {
        check(&self.cell)?;
        let cell = self.cell.definition();
        let sizes = cell.state_sizes();
        let [x, given @ ..] = inputs else { return Err(arity(cell.class(), "a vector and states", 0)) };
        let &[Some(features)] = x.as_slice() else {
            let expected = "[batch, features], one step (Rnn runs a cell over a sequence)";
            return Err(Error::shape(format!("input of {}", cell.class()), expected, x.as_slice()));
        };
        if given.len() != sizes.len() {
            let expected = format!("an input and {} states", sizes.len());
            return Err(arity(cell.class(), &expected, inputs.len()));
        }
        let as_sequence = [&[vec![Some(1), Some(features)]][..], given].concat();
        ONE_STEP.output_shapes(cell.class(), &as_sequence, cell.output_size(), &sizes)
    }

    fn variables(&self, inputs: &[SampleShape]) -> Vec<VariableSpec> {
        schedule::variables(self.cell.definition(), inputs[0][0].unwrap_or(0))
    }

    fn kernels(&self) -> &'static str {
        "one step: of a built-in cell by its layer's kernel, else plain operations"
    }

    fn lower(&self, l: &mut Lowering<'_>, node: &Node, inputs: &[Value]) -> Result<Vec<Value>> {
        let x = l.alias(&inputs[0], vec![1, inputs[0].shape[0]]);
        run(l, node, &self.cell, &[&[x][..], &inputs[1..]].concat(), ONE_STEP)
    }
}

/// Refuses a cell that can not work.
fn check(cell: &AnyCell) -> Result<()> {
    let definition = cell.definition();
    definition.check()?;
    let sizes = definition.state_sizes();
    let class = || format!("cell {}", definition.class());
    if sizes.is_empty() || sizes.contains(&0) || definition.output_size() == 0 {
        let problem = format!("it needs an output and states of at least one value, got states of {sizes:?}");
        return Err(Error::invalid(class(), problem));
    }
    Ok(())
}

/// The cells that make up a cell, the first one first.
fn cells(cell: &AnyCell) -> Vec<&AnyCell> {
    match cell.downcast::<StackedCells>() {
        Some(stack) => stack.cells().iter().flat_map(cells).collect(),
        None => vec![cell],
    }
}

/// What a built-in cell's layer says of itself.
fn built_in(cell: &AnyCell) -> Option<RecurrentTraits> {
    fn of<C: CellOptions>(cell: &AnyCell) -> Option<RecurrentTraits> {
        cell.downcast::<RecurrentCell<C>>().map(RecurrentCell::traits)
    }
    of::<LstmOptions>(cell).or_else(|| of::<GruOptions>(cell)).or_else(|| of::<SimpleRnnOptions>(cell))
}

/// The layer that runs a built-in cell.
fn layer_of(cell: &AnyCell, sequence: SequenceOptions) -> Option<Box<dyn LayerKind>> {
    fn of<C: CellOptions>(cell: &AnyCell, sequence: SequenceOptions) -> Option<Box<dyn LayerKind>> {
        Some(Box::new(cell.downcast::<RecurrentCell<C>>()?.layer(sequence)))
    }
    of::<LstmOptions>(cell, sequence)
        .or_else(|| of::<GruOptions>(cell, sequence))
        .or_else(|| of::<SimpleRnnOptions>(cell, sequence))
}

/// Runs a cell over a sequence, `inputs` being it and the states to start from: of a stack one cell after the other over all
/// steps. No output goes back to a cell before, so this is what all cells step by step would give. Gives what a layer with
/// these options gives: the states of all cells behind the outputs.
fn run(
    l: &mut Lowering<'_>,
    node: &Node,
    cell: &AnyCell,
    inputs: &[Value],
    options: SequenceOptions,
) -> Result<Vec<Value>> {
    let cells = cells(cell);
    let (mut y, mut given) = (inputs[0].clone(), &inputs[1..]);
    let (mut states, mut weights) = (Vec::new(), 0);
    for (i, cell) in cells.iter().enumerate() {
        let (definition, last) = (cell.definition(), i + 1 == cells.len());
        let sizes = definition.state_sizes();
        let features = *y.shape.last().expect("a sequence has features");
        let (first, count) = (weights, definition.variables(features).len());
        weights += count;
        let own = node.part(first..first + count, i);
        let start = given.split_at(if given.is_empty() { 0 } else { sizes.len() });
        given = start.1;
        let options = SequenceOptions {
            return_sequences: options.return_sequences || !last,
            go_backwards: options.go_backwards && i == 0,
            ..options
        };
        let inputs = [&[y][..], start.0].concat();
        let mut outputs = match layer_of(cell, options) {
            Some(layer) => layer.lower(l, &own, &inputs)?,
            None => options
                .lower(l, &own, &inputs, &sizes, false, |l, walk| schedule::run(l, &own, definition, walk))?,
        };
        states.extend(outputs.split_off(1));
        y = outputs.remove(0);
    }
    Ok([vec![y], states].concat())
}
