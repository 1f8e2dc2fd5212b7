// simple_rnn_forward: a step of h = act(xw + hp U).
// gates [T, B, U] come as x W + b and are not changed; h [T+1, B, U], slot t before the step.
// hp is zero where the step's flag has RESET; without VALID it is carried over.

struct Params {
    flags_at: u32,
    w_at: u32,
    gates_at: u32,
    h_at: u32,
    first: u32,
    steps: u32,
    time: u32,
    batch: u32,
    units: u32,
    depth: u32,
    ldw: u32,
    block: u32,
    saved_row: u32,
    has_flags: u32,
    has_bias: u32,
    has_dy: u32,
    keep: u32,
}

@group(0) @binding(0) var<storage, read> flags: array<u32>;
@group(0) @binding(1) var<storage, read> w: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> gates: array<f32>;
@group(0) @binding(3) var<storage, read_write> h: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

override ACT: u32 = 1u;

alias Tile = mat4x4<f32>;
const COLS = 4u;
const GATED = false;

fn tile_at(k: u32, col: u32) -> Tile {
    let last = params.ldw - 1u;
    let at = params.w_at / 4u + k * params.ldw;
    let j = col * 4u;
    return Tile(w[at + j], w[at + min(j + 1u, last)], w[at + min(j + 2u, last)], w[at + min(j + 3u, last)]);
}

fn put(at: u32, tile: Tile) {
    park[at + 0u] = tile[0][0];
    park[at + 1u] = tile[0][1];
    park[at + 2u] = tile[0][2];
    park[at + 3u] = tile[0][3];
    park[at + 4u] = tile[1][0];
    park[at + 5u] = tile[1][1];
    park[at + 6u] = tile[1][2];
    park[at + 7u] = tile[1][3];
    park[at + 8u] = tile[2][0];
    park[at + 9u] = tile[2][1];
    park[at + 10u] = tile[2][2];
    park[at + 11u] = tile[2][3];
    park[at + 12u] = tile[3][0];
    park[at + 13u] = tile[3][1];
    park[at + 14u] = tile[3][2];
    park[at + 15u] = tile[3][3];
}
const BACKWARD = false;

fn left(at: u32) -> f32 {
    return h[at];
}

fn left_row(t: u32, row: u32) -> u32 {
    return params.h_at + (t * params.batch + row) * params.units;
}

fn depth(t: u32) -> u32 {
    return params.depth;
}

fn flag_of(t: u32, row: u32) -> u32 {
    if params.has_flags == 0u {
        return VALID;
    }
    return flags[params.flags_at + t * params.batch + row];
}

fn finish(t: u32, row: u32, unit: u32, sums: vec4<f32>) {
    let slot = (t * params.batch + row) * params.units + unit;
    let flag = flag_of(t, row);
    let kept = (flag & RESET) == 0u;
    var y = select(0.0, h[params.h_at + slot], kept);
    if (flag & VALID) != 0u {
        let gate = params.gates_at + (t * params.batch + row) * params.saved_row + unit;
        y = act(ACT, gates[gate] + select(0.0, sums.x, kept));
    }
    h[params.h_at + slot + params.batch * params.units] = y;
}
