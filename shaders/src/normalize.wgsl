// normalize, over the rows of x [rows, cols]: y = (x - a) * inv, times gamma, plus beta, where there are any.
// KIND 0 layer   a = mean, inv = 1 / sqrt(variance + epsilon)                    (Keras LayerNormalization)
// KIND 1 rms     a = 0,    inv = 1 / sqrt(variance + epsilon)                    (its rms_scaling)
// KIND 2 l2      a = 0,    inv = min(1 / sqrt(sum x^2), 1 / epsilon)             (Keras normalize)
// stats[r] = (c, inv) with c the mean (l2: 0) is kept for BACKWARD, which gives, with g = dy gamma,
//   y = dx = inv (g - [layer] mean(g)) - inv^3 (x - c) D,  D = mean(g (x - a)), for l2 sum(g x), 0 where 1 / epsilon bounds.
// LANES invocations per row (rows.wgsl).

struct Params {
    x_at: u32,
    dy_at: u32,
    gamma_at: u32,
    beta_at: u32,
    stats_at: u32,
    y_at: u32,
    rows: u32,
    cols: u32,
    epsilon: f32,
    has_gamma: u32,
    has_beta: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
// Forward: not used.
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read> gamma: array<f32>;
@group(0) @binding(3) var<storage, read> beta: array<f32>;
@group(0) @binding(4) var<storage, read_write> stats: array<f32>;
@group(0) @binding(5) var<storage, read_write> y: array<f32>;
@group(0) @binding(6) var<uniform> params: Params;

override BACKWARD: bool = false;
override KIND: u32 = 0u;

const LAYER = 0u;
const L2 = 2u;

fn scale_of(col: u32) -> f32 {
    if params.has_gamma != 0u {
        return gamma[params.gamma_at + col];
    }
    return 1.0;
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = row_of(linear_group(group, groups), lane);
    let present = row < params.rows;
    // Rows past the end have no columns, but take part in the barriers.
    let end = select(0u, params.cols, present);
    let at = row * params.cols;
    let count = f32(params.cols);
    var center = 0.0;
    var inv = 0.0;
    if BACKWARD {
        if present {
            center = stats[params.stats_at + 2u * row];
            inv = stats[params.stats_at + 2u * row + 1u];
        }
        let origin = select(0.0, center, KIND == LAYER);
        var plain = 0.0;
        var dot = 0.0;
        for (var c = lane % LANES; c < end; c += LANES) {
            let g = dy[params.dy_at + at + c] * scale_of(c);
            plain += g;
            dot += g * (x[params.x_at + at + c] - origin);
        }
        let mean = select(0.0, row_sum(lane, plain) / count, KIND == LAYER);
        dot = row_sum(lane, dot);
        if KIND != L2 {
            dot /= count;
        } else if inv >= 1.0 / params.epsilon {
            dot = 0.0;
        }
        // inv^3 alone may pass f32's range.
        let slope = inv * dot * inv;
        for (var c = lane % LANES; c < end; c += LANES) {
            let g = dy[params.dy_at + at + c] * scale_of(c);
            y[params.y_at + at + c] = inv * (g - mean - slope * (x[params.x_at + at + c] - center));
        }
        return;
    }
    if KIND != L2 {
        var part = 0.0;
        for (var c = lane % LANES; c < end; c += LANES) {
            part += x[params.x_at + at + c];
        }
        center = row_sum(lane, part) / count;
    }
    var part = 0.0;
    for (var c = lane % LANES; c < end; c += LANES) {
        let d = x[params.x_at + at + c] - center;
        part += d * d;
    }
    let squares = row_sum(lane, part);
    if KIND == L2 {
        inv = select(1.0 / sqrt(squares), 1.0 / params.epsilon, squares <= params.epsilon * params.epsilon);
    } else {
        inv = 1.0 / sqrt(squares / count + params.epsilon);
    }
    inv = keep_nan(squares, inv);
    if present && lane % LANES == 0u {
        stats[params.stats_at + 2u * row] = center;
        stats[params.stats_at + 2u * row + 1u] = inv;
    }
    let origin = select(0.0, center, KIND == LAYER);
    for (var c = lane % LANES; c < end; c += LANES) {
        var value = (x[params.x_at + at + c] - origin) * inv * scale_of(c);
        if params.has_beta != 0u {
            value += beta[params.beta_at + c];
        }
        y[params.y_at + at + c] = value;
    }
}
