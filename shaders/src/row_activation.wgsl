// row_activation, over the rows of x [rows, cols], d = x - max_r:
// KIND 0, log softmax   y = d - ln(sum_c exp(d))           BACKWARD   y = dy - exp(x) sum_c dy
// KIND 1, sparsemax     y = max(d - tau, 0), sum_c y = 1   BACKWARD   y = dy - mean of dy over x > 0, there; else 0
// where BACKWARD takes the output of the forward pass as x (Martins and Astudillo 2016 for sparsemax). LANES invocations
// per row (rows.wgsl). A NaN in a row makes the whole row NaN: it passes through the sums.

struct Params {
    x_at: u32,
    dy_at: u32,
    y_at: u32,
    rows: u32,
    cols: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
// Forward: not used, x is bound in its place.
@group(0) @binding(1) var<storage, read> dy: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<uniform> params: Params;

override KIND: u32 = 0u;
override BACKWARD: bool = false;

// The rows of an invocation: the range of its elements.
struct Range {
    first: u32,
    end: u32,
}

// tau lies in [-1, 0]: found to 2^-26 by halving, then made exact from the values above it.
fn threshold(lane: u32, at: Range, largest: f32) -> f32 {
    var low = -1.0;
    var step = 0.5;
    for (var halving = 0u; halving < 26u; halving++) {
        let middle = low + step;
        var part = 0.0;
        for (var i = at.first; i < at.end; i += LANES) {
            part += max(x[params.x_at + i] - largest - middle, 0.0);
        }
        if row_sum(lane, part) >= 1.0 {
            low = middle;
        }
        step *= 0.5;
    }
    var part = 0.0;
    var count = 0.0;
    for (var i = at.first; i < at.end; i += LANES) {
        let d = x[params.x_at + i] - largest;
        if is_nan(d) || d > low {
            part += d;
            count += 1.0;
        }
    }
    let total = row_sum(lane, part);
    return (total - 1.0) / row_sum(lane, count);
}

fn forward(lane: u32, at: Range) {
    var largest = -3.4028234e38;
    for (var i = at.first; i < at.end; i += LANES) {
        largest = max(largest, x[params.x_at + i]);
    }
    largest = row_max(lane, largest);
    if KIND == 1u {
        let tau = threshold(lane, at, largest);
        for (var i = at.first; i < at.end; i += LANES) {
            let value = x[params.x_at + i] - largest - tau;
            y[params.y_at + i] = keep_nan(value, max(value, 0.0));
        }
    } else {
        var part = 0.0;
        for (var i = at.first; i < at.end; i += LANES) {
            let d = x[params.x_at + i] - largest;
            part += keep_nan(d, exp(d));
        }
        let total = row_sum(lane, part);
        let shift = keep_nan(total, log(total));
        for (var i = at.first; i < at.end; i += LANES) {
            y[params.y_at + i] = x[params.x_at + i] - largest - shift;
        }
    }
}

fn backward(lane: u32, at: Range) {
    var part = 0.0;
    var count = 0.0;
    for (var i = at.first; i < at.end; i += LANES) {
        let out = x[params.x_at + i];
        if KIND == 0u || is_nan(out) || out > 0.0 {
            part += dy[params.dy_at + i] + select(0.0, out, is_nan(out));
            count += 1.0;
        }
    }
    let total = row_sum(lane, part);
    let mean = total / row_sum(lane, count);
    for (var i = at.first; i < at.end; i += LANES) {
        let out = x[params.x_at + i];
        let up = dy[params.dy_at + i];
        if KIND == 1u {
            y[params.y_at + i] = select(select(0.0, up - mean, out > 0.0), mean, is_nan(mean));
        } else {
            y[params.y_at + i] = up - exp(out) * total;
        }
    }
}

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = row_of(linear_group(group, groups), lane);
    // Rows past the end have no columns, but take part in the barriers.
    let end = select(0u, (row + 1u) * params.cols, row < params.rows);
    let at = Range(row * params.cols + lane % LANES, end);
    if BACKWARD {
        backward(lane, at);
    } else {
        forward(lane, at);
    }
}
