// gru_reset_backward: second half of a step back through GRU without reset_after, after gru_candidate_backward,
//   dq = dn U_h^T   dr = dq hp rec_act'   dpass += dq r
// saved [T, B, 4U] z, r, n, q; h [T+1, B, U]; w = U_h^T [U, ldw]; dgates [T, B, 3U] has dn in block 2 and gets block 1.
// hp is zero where the step's flag has RESET, and then nothing is handed to the step before.

struct Params {
    flags_at: u32,
    w_at: u32,
    saved_at: u32,
    h_at: u32,
    dgates_at: u32,
    dpass_at: u32,
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
@group(0) @binding(2) var<storage, read> saved: array<f32>;
@group(0) @binding(3) var<storage, read> h: array<f32>;
@group(0) @binding(4) var<storage, read_write> dgates: array<f32>;
@group(0) @binding(5) var<storage, read_write> dpass: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

override REC_ACT: u32 = 2u;

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
const BACKWARD = true;

fn left(at: u32) -> f32 {
    return dgates[at];
}

fn left_row(t: u32, row: u32) -> u32 {
    return params.dgates_at + ((t * params.batch + row) * 3u + 2u) * params.units;
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
    let state = row * params.units + unit;
    let flag = flag_of(t, row);
    let live = (flag & RESET) == 0u && (flag & VALID) != 0u;
    let r = saved[params.saved_at + (t * params.batch + row) * params.saved_row + params.units + unit];
    let hp = h[params.h_at + t * params.batch * params.units + state];
    let out = params.dgates_at + ((t * params.batch + row) * 3u + 1u) * params.units + unit;
    dgates[out] = select(0.0, sums.x * hp * act_grad(REC_ACT, r), live);
    if live {
        dpass[params.dpass_at + state] += sums.x * r;
    }
}
