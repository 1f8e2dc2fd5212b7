// step_blend: two arrays that meet as the step's phase says. One invocation per element, linear grid, i < n.
// Gathering gradients (a: gradients, b: gathered): on HOLD b += a; else a = (a + b) / steps, b = 0.
// AVERAGE (a: weights, b: their moving average): b = momentum b + (1 - momentum) a, from EMA_START on with momentum 0 in that
// step; on EMA_OVERWRITE then a = b.

struct Params {
    a_at: u32,
    b_at: u32,
    n: u32,
    // steps, or momentum
    share: f32,
    // 1 - momentum, rounded once
    rest: f32,
}

@group(0) @binding(0) var<storage, read_write> a: array<f32>;
@group(0) @binding(1) var<storage, read_write> b: array<f32>;
@group(0) @binding(2) var<uniform> params: Params;
@group(1) @binding(0) var<uniform> step: StepParams;

override WORKGROUP: u32 = 64u;
override AVERAGE: bool = false;

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_group(group, groups) * WORKGROUP + lane;
    if i >= params.n {
        return;
    }
    let x = a[params.a_at + i];
    if AVERAGE {
        var mean = x;
        if (step.phase & EMA_START) == 0u {
            mean = params.share * b[params.b_at + i] + params.rest * x;
        }
        b[params.b_at + i] = mean;
        if (step.phase & EMA_OVERWRITE) != 0u {
            a[params.a_at + i] = mean;
        }
    } else {
        let sum = x + b[params.b_at + i];
        if (step.phase & HOLD) != 0u {
            b[params.b_at + i] = sum;
        } else {
            a[params.a_at + i] = sum / params.share;
            b[params.b_at + i] = 0.0;
        }
    }
}
