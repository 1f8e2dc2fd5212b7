// score_forward: out[r] = weight[r] * score(truth[r, :], pred[r, :]), the scores and their formulas as in
// vocabulary/score.rs (Score). pred [rows, cols]; truth [rows, cols], or [rows] class indices; weight 1 where not WEIGHTED.
// LANES invocations per row (rows.wgsl). Cross-entropy from logits x: binary max(x, 0) - x y + ln(1 + exp(-|x|)),
// categorical by log-softmax. NaN among the predictions gives NaN, for accuracies too.

struct Params {
    pred_at: u32,
    truth_at: u32,
    weights_at: u32,
    out_at: u32,
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
}

@group(0) @binding(0) var<storage, read> pred: array<f32>;
@group(0) @binding(1) var<storage, read> truth: array<f32>;
// Not WEIGHTED: not used, pred is bound in its place.
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

override WEIGHTED: bool = false;

// The first column with the largest value of the truth's or the prediction's row.
fn first_largest(lane: u32, column: u32, end: u32, row_at: u32, of_truth: bool) -> f32 {
    var largest = LOWEST;
    var where_largest = column;
    for (var c = column; c < end; c += LANES) {
        var value = 0.0;
        if of_truth {
            value = truth[row_at + c];
        } else {
            value = pred[row_at + c];
        }
        if value > largest {
            largest = value;
            where_largest = c;
        }
    }
    let best = row_max(lane, largest);
    // The smallest column is the largest of the negated ones; f32 is exact up to 2^24 columns.
    return -row_max(lane, select(LOWEST, -f32(where_largest), largest == best));
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
    var index = 0.0;
    if truth_is_index() && inside {
        index = truth[params.truth_at + row];
    }
    var score = 0.0;
    switch SCORE {
        case CATEGORICAL_CROSSENTROPY, SPARSE_CROSSENTROPY: {
            var part = 0.0;
            for (var c = column; c < end; c += LANES) {
                part += pred[pred_row + c];
            }
            let total = row_sum(lane, part);
            part = 0.0;
            for (var c = column; c < end; c += LANES) {
                let p = pred[pred_row + c] / total;
                let log_p = keep_nan(p, log(clamp(p, TINY, ALMOST_ONE)));
                if SCORE == CATEGORICAL_CROSSENTROPY {
                    part -= smooth_truth(truth[truth_row + c]) * log_p;
                } else if u32(index) == c {
                    part = -log_p;
                }
            }
            score = row_sum(lane, part) + bad_index(index, cols);
        }
        case CATEGORICAL_CROSSENTROPY_LOGITS, SPARSE_CROSSENTROPY_LOGITS: {
            var largest = LOWEST;
            for (var c = column; c < end; c += LANES) {
                largest = max(largest, pred[pred_row + c]);
            }
            largest = row_max(lane, largest);
            var part = 0.0;
            for (var c = column; c < end; c += LANES) {
                let x = pred[pred_row + c] - largest;
                part += keep_nan(x, exp(x));
            }
            let total = row_sum(lane, part);
            let log_total = keep_nan(total, log(total));
            part = 0.0;
            for (var c = column; c < end; c += LANES) {
                let log_p = pred[pred_row + c] - largest - log_total;
                if SCORE == CATEGORICAL_CROSSENTROPY_LOGITS {
                    part -= smooth_truth(truth[truth_row + c]) * log_p;
                } else if u32(index) == c {
                    part = -log_p;
                }
            }
            score = row_sum(lane, part) + bad_index(index, cols);
        }
        case CATEGORICAL_ACCURACY, SPARSE_ACCURACY: {
            var best = floor(index);
            if SCORE == CATEGORICAL_ACCURACY {
                best = first_largest(lane, column, end, truth_row, true);
            }
            let same = first_largest(lane, column, end, pred_row, false) == best;
            var poison = 0.0;
            for (var c = column; c < end; c += LANES) {
                let p = pred[pred_row + c];
                poison += select(0.0, p, is_nan(p));
            }
            score = select(0.0, 1.0, same) + row_sum(lane, poison) + bad_index(index, cols);
        }
        case TOP_K, SPARSE_TOP_K: {
            var best = floor(index);
            if SCORE == TOP_K {
                best = first_largest(lane, column, end, truth_row, true);
            }
            score = bad_index(index, cols);
            // A bad index has made the score NaN; it must not be read.
            var own = 0.0;
            if inside {
                own = pred[pred_row + u32(clamp(best, 0.0, f32(cols - 1u)))];
            }
            var above = 0.0;
            for (var c = column; c < end; c += LANES) {
                let p = pred[pred_row + c];
                above += keep_nan(p, select(0.0, 1.0, p > own));
            }
            let count = row_sum(lane, above);
            score += keep_nan(count, select(0.0, 1.0, count < params.shape));
        }
        case COSINE_SIMILARITY: {
            score = -row_cosine(lane, column, end, pred_row, truth_row).x;
        }
        case CATEGORICAL_HINGE: {
            let margin = row_margin(lane, column, end, pred_row, truth_row);
            score = keep_nan(margin.x, max(margin.x, 0.0));
        }
        case CATEGORICAL_FOCAL, CATEGORICAL_FOCAL_LOGITS: {
            let norm = row_norm(lane, column, end, pred_row);
            var part = 0.0;
            for (var c = column; c < end; c += LANES) {
                let q = probability(row_share(norm, pred[pred_row + c]));
                part -= smooth_truth(truth[truth_row + c]) * power(1.0 - q, params.shape) * log(q);
            }
            score = params.on * row_sum(lane, part);
        }
        default: {
            var part = 0.0;
            for (var c = column; c < end; c += LANES) {
                part += term(pred[pred_row + c], truth[truth_row + c]);
            }
            let total = row_sum(lane, part);
            score = select(total / f32(cols), total, sums_the_row());
        }
    }
    if inside && column == 0u {
        if WEIGHTED {
            score *= weights[params.weights_at + row];
        }
        out[params.out_at + row] = score;
    }
}
