// recurrent_activation: the activations of a cell beside its candidate's, which activations.wgsl has: of the gates, and of an
// LSTM's cell state on its way out.

override REC_ACT: u32 = 2u;
override REC_ACT_A: f32 = 0.0;
override REC_ACT_B: f32 = 0.0;
override REC_ACT_C: f32 = 0.0;
override OUT_ACT: u32 = 1u;
override OUT_ACT_A: f32 = 0.0;
override OUT_ACT_B: f32 = 0.0;
override OUT_ACT_C: f32 = 0.0;

fn rec_act(x: f32) -> f32 {
    return formula(REC_ACT, REC_ACT_A, REC_ACT_B, REC_ACT_C, x);
}

fn rec_act_grad(saved: f32) -> f32 {
    return formula_grad(REC_ACT, REC_ACT_A, REC_ACT_B, REC_ACT_C, saved);
}

fn out_act(x: f32) -> f32 {
    return formula(OUT_ACT, OUT_ACT_A, OUT_ACT_B, OUT_ACT_C, x);
}

fn out_act_grad(saved: f32) -> f32 {
    return formula_grad(OUT_ACT, OUT_ACT_A, OUT_ACT_B, OUT_ACT_C, saved);
}
