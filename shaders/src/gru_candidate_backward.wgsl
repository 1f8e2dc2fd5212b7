// gru_candidate_backward: first half of a step back through GRU without reset_after,
//   dh = dy + (dz, dr)[t+1] U_zr^T + dpass   dz = dh (hp - n) rec_act'   dn = dh (1 - z) act'   dpass <- dh z
// saved z, r, n, q; states h; of w = U^T [3U] the first 2U rows serve; dgates [T, B, 3U] gets blocks 0 and 2.

const AHEAD = 1u;

fn finish(t: u32, row: u32, unit: u32, sums: vec4<f32>, given: vec4<f32>) {
    let at = row * params.units + unit;
    let flag = flag_of(t, row);
    let kept = (flag & RESET) == 0u;
    let dh = dh_of(t, row, unit, sums.x);
    var pass_h = dh;
    var dz = 0.0;
    var dn = 0.0;
    if (flag & VALID) != 0u {
        let gate = params.saved_at + (t * params.batch + row) * params.saved_row + unit;
        let z = saved[gate];
        let n = saved[gate + 2u * params.units];
        let hp = select(0.0, state_before(t, at), kept);
        dz = dh * (hp - n) * rec_slope(z);
        dn = dh * (1.0 - z) * slope(n);
        pass_h = dh * z;
    }
    carry[params.carry_at + at] = select(0.0, pass_h, kept);
    let out = params.dgates_at + (t * params.batch + row) * params.grad_row + unit;
    set_dgate(out, dz);
    set_dgate(out + 2u * params.units, dn);
}
