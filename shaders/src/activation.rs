//! An activation and its derivative, element by element.
use crate::contract::{Kernel, Override, over, read, write};
use crate::vocabulary::Activation;

crate::params! {
    /// Parameters of `activation.wgsl`.
    pub struct Params {
        /// start of `x`
        pub x_at: u32,
        /// start of `dy`
        pub dy_at: u32,
        /// start of `y`
        pub y_at: u32,
        /// elements
        pub n: u32,
    }
}

/// The constants of `activations.wgsl`: which formula, and its numbers.
pub const ACT: [Override; 4] = [over("ACT", 0.0), over("ACT_A", 0.0), over("ACT_B", 0.0), over("ACT_C", 0.0)];
/// Those of a cell's gates in `recurrent_activation.wgsl`.
pub const REC_ACT: [Override; 4] =
    [over("REC_ACT", 2.0), over("REC_ACT_A", 0.0), over("REC_ACT_B", 0.0), over("REC_ACT_C", 0.0)];
/// Those of an LSTM's cell state on its way out, there too.
pub const OUT_ACT: [Override; 4] =
    [over("OUT_ACT", 1.0), over("OUT_ACT_A", 0.0), over("OUT_ACT_B", 0.0), over("OUT_ACT_C", 0.0)];

/// Values of [`ACT`], [`REC_ACT`] or [`OUT_ACT`] for an activation.
pub fn constants(names: &[Override; 4], kind: Activation) -> [(&'static str, f64); 4] {
    let (formula, [a, b, c]) = kind.formula();
    let values = [f64::from(formula as u32), a, b, c];
    std::array::from_fn(|i| (names[i].name, values[i]))
}

/// The contract of `activation.wgsl`.
pub const KERNEL: Kernel = Kernel {
    stem: "activation",
    source: concat!(
        include_str!("math.wgsl"),
        include_str!("activations.wgsl"),
        include_str!("activation.wgsl")
    ),
    bindings: &[read("x"), read("dy"), write("y")],
    params_size: size_of::<Params>(),
    params_fields: Params::FIELDS,
    step: false,
    overrides: &[over("WORKGROUP", 64.0), over("BACKWARD", 0.0), ACT[0], ACT[1], ACT[2], ACT[3]],
    unchecked: true,
};
