// gru_forward: a step of GRU with reset_after,
//   z, r = rec_act(xw + hp U + b')   q = hp U_h + b'_h   n = act(xw + r q)   h = z hp + (1 - z) n
// gates [T, B, 4U] come as x W + b in the blocks z, r, n and, where kept, leave as z, r, n, q; extra [3U] is the recurrent
// bias b'. A mask is on the product's operand alone: the hp that z carries is whole.

alias Tile = mat3x4<f32>;
const COLS = 3u;
const GATED = true;

fn tile_at(k: u32, col: u32) -> Tile {
    let at = params.w_at / 4u + k * params.ldw + col;
    return Tile(w[at], w[at + params.block], w[at + 2u * params.block]);
}

fn put(at: u32, tile: Tile) {
    put_4(at, tile[0]);
    put_4(at + 4u, tile[1]);
    put_4(at + 8u, tile[2]);
}

fn left_row(t: u32, row: u32) -> vec2<u32> {
    return state_row(t, row);
}

fn left(row: vec2<u32>, k: u32) -> f32 {
    return state_at(row, k);
}

fn finish(t: u32, row: u32, unit: u32, sums: vec4<f32>) {
    let at = row * params.units + unit;
    let flag = flag_of(t, row);
    let kept = (flag & RESET) == 0u;
    let hp = select(0.0, h_before(t, at), kept);
    if (flag & VALID) == 0u {
        set_h(t, at, hp);
        return;
    }
    var p = select(vec4<f32>(), sums, kept);
    if params.has_extra != 0u {
        let bias = params.extra_at + unit;
        p += vec4(extra[bias], extra[bias + params.units], extra[bias + 2u * params.units], 0.0);
    }
    let gate = params.gates_at + (t * params.batch + row) * params.saved_row + unit;
    let z = rec_act(limited(gates[gate] + p.x));
    let r = rec_act(limited(gates[gate + params.units] + p.y));
    let n = act(limited(gates[gate + 2u * params.units] + r * p.z));
    if params.keep != 0u {
        gates[gate] = z;
        gates[gate + params.units] = r;
        gates[gate + 2u * params.units] = n;
        gates[gate + 3u * params.units] = p.z;
    }
    set_h(t, at, z * hp + (1.0 - z) * n);
}
