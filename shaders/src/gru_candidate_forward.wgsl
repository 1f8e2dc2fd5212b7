// gru_candidate_forward: second half of a step of GRU without reset_after, after gru_reset_forward,
//   n = act(xw + q U_h)   h = z hp + (1 - z) n
// gates [T, B, 4U] have z in block 0, x W + b in block 2 and q in block 3; n leaves in block 2.

alias Tile = mat4x4<f32>;
alias Place = u32;
const COLS = 4u;
const GATED = false;

fn tile_at(k: u32, col: u32) -> Tile {
    return tile_of_16(params.w_at / 4u + k * params.ldw, col * 4u);
}

fn put(at: u32, tile: Tile) {
    put_16(at, tile);
}

fn either(a: Tile, b: Tile, second: bool) -> Tile {
    return either_16(a, b, second);
}

fn of_unit(tile: Tile, j: u32) -> vec4<f32> {
    return vec4(of_16(tile, j), 0.0, 0.0, 0.0);
}

fn left_row(t: u32, row: u32) -> Place {
    return gates_of(t, row) + 3u * params.units;
}

fn left(place: Place, k: u32) -> f32 {
    return gate_at(place + k);
}

fn left_4(place: Place, k: u32) -> vec4<f32> {
    return gates[(place + k) / 4u];
}

fn given(t: u32, row: u32, col: u32) -> Tile {
    return Tile();
}

fn finish(t: u32, row: u32, unit: u32, sums: vec4<f32>, given: vec4<f32>) {
    let at = row * params.units + unit;
    let flag = flag_of(t, row);
    var y = select(0.0, h_before(t, at), (flag & RESET) == 0u);
    if (flag & VALID) != 0u {
        let gate = gates_of(t, row) + unit;
        let z = gate_at(gate);
        let n = act(limited(gate_at(gate + 2u * params.units) + sums.x));
        set_gate(gate + 2u * params.units, n);
        y = z * y + (1.0 - z) * n;
    }
    set_h(t, at, y);
}
