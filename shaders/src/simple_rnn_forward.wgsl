// simple_rnn_forward: a step of h = act(xw + hp U). xw = x W + b of step t stands in slot t + 1 of h, where h is put; there are
// no gates beside it.

alias Tile = mat4x4<f32>;
alias Place = vec2<u32>;
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
    return state_row(t, row);
}

fn left(place: Place, k: u32) -> f32 {
    return state_at(place, k);
}

fn left_4(place: Place, k: u32) -> vec4<f32> {
    return state_4(place, k);
}

fn given(t: u32, row: u32, col: u32) -> Tile {
    return Tile();
}

fn finish(t: u32, row: u32, unit: u32, sums: vec4<f32>, given: vec4<f32>) {
    let at = row * params.units + unit;
    let flag = flag_of(t, row);
    let kept = (flag & RESET) == 0u;
    var y = select(0.0, h_before(t, at), kept);
    if (flag & VALID) != 0u {
        y = act(limited(state_of(params.h_at + (t + 1u) * params.batch * params.units + at) + select(0.0, sums.x, kept)));
    }
    set_h(t, at, y);
}
