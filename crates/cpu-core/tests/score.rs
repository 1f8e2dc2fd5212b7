//! Losses and metrics: known values, gradients against central differences, the clips, NaN and wrong indices.

mod common;

use common::{close, derivative, numbers, singles, with_threads};
use cpu_core::{Error, Score, score_backward, score_forward};
use proptest::prelude::*;

const FOCAL: Score = Score::BinaryFocalCrossentropy {
    apply_class_balancing: false,
    alpha: 0.25,
    gamma: 2.0,
    from_logits: false,
    label_smoothing: 0.1,
};

const LOSSES: [Score; 27] = [
    Score::MeanSquaredError,
    Score::MeanAbsoluteError,
    Score::Huber { delta: 0.25 },
    Score::BinaryCrossentropy { from_logits: false, label_smoothing: 0.0 },
    Score::BinaryCrossentropy { from_logits: true, label_smoothing: 0.0 },
    Score::CategoricalCrossentropy { from_logits: false, label_smoothing: 0.0 },
    Score::CategoricalCrossentropy { from_logits: true, label_smoothing: 0.0 },
    Score::SparseCategoricalCrossentropy { from_logits: false },
    Score::SparseCategoricalCrossentropy { from_logits: true },
    Score::KlDivergence,
    Score::MeanAbsolutePercentageError,
    Score::MeanSquaredLogarithmicError,
    Score::LogCosh,
    Score::Poisson,
    Score::CosineSimilarity,
    Score::Hinge,
    Score::SquaredHinge,
    Score::CategoricalHinge,
    Score::Quantile { quantile: 0.9 },
    FOCAL,
    Score::BinaryFocalCrossentropy {
        apply_class_balancing: true,
        alpha: 0.25,
        gamma: 1.0,
        from_logits: true,
        label_smoothing: 0.0,
    },
    Score::CategoricalFocalCrossentropy { alpha: 0.25, gamma: 2.0, from_logits: false, label_smoothing: 0.0 },
    Score::CategoricalFocalCrossentropy { alpha: 0.4, gamma: 1.5, from_logits: true, label_smoothing: 0.2 },
    Score::BinaryCrossentropy { from_logits: false, label_smoothing: 0.1 },
    Score::BinaryCrossentropy { from_logits: true, label_smoothing: 0.1 },
    Score::CategoricalCrossentropy { from_logits: false, label_smoothing: 0.2 },
    Score::CategoricalCrossentropy { from_logits: true, label_smoothing: 0.2 },
];

fn forward(score: Score, rows: usize, pred: &[f64], target: &[f64], weights: Option<&[f64]>) -> Vec<f64> {
    let mut out = vec![0.0; rows];
    score_forward(score, rows, pred.len() / rows, pred, target, weights, &mut out).unwrap();
    out
}

fn backward(score: Score, rows: usize, pred: &[f64], target: &[f64]) -> Vec<f64> {
    let mut dpred = vec![9.0; pred.len()];
    score_backward(score, rows, pred.len() / rows, pred, target, None, 1.0, &mut dpred).unwrap();
    dpred
}

