//! The seam between models and devices: a model is lowered to a list of these operations over device buffers, and a
//! device runs the list. Shapes are checked above; what each operation computes is stated with the kernel of its name.

use super::layer_op::LayerOp;
use super::memory::{IndexSlice, Slice};
use rnn_shaders::shape::{Matmul, RecurrentShape};
use rnn_shaders::vocabulary::{
    Activation, Bound, Cell, CellExtras, ColumnTerms, Factored, Matrix, OptimizerSpec, Penalty,
    RowActivation, Score, Trust,
};
use std::sync::Arc;

/// What a recurrent operation reads in both directions.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecurrentInputs {
    /// `[time, batch, input]`
    pub x: Slice,
    /// `[input, gates * units]`
    pub kernel: Slice,
    /// `[units, gates * units]`
    pub recurrent: Slice,
    pub bias: Option<Slice>,
    /// `[time, batch]`
    pub flags: Option<IndexSlice>,
    /// `[batch, units]`, factors of the state on its way into the recurrent product (recurrent dropout)
    pub h_mask: Option<Slice>,
    /// `[3 * units]`, i, o, f, of an LSTM
    pub peepholes: Option<Slice>,
    pub extras: CellExtras,
    /// `[time + 1, batch, units]`, slot 0 given
    pub h: Slice,
    /// of inference: `[batch, units]`, the state to start from in place of slot 0 of `h`, and where the last one goes
    pub h_state: Option<Slice>,
    /// the cell state of an LSTM, as `h`; of inference also `[batch, units]`, one slot that every step overwrites
    pub c: Option<Slice>,
    /// what the forward pass keeps for the backward pass; its layout is the device's own
    pub saved: Option<Slice>,
}

/// A gradient: in memory, or as the product that it is, which whoever reads it makes.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Gradient {
    Made(Slice),
    Product(Factors),
}

/// The product of `left [rows, n]` and the transposed `right [cols, n]`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Factors {
    pub left: Slice,
    pub right: Slice,
    pub cols: usize,
}

impl Factors {
    /// The operation that makes the product at `c`.
    pub fn product(self, c: Slice) -> Op {
        let Factors { left, right, cols } = self;
        let shape = Matmul::new(c.len / cols, cols, right.len / cols).trans_b();
        Op::Matmul { shape, a: left, b: right, bias: None, c }
    }
}

/// Gradients that reach the outputs of a recurrent operation; at least one is present.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecurrentUpstream {
    /// `[time, batch, units]`; a product is made for those steps alone that go back together
    pub dy: Option<Gradient>,
    /// `[batch, units]`, of the last h
    pub dh_last: Option<Slice>,
    /// `[batch, units]`, of the last c
    pub dc_last: Option<Slice>,
}

/// Where the gradients of a recurrent operation go: weights accumulate, the others are overwritten.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecurrentGradients {
    pub kernel: Slice,
    pub recurrent: Slice,
    pub bias: Option<Slice>,
    pub peepholes: Option<Slice>,
    /// may stand where `RecurrentUpstream::dy` or the last values of `RecurrentInputs::h` do, which are then read for the last time
    pub x: Option<Slice>,
    pub h0: Option<Slice>,
    pub c0: Option<Slice>,
}

/// Offset and length, in turn, of each weight within the weights' buffer.
pub(crate) type Segments = Arc<[u32]>;

