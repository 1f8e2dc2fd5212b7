// column_terms: three numbers per element, whose sums over the rows a metric per column needs; out [rows, 3 cols], w the
// weight of the row, 1 where not WEIGHTED.
// KIND 0 (coefficient of determination): w y, w y^2, w (y - p)^2.
// KIND 1 (F score): w y q, w q, w y, where q is 1 if p is the largest of its row and |p| > 1e-9, else 0.
// KIND 2: the same with q = p > threshold.
// LANES invocations per row (rows.wgsl).

struct Params {
    pred_at: u32,
    truth_at: u32,
    weights_at: u32,
    out_at: u32,
    rows: u32,
    cols: u32,
    threshold: f32,
}

@group(0) @binding(0) var<storage, read> pred: array<f32>;
@group(0) @binding(1) var<storage, read> truth: array<f32>;
// Not WEIGHTED: not used, pred is bound in its place.
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

override WEIGHTED: bool = false;
override KIND: u32 = 0u;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let row = row_of(linear_group(group, groups), lane);
    let inside = row < params.rows;
    let cols = params.cols;
    let column = lane % LANES;
    let end = select(0u, cols, inside);
    let pred_row = params.pred_at + row * cols;
    let truth_row = params.truth_at + row * cols;
    var threshold = params.threshold;
    if KIND == 1u {
        var largest = -3.4028234e38;
        for (var c = column; c < end; c += LANES) {
            largest = max(largest, pred[pred_row + c]);
        }
        threshold = row_max(lane, largest);
    }
    var w = 1.0;
    if WEIGHTED && inside {
        w = weights[params.weights_at + row];
    }
    for (var c = column; c < end; c += LANES) {
        let p = pred[pred_row + c];
        let y = truth[truth_row + c];
        var terms = vec3<f32>(y, y * y, (y - p) * (y - p));
        if KIND != 0u {
            var chosen = p > threshold;
            if KIND == 1u {
                chosen = p >= threshold && abs(p) > 1e-9;
            }
            let q = keep_nan(p, select(0.0, 1.0, chosen));
            terms = vec3<f32>(y * q, q, y);
        }
        let at = params.out_at + row * 3u * cols + c;
        out[at] = w * terms.x;
        out[at + cols] = w * terms.y;
        out[at + 2u * cols] = w * terms.z;
    }
}
