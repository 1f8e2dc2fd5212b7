//! The recurrent kernels: a step, or many, of each cell, forward and backward. The forward kernels share
//! `recurrent_forward.wgsl` (bindings, parameters, states), those of the way back `recurrent_backward.wgsl`, and all of them
//! `recurrent_steps.wgsl` (product and loop over time); they differ in the text of the cell. Equations and shapes stand in
//! the `.wgsl` files.
use crate::activation::{ACT, OUT_ACT, REC_ACT};
use crate::contract::{Binding, Kernel, Override, over, read, write};

crate::params! {
    /// Parameters of the forward kernels.
    pub struct ForwardParams {
        /// start of `flags`
        pub flags_at: u32,
        /// start of `w`
        pub w_at: u32,
        /// start of `extra`
        pub extra_at: u32,
        /// start of `h_mask`
        pub h_mask_at: u32,
        /// start of `h_start`
        pub h_start_at: u32,
        /// start of `gates`
        pub gates_at: u32,
        /// start of `h`
        pub h_at: u32,
        /// start of `c`
        pub c_at: u32,
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
        /// elements from one row of the gates to the next
        pub saved_row: u32,
        /// elements from one slot of `c` to the next; 0 where it has one
        pub c_step: u32,
        /// 1 where there are flags
        pub has_flags: u32,
        /// 1 where there is something in `extra`
        pub has_extra: u32,
        /// 1 where the gates are kept for the way back
        pub keep: u32,
        /// limit of what goes into activations
        pub clip: f32,
    }
}

crate::params! {
    /// Parameters of the kernels of the way back.
    pub struct BackwardParams {
        /// start of `flags`
        pub flags_at: u32,
        /// start of `w`
        pub w_at: u32,
        /// start of `saved`
        pub saved_at: u32,
        /// start of `states`
        pub states_at: u32,
        /// start of `dy`
        pub dy_at: u32,
        /// start of `h_mask`
        pub h_mask_at: u32,
        /// start of `dgates`
        pub dgates_at: u32,
        /// start of `carry`
        pub carry_at: u32,
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
        /// elements from one row of `saved` to the next
        pub saved_row: u32,
        /// elements from one row of `dgates` to the next
        pub grad_row: u32,
        /// where the product's operand begins in a row of `dgates`
        pub left_at: u32,
        /// 1 where there are flags
        pub has_flags: u32,
        /// 1 where there is a gradient of the outputs
        pub has_dy: u32,
        /// 1 where `w` has peepholes behind its rows, and `dgates` room for their gradients
        pub has_peepholes: u32,
        /// limit of what went into activations
        pub clip: f32,
    }
}

const FORWARD: &[Binding] = &[
    read("flags"),
    read("w"),
    read("extra"),
    read("h_mask"),
    read("h_start"),
    write("gates"),
    write("h"),
    write("c"),
];
const BACKWARD: &[Binding] = &[
    read("flags"),
    read("w"),
    read("saved"),
    read("states"),
    read("dy"),
    read("h_mask"),
    write("dgates"),
    write("carry"),
];

const FORWARD_OVERRIDES: &[Override] = &[
    over("WORKGROUP", 8.0),
    over("ROWS", 16.0),
    over("SPLIT", 1.0),
    over("SEQUENCE", 0.0),
    over("SHARED", 0.0),
    over("WIDE", 0.0),
    over("PARK", 1.0),
    ACT[0],
    ACT[1],
    ACT[2],
    ACT[3],
    REC_ACT[0],
    REC_ACT[1],
    REC_ACT[2],
    REC_ACT[3],
    OUT_ACT[0],
    OUT_ACT[1],
    OUT_ACT[2],
    OUT_ACT[3],
    over("MASKED", 0.0),
    over("CLIPPED", 0.0),
    over("COUPLED", 0.0),
    over("START", 0.0),
];
/// All but the last: the way back starts from nothing.
const BACKWARD_OVERRIDES: &[Override] = FORWARD_OVERRIDES.split_at(FORWARD_OVERRIDES.len() - 1).0;

/// The contract of one kernel: its direction's parts and the cell's own text.
macro_rules! cell {
    ($(#[$doc:meta])* $name:ident, $stem:literal, $shared:literal, $params:ty, $bindings:expr, $overrides:expr) => {
        $(#[$doc])*
        pub const $name: Kernel = Kernel {
            stem: $stem,
            source: concat!(
                include_str!("math.wgsl"),
                include_str!("activations.wgsl"),
                include_str!("recurrent_activation.wgsl"),
                include_str!("from_lane.wgsl"),
                include_str!("row_tiles.wgsl"),
                include_str!($shared),
                include_str!(concat!($stem, ".wgsl")),
                include_str!("recurrent_steps.wgsl")
            ),
            bindings: $bindings,
            params_size: size_of::<$params>(),
            params_fields: <$params>::FIELDS,
            step: false,
            overrides: $overrides,
            unchecked: true,
        };
    };
    (forward $(#[$doc:meta])* $name:ident, $stem:literal) => {
        cell!($(#[$doc])* $name, $stem, "recurrent_forward.wgsl", ForwardParams, FORWARD, FORWARD_OVERRIDES);
    };
    (backward $(#[$doc:meta])* $name:ident, $stem:literal) => {
        cell!($(#[$doc])* $name, $stem, "recurrent_backward.wgsl", BackwardParams, BACKWARD, BACKWARD_OVERRIDES);
    };
}

cell!(forward
    /// A step of LSTM.
    LSTM_FORWARD, "lstm_forward");
cell!(forward
    /// A step of SimpleRNN.
    SIMPLE_RNN_FORWARD, "simple_rnn_forward");
cell!(forward
    /// A step of GRU with `reset_after`.
    GRU_FORWARD, "gru_forward");
cell!(forward
    /// First half of a step of GRU without `reset_after`.
    GRU_RESET_FORWARD, "gru_reset_forward");
cell!(forward
    /// Second half of a step of GRU without `reset_after`.
    GRU_CANDIDATE_FORWARD, "gru_candidate_forward");
cell!(backward
    /// A step back through LSTM.
    LSTM_BACKWARD, "lstm_backward");
cell!(backward
    /// A step back through SimpleRNN.
    SIMPLE_RNN_BACKWARD, "simple_rnn_backward");
cell!(backward
    /// A step back through GRU with `reset_after`.
    GRU_BACKWARD, "gru_backward");
cell!(backward
    /// First half of a step back through GRU without `reset_after`.
    GRU_CANDIDATE_BACKWARD, "gru_candidate_backward");
cell!(backward
    /// Second half of a step back through GRU without `reset_after`.
    GRU_RESET_BACKWARD, "gru_reset_backward");
