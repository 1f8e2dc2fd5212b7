// matmul: c[i, j] (+)= act(sum_k a(i, k) b[k, j] + bias[j]), i < m, j < n; rows of b in vec4.
// This face suits software adapters. A lane owns ROWS rows of 16 columns (`row_tiles.wgsl`); lanes count through the columns, then
// through the blocks of rows; where rows are SHARED, workgroups do. Columns past n are computed from clamped addresses and
// not stored. Strides of a are free, so a transpose of a costs nothing; WIDE: four of its numbers stand in a vec4 and are
// loaded together, either those of a row (a_k 1) or one of each of four rows (a_row 1).

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
@group(0) @binding(2) var<storage, read> bias: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read_write> c: array<vec4<f32>>;
@group(0) @binding(4) var<uniform> params: Params;

const WORKGROUP = 8u;

override WIDE: bool = false;
// Whether rows of c are whole vec4s.
override WHOLE: bool = false;
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

// Numbers i to i + 3.
fn four(i: u32) -> vec4<f32> {
    if WIDE {
        return a[i / 4u];
    }
    let step = params.a_k;
    return vec4(a_of(i), a_of(i + step), a_of(i + 2u * step), a_of(i + 3u * step));
}

// Four numbers of each of the rows i to i + 3, loads of which begin at `at`, or which lanes have in `own`.
fn four_rows(i: u32, at: vec4<u32>, own: vec4<f32>, along_rows: bool) -> mat4x4<f32> {
    var x: mat4x4<f32>;
    if SHARED {
        x = mat4x4(handed(own, i), handed(own, i + 1u), handed(own, i + 2u), handed(own, i + 3u));
    } else {
        x = mat4x4(four(at.x), four(at.y), four(at.z), four(at.w));
    }
    return either_16(x, transpose(x), along_rows);
}

// A number of each of the rows i to i + 3.
fn one_of_rows(i: u32, at: vec4<u32>, own: vec4<f32>) -> vec4<f32> {
    if SHARED {
        return vec4(handed(own, i).x, handed(own, i + 1u).x, handed(own, i + 2u).x, handed(own, i + 3u).x);
    }
    return vec4(a_of(at.x), a_of(at.y), a_of(at.z), a_of(at.w));
}

// A row of b, four vec4s of it.
fn b_row(k: u32, at: vec4<u32>) -> Tile {
    let row = at + k * (params.b_k / 4u);
    return Tile(b[row.x], b[row.y], b[row.z], b[row.w]);
}

const SIDE = vec4(0u, 1u, 2u, 3u);

// Where four rows begin.
fn rows_from(row: u32) -> vec4<u32> {
    return min(row + SIDE, vec4(params.m - 1u)) * params.a_row;
}

// Where the loads of four rows begin.
fn fours_from(row: u32, along_rows: bool) -> vec4<u32> {
    let across = min(row, (params.m - 1u) / 4u * 4u) + SIDE * params.a_k;
    return select(rows_from(row), across, along_rows);
}

fn c_of(i: u32) -> f32 {
    return c[i / 4u][i % 4u];
}

fn set_c(i: u32, to: f32) {
    c[i / 4u][i % 4u] = to;
}

