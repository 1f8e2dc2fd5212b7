// lstm_forward: a step of
//   i, f, o = rec_act(xw + hp U)   g = act(xw + hp U)   c = f cp + i g   h = o out_act(c)
// gates [T, B, 4U] come as x W + b and, where kept, leave as i, f, g, o. extra [3U], where it is, has peepholes for i, o, f:
// weights of cp inside i and f, and of c inside o. COUPLED: f = 1 - i.

alias Tile = mat4x4<f32>;
const COLS = 4u;
const GATED = true;

fn tile_at(k: u32, col: u32) -> Tile {
    let at = params.w_at / 4u + k * params.ldw + col;
    return Tile(w[at], w[at + params.block], w[at + 2u * params.block], w[at + 3u * params.block]);
}

fn put(at: u32, tile: Tile) {
    put_16(at, tile);
}

fn left_row(t: u32, row: u32) -> vec2<u32> {
    return state_row(t, row);
}

fn left(row: vec2<u32>, k: u32) -> f32 {
    return state_at(row, k);
}

fn finish(t: u32, row: u32, unit: u32, sums: vec4<f32>) {
    let at = row * params.units + unit;
    let cell = params.c_at + t * params.c_step + at;
    let next = cell + params.c_step;
    let flag = flag_of(t, row);
    let kept = (flag & RESET) == 0u;
    let cp = select(0.0, c[cell], kept);
    if (flag & VALID) == 0u {
        set_h(t, at, select(0.0, h_before(t, at), kept));
        c[next] = cp;
        return;
    }
    let z = select(vec4<f32>(), sums, kept);
    let gate = params.gates_at + (t * params.batch + row) * params.saved_row + unit;
    var peep = vec3<f32>();
    if params.has_extra != 0u {
        let p = params.extra_at + unit;
        peep = vec3(extra[p], extra[p + params.units], extra[p + 2u * params.units]);
    }
    let i = rec_act(limited(gates[gate] + z.x + peep.x * cp));
    var f = 1.0 - i;
    if !COUPLED {
        f = rec_act(limited(gates[gate + params.units] + z.y + peep.z * cp));
    }
    let g = act(limited(gates[gate + 2u * params.units] + z.z));
    let cn = f * cp + i * g;
    let o = rec_act(limited(gates[gate + 3u * params.units] + z.w + peep.y * cn));
    if params.keep != 0u {
        gates[gate] = i;
        gates[gate + params.units] = f;
        gates[gate + 2u * params.units] = g;
        gates[gate + 3u * params.units] = o;
    }
    c[next] = cn;
    set_h(t, at, o * out_act(cn));
}
