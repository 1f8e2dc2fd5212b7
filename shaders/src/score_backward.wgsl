// score_backward: dpred[r, c] = scale * weight[r] * d score(truth[r, :], pred[r, :]) / d pred[r, c], for the scores of
// vocabulary/score.rs that are losses. Shapes as in score_forward; weight 1 where not WEIGHTED. The gradient is 0 where a
// clip is active. LANES invocations per row (rows.wgsl).
//
// Categorical from probabilities, with S = sum p, q = p / S, a_c = 1 where q_c is not clipped, else 0:
//     dpred_c = (sum_k a_k y_k - a_c y_c / q_c) / S
// from logits: dpred_c = softmax(x)_c sum(y) - y_c. Sparse: y is 1 at the index, else 0.

struct Params {
    pred_at: u32,
    truth_at: u32,
    weights_at: u32,
    dpred_at: u32,
    rows: u32,
    cols: u32,
    // delta, quantile, gamma, threshold or k
    shape: f32,
    // alpha of a truth of 1 and of 0
    on: f32,
    off: f32,
    // a truth y counts as keep y + lift
    keep: f32,
    lift: f32,
    scale: f32,
}

@group(0) @binding(0) var<storage, read> pred: array<f32>;
@group(0) @binding(1) var<storage, read> truth: array<f32>;
// Not WEIGHTED: not used, pred is bound in its place.
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> dpred: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

override WEIGHTED: bool = false;

// The truth of one class.
fn class_truth(row_at: u32, index: f32, c: u32) -> f32 {
    if truth_is_index() {
        return select(0.0, 1.0, u32(index) == c);
    }
    return smooth_truth(truth[row_at + c]);
}

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
    // Rows past the end have no columns, but take part in the barriers.
    let end = select(0u, cols, inside);
    let pred_row = params.pred_at + row * cols;
    let truth_row = params.truth_at + row * cols;
    let dpred_row = params.dpred_at + row * cols;
    var factor = params.scale;
    var index = 0.0;
    if inside {
        if WEIGHTED {
            factor *= weights[params.weights_at + row];
        }
        if truth_is_index() {
            index = truth[params.truth_at + row];
            factor += bad_index(index, cols);
        }
    }
    switch SCORE {
        case CATEGORICAL_CROSSENTROPY, SPARSE_CROSSENTROPY: {
            var part = 0.0;
            for (var c = column; c < end; c += LANES) {
                part += pred[pred_row + c];
            }
            let total = row_sum(lane, part);
            part = 0.0;
            for (var c = column; c < end; c += LANES) {
                let y = class_truth(truth_row, index, c);
                part += unclipped(pred[pred_row + c] / total, TINY, ALMOST_ONE, y);
            }
            let active_truth = row_sum(lane, part);
            for (var c = column; c < end; c += LANES) {
                let y = class_truth(truth_row, index, c);
                let q = pred[pred_row + c] / total;
                let d = (active_truth - unclipped(q, TINY, ALMOST_ONE, y / q)) / total;
                dpred[dpred_row + c] = factor * d;
            }
        }
        case CATEGORICAL_CROSSENTROPY_LOGITS, SPARSE_CROSSENTROPY_LOGITS: {
            var largest = LOWEST;
            for (var c = column; c < end; c += LANES) {
                largest = max(largest, pred[pred_row + c]);
            }
            largest = row_max(lane, largest);
            var part = 0.0;
            var truth_part = 0.0;
            for (var c = column; c < end; c += LANES) {
                let x = pred[pred_row + c] - largest;
                let e = keep_nan(x, exp(x));
                dpred[dpred_row + c] = e;
                part += e;
                truth_part += class_truth(truth_row, index, c);
            }
            let softmax_scale = row_sum(lane, truth_part) / row_sum(lane, part);
            for (var c = column; c < end; c += LANES) {
                let y = class_truth(truth_row, index, c);
                dpred[dpred_row + c] = factor * (dpred[dpred_row + c] * softmax_scale - y);
            }
        }
        case COSINE_SIMILARITY: {
            let cosine = row_cosine(lane, column, end, pred_row, truth_row);
            for (var c = column; c < end; c += LANES) {
                // y / |y| - cos p / |p|, over |p|
                let across = truth[truth_row + c] * cosine.z - cosine.w * pred[pred_row + c];
                dpred[dpred_row + c] = -factor * cosine.y * across;
            }
        }
        case CATEGORICAL_HINGE: {
            let margin = row_margin(lane, column, end, pred_row, truth_row);
            // Equals share the gradient of the largest.
            var part = 0.0;
            for (var c = column; c < end; c += LANES) {
                part += select(0.0, 1.0, (1.0 - truth[truth_row + c]) * pred[pred_row + c] == margin.y);
            }
            let equals = row_sum(lane, part);
            for (var c = column; c < end; c += LANES) {
                let y = truth[truth_row + c];
                let largest = select(0.0, (1.0 - y) / equals, (1.0 - y) * pred[pred_row + c] == margin.y);
                dpred[dpred_row + c] = keep_nan(margin.x, select(0.0, factor * (largest - y), margin.x > 0.0));
            }
        }
        case CATEGORICAL_FOCAL, CATEGORICAL_FOCAL_LOGITS: {
            let norm = row_norm(lane, column, end, pred_row);
            var part = 0.0;
            for (var c = column; c < end; c += LANES) {
                let q = row_share(norm, pred[pred_row + c]);
                let slope = focal_slope(q, smooth_truth(truth[truth_row + c]));
                dpred[dpred_row + c] = slope;
                part += slope * q;
            }
            let mean_slope = row_sum(lane, part);
            for (var c = column; c < end; c += LANES) {
                let q = row_share(norm, pred[pred_row + c]);
                let through = select(1.0 / norm.y, q, SCORE == CATEGORICAL_FOCAL_LOGITS);
                dpred[dpred_row + c] = factor * through * (dpred[dpred_row + c] - mean_slope);
            }
        }
        default: {
            let per_element = select(factor / f32(cols), factor, sums_the_row());
            for (var c = column; c < end; c += LANES) {
                dpred[dpred_row + c] = per_element * term_grad(pred[pred_row + c], truth[truth_row + c]);
            }
        }
    }
}
