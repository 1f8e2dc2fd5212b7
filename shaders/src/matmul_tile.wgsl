// matmul_tile: c[i, j] (+)= act(sum_k a(i, k) b(k, j) + bias[j]), the face for hardware.
// A workgroup of 128 owns 64 x 64 of c, each invocation 8 rows x 4 columns in registers. Slabs of 16 k go through workgroup
// memory as vec4 (4 rows of a, 4 columns of b): 3 vector loads feed 32 multiply-adds.
// Neighbouring invocations load neighbouring addresses: A_BY_ROW and B_BY_K say which index is the contiguous one.

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

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read> bias: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

override A_BY_ROW: bool = false;
override B_BY_K: bool = false;

// Slabs as [k][quad], 16 vec4s per k and one of padding against bank conflicts.
var<workgroup> slab_a: array<vec4<f32>, 272>;
var<workgroup> slab_b: array<vec4<f32>, 272>;

fn load_a(base: u32, row: u32, k: u32) -> f32 {
    if row < params.m && k < params.k {
        return a[base + row * params.a_row + k * params.a_k];
    }
    return 0.0;
}

fn load_b(base: u32, k: u32, col: u32) -> f32 {
    if col < params.n && k < params.k {
        return b[base + k * params.b_k + col * params.b_col];
    }
    return 0.0;
}

fn store_row(base: u32, i: u32, j: u32, sums: vec4<f32>) {
    if i >= params.m {
        return;
    }
    var values = sums;
    for (var q = 0u; q < 4u && j + q < params.n; q++) {
        var y = values[q];
        if params.has_bias != 0u {
            y += bias[params.bias_at + j + q];
        }
        let out = base + i * params.ldc + j + q;
        if params.accumulate != 0u {
            y += c[out];
        }
        c[out] = act(y);
    }
}

@compute @workgroup_size(128)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let row = group.y * 64u;
    let col = group.x * 64u;
    let base_a = params.a_at + group.z * params.stride_a;
    let base_b = params.b_at + group.z * params.stride_b;
    let my_row = lane / 16u * 8u;
    let my_col = lane % 16u * 4u;
    var t0 = mat4x4<f32>();
    var t1 = mat4x4<f32>();
    for (var k0 = 0u; k0 < params.k; k0 += 16u) {
        for (var e = lane; e < 256u; e += 128u) {
            let ka = select(e % 16u, e / 16u, A_BY_ROW);
            let qa = select(e / 16u, e % 16u, A_BY_ROW);
            let ra = row + qa * 4u;
            slab_a[ka * 17u + qa] = vec4(
                load_a(base_a, ra, k0 + ka),
                load_a(base_a, ra + 1u, k0 + ka),
                load_a(base_a, ra + 2u, k0 + ka),
                load_a(base_a, ra + 3u, k0 + ka),
            );
            let kb = select(e / 16u, e % 16u, B_BY_K);
            let qb = select(e % 16u, e / 16u, B_BY_K);
            let cb = col + qb * 4u;
            slab_b[kb * 17u + qb] = vec4(
                load_b(base_b, k0 + kb, cb),
                load_b(base_b, k0 + kb, cb + 1u),
                load_b(base_b, k0 + kb, cb + 2u),
                load_b(base_b, k0 + kb, cb + 3u),
            );
        }
        workgroupBarrier();
        for (var k = 0u; k < 16u; k++) {
            let w = slab_b[k * 17u + my_col / 4u];
            let x = slab_a[k * 17u + my_row / 4u];
            let z = slab_a[k * 17u + my_row / 4u + 1u];
            t0 += mat4x4(x.x * w, x.y * w, x.z * w, x.w * w);
            t1 += mat4x4(z.x * w, z.y * w, z.z * w, z.w * w);
        }
        workgroupBarrier();
    }
    let base_c = params.c_at + group.z * params.stride_c;
    let i = row + my_row;
    let j = col + my_col;
    store_row(base_c, i, j, t0[0]);
    store_row(base_c, i + 1u, j, t0[1]);
    store_row(base_c, i + 2u, j, t0[2]);
    store_row(base_c, i + 3u, j, t0[3]);
    store_row(base_c, i + 4u, j, t1[0]);
    store_row(base_c, i + 5u, j, t1[1]);
    store_row(base_c, i + 6u, j, t1[2]);
    store_row(base_c, i + 7u, j, t1[3]);
}
