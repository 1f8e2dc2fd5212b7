// lstm_backward: a step of
//   dh = dy + dgates[t+1] U^T + dpass   do = dh act(c)   dc += dh o act'(c)
//   di = dc g   df = dc cp   dg = dc i   (each times its activation's derivative)   dc <- dc f
// saved i, f, g, o; states c; carry dpass and dc; dgates [T, B, 4U].

const AHEAD = 1u;

fn finish(t: u32, row: u32, unit: u32, sums: vec4<f32>) {
    let at = row * params.units + unit;
    let slot = params.batch * params.units;
    let flag = flag_of(t, row);
    let kept = (flag & RESET) == 0u;
    let dh = dh_of(t, row, unit, sums.x);
    var dcell = carry[params.carry_at + slot + at];
    var pass_h = dh;
    var grad = vec4<f32>();
    if (flag & VALID) != 0u {
        let gate = params.saved_at + (t * params.batch + row) * params.saved_row + unit;
        let i = saved[gate];
        let f = saved[gate + params.units];
        let g = saved[gate + 2u * params.units];
        let o = saved[gate + 3u * params.units];
        let cp = select(0.0, state_before(t, at), kept);
        let y = act(ACT, state_before(t + 1u, at));
        dcell += dh * o * act_grad(ACT, y);
        grad = vec4(
            dcell * g * act_grad(REC_ACT, i),
            dcell * cp * act_grad(REC_ACT, f),
            dcell * i * act_grad(ACT, g),
            dh * y * act_grad(REC_ACT, o),
        );
        dcell *= f;
        pass_h = 0.0;
    }
    carry[params.carry_at + at] = select(0.0, pass_h, kept);
    carry[params.carry_at + slot + at] = select(0.0, dcell, kept);
    let out = params.dgates_at + (t * params.batch + row) * params.grad_row + unit;
    dgates[out] = grad.x;
    dgates[out + params.units] = grad.y;
    dgates[out + 2u * params.units] = grad.z;
    dgates[out + 3u * params.units] = grad.w;
}
