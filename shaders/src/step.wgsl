// step: what changes from one run of a recorded program to the next (StepParams in vocabulary.rs).
struct StepParams {
    cursor: u32,
    rng_step: u32,
    lr: f32,
    alpha: f32,
}
