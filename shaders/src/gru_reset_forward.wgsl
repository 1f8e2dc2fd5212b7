// gru_reset_forward: first half of a step of GRU without reset_after,
//   z, r = rec_act(xw + hp U)   q = r hp
// gates [T, B, 4U] come as x W + b in the blocks z, r, n; z, r and q leave in blocks 0, 1 and 3. A mask is on hp in both.

alias Tile = mat2x4<f32>;
const COLS = 2u;
const GATED = true;

fn tile_at(k: u32, col: u32) -> Tile {
    let at = params.w_at / 4u + k * params.ldw + col;
    return Tile(w[at], w[at + params.block]);
}

fn put(at: u32, tile: Tile) {
    put_4(at, tile[0]);
    put_4(at + 4u, tile[1]);
}

fn left_row(t: u32, row: u32) -> vec2<u32> {
    return state_row(t, row);
}

fn left(row: vec2<u32>, k: u32) -> f32 {
    return state_at(row, k);
}

fn finish(t: u32, row: u32, unit: u32, sums: vec4<f32>) {
    let kept = (flag_of(t, row) & RESET) == 0u;
    let p = select(vec4<f32>(), sums, kept);
    let gate = params.gates_at + (t * params.batch + row) * params.saved_row + unit;
    let r = rec_act(limited(gates[gate + params.units] + p.y));
    gates[gate] = rec_act(limited(gates[gate] + p.x));
    gates[gate + params.units] = r;
    gates[gate + 3u * params.units] = r * select(0.0, state_at(state_row(t, row), unit), kept);
}
