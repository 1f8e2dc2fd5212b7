// recurrent_activation: the activation of a cell's gates, behind activations.wgsl, which has that of its candidate.

override REC_ACT: u32 = 2u;
override REC_ACT_A: f32 = 0.0;
override REC_ACT_B: f32 = 0.0;
override REC_ACT_C: f32 = 0.0;

fn rec_act(x: f32) -> f32 {
    return formula(REC_ACT, REC_ACT_A, REC_ACT_B, REC_ACT_C, x);
}

fn rec_act_grad(saved: f32) -> f32 {
    return formula_grad(REC_ACT, REC_ACT_A, REC_ACT_B, REC_ACT_C, saved);
}
