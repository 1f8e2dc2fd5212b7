// score_forward: out[r] = weight[r] * score(truth[r, :], pred[r, :]), the scores and their formulas as in
// vocabulary.rs (Score). pred [rows, cols]; truth [rows, cols], or [rows] class indices; weight 1 where not WEIGHTED.
// LANES invocations per row (rows.wgsl). Cross-entropy from logits x: binary max(x, 0) - x y + ln(1 + exp(-|x|)),
// categorical by log-softmax. NaN among the predictions gives NaN, for accuracies too.

struct Params {
    pred_at: u32,
    truth_at: u32,
    weights_at: u32,
    out_at: u32,
    rows: u32,
    cols: u32,
    delta: f32,
}

@group(0) @binding(0) var<storage, read> pred: array<f32>;
@group(0) @binding(1) var<storage, read> truth: array<f32>;
// Not WEIGHTED: not used, pred is bound in its place.
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> out: array<f32>;
@group(0) @binding(4) var<uniform> params: Params;

override WEIGHTED: bool = false;

// The term of one element, for scores that are a sum or mean of terms.
fn term(p: f32, y: f32) -> f32 {
    switch SCORE {
        case MEAN_SQUARED_ERROR: { return (y - p) * (y - p); }
        case MEAN_ABSOLUTE_ERROR: { return abs(y - p); }
        case HUBER: {
            let e = abs(y - p);
            return select(params.delta * (e - 0.5 * params.delta), 0.5 * e * e, e <= params.delta);
        }
        case BINARY_CROSSENTROPY: {
            let q = keep_nan(p, clamp(p, TINY, ALMOST_ONE));
            return -y * log(q) - (1.0 - y) * log(1.0 - q);
        }
        case BINARY_CROSSENTROPY_LOGITS: { return keep_nan(p, max(p, 0.0) - p * y + softplus(-abs(p))); }
        case KL_DIVERGENCE: {
            let q = keep_nan(p, clamp(p, TINY, 1.0));
            let t = keep_nan(y, clamp(y, TINY, 1.0));
            return t * log(t / q);
        }
        default: { return keep_nan(p, select(0.0, 1.0, select(0.0, 1.0, p > 0.5) == y)); }
    }
}

// The first column with the largest value of the truth's or the prediction's row.
fn first_largest(lane: u32, column: u32, end: u32, row_at: u32, of_truth: bool) -> f32 {
    var largest = -3.4028234e38;
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
    return -row_max(lane, select(-3.4028234e38, -f32(where_largest), largest == best));
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
                    part -= truth[truth_row + c] * log_p;
                } else if u32(index) == c {
                    part = -log_p;
                }
            }
            score = row_sum(lane, part) + bad_index(index, cols);
        }
        case CATEGORICAL_CROSSENTROPY_LOGITS, SPARSE_CROSSENTROPY_LOGITS: {
            var largest = -3.4028234e38;
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
                    part -= truth[truth_row + c] * log_p;
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
        default: {
            var part = 0.0;
            for (var c = column; c < end; c += LANES) {
                part += term(pred[pred_row + c], truth[truth_row + c]);
            }
            let total = row_sum(lane, part);
            score = select(total / f32(cols), total, SCORE == KL_DIVERGENCE);
        }
    }
    if inside && column == 0u {
        if WEIGHTED {
            score *= weights[params.weights_at + row];
        }
        out[params.out_at + row] = score;
    }
}
