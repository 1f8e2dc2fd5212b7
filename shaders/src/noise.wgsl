// noise: y[r, i] = f(x[r, i], draw i) for r < repeats, i < period: one draw per element of a period, the same in every repeat
// (repeats = time and period = batch * features draws once for a whole sequence).
// MODE 0 drop       scale x + shift where u[i] >= rate, else `dropped`    (dropout and alpha dropout, and their gradients)
// MODE 1 add        x + scale z[i], z normal
// MODE 2 multiply   x (1 + scale z[i])
// u and z are a stream of philox.wgsl. One invocation per block of four draws and repeat, linear grid.

struct Params {
    x_at: u32,
    y_at: u32,
    period: u32,
    repeats: u32,
    seed_lo: u32,
    seed_hi: u32,
    stream: u32,
    // word 3 of the counter
    part: u32,
    rate: f32,
    scale: f32,
    shift: f32,
    dropped: f32,
    // of a part of a longer array, the blocks of four draws before it
    first_block: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;
@group(1) @binding(0) var<uniform> step: StepParams;

override WORKGROUP: u32 = 64u;
override MODE: u32 = 0u;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let number = linear_group(group, groups) * WORKGROUP + lane;
    let blocks = (params.period + 3u) / 4u;
    let repeat = number / blocks;
    let block = number - repeat * blocks;
    if repeat >= params.repeats {
        return;
    }
    let counter = vec4(params.first_block + block, params.stream, step.rng_step, params.part);
    let words = philox(counter, vec2(params.seed_lo, params.seed_hi));
    var draw = unit_interval(words);
    if MODE != 0u {
        draw = normals(draw);
    }
    let first = block * 4u;
    for (var j = 0u; j < min(4u, params.period - first); j++) {
        let i = repeat * params.period + first + j;
        let value = x[params.x_at + i];
        var result = value;
        switch MODE {
            case 0u: { result = select(params.dropped, value * params.scale + params.shift, draw[j] >= params.rate); }
            case 1u: { result = value + params.scale * draw[j]; }
            default: { result = value * (1.0 + params.scale * draw[j]); }
        }
        y[params.y_at + i] = result;
    }
}
