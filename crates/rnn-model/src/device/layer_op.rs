//! The operations of layers without a recurrence; what each computes is stated with the kernel of its name.

use super::access::Access::{self, Read, Update, Write};
use super::memory::{IndexSlice, Slice};
use rnn_shaders::shape::{Block, Steps};
use rnn_shaders::vocabulary::{Draw, Noise, Normalization, Pool};

/// One operation on device buffers. As for every [`Op`](super::op::Op), an output shares no buffer with an input; two outputs
/// of one operation share none either.
#[derive(Clone, Copy, Debug)]
pub(crate) enum LayerOp {
    CopyBlock {
        block: Block,
        /// other copies write what this leaves out of `y`, before anything reads it
        joint: bool,
        x: Slice,
        y: Slice,
    },
    Embedding {
        steps: Steps,
        vocab: usize,
        width: usize,
        table: Slice,
        ids: Slice,
        out: Slice,
    },
    /// Adds to `dtable`.
    EmbeddingBackward {
        steps: Steps,
        vocab: usize,
        width: usize,
        ids: Slice,
        dy: Slice,
        dtable: Slice,
    },
    FlagsFromValues {
        steps: Steps,
        cols: usize,
        value: f32,
        x: Slice,
        flags: IndexSlice,
    },
    FlagsFromLengths {
        time: usize,
        batch: usize,
        lengths: Slice,
        flags: IndexSlice,
    },
    FlagsFromSegments {
        steps: Steps,
        ids: Slice,
        flags: IndexSlice,
    },
    /// VALID where both are, or where `either` is; RESET where either is.
    CombineFlags {
        either: bool,
        a: IndexSlice,
        b: IndexSlice,
        out: IndexSlice,
    },
    ReverseFlags {
        time: usize,
        batch: usize,
        a: IndexSlice,
        out: IndexSlice,
    },
    SeenFlags {
        time: usize,
        batch: usize,
        a: IndexSlice,
        out: IndexSlice,
    },
    MaskRows {
        rows: usize,
        cols: usize,
        fill: f32,
        flags: IndexSlice,
        x: Slice,
        y: Slice,
    },
    SelectRows {
        rows: usize,
        cols: usize,
        bit: u32,
        flags: IndexSlice,
        a: Option<Slice>,
        b: Option<Slice>,
        y: Slice,
    },
    NormalizeForward {
        kind: Normalization,
        rows: usize,
        cols: usize,
        x: Slice,
        gamma: Option<Slice>,
        beta: Option<Slice>,
        stats: Slice,
        y: Slice,
    },
    NormalizeBackward {
        kind: Normalization,
        rows: usize,
        cols: usize,
        x: Slice,
        gamma: Option<Slice>,
        stats: Slice,
        dy: Slice,
        dx: Slice,
    },
    /// Adds to `dgamma`.
    NormalizeGamma {
        kind: Normalization,
        rows: usize,
        cols: usize,
        x: Slice,
        stats: Slice,
        dy: Slice,
        dgamma: Slice,
    },
    PoolTime {
        pool: Pool,
        time: usize,
        batch: usize,
        cols: usize,
        flags: Option<IndexSlice>,
        x: Slice,
        count: Slice,
        y: Slice,
    },
    PoolTimeBackward {
        pool: Pool,
        time: usize,
        batch: usize,
        cols: usize,
        flags: Option<IndexSlice>,
        x: Slice,
        y: Slice,
        count: Slice,
        dy: Slice,
        dx: Slice,
    },
    Noise {
        noise: Noise,
        backward: bool,
        repeats: usize,
        draw: Draw,
        /// number of the first draw, a multiple of 4
        first: usize,
        x: Slice,
        y: Slice,
    },
    Blend {
        rate: f32,
        draw: Option<Draw>,
        a: Slice,
        b: Slice,
        y: Slice,
    },
    BlendBackward {
        rate: f32,
        draw: Option<Draw>,
        of_a: bool,
        dy: Slice,
        d: Slice,
    },
    Divide {
        a: Slice,
        b: Slice,
        y: Slice,
    },
    Maximum {
        a: Slice,
        b: Slice,
        y: Slice,
    },
    Minimum {
        a: Slice,
        b: Slice,
        y: Slice,
    },
    MaximumBackward {
        a: Slice,
        b: Slice,
        dy: Slice,
        da: Slice,
    },
    /// Adds to `out`.
    Penalty {
        l1: f32,
        l2: f32,
        x: Slice,
        out: Slice,
    },
    /// Adds to `dx`.
    PenaltyBackward {
        l1: f32,
        l2: f32,
        scale: f32,
        x: Slice,
        dx: Slice,
    },
}