/// By hand from the formulas; p = [0.2, 0.3, 0.5], y = [0, 1, 0].
#[test]
fn known_values() {
    let (p, y) = ([0.2, 0.3, 0.5], [0.0, 1.0, 0.0]);
    let ln = f64::ln;
    let lse = (0.2f64.exp() + 0.3f64.exp() + 0.5f64.exp()).ln();
    let kl = 1.0 * ln(1.0 / 0.3) + 1e-7 * (ln(1e-7 / 0.2) + ln(1e-7 / 0.5));
    let logits = |x: f64, y: f64| (1.0 + x.exp()).ln() - x * y;
    let e = [0.2f64, -0.7, 0.5];
    let cases: [(Score, &[f64], f64); 26] = [
        (LOSSES[0], &y, (0.04 + 0.49 + 0.25) / 3.0),
        (LOSSES[1], &y, 1.4 / 3.0),
        (LOSSES[2], &y, (0.02 + (0.7 - 0.125) * 0.25 + (0.5 - 0.125) * 0.25) / 3.0),
        (LOSSES[3], &y, -(ln(0.8) + ln(0.3) + ln(0.5)) / 3.0),
        (LOSSES[4], &y, (logits(0.2, 0.0) + logits(0.3, 1.0) + logits(0.5, 0.0)) / 3.0),
        (LOSSES[5], &y, -ln(0.3)),
        (LOSSES[6], &y, lse - 0.3),
        (LOSSES[7], &[1.0], -ln(0.3)),
        (LOSSES[8], &[1.0], lse - 0.3),
        (LOSSES[9], &y, kl),
        (Score::BinaryAccuracy { threshold: 0.5 }, &y, 2.0 / 3.0),
        (Score::CategoricalAccuracy, &y, 0.0),
        (Score::CategoricalAccuracy, &[0.1, 0.2, 0.7], 1.0),
        (Score::SparseCategoricalAccuracy, &[2.0], 1.0),
        (Score::SparseCategoricalAccuracy, &[1.0], 0.0),
        (Score::TopKCategoricalAccuracy { k: 1 }, &y, 0.0),
        (Score::TopKCategoricalAccuracy { k: 2 }, &y, 1.0),
        (Score::SparseTopKCategoricalAccuracy { k: 2 }, &[0.0], 0.0),
        (Score::MeanAbsolutePercentageError, &[0.1, 0.4, -0.5], 100.0 * (1.0 + 0.25 + 2.0) / 3.0),
        (Score::MeanSquaredLogarithmicError, &[0.2, 0.8, 0.5], (ln(1.3) - ln(1.8)).powi(2) / 3.0),
        (Score::LogCosh, &y, e.iter().map(|e| ln(e.cosh())).sum::<f64>() / 3.0),
        (Score::Poisson, &y, (0.2 + 0.3 - ln(0.3 + 1e-7) + 0.5) / 3.0),
        (Score::CosineSimilarity, &y, -0.3 / 0.38f64.sqrt()),
        (Score::SquaredHinge, &y, (1.44 + 0.49 + 2.25) / 3.0),
        (Score::CategoricalHinge, &y, 0.5 - 0.3 + 1.0),
        (Score::Quantile { quantile: 0.25 }, &y, (0.75 * 0.2 + 0.25 * 0.7 + 0.75 * 0.5) / 3.0),
    ];
    for (score, target, want) in cases {
        close(forward(score, 1, &p, target, None)[0], want, 1e-12, 0.0, &format!("{score:?}"));
        close(forward(score, 1, &p, target, Some(&[2.5]))[0], 2.5 * want, 1e-12, 0.0, &format!("{score:?}"));
    }
    // Focal losses of gamma 0 and alpha 1 are the plain ones; smoothed targets are other targets.
    let focal = Score::CategoricalFocalCrossentropy {
        alpha: 1.0,
        gamma: 0.0,
        from_logits: false,
        label_smoothing: 0.0,
    };
    close(forward(focal, 1, &p, &y, None)[0], -ln(0.3), 1e-12, 0.0, "focal");
    let smooth = Score::CategoricalCrossentropy { from_logits: true, label_smoothing: 0.3 };
    let want = forward(LOSSES[6], 1, &p, &[0.1, 0.8, 0.1], None)[0];
    // 0.3 is an f32.
    close(forward(smooth, 1, &p, &y, None)[0], want, 1e-7, 0.0, "smoothed");
    // Probabilities that do not add up to 1 are divided by their sum; the first of equals is the best.
    close(forward(LOSSES[5], 1, &[0.4, 0.6, 1.0], &y, None)[0], -ln(0.3), 1e-12, 0.0, "rescaled");
    assert_eq!(forward(Score::SparseCategoricalAccuracy, 1, &[0.5, 0.5], &[0.0], None), [1.0]);
    assert_eq!(forward(Score::SparseCategoricalAccuracy, 1, &[0.5, 0.5], &[1.0], None), [0.0]);
}

/// Whether element `i` stands so close to a kink of the score that a step of `near` crosses it.
fn at_kink(score: Score, cols: usize, pred: &[f64], target: &[f64], i: usize, near: f64) -> bool {
    let off = |of: f64| (pred[i] - target[i]).abs() - of;
    match score {
        Score::MeanAbsoluteError | Score::MeanAbsolutePercentageError | Score::Quantile { .. } => {
            off(0.0).abs() < near
        }
        Score::Huber { delta } => off(delta.into()).abs() < near,
        Score::Hinge => (pred[i].abs() - 1.0).abs() < near,
        Score::CategoricalHinge => {
            let row = i / cols * cols..(i / cols + 1) * cols;
            let mut others: Vec<f64> = row.clone().map(|c| (1.0 - target[c]) * pred[c]).collect();
            let own: f64 = row.map(|c| target[c] * pred[c]).sum();
            others.sort_by(|a, b| b.total_cmp(a));
            let tie = others.len() > 1 && others[0] - others[1] < near;
            // A row of one class can meet the cut at 0.
            tie || (others[0] - own + 1.0).abs() < 20.0 * near
        }
        _ => false,
    }
}