/// One operation on device buffers.
#[allow(clippy::large_enum_variant, reason = "lists are short, and a box would be one more hop per step")]
#[derive(Clone, Debug)]
pub(crate) enum Op {
    Matmul {
        shape: Matmul,
        a: Slice,
        b: Slice,
        bias: Option<Slice>,
        c: Slice,
    },
    RecurrentForward {
        cell: Cell,
        shape: RecurrentShape,
        io: RecurrentInputs,
    },
    RecurrentBackward {
        cell: Cell,
        shape: RecurrentShape,
        io: RecurrentInputs,
        up: RecurrentUpstream,
        out: RecurrentGradients,
    },
    ActivationForward {
        kind: Activation,
        x: Slice,
        y: Slice,
    },
    ActivationBackward {
        kind: Activation,
        saved: Slice,
        dy: Slice,
        dx: Slice,
    },
    SoftmaxForward {
        rows: usize,
        cols: usize,
        x: Slice,
        y: Slice,
    },
    SoftmaxBackward {
        rows: usize,
        cols: usize,
        y: Slice,
        dy: Slice,
        dx: Slice,
    },
    RowActivationForward {
        kind: RowActivation,
        rows: usize,
        cols: usize,
        x: Slice,
        y: Slice,
    },
    RowActivationBackward {
        kind: RowActivation,
        rows: usize,
        cols: usize,
        y: Slice,
        dy: Slice,
        dx: Slice,
    },
    ScoreForward {
        score: Score,
        rows: usize,
        cols: usize,
        pred: Slice,
        target: Slice,
        weights: Option<Slice>,
        out: Slice,
    },
    ScoreBackward {
        score: Score,
        rows: usize,
        cols: usize,
        pred: Slice,
        target: Slice,
        weights: Option<Slice>,
        scale: f32,
        dpred: Slice,
    },
    SumRows {
        rows: usize,
        cols: usize,
        x: Slice,
        out: Slice,
        accumulate: bool,
    },
    Accumulate {
        rows: usize,
        cols: usize,
        x: Slice,
        scale: f32,
        count: Option<f32>,
        acc: Slice,
    },
    RowWeights {
        weights: Option<Slice>,
        flags: Option<IndexSlice>,
        valid: Option<Slice>,
        out: Slice,
    },
    OptimizerStep {
        spec: OptimizerSpec,
        params: Slice,
        grads: Slice,
        m: Option<Slice>,
        v: Option<Slice>,
        x: Option<Slice>,
    },
    FactoredStep {
        spec: Factored,
        matrices: Arc<[Matrix]>,
        params: Slice,
        grads: Slice,
        m: Slice,
        v: Slice,
        x: Slice,
    },
    TrustStep {
        trust: Trust,
        segments: Segments,
        weight_sumsq: Slice,
        direction_sumsq: Slice,
        direction: Slice,
        params: Slice,
    },
    GatherGradients {
        steps: u32,
        grads: Slice,
        gathered: Slice,
    },
    WeightAverage {
        momentum: f64,
        params: Slice,
        average: Slice,
    },
    WeightPenalty {
        penalties: Arc<[Penalty]>,
        params: Slice,
        grads: Option<Slice>,
        scale: f32,
        acc: Slice,
    },
    Constrain {
        bounds: Arc<[Bound]>,
        params: Slice,
    },
    ThresholdCounts {
        thresholds: Arc<[f32]>,
        class: Option<usize>,
        rows: usize,
        cols: usize,
        pred: Slice,
        target: Slice,
        weights: Option<Slice>,
        acc: Slice,
    },
    KeepLargest {
        k: u32,
        fill: f32,
        rows: usize,
        cols: usize,
        x: Slice,
        y: Slice,
    },
    ColumnTerms {
        terms: ColumnTerms,
        rows: usize,
        cols: usize,
        pred: Slice,
        target: Slice,
        weights: Option<Slice>,
        acc: Slice,
    },
    SegmentNorms {
        segments: Segments,
        x: Slice,
        out: Slice,
    },
    ClipByNorm {
        segments: Segments,
        sumsq: Slice,
        max_norm: f32,
        global: bool,
        x: Slice,
    },
    GatherBatch {
        rows: usize,
        time: usize,
        features: usize,
        dataset: Slice,
        indices: IndexSlice,
        out: Slice,
    },
    Transpose01 {
        a: usize,
        b: usize,
        f: usize,
        x: Slice,
        y: Slice,
    },
    Dropout {
        rate: f32,
        seed: u64,
        stream: u32,
        /// number of the first element within the stream, a multiple of 4
        first: usize,
        x: Slice,
        y: Slice,
    },
    RepeatVector {
        time: usize,
        n: usize,
        x: Slice,
        y: Slice,
    },
    ReverseTime {
        time: usize,
        n: usize,
        x: Slice,
        y: Slice,
    },
    Fill {
        value: f32,
        y: Slice,
    },
    Copy {
        x: Slice,
        y: Slice,
    },
    AddAssign {
        x: Slice,
        y: Slice,
    },
    Scale {
        factor: f32,
        x: Slice,
        y: Slice,
    },
    Add {
        a: Slice,
        b: Slice,
        y: Slice,
    },
    Sub {
        a: Slice,
        b: Slice,
        y: Slice,
    },
    Mul {
        a: Slice,
        b: Slice,
        y: Slice,
    },
    StoreStep {
        stride: usize,
        x: Slice,
        seq: Slice,
    },
    ShiftAppend {
        time: usize,
        n: usize,
        x: Slice,
        new: Slice,
        y: Slice,
    },
    /// An operation of a layer without a recurrence.
    Layer(LayerOp),
}

impl From<LayerOp> for Op {
    fn from(op: LayerOp) -> Self {
        Op::Layer(op)
    }
}