// Columns col to col + 3 of a row of c that begins at `out`. A column past the last is the last again.
fn store(out: u32, col: u32, sum: vec4<f32>) {
    let at = min(col + SIDE, vec4(params.n - 1u));
    let i = out + at;
    var y = sum;
    if params.accumulate != 0u {
        if WHOLE {
            y += c[i.x / 4u];
        } else {
            y += vec4(c_of(i.x), c_of(i.y), c_of(i.z), c_of(i.w));
        }
    }
    y = vec4(act(y.x), act(y.y), act(y.z), act(y.w));
    if WHOLE {
        c[i.x / 4u] = y;
        return;
    }
    let second = select(y.x, y.y, at.y > at.x);
    let third = select(second, y.z, at.z > at.y);
    set_c(i.x, y.x);
    set_c(i.y, second);
    set_c(i.z, third);
    set_c(i.w, select(third, y.w, at.w > at.z));
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let cols = (params.n + 3u) / 4u;
    let across = (cols + 3u) / 4u;
    let first = linear_group(group, groups);
    let tile = first * WORKGROUP + lane;
    var place = vec2(tile / across, tile % across);
    if SHARED {
        let groups_across = (across + WORKGROUP - 1u) / WORKGROUP;
        place = vec2(first / groups_across, first % groups_across * WORKGROUP + lane);
    }
    let row = place.x * ROWS;
    let col = place.y * 4u;
    let last = params.m - 1u;
    let along_rows = WIDE && params.a_k != 1u;
    let origin = params.a_at + group.z * params.stride_a;
    let f0 = origin + fours_from(row, along_rows);
    let f1 = origin + fours_from(row + 4u, along_rows);
    let f2 = origin + fours_from(row + 8u, along_rows);
    let f3 = origin + fours_from(row + 12u, along_rows);
    let start = (params.b_at + group.z * params.stride_b) / 4u;
    let at = start + min(col + SIDE, vec4(cols - 1u));
    // The loads of this lane where rows are SHARED.
    let side = lane / 4u * 4u;
    let low = origin + fours_from(row + side, along_rows)[lane % 4u];
    let high = origin + fours_from(row + side + 8u, along_rows)[lane % 4u];
    // The sums begin with the bias.
    var bias_16 = Tile();
    if params.has_bias != 0u {
        let b = params.bias_at / 4u + min(col + SIDE, vec4(cols - 1u));
        bias_16 = Tile(bias[b.x], bias[b.y], bias[b.z], bias[b.w]);
    }
    var s = Sums(
        bias_16, bias_16, bias_16, bias_16,
        bias_16, bias_16, bias_16, bias_16,
        bias_16, bias_16, bias_16, bias_16,
        bias_16, bias_16, bias_16, bias_16,
    );
    var k = 0u;
    for (; HAS_FOURS && k + 4u <= params.k; k += 4u) {
        let w = Weights(b_row(k, at), b_row(k + 1u, at), b_row(k + 2u, at), b_row(k + 3u, at));
        let along = k * params.a_k;
        var own0 = vec4<f32>();
        var own1 = vec4<f32>();
        if SHARED {
            own0 = four(low + along);
        }
        if SHARED && ROWS > 8u {
            own1 = four(high + along);
        }
        let x0 = four_rows(0u, f0 + along, own0, along_rows);
        s.t0 = add(s.t0, x0[0], w);
        s.t1 = add(s.t1, x0[1], w);
        s.t2 = add(s.t2, x0[2], w);
        s.t3 = add(s.t3, x0[3], w);
        if ROWS > 4u {
            let x1 = four_rows(4u, f1 + along, own0, along_rows);
            s.t4 = add(s.t4, x1[0], w);
            s.t5 = add(s.t5, x1[1], w);
            s.t6 = add(s.t6, x1[2], w);
            s.t7 = add(s.t7, x1[3], w);
        }
        if ROWS > 8u {
            let x2 = four_rows(8u, f2 + along, own1, along_rows);
            s.t8 = add(s.t8, x2[0], w);
            s.t9 = add(s.t9, x2[1], w);
            s.t10 = add(s.t10, x2[2], w);
            s.t11 = add(s.t11, x2[3], w);
            let x3 = four_rows(12u, f3 + along, own1, along_rows);
            s.t12 = add(s.t12, x3[0], w);
            s.t13 = add(s.t13, x3[1], w);
            s.t14 = add(s.t14, x3[2], w);
            s.t15 = add(s.t15, x3[3], w);
        }
    }
    let r0 = origin + rows_from(row);
    let r1 = origin + rows_from(row + 4u);
    let r2 = origin + rows_from(row + 8u);
    let r3 = origin + rows_from(row + 12u);
    let low_row = origin + rows_from(row + side)[lane % 4u];
    let high_row = origin + rows_from(row + side + 8u)[lane % 4u];
    for (; HAS_REST && k < params.k; k++) {
        let w = b_row(k, at);
        let along = k * params.a_k;
        var own0 = vec4<f32>();
        var own1 = vec4<f32>();
        if SHARED {
            own0.x = a_of(low_row + along);
        }
        if SHARED && ROWS > 8u {
            own1.x = a_of(high_row + along);
        }
        let x0 = one_of_rows(0u, r0 + along, own0);
        s.t0 += x0.x * w;
        s.t1 += x0.y * w;
        s.t2 += x0.z * w;
        s.t3 += x0.w * w;
        if ROWS > 4u {
            let x1 = one_of_rows(4u, r1 + along, own0);
            s.t4 += x1.x * w;
            s.t5 += x1.y * w;
            s.t6 += x1.z * w;
            s.t7 += x1.w * w;
        }
        if ROWS > 8u {
            let x2 = one_of_rows(8u, r2 + along, own1);
            s.t8 += x2.x * w;
            s.t9 += x2.y * w;
            s.t10 += x2.z * w;
            s.t11 += x2.w * w;
            let x3 = one_of_rows(12u, r3 + along, own1);
            s.t12 += x3.x * w;
            s.t13 += x3.y * w;
            s.t14 += x3.z * w;
            s.t15 += x3.w * w;
        }
    }
    if row > last || col >= cols {
        return;
    }
    for (var i = 0u; i < min(ROWS, params.m - row); i++) {
        let sums = sums_of_row(s, i);
        let out = params.c_at + group.z * params.stride_c + (row + i) * params.ldc;
        for (var j = 0u; j < min(4u, cols - col); j++) {
            store(out, (col + j) * 4u, column_of(sums, j));
        }
    }
}