impl LayerOp {
    /// As [`Op::visit`](super::op::Op::visit).
    pub fn visit(&mut self, f: &mut dyn FnMut(&mut Slice, Access)) {
        match self {
            LayerOp::CopyBlock { block, joint, x, y } => {
                f(x, Read);
                let whole = *joint || (y.len == block.len() && !block.accumulate);
                f(y, if whole { Write } else { Update });
            }
            LayerOp::FlagsFromValues { x, .. }
            | LayerOp::FlagsFromLengths { lengths: x, .. }
            | LayerOp::FlagsFromSegments { ids: x, .. } => f(x, Read),
            LayerOp::CombineFlags { .. } | LayerOp::ReverseFlags { .. } | LayerOp::SeenFlags { .. } => {}
            LayerOp::Embedding { table: a, ids: b, out: y, .. }
            | LayerOp::Blend { a, b, y, .. }
            | LayerOp::Divide { a, b, y }
            | LayerOp::Maximum { a, b, y }
            | LayerOp::Minimum { a, b, y } => {
                [a, b].into_iter().for_each(|s| f(s, Read));
                f(y, Write);
            }
            LayerOp::MaximumBackward { a, b, dy, da } => {
                [a, b, dy].into_iter().for_each(|s| f(s, Read));
                f(da, Write);
            }
            LayerOp::EmbeddingBackward { ids, dy, dtable, .. } => {
                [ids, dy].into_iter().for_each(|s| f(s, Read));
                f(dtable, Update);
            }
            LayerOp::MaskRows { x, y, .. }
            | LayerOp::Noise { x, y, .. }
            | LayerOp::BlendBackward { dy: x, d: y, .. } => {
                f(x, Read);
                f(y, Write);
            }
            LayerOp::SelectRows { a, b, y, .. } => {
                a.iter_mut().chain(b).for_each(|s| f(s, Read));
                f(y, Write);
            }
            LayerOp::NormalizeForward { x, gamma, beta, stats, y, .. } => {
                [Some(x), gamma.as_mut(), beta.as_mut()].into_iter().flatten().for_each(|s| f(s, Read));
                [stats, y].into_iter().for_each(|s| f(s, Write));
            }
            LayerOp::NormalizeBackward { x, gamma, stats, dy, dx, .. } => {
                [x, stats, dy].into_iter().chain(gamma).for_each(|s| f(s, Read));
                f(dx, Write);
            }
            LayerOp::NormalizeGamma { x, stats, dy, dgamma, .. } => {
                [x, stats, dy].into_iter().for_each(|s| f(s, Read));
                f(dgamma, Update);
            }
            LayerOp::PoolTime { x, count, y, .. } => {
                f(x, Read);
                [count, y].into_iter().for_each(|s| f(s, Write));
            }
            LayerOp::PoolTimeBackward { x, y, count, dy, dx, .. } => {
                [x, y, count, dy].into_iter().for_each(|s| f(s, Read));
                f(dx, Write);
            }
            LayerOp::Penalty { x, out: y, .. } | LayerOp::PenaltyBackward { x, dx: y, .. } => {
                f(x, Read);
                f(y, Update);
            }
        }
    }
}