proptest! {
    #[test]
    fn gradients(code in 0usize..27, rows in 1usize..4, cols in 1usize..20, seed in 0u64..10_000, weighted: bool) {
        let score = LOSSES[code];
        let n = rows * cols;
        let logits = matches!(code, 4 | 6 | 8 | 20 | 22 | 24 | 26);
        let spread = if logits { 4.0 } else { 0.35 };
        let pred: Vec<f64> = numbers(seed, n, spread).iter().map(|p| p + if logits { 0.0 } else { 0.5 }).collect();
        let classes = numbers(seed + 1, n, 0.5);
        let target: Vec<f64> = if score.target_is_index() {
            classes[..rows].iter().map(|u| ((u + 0.5) * cols as f64).floor()).collect()
        } else {
            classes.iter().map(|u| u + 0.5).collect()
        };
        // Percentages of a target near 0 have no end, and hinges want labels.
        let target = match score {
            Score::MeanAbsolutePercentageError => target.iter().map(|y| y + 0.5).collect(),
            Score::Hinge | Score::SquaredHinge => target.iter().map(|y| (3.0 * y).floor() - 1.0).collect(),
            _ => target,
        };
        let weights = weighted.then(|| numbers(seed + 2, rows, 2.0));
        let scale = 0.37;
        let mut dpred = vec![f64::NAN; n];
        score_backward(score, rows, cols, &pred, &target, weights.as_deref(), scale, &mut dpred).unwrap();
        for i in 0..n {
            // At a kink there is no derivative to compare with.
            if at_kink(score, cols, &pred, &target, i, 0.003) {
                continue;
            }
            let want = derivative(|v| {
                let mut pred = pred.clone();
                pred[i] = v;
                scale * forward(score, rows, &pred, &target, weights.as_deref())[i / cols]
            }, pred[i]);
            // At p = 0.15 and 0.85 the fifth derivative of the logarithm is 24 / 0.15^5 = 3e5, times 3e-14.
            close(dpred[i], want, 1e-6, 2e-8, &format!("{score:?} {rows}x{cols} element {i} p {}", pred[i]));
        }
        let mut out = vec![0.0f32; rows];
        let weights32 = weights.as_ref().map(|w| singles(w));
        let (pred32, target32) = (singles(&pred), singles(&target));
        score_forward(score, rows, cols, &pred32, &target32, weights32.as_deref(), &mut out).unwrap();
        for (got, want) in out.iter().zip(forward(score, rows, &pred, &target, weights.as_deref())) {
            // Inputs rounded to 6e-8 of up to 4, twenty terms of up to 8, weights up to 2.
            close(f64::from(*got), want, 3e-6, 2e-5, &format!("{score:?} in f32"));
        }
        let mut dpred32 = vec![f32::NAN; n];
        score_backward(score, rows, cols, &pred32, &target32, weights32.as_deref(), scale as f32, &mut dpred32).unwrap();
        for (i, (got, want)) in dpred32.iter().zip(&dpred).enumerate() {
            if at_kink(score, cols, &pred, &target, i, 1e-6) {
                continue;
            }
            close(f64::from(*got), *want, 1e-5, 1e-5, &format!("{score:?} gradient in f32"));
        }
    }
}

/// Where a clip is active the loss does not move, and neither does the gradient push.
#[test]
fn clipped_predictions_have_no_gradient() {
    assert_eq!(backward(LOSSES[3], 1, &[0.0, 1.0, 1e-8], &[1.0, 0.0, 1.0]), [0.0, 0.0, 0.0]);
    assert_eq!(backward(LOSSES[9], 1, &[0.0, 1.5], &[0.5, 0.5]), [0.0, 0.0]);
    assert_eq!(backward(LOSSES[7], 1, &[0.0, 1.0], &[0.0]), [0.0, 0.0]);
    // The one that is clipped adds nothing, the other keeps its part: (y_1 - y_1 / q_1) / S with q_1 = 0.5, twice.
    let d = backward(LOSSES[5], 1, &[0.0, 1.0, 1.0], &[0.2, 0.4, 0.4]);
    for (got, want) in d.iter().zip([0.4, 0.4 - 0.4, 0.4 - 0.4]) {
        close(*got, want, 1e-12, 1e-15, "categorical");
    }
    assert_eq!(backward(LOSSES[1], 1, &[0.5], &[0.5]), [0.0]);
    close(forward(LOSSES[3], 1, &[0.0], &[1.0], None)[0], -(1e-7f64.ln()), 1e-9, 0.0, "clipped loss");
    // In f32 too, where 1 - 1e-7 is the largest number below 1 but one.
    let mut out = [0.0f32];
    score_forward(LOSSES[3], 1, 1, &[1.0], &[0.0], None, &mut out).unwrap();
    assert!(out[0] > 15.0 && out[0] < 16.2, "{out:?}");
}

