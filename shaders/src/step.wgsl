// step: what changes from one run of a recorded program to the next (StepParams in vocabulary.rs).
struct StepParams {
    cursor: u32,
    rng_step: u32,
    lr: f32,
    alpha: f32,
    beta: f32,
    gamma: f32,
    phase: u32,
    rest: u32,
}

// Bits of phase.
const HOLD = 1u;
const EMA_START = 2u;
const EMA_OVERWRITE = 4u;
