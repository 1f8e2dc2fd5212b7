// softmax, over the rows of x [rows, cols]:
// forward     y[r, c] = exp(x[r, c] - max_r) / sum_c exp(x[r, c] - max_r)
// BACKWARD    y[r, c] = x[r, c] * (dy[r, c] - sum_k x[r, k] dy[r, k]), where x is the output of the forward pass
// LANES invocations per row (rows.wgsl). A NaN in a row makes the whole row NaN: it passes through the sums.

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

override BACKWARD: bool = false;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = row_of(linear_group(group, groups), lane);
    let first = row * params.cols + lane % LANES;
    // Rows past the end have no columns, but take part in the barriers.
    let end = select(0u, (row + 1u) * params.cols, row < params.rows);
    if BACKWARD {
        var part = 0.0;
        for (var i = first; i < end; i += LANES) {
            part += x[params.x_at + i] * dy[params.dy_at + i];
        }
        let dot = row_sum(lane, part);
        for (var i = first; i < end; i += LANES) {
            y[params.y_at + i] = x[params.x_at + i] * (dy[params.dy_at + i] - dot);
        }
    } else {
        var largest = -3.4028234e38;
        for (var i = first; i < end; i += LANES) {
            largest = max(largest, x[params.x_at + i]);
        }
        largest = row_max(lane, largest);
        var part = 0.0;
        for (var i = first; i < end; i += LANES) {
            let d = x[params.x_at + i] - largest;
            let e = keep_nan(d, exp(d));
            y[params.y_at + i] = e;
            part += e;
        }
        let total = row_sum(lane, part);
        for (var i = first; i < end; i += LANES) {
            y[params.y_at + i] /= total;
        }
    }
}