#[test]
fn logits_of_any_size_stay_finite() {
    for (code, target) in [(4, vec![1.0f32, 0.0]), (6, vec![1.0, 0.0]), (8, vec![0.0])] {
        let (mut out, mut d) = ([0.0f32], [0.0f32; 2]);
        score_forward(LOSSES[code], 1, 2, &[-500.0, 500.0], &target, None, &mut out).unwrap();
        score_backward(LOSSES[code], 1, 2, &[-500.0, 500.0], &target, None, 1.0, &mut d).unwrap();
        let want = if code == 4 { (500.0, [-0.5, 0.5]) } else { (1000.0, [-1.0, 1.0]) };
        assert_eq!((out[0], d), want, "{:?}", LOSSES[code]);
    }
}

#[test]
fn nan_and_wrong_indices_show() {
    let all = LOSSES.into_iter().chain([
        Score::BinaryAccuracy { threshold: 0.5 },
        Score::CategoricalAccuracy,
        Score::SparseCategoricalAccuracy,
        Score::TopKCategoricalAccuracy { k: 2 },
        Score::SparseTopKCategoricalAccuracy { k: 2 },
    ]);
    for score in all {
        let target = if score.target_is_index() { vec![1.0, 1.0] } else { vec![0.5; 6] };
        let pred = [0.3, f64::NAN, 0.3, 0.2, 0.3, 0.5];
        let out = forward(score, 2, &pred, &target, None);
        assert!(out[0].is_nan() && !out[1].is_nan(), "{score:?} {out:?}");
        if score.is_loss() {
            let d = backward(score, 2, &pred, &target);
            assert!(d[1].is_nan() && d[3..].iter().all(|d| !d.is_nan()), "{score:?} {d:?}");
        }
        if score.target_is_index() {
            for wrong in [3.0, -1.0, f64::NAN, 1e30] {
                let out = forward(score, 2, &[0.2; 6], &[wrong, 1.0], None);
                assert!(out[0].is_nan() && !out[1].is_nan(), "{score:?} with index {wrong}");
            }
        }
    }
}

#[test]
fn threads_change_nothing() {
    let (rows, cols) = (5003, 31);
    let pred: Vec<f32> = numbers(1, rows * cols, 0.5).iter().map(|p| (p + 0.5) as f32).collect();
    for score in LOSSES {
        let target =
            if score.target_is_index() { vec![7.0; rows] } else { pred.iter().map(|p| 1.0 - p).collect() };
        let weights: Vec<f32> = singles(&numbers(2, rows, 1.0));
        let [one, four] = with_threads(|| {
            let (mut out, mut d) = (vec![0.0; rows], vec![0.0; pred.len()]);
            score_forward(score, rows, cols, &pred, &target, Some(&weights), &mut out).unwrap();
            score_backward(score, rows, cols, &pred, &target, Some(&weights), 0.1, &mut d).unwrap();
            (out, d)
        });
        assert!(one == four, "{score:?}");
    }
}

#[test]
fn wrong_calls_are_errors() {
    let mse = Score::MeanSquaredError;
    assert!(score_forward(mse, 2, 2, &[0.0f32; 4], &[0.0; 4], None, &mut [0.0; 3]).is_err());
    assert!(score_forward(mse, 2, 2, &[0.0f32; 4], &[0.0; 2], None, &mut [0.0; 2]).is_err());
    assert!(score_forward(mse, 2, 2, &[0.0f32; 5], &[0.0; 4], None, &mut [0.0; 2]).is_err());
    assert!(score_forward(mse, 2, 2, &[0.0f32; 4], &[0.0; 4], Some(&[1.0]), &mut [0.0; 2]).is_err());
    assert!(score_backward(mse, 2, 2, &[0.0f32; 4], &[0.0; 4], None, 1.0, &mut [0.0; 3]).is_err());
    let metric = score_backward(
        Score::BinaryAccuracy { threshold: 0.5 },
        1,
        1,
        &[0.0f32],
        &[0.0],
        None,
        1.0,
        &mut [0.0],
    );
    assert!(matches!(metric, Err(Error::Invalid { .. })));
}
