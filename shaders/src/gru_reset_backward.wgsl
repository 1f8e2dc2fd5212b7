// gru_reset_backward: second half of a step back through GRU without reset_after, after gru_candidate_backward,
//   dq = dn U_h^T   dr = dq hp rec_act'   dpass += dq r
// saved z, r, n, q; states h; w = U_h^T [U]; dgates [T, B, 3U] has dn in block 2 and gets block 1. A mask was on hp in q.

const AHEAD = 0u;

fn finish(t: u32, row: u32, unit: u32, sums: vec4<f32>, given: vec4<f32>) {
    let at = row * params.units + unit;
    let flag = flag_of(t, row);
    let live = (flag & RESET) == 0u && (flag & VALID) != 0u;
    let r = saved[params.saved_at + (t * params.batch + row) * params.saved_row + params.units + unit];
    let dq = unmasked(at, sums.x);
    let out = params.dgates_at + (t * params.batch + row) * params.grad_row + params.units + unit;
    set_dgate(out, select(0.0, dq * state_before(t, at) * rec_slope(r), live));
    if live {
        carry[params.carry_at + at] += dq * r;
    }
}
