// pool_time: over the VALID steps t of x [time, batch, cols] (all where there are no flags):
// average  y[b, c] = sum_t x[t, b, c] / count, count the number of steps
// MAX      y[b, c] = max_t x[t, b, c],         count the number of steps that have it
// Both are 0 where there is no valid step. count [batch, cols] is kept for the gradient. One invocation per (b, c) walks
// over `steps` steps from `first`: long sequences take several calls, which go on from y and count.

struct Params {
    flags_at: u32,
    x_at: u32,
    count_at: u32,
    y_at: u32,
    time: u32,
    batch: u32,
    cols: u32,
    first: u32,
    steps: u32,
    has_flags: u32,
}

@group(0) @binding(0) var<storage, read> flags: array<u32>;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read_write> count: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

override WORKGROUP: u32 = 64u;
override MAX: bool = false;

const VALID = 1u;
// Steps that are added one by one before they join the sum: its error grows with time / RUN.
const RUN = 32u;

fn present(t: u32, b: u32) -> bool {
    return params.has_flags == 0u || (flags[params.flags_at + t * params.batch + b] & VALID) != 0u;
}

@compute @workgroup_size(WORKGROUP)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let i = linear_group(group, groups) * WORKGROUP + lane;
    let n = params.batch * params.cols;
    if i >= n {
        return;
    }
    let b = i / params.cols;
    var result = 0.0;
    var found = 0.0;
    if params.first > 0u {
        result = y[params.y_at + i];
        found = count[params.count_at + i];
    }
    let end = params.first + params.steps;
    if MAX {
        for (var t = params.first; t < end; t++) {
            if present(t, b) {
                let value = x[params.x_at + t * n + i];
                if found == 0.0 || value > result || (is_nan(value) && !is_nan(result)) {
                    result = value;
                    found = 1.0;
                } else if value == result {
                    found += 1.0;
                }
            }
        }
    } else {
        for (var start = params.first; start < end; start += RUN) {
            var run = 0.0;
            for (var t = start; t < min(start + RUN, end); t++) {
                if present(t, b) {
                    run += x[params.x_at + t * n + i];
                    found += 1.0;
                }
            }
            result += run;
        }
        if end == params.time && found > 0.0 {
            result /= found;
        }
    }
    y[params.y_at + i] = result;
    count[params.count_at + i] = found;
}
