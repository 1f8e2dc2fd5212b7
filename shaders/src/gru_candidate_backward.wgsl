// gru_candidate_backward: first half of a step back through GRU without reset_after,
//   dh = dy + (dz, dr)[t+1] U_zr^T + dpass   dz = dh (hp - n) rec_act'   dn = dh (1 - z) act'   dpass <- dh z
// saved [T, B, 4U] z, r, n, q; h [T+1, B, U]; w = U^T [3U, ldw] of which the first 2U rows serve; dgates [T, B, 3U] gets
// blocks 0 and 2. A step without VALID hands dh over unchanged; RESET hands nothing over.

struct Params {
    flags_at: u32,
    w_at: u32,
    saved_at: u32,
    h_at: u32,
    dy_at: u32,
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
@group(0) @binding(4) var<storage, read> dy: array<f32>;
@group(0) @binding(5) var<storage, read_write> dgates: array<f32>;
@group(0) @binding(6) var<storage, read_write> dpass: array<f32>;
@group(0) @binding(7) var<uniform> params: Params;

override ACT: u32 = 1u;
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
    return params.dgates_at + ((t + 1u) * params.batch + row) * 3u * params.units;
}

// Nothing comes from beyond the last step.
fn depth(t: u32) -> u32 {
    return select(params.depth, 0u, t + 1u >= params.time);
}

fn flag_of(t: u32, row: u32) -> u32 {
    if params.has_flags == 0u {
        return VALID;
    }
    return flags[params.flags_at + t * params.batch + row];
}

// Gradient of h after step t: from the output, from the next step's product unless that step reset, and what was passed.
fn dh_of(t: u32, row: u32, unit: u32, sum: f32) -> f32 {
    let at = row * params.units + unit;
    var dh = dpass[params.dpass_at + at];
    if t + 1u < params.time && (flag_of(t + 1u, row) & RESET) == 0u {
        dh += sum;
    }
    if params.has_dy != 0u {
        dh += dy[params.dy_at + t * params.batch * params.units + at];
    }
    return dh;
}

fn finish(t: u32, row: u32, unit: u32, sums: vec4<f32>) {
    let state = row * params.units + unit;
    let flag = flag_of(t, row);
    let kept = (flag & RESET) == 0u;
    let dh = dh_of(t, row, unit, sums.x);
    var pass_h = dh;
    var dz = 0.0;
    var dn = 0.0;
    if (flag & VALID) != 0u {
        let gate = params.saved_at + (t * params.batch + row) * params.saved_row + unit;
        let z = saved[gate];
        let n = saved[gate + 2u * params.units];
        let hp = select(0.0, h[params.h_at + t * params.batch * params.units + state], kept);
        dz = dh * (hp - n) * act_grad(REC_ACT, z);
        dn = dh * (1.0 - z) * act_grad(ACT, n);
        pass_h = dh * z;
    }
    dpass[params.dpass_at + state] = select(0.0, pass_h, kept);
    let out = params.dgates_at + (t * params.batch + row) * 3u * params.units + unit;
    dgates[out] = dz;
    dgates[out + 2u * params.units] = dn;
}
