// lstm_backward: a step of
//   dh = dy + dgates[t+1] U^T + dpass   do = dh out_act(c)   dc += dh o out_act'(c)
//   di = dc g   df = dc cp   dg = dc i   (each times its activation's derivative)   dc <- dc f
// saved i, f, g, o; states c; carry dpass and dc; dgates [T, B, 4U]. With peepholes (i, o, f; rows of w after its 4U) the
// gates' gradients reach dc and dcp as well, and dgates [T, B, 7U] gets the peepholes' gradients of each row behind its own.
// COUPLED: f = 1 - i.

const AHEAD = 1u;

fn peephole(gate: u32, unit: u32) -> f32 {
    if params.has_peepholes == 0u {
        return 0.0;
    }
    return w[params.w_at / 4u + (4u * params.units + gate) * params.ldw + unit / 4u][unit % 4u];
}

fn finish(t: u32, row: u32, unit: u32, sums: vec4<f32>, given: vec4<f32>) {
    let at = row * params.units + unit;
    let slot = params.batch * params.units;
    let flag = flag_of(t, row);
    let kept = (flag & RESET) == 0u;
    let dh = dh_of(t, row, unit, sums.x);
    var dcell = carry[params.carry_at + slot + at];
    var pass_h = dh;
    var grad = vec4<f32>();
    var peep = vec3<f32>();
    if (flag & VALID) != 0u {
        let gate = params.saved_at + (t * params.batch + row) * params.saved_row + unit;
        let i = saved[gate];
        let f = saved[gate + params.units];
        let g = saved[gate + 2u * params.units];
        let o = saved[gate + 3u * params.units];
        let cp = select(0.0, state_before(t, at), kept);
        let y = out_act(state_before(t + 1u, at));
        let d_o = dh * y * rec_slope(o);
        dcell += dh * o * out_act_grad(y) + d_o * peephole(1u, unit);
        var to_i = g - cp;
        var to_f = 0.0;
        if !COUPLED {
            to_i = g;
            to_f = cp;
        }
        grad = vec4(
            dcell * to_i * rec_slope(i),
            dcell * to_f * rec_slope(f),
            dcell * i * slope(g),
            d_o,
        );
        peep = vec3(grad.x * cp, d_o * state_before(t + 1u, at), grad.y * cp);
        dcell = dcell * f + grad.x * peephole(0u, unit) + grad.y * peephole(2u, unit);
        pass_h = 0.0;
    }
    carry[params.carry_at + at] = select(0.0, pass_h, kept);
    carry[params.carry_at + slot + at] = select(0.0, dcell, kept);
    let out = params.dgates_at + (t * params.batch + row) * params.grad_row + unit;
    set_dgate(out, grad.x);
    set_dgate(out + params.units, grad.y);
    set_dgate(out + 2u * params.units, grad.z);
    set_dgate(out + 3u * params.units, grad.w);
    if params.has_peepholes != 0u {
        set_dgate(out + 4u * params.units, peep.x);
        set_dgate(out + 5u * params.units, peep.y);
        set_dgate(out + 6u * params.units, peep.z);
    }
}
