// blend: y = m a + (1 - m) b. DRAWN: m[i] is 1 where u[i] < rate, else 0, u a stream of philox.wgsl; else m = rate everywhere.
// SIDE 1 leaves out b (y = m a) and SIDE 2 leaves out a (y = (1 - m) b): the gradients, of dy. i < n.
// One invocation per block of four elements, linear grid.

struct Params {
    a_at: u32,
    b_at: u32,
    y_at: u32,
    n: u32,
    seed_lo: u32,
    seed_hi: u32,
    stream: u32,
    // word 3 of the counter
    part: u32,
    rate: f32,
}

@group(0) @binding(0) var<storage, read> a: array<f32>;
@group(0) @binding(1) var<storage, read> b: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;
@group(1) @binding(0) var<uniform> step: StepParams;

override WORKGROUP: u32 = 64u;
override DRAWN: bool = true;
override SIDE: u32 = 0u;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let block = linear_group(group, groups) * WORKGROUP + lane;
    let first = block * 4u;
    if first >= params.n {
        return;
    }
    var u = vec4(0.0);
    if DRAWN {
        let counter = vec4(block, params.stream, step.rng_step, params.part);
        u = unit_interval(philox(counter, vec2(params.seed_lo, params.seed_hi)));
    }
    for (var j = 0u; j < min(4u, params.n - first); j++) {
        let i = first + j;
        var left = 0.0;
        var right = 0.0;
        if SIDE != 2u {
            left = a[params.a_at + i];
        }
        if SIDE != 1u {
            right = b[params.b_at + i];
        }
        var value = 0.0;
        if DRAWN {
            value = select(right, left, u[j] < params.rate);
        } else {
            value = params.rate * left + (1.0 - params.rate) * right;
        }
        y[params.y_at + i] = value;
    }
}
