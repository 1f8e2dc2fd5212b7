// score_terms: the term of one element and its derivative, for the scores that are a sum or a mean of terms. Formulas as
// in vocabulary/score.rs.

fn term(p: f32, y: f32) -> f32 {
    let e = p - y;
    switch SCORE {
        case MEAN_SQUARED_ERROR: { return e * e; }
        case MEAN_ABSOLUTE_ERROR: { return abs(e); }
        case HUBER: {
            let size = abs(e);
            let delta = params.shape;
            return select(delta * (size - 0.5 * delta), 0.5 * e * e, size <= delta);
        }
        case BINARY_CROSSENTROPY: {
            let t = smooth_truth(y);
            let q = probability(p);
            return -t * log(q) - (1.0 - t) * log(1.0 - q);
        }
        case BINARY_CROSSENTROPY_LOGITS: {
            return keep_nan(p, max(p, 0.0) - p * smooth_truth(y) + softplus(-abs(p)));
        }
        case KL_DIVERGENCE: {
            let q = keep_nan(p, clamp(p, TINY, 1.0));
            let t = keep_nan(y, clamp(y, TINY, 1.0));
            return t * log(t / q);
        }
        case PERCENTAGE_ERROR: { return 100.0 * abs(e) / keep_nan(y, max(abs(y), TINY)); }
        case LOGARITHMIC_ERROR: {
            let d = log_above_one(p) - log_above_one(y);
            return d * d;
        }
        case LOG_COSH: {
            // Near 0 the difference of logarithms would cancel.
            let series = e * e * (0.5 - e * e * (1.0 / 12.0 - e * e / 45.0));
            return keep_nan(e, select(abs(e) + softplus(-2.0 * abs(e)) - 0.69314718, series, abs(e) < 0.125));
        }
        case POISSON: { return p - y * log(p + TINY); }
        case HINGE: { return keep_nan(p, max(1.0 - hinge_label(y) * p, 0.0)); }
        case SQUARED_HINGE: {
            let d = keep_nan(p, max(1.0 - hinge_label(y) * p, 0.0));
            return d * d;
        }
        case QUANTILE: { return keep_nan(e, max(-params.shape * e, (1.0 - params.shape) * e)); }
        case BINARY_FOCAL: { return focal(p, smooth_truth(y)); }
        case BINARY_FOCAL_LOGITS: { return focal(sigmoid(p), smooth_truth(y)); }
        default: { return keep_nan(p, select(0.0, 1.0, select(0.0, 1.0, p > params.shape) == y)); }
    }
}

// ln(max(x, epsilon) + 1), by its series where that is small.
fn log_above_one(x: f32) -> f32 {
    let a = keep_nan(x, max(x, TINY));
    return select(log(a + 1.0), a * (1.0 - a * (0.5 - a * (1.0 / 3.0 - a * 0.25))), a < 0.02);
}

fn focal(p: f32, y: f32) -> f32 {
    let q = probability(p);
    let entropy = -y * log(q) - (1.0 - y) * log(1.0 - q);
    return (y * params.on + (1.0 - y) * params.off) * power(y * (1.0 - p) + (1.0 - y) * p, params.shape) * entropy;
}

// x where low <= p <= high, 0 where the clip is active, NaN where p is NaN.
fn unclipped(p: f32, low: f32, high: f32, x: f32) -> f32 {
    return keep_nan(p, select(0.0, x, p >= low && p <= high));
}

fn term_grad(p: f32, y: f32) -> f32 {
    let e = p - y;
    switch SCORE {
        case MEAN_SQUARED_ERROR: { return 2.0 * e; }
        case MEAN_ABSOLUTE_ERROR: { return keep_nan(e, sign(e)); }
        case HUBER: { return keep_nan(e, select(params.shape * sign(e), e, abs(e) <= params.shape)); }
        case BINARY_CROSSENTROPY: {
            let t = smooth_truth(y);
            return unclipped(p, TINY, ALMOST_ONE, (1.0 - t) / (1.0 - p) - t / p);
        }
        case BINARY_CROSSENTROPY_LOGITS: { return sigmoid(p) - smooth_truth(y); }
        case PERCENTAGE_ERROR: { return keep_nan(e, 100.0 * sign(e)) / keep_nan(y, max(abs(y), TINY)); }
        case LOGARITHMIC_ERROR: {
            let slope = 2.0 * (log_above_one(p) - log_above_one(y)) / (p + 1.0);
            return keep_nan(p, select(0.0, slope, p >= TINY));
        }
        case LOG_COSH: { return tanh_exact(e); }
        case POISSON: { return 1.0 - y / (p + TINY); }
        case HINGE: {
            let t = hinge_label(y);
            return keep_nan(p, select(0.0, -t, t * p < 1.0));
        }
        case SQUARED_HINGE: {
            let t = hinge_label(y);
            return -2.0 * t * keep_nan(p, max(1.0 - t * p, 0.0));
        }
        case QUANTILE: {
            return keep_nan(e, select(select(0.0, -params.shape, e < 0.0), 1.0 - params.shape, e > 0.0));
        }
        case BINARY_FOCAL: { return focal_grad(p, smooth_truth(y)); }
        case BINARY_FOCAL_LOGITS: {
            let q = sigmoid(p);
            return focal_grad(q, smooth_truth(y)) * q * sigmoid(-p);
        }
        default: { return unclipped(p, TINY, 1.0, -keep_nan(y, clamp(y, TINY, 1.0)) / p); }
    }
}

fn focal_grad(p: f32, y: f32) -> f32 {
    let q = probability(p);
    let entropy = -y * log(q) - (1.0 - y) * log(1.0 - q);
    let entropy_grad = unclipped(p, TINY, ALMOST_ONE, (1.0 - y) / (1.0 - p) - y / p);
    let miss = y * (1.0 - p) + (1.0 - y) * p;
    let gamma = params.shape;
    // d miss / dp = 1 - 2 y
    var factor_grad = 0.0;
    if gamma != 0.0 {
        factor_grad = gamma * power(miss, gamma - 1.0) * (1.0 - 2.0 * y);
    }
    let slope = power(miss, gamma) * entropy_grad + factor_grad * entropy;
    return (y * params.on + (1.0 - y) * params.off) * slope;
}
