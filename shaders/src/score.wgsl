// score: what score_forward and score_backward share. Codes are those of Score::code in vocabulary.rs.

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

// Keras's epsilon, and 1 - epsilon as f32 has it.
const TINY = 1e-7f;
const ALMOST_ONE = 0.9999999f;

override SCORE: u32 = 0u;

// Whether the truth has one class index per row.
fn truth_is_index() -> bool {
    return SCORE == SPARSE_CROSSENTROPY || SCORE == SPARSE_CROSSENTROPY_LOGITS || SCORE == SPARSE_ACCURACY;
}

// NaN where the class index is none of 0 .. cols - 1 (a fraction is cut off), else 0.
fn bad_index(index: f32, cols: u32) -> f32 {
    let good = index > -1.0 && index < f32(cols);
    return bitcast<f32>(select(0x7fc00000u, 0u, good));
}
