// gru_backward: a step of GRU with reset_after,
//   dh = dy + drec[t+1] U^T + dpass   dz = dh (hp - n)   dn = dh (1 - z)   dq = dn r   dr = dn q
//   (z, r and n times their activation's derivative)   dpass <- dh z
// saved z, r, n, q; states h; dgates [T, B, 6U]: dz, dr, dn for the input product, then drec, dz, dr, dq for the recurrent
// one.

const AHEAD = 1u;

fn finish(t: u32, row: u32, unit: u32, sums: vec4<f32>, given: vec4<f32>) {
    let at = row * params.units + unit;
    let flag = flag_of(t, row);
    let kept = (flag & RESET) == 0u;
    let dh = dh_of(t, row, unit, sums.x);
    var pass_h = dh;
    var grad = vec4<f32>();
    if (flag & VALID) != 0u {
        let gate = params.saved_at + (t * params.batch + row) * params.saved_row + unit;
        let z = saved[gate];
        let r = saved[gate + params.units];
        let n = saved[gate + 2u * params.units];
        let q = saved[gate + 3u * params.units];
        let hp = select(0.0, state_before(t, at), kept);
        let dn = dh * (1.0 - z) * slope(n);
        grad = vec4(dh * (hp - n) * rec_slope(z), dn * q * rec_slope(r), dn, dn * r);
        pass_h = dh * z;
    }
    carry[params.carry_at + at] = select(0.0, pass_h, kept);
    let out = params.dgates_at + (t * params.batch + row) * params.grad_row + unit;
    set_dgate(out, grad.x);
    set_dgate(out + params.units, grad.y);
    set_dgate(out + 2u * params.units, grad.z);
    set_dgate(out + 3u * params.units, grad.x);
    set_dgate(out + 4u * params.units, grad.y);
    set_dgate(out + 5u * params.units, grad.w);
}
