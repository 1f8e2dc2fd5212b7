//! The recurrent kernels: a step, or many, of each cell, forward and backward. They share `recurrent_steps.wgsl` (product
//! and loop over time) and differ in the text of the cell; equations and shapes stand in the `.wgsl` files.
use crate::contract::{Binding, Kernel, Override, over, read, write};

/// What all of them take: declares `Params` of one kernel and its contract.
macro_rules! cell {
    ($(#[$doc:meta])* $stem:ident, [$($access:ident $name:literal => $at:ident),*], $overrides:expr) => {
        $(#[$doc])*
        pub mod $stem {
            use super::*;

            crate::params! {
                /// Parameters; those after the offsets are the same for every recurrent kernel.
                pub struct Params {
                    $(
                        #[doc = concat!("start of `", $name, "`")]
                        pub $at: u32,
                    )*
                    /// first step of the dispatch, in the bound slices
                    pub first: u32,
                    /// steps of the dispatch
                    pub steps: u32,
                    /// steps of the bound slices
                    pub time: u32,
                    /// rows
                    pub batch: u32,
                    /// units
                    pub units: u32,
                    /// length of the recurrent product
                    pub depth: u32,
                    /// vec4s from one row of `w` to the next
                    pub ldw: u32,
                    /// vec4s from one gate of `w` to the next
                    pub block: u32,
                    /// elements from one row of the saved gates to the next
                    pub saved_row: u32,
                    /// 1 where there are flags
                    pub has_flags: u32,
                    /// 1 where there is a recurrent bias
                    pub has_bias: u32,
                    /// 1 where there is a gradient of the outputs
                    pub has_dy: u32,
                    /// 1 where the gates are kept for the way back
                    pub keep: u32,
                }
            }

            const BINDINGS: &[Binding] = &[$($access($name)),*];

            /// The contract.
            pub const KERNEL: Kernel = Kernel {
                stem: stringify!($stem),
                source: concat!(
                    include_str!("math.wgsl"),
                    include_str!(concat!(stringify!($stem), ".wgsl")),
                    include_str!("recurrent_steps.wgsl")
                ),
                bindings: BINDINGS,
                params_size: size_of::<Params>(),
                params_fields: Params::FIELDS,
                step: false,
                overrides: $overrides,
                unchecked: true,
            };
        }
    };
}

const STEPS: [Override; 5] = [
    over("WORKGROUP", 8.0),
    over("ROWS", 8.0),
    over("SPLIT", 1.0),
    over("SEQUENCE", 0.0),
    over("PARK", 1024.0),
];
const ACT: Override = over("ACT", 1.0);
const REC_ACT: Override = over("REC_ACT", 2.0);
const ONE: &[Override] = &[STEPS[0], STEPS[1], STEPS[2], STEPS[3], STEPS[4], ACT];
const GATE: &[Override] = &[STEPS[0], STEPS[1], STEPS[2], STEPS[3], STEPS[4], REC_ACT];
const BOTH: &[Override] = &[STEPS[0], STEPS[1], STEPS[2], STEPS[3], STEPS[4], ACT, REC_ACT];

cell!(
    /// A step of LSTM.
    lstm_forward,
    [read "flags" => flags_at, read "w" => w_at, write "gates" => gates_at, write "h" => h_at, write "c" => c_at],
    BOTH
);
cell!(
    /// A step of SimpleRNN.
    simple_rnn_forward,
    [read "flags" => flags_at, read "w" => w_at, read "gates" => gates_at, write "h" => h_at],
    ONE
);
cell!(
    /// A step of GRU with `reset_after`.
    gru_forward,
    [read "flags" => flags_at, read "w" => w_at, read "bias" => bias_at, write "gates" => gates_at, write "h" => h_at],
    BOTH
);
cell!(
    /// First half of a step of GRU without `reset_after`.
    gru_reset_forward,
    [read "flags" => flags_at, read "w" => w_at, write "gates" => gates_at, read "h" => h_at],
    GATE
);
cell!(
    /// Second half of a step of GRU without `reset_after`.
    gru_candidate_forward,
    [read "flags" => flags_at, read "w" => w_at, write "gates" => gates_at, write "h" => h_at],
    ONE
);
cell!(
    /// A step back through LSTM.
    lstm_backward,
    [read "flags" => flags_at, read "w" => w_at, read "saved" => saved_at, read "c" => c_at, read "dy" => dy_at, write "dgates" => dgates_at, write "dpass" => dpass_at, write "dc" => dc_at],
    BOTH
);
cell!(
    /// A step back through SimpleRNN.
    simple_rnn_backward,
    [read "flags" => flags_at, read "w" => w_at, read "h" => h_at, read "dy" => dy_at, write "dgates" => dgates_at, write "dpass" => dpass_at],
    ONE
);
cell!(
    /// A step back through GRU with `reset_after`.
    gru_backward,
    [read "flags" => flags_at, read "w" => w_at, read "saved" => saved_at, read "h" => h_at, read "dy" => dy_at, write "dgates" => dgates_at, write "drec" => drec_at, write "dpass" => dpass_at],
    BOTH
);
cell!(
    /// First half of a step back through GRU without `reset_after`.
    gru_candidate_backward,
    [read "flags" => flags_at, read "w" => w_at, read "saved" => saved_at, read "h" => h_at, read "dy" => dy_at, write "dgates" => dgates_at, write "dpass" => dpass_at],
    BOTH
);
cell!(
    /// Second half of a step back through GRU without `reset_after`.
    gru_reset_backward,
    [read "flags" => flags_at, read "w" => w_at, read "saved" => saved_at, read "h" => h_at, write "dgates" => dgates_at, write "dpass" => dpass_at],
    GATE
);

/// Every recurrent kernel.
pub const ALL: [&Kernel; 10] = [
    &lstm_forward::KERNEL,
    &simple_rnn_forward::KERNEL,
    &gru_forward::KERNEL,
    &gru_reset_forward::KERNEL,
    &gru_candidate_forward::KERNEL,
    &lstm_backward::KERNEL,
    &simple_rnn_backward::KERNEL,
    &gru_backward::KERNEL,
    &gru_candidate_backward::KERNEL,
    &gru_reset_backward::KERNEL,
];
