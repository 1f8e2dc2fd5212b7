// score_rows: what some scores need of a whole row before a term can be made. Every invocation of the row calls these
// (rows.wgsl); `column` is its first column, `end` the end of the row, 0 for a row past the last one.

// cos(y, p), 1 / |p|, 1 / |y|, and the factor of p in the gradient: cos / |p|, or 0 where Keras's bound of 1 / |p| holds.
fn row_cosine(lane: u32, column: u32, end: u32, pred_row: u32, truth_row: u32) -> vec4<f32> {
    var pp = 0.0;
    var yy = 0.0;
    var py = 0.0;
    for (var c = column; c < end; c += LANES) {
        let p = pred[pred_row + c];
        let y = truth[truth_row + c];
        pp += p * p;
        yy += y * y;
        py += p * y;
    }
    pp = row_sum(lane, pp);
    yy = row_sum(lane, yy);
    py = row_sum(lane, py);
    let p_bound = pp < TINY * TINY;
    let p_scale = keep_nan(pp, select(1.0 / sqrt(pp), 1.0 / TINY, p_bound));
    let y_scale = keep_nan(yy, select(1.0 / sqrt(yy), 1.0 / TINY, yy < TINY * TINY));
    let cosine = py * p_scale * y_scale;
    return vec4<f32>(cosine, p_scale, y_scale, select(cosine * p_scale, 0.0, p_bound));
}

// Of a categorical hinge: the margin before it is cut at 0, and the largest (1 - y) p.
fn row_margin(lane: u32, column: u32, end: u32, pred_row: u32, truth_row: u32) -> vec2<f32> {
    var own = 0.0;
    var largest = LOWEST;
    for (var c = column; c < end; c += LANES) {
        let p = pred[pred_row + c];
        let y = truth[truth_row + c];
        // NaN times 0 is NaN, so this sum shows any.
        own += y * p;
        largest = max(largest, (1.0 - y) * p);
    }
    own = row_sum(lane, own);
    largest = row_max(lane, largest);
    return vec2<f32>(largest - own + 1.0, largest);
}

// Offset and divisor that make probabilities of a row: its largest value and the sum of exponentials for logits, else 0
// and the sum.
fn row_norm(lane: u32, column: u32, end: u32, pred_row: u32) -> vec2<f32> {
    var offset = 0.0;
    if SCORE == CATEGORICAL_FOCAL_LOGITS {
        var largest = LOWEST;
        for (var c = column; c < end; c += LANES) {
            largest = max(largest, pred[pred_row + c]);
        }
        offset = row_max(lane, largest);
    }
    var part = 0.0;
    for (var c = column; c < end; c += LANES) {
        let x = pred[pred_row + c] - offset;
        part += select(x, keep_nan(x, exp(x)), SCORE == CATEGORICAL_FOCAL_LOGITS);
    }
    return vec2<f32>(offset, row_sum(lane, part));
}

// The probability of a class, from `row_norm`.
fn row_share(norm: vec2<f32>, p: f32) -> f32 {
    let x = p - norm.x;
    return select(x, keep_nan(x, exp(x)), SCORE == CATEGORICAL_FOCAL_LOGITS) / norm.y;
}

// d (-alpha y (1 - q)^gamma ln q) / dq, 0 where q is clipped.
fn focal_slope(q: f32, y: f32) -> f32 {
    let gamma = params.shape;
    var factor_grad = 0.0;
    if gamma != 0.0 {
        factor_grad = gamma * power(1.0 - q, gamma - 1.0) * log(q);
    }
    return params.on * y * unclipped(q, TINY, ALMOST_ONE, factor_grad - power(1.0 - q, gamma) / q);
}
