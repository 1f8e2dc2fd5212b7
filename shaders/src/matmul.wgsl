// matmul: c[i, j] (+)= act(sum_k a(i, k) b[k, j] + bias[j]), i < m, j < n; b and c rows in vec4.
// This face suits software adapters. A lane owns ROWS rows of 16 columns (`row_tiles.wgsl`); lanes count through the columns, then
// through the blocks of rows. Columns past n are computed from clamped addresses and not stored. Strides of a are free, so a
// transpose of a costs nothing; where four of its numbers stand in a vec4, they are loaded together.

struct Params {
    a_at: u32,
    b_at: u32,
    bias_at: u32,
    c_at: u32,
    m: u32,
    n: u32,
    k: u32,
    a_row: u32,
    a_k: u32,
    b_k: u32,
    b_col: u32,
    ldc: u32,
    stride_a: u32,
    stride_b: u32,
    stride_c: u32,
    has_bias: u32,
    accumulate: u32,
}

@group(0) @binding(0) var<storage, read> a: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read> b: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> params: Params;

const WORKGROUP = 8u;

// Which four numbers of a stand in a vec4.
override FOURS: u32 = 0u;
const ALONG_K = 1u;
const ALONG_ROWS = 2u;
// Whether k has fours, and more or less than these: what is not there need not be compiled.
override HAS_FOURS: bool = true;
override HAS_REST: bool = true;

alias Tile = mat4x4<f32>;

fn either(a: Tile, b: Tile, second: bool) -> Tile {
    return either_16(a, b, second);
}

fn a_of(i: u32) -> f32 {
    return a[i / 4u][i % 4u];
}

// Four numbers of a row, from i on.
fn a_4(i: u32) -> vec4<f32> {
    if FOURS == ALONG_K {
        return a[i / 4u];
    }
    let step = params.a_k;
    return vec4(a_of(i), a_of(i + step), a_of(i + 2u * step), a_of(i + 3u * step));
}

// Four numbers of each of four rows that stand side by side, from i on.
fn a_16(i: u32) -> mat4x4<f32> {
    let at = i / 4u;
    let step = params.a_k / 4u;
    return transpose(mat4x4(a[at], a[at + step], a[at + 2u * step], a[at + 3u * step]));
}

// A row of b, four vec4s of it.
fn b_row(k: u32, at: vec4<u32>) -> Tile {
    let row = at + k * (params.b_k / 4u);
    return Tile(b[row.x], b[row.y], b[row.z], b[row.w]);
}

