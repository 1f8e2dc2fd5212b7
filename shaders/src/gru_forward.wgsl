// gru_forward: a step of GRU with reset_after,
//   z, r = rec_act(xw + hp U + b')   q = hp U_h + b'_h   n = act(xw + r q)   h = z hp + (1 - z) n
// gates [T, B, 4U] come as x W + b in the blocks z, r, n and, where kept, leave as z, r, n, q; extra [3U] is the recurrent
// bias b'. A mask is on the product's operand alone: the hp that z carries is whole.

alias Tile = mat3x4<f32>;
alias Place = vec2<u32>;
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

fn either(a: Tile, b: Tile, second: bool) -> Tile {
    return Tile(select(a[0], b[0], second), select(a[1], b[1], second), select(a[2], b[2], second));
}

fn of_unit(tile: Tile, j: u32) -> vec4<f32> {
    return vec4(tile[0][j], tile[1][j], tile[2][j], 0.0);
}

fn left_row(t: u32, row: u32) -> Place {
    return state_row(t, row);
}

fn left(place: Place, k: u32) -> f32 {
    return state_at(place, k);
}

fn left_4(place: Place, k: u32) -> vec4<f32> {
    return state_4(place, k);
}

fn given(t: u32, row: u32, col: u32) -> Tile {
    let at = gates_of(t, row) + col * 4u;
    return Tile(gates_4(at, col), gates_4(at + params.units, col), gates_4(at + 2u * params.units, col));
}

fn finish(t: u32, row: u32, unit: u32, sums: vec4<f32>, given: vec4<f32>) {
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
    let z = rec_act(limited(given.x + p.x));
    let r = rec_act(limited(given.y + p.y));
    let n = act(limited(given.z + r * p.z));
    if params.keep != 0u {
        let gate = gates_of(t, row) + unit;
        set_gate(gate, z);
        set_gate(gate + params.units, r);
        set_gate(gate + 2u * params.units, n);
        set_gate(gate + 3u * params.units, p.z);
    }
    set_h(t, at, z * hp + (1.0 - z) * n);
}
