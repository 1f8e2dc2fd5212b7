// simple_rnn_backward: a step of dh = dy + dgates[t+1] U^T + dpass, dgates = dh act'(h). states h; dgates [T, B, U].

const AHEAD = 1u;

fn finish(t: u32, row: u32, unit: u32, sums: vec4<f32>, given: vec4<f32>) {
    let at = row * params.units + unit;
    let flag = flag_of(t, row);
    let dh = dh_of(t, row, unit, sums.x);
    let valid = (flag & VALID) != 0u;
    let out = params.dgates_at + (t * params.batch + row) * params.grad_row + unit;
    set_dgate(out, select(0.0, dh * slope(state_before(t + 1u, at)), valid));
    carry[params.carry_at + at] = select(dh, 0.0, valid || (flag & RESET) != 0u);
}