fn store(row: u32, col: u32, batch: u32, sum: vec4<f32>) {
    var y = sum;
    if params.has_bias != 0u {
        let at = params.bias_at + col * 4u;
        y += vec4(bias[at], bias[at + 1u], bias[at + 2u], bias[at + 3u]);
    }
    let out = (params.c_at + batch * params.stride_c + row * params.ldc) / 4u + col;
    if params.accumulate != 0u {
        y += c[out];
    }
    c[out] = vec4(act(y.x), act(y.y), act(y.z), act(y.w));
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let cols = params.n / 4u;
    let across = (cols + 3u) / 4u;
    let tile = linear_group(group, groups) * WORKGROUP + lane;
    let row = tile / across * ROWS;
    let col = tile % across * 4u;
    let last = params.m - 1u;
    let origin = params.a_at + group.z * params.stride_a;
    let r0 = origin + min(row, last) * params.a_row;
    let r1 = origin + min(row + 1u, last) * params.a_row;
    let r2 = origin + min(row + 2u, last) * params.a_row;
    let r3 = origin + min(row + 3u, last) * params.a_row;
    let r4 = origin + min(row + 4u, last) * params.a_row;
    let r5 = origin + min(row + 5u, last) * params.a_row;
    let r6 = origin + min(row + 6u, last) * params.a_row;
    let r7 = origin + min(row + 7u, last) * params.a_row;
    let r8 = origin + min(row + 8u, last) * params.a_row;
    let r9 = origin + min(row + 9u, last) * params.a_row;
    let r10 = origin + min(row + 10u, last) * params.a_row;
    let r11 = origin + min(row + 11u, last) * params.a_row;
    let r12 = origin + min(row + 12u, last) * params.a_row;
    let r13 = origin + min(row + 13u, last) * params.a_row;
    let r14 = origin + min(row + 14u, last) * params.a_row;
    let r15 = origin + min(row + 15u, last) * params.a_row;
    // Of the rows side by side, where the last ones begin.
    let side = origin + last / 4u * 4u;
    let first = origin + row;
    let start = (params.b_at + group.z * params.stride_b) / 4u;
    let at = start + min(vec4(col, col + 1u, col + 2u, col + 3u), vec4(cols - 1u));
    var s: Sums;
    var k = 0u;
    for (; HAS_FOURS && k + 4u <= params.k; k += 4u) {
        let w = Weights(b_row(k, at), b_row(k + 1u, at), b_row(k + 2u, at), b_row(k + 3u, at));
        let along = k * params.a_k;
        if FOURS == ALONG_ROWS {
            let x0 = a_16(min(first, side) + along);
            s.t0 = add(s.t0, x0[0], w);
            s.t1 = add(s.t1, x0[1], w);
            s.t2 = add(s.t2, x0[2], w);
            s.t3 = add(s.t3, x0[3], w);
            if ROWS > 4u {
                let x1 = a_16(min(first + 4u, side) + along);
                s.t4 = add(s.t4, x1[0], w);
                s.t5 = add(s.t5, x1[1], w);
                s.t6 = add(s.t6, x1[2], w);
                s.t7 = add(s.t7, x1[3], w);
            }
            if ROWS > 8u {
                let x2 = a_16(min(first + 8u, side) + along);
                s.t8 = add(s.t8, x2[0], w);
                s.t9 = add(s.t9, x2[1], w);
                s.t10 = add(s.t10, x2[2], w);
                s.t11 = add(s.t11, x2[3], w);
                let x3 = a_16(min(first + 12u, side) + along);
                s.t12 = add(s.t12, x3[0], w);
                s.t13 = add(s.t13, x3[1], w);
                s.t14 = add(s.t14, x3[2], w);
                s.t15 = add(s.t15, x3[3], w);
            }
            continue;
        }
        s.t0 = add(s.t0, a_4(r0 + along), w);
        s.t1 = add(s.t1, a_4(r1 + along), w);
        s.t2 = add(s.t2, a_4(r2 + along), w);
        s.t3 = add(s.t3, a_4(r3 + along), w);
        if ROWS > 4u {
            s.t4 = add(s.t4, a_4(r4 + along), w);
            s.t5 = add(s.t5, a_4(r5 + along), w);
            s.t6 = add(s.t6, a_4(r6 + along), w);
            s.t7 = add(s.t7, a_4(r7 + along), w);
        }
        if ROWS > 8u {
            s.t8 = add(s.t8, a_4(r8 + along), w);
            s.t9 = add(s.t9, a_4(r9 + along), w);
            s.t10 = add(s.t10, a_4(r10 + along), w);
            s.t11 = add(s.t11, a_4(r11 + along), w);
            s.t12 = add(s.t12, a_4(r12 + along), w);
            s.t13 = add(s.t13, a_4(r13 + along), w);
            s.t14 = add(s.t14, a_4(r14 + along), w);
            s.t15 = add(s.t15, a_4(r15 + along), w);
        }
    }
    for (; HAS_REST && k < params.k; k++) {
        let w = b_row(k, at);
        let along = k * params.a_k;
        s.t0 += a_of(r0 + along) * w;
        s.t1 += a_of(r1 + along) * w;
        s.t2 += a_of(r2 + along) * w;
        s.t3 += a_of(r3 + along) * w;
        if ROWS > 4u {
            s.t4 += a_of(r4 + along) * w;
            s.t5 += a_of(r5 + along) * w;
            s.t6 += a_of(r6 + along) * w;
            s.t7 += a_of(r7 + along) * w;
        }
        if ROWS > 8u {
            s.t8 += a_of(r8 + along) * w;
            s.t9 += a_of(r9 + along) * w;
            s.t10 += a_of(r10 + along) * w;
            s.t11 += a_of(r11 + along) * w;
            s.t12 += a_of(r12 + along) * w;
            s.t13 += a_of(r13 + along) * w;
            s.t14 += a_of(r14 + along) * w;
            s.t15 += a_of(r15 + along) * w;
        }
    }
    if row > last {
        return;
    }
    for (var i = 0u; i < min(ROWS, params.m - row); i++) {
        let sums = sums_of_row(s, i);
        for (var j = 0u; j < min(4u, cols - col); j++) {
            store(row + i, col + j, group.z, column_of(sums, j));
        }
    }
}
