// score: what score_forward and score_backward share. Codes are those of Score::code in vocabulary/score.rs.

const MEAN_SQUARED_ERROR = 0u;
const MEAN_ABSOLUTE_ERROR = 1u;
const HUBER = 2u;
const BINARY_CROSSENTROPY = 3u;
const BINARY_CROSSENTROPY_LOGITS = 4u;
const CATEGORICAL_CROSSENTROPY = 5u;
const CATEGORICAL_CROSSENTROPY_LOGITS = 6u;
const SPARSE_CROSSENTROPY = 7u;
const SPARSE_CROSSENTROPY_LOGITS = 8u;
const KL_DIVERGENCE = 9u;
const BINARY_ACCURACY = 10u;
const CATEGORICAL_ACCURACY = 11u;
const SPARSE_ACCURACY = 12u;
const TOP_K = 13u;
const SPARSE_TOP_K = 14u;
const PERCENTAGE_ERROR = 15u;
const LOGARITHMIC_ERROR = 16u;
const LOG_COSH = 17u;
const POISSON = 18u;
const COSINE_SIMILARITY = 19u;
const HINGE = 20u;
const SQUARED_HINGE = 21u;
const CATEGORICAL_HINGE = 22u;
const QUANTILE = 23u;
const BINARY_FOCAL = 24u;
const BINARY_FOCAL_LOGITS = 25u;
const CATEGORICAL_FOCAL = 26u;
const CATEGORICAL_FOCAL_LOGITS = 27u;

// Keras's epsilon, and 1 - epsilon as f32 has it.
const TINY = 1e-7f;
const ALMOST_ONE = 0.9999999f;
const LOWEST = -3.4028234e38f;

override SCORE: u32 = 0u;

// Whether the truth has one class index per row.
fn truth_is_index() -> bool {
    return SCORE == SPARSE_CROSSENTROPY || SCORE == SPARSE_CROSSENTROPY_LOGITS || SCORE == SPARSE_ACCURACY
        || SCORE == SPARSE_TOP_K;
}

// Whether the score is a sum over the row, not a mean.
fn sums_the_row() -> bool {
    return SCORE == KL_DIVERGENCE || SCORE == CATEGORICAL_FOCAL || SCORE == CATEGORICAL_FOCAL_LOGITS;
}

// NaN where the class index is none of 0 .. cols - 1 (a fraction is cut off), else 0.
fn bad_index(index: f32, cols: u32) -> f32 {
    let good = index > -1.0 && index < f32(cols);
    return bitcast<f32>(select(0x7fc00000u, 0u, good));
}

// The target with its label smoothing.
fn smooth_truth(y: f32) -> f32 {
    return y * params.keep + params.lift;
}

// The label of a hinge: 0 counts as -1.
fn hinge_label(y: f32) -> f32 {
    return select(y, -1.0, y == 0.0);
}

fn probability(p: f32) -> f32 {
    return keep_nan(p, clamp(p, TINY, ALMOST_ONE));
}

// x^params.shape for x in [0, 1]; 1 for an exponent of 0.
fn power(x: f32, exponent: f32) -> f32 {
    return keep_nan(x, select(pow(max(x, 0.0), exponent), 1.0, exponent == 0.0));
}
