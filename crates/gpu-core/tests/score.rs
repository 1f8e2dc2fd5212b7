//! Every loss, metric and loss gradient against the twins: f64 at ordinary inputs, f32 where a clip is active (the
//! nearest number to 1 - 1e-7 decides there).
mod common;
use common::{Guarded, assert_all_nan, assert_close, numbers, refused, run, wide};
use gpu_core::vocabulary::{Constants, Score};
use gpu_core::{Call, Context, Groups, kernels, testing};
use proptest::prelude::*;

/// WGSL grants log an absolute error of 2^-21 (4.8e-7) near 1 and 3 units in the last place elsewhere, exp 3 + 2|x|
/// units; a score is a mean of such terms, or a sum weighted by shares that add up to 1, or (KL) by up to 100 terms.
const RTOL: f64 = 1e-5;
const ATOL: f64 = 3e-6;

const FOCAL: Score = Score::BinaryFocalCrossentropy {
    apply_class_balancing: false,
    alpha: 0.25,
    gamma: 2.0,
    from_logits: false,
    label_smoothing: 0.1,
};

const ALL: [Score; 32] = [
    Score::MeanSquaredError,
    Score::MeanAbsoluteError,
    Score::Huber { delta: 0.7 },
    Score::BinaryCrossentropy { from_logits: false, label_smoothing: 0.0 },
    Score::BinaryCrossentropy { from_logits: true, label_smoothing: 0.0 },
    Score::CategoricalCrossentropy { from_logits: false, label_smoothing: 0.0 },
    Score::CategoricalCrossentropy { from_logits: true, label_smoothing: 0.0 },
    Score::SparseCategoricalCrossentropy { from_logits: false },
    Score::SparseCategoricalCrossentropy { from_logits: true },
    Score::KlDivergence,
    Score::BinaryAccuracy { threshold: 0.5 },
    Score::CategoricalAccuracy,
    Score::SparseCategoricalAccuracy,
    Score::TopKCategoricalAccuracy { k: 3 },
    Score::SparseTopKCategoricalAccuracy { k: 2 },
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

/// Numbers that a score takes for targets and for predictions.
fn ranges(score: Score) -> (Target, [f32; 2]) {
    match score {
        Score::MeanSquaredError
        | Score::MeanAbsoluteError
        | Score::Huber { .. }
        | Score::LogCosh
        | Score::Quantile { .. } => (Target::Any, [-2.0, 2.0]),
        // Its gradient is a small difference over the size of the prediction.
        Score::CosineSimilarity => (Target::Any, [0.5, 2.0]),
        Score::MeanAbsolutePercentageError => (Target::Shares, [0.02, 0.98]),
        Score::MeanSquaredLogarithmicError => (Target::Any, [-0.3, 5.0]),
        Score::Hinge | Score::SquaredHinge => (Target::Signs, [-2.0, 2.0]),
        Score::BinaryCrossentropy { from_logits: true, .. } => (Target::Binary, [-9.0, 9.0]),
        // Keras's formula takes the logarithm of 1 - p, which has few digits where p is close to 1.
        Score::BinaryFocalCrossentropy { from_logits: true, .. } => (Target::Binary, [-2.5, 2.5]),
        Score::BinaryCrossentropy { .. }
        | Score::BinaryFocalCrossentropy { .. }
        | Score::BinaryAccuracy { .. } => (Target::Binary, [0.02, 0.98]),
        Score::CategoricalCrossentropy { from_logits: true, .. }
        | Score::CategoricalFocalCrossentropy { from_logits: true, .. }
        | Score::SparseCategoricalCrossentropy { from_logits: true } => (Target::Shares, [-9.0, 9.0]),
        _ => (Target::Shares, [0.02, 0.98]),
    }
}

enum Target {
    /// between -2 and 2
    Any,
    /// rows that add up to 1
    Shares,
    /// -1, 0 and 1
    Signs,
    /// mostly 0 and 1
    Binary,
}

/// Predictions and targets that suit the score.
fn data(score: Score, rows: usize, cols: usize, seed: u64) -> (Vec<f32>, Vec<f32>) {
    let n = rows * cols;
    let (kind, [low, high]) = ranges(score);
    let pred = numbers(seed, n, low, high);
    if score.target_is_index() {
        return (pred, numbers(seed + 1, rows, 0.0, cols as f32).iter().map(|c| c.floor()).collect());
    }
    let unit = numbers(seed + 1, n, 0.0, 1.0);
    let target = match kind {
        Target::Any => unit.iter().map(|u| 4.0 * u - 2.0).collect(),
        Target::Signs => unit.iter().map(|u| (3.0 * u).floor() - 1.0).collect(),
        Target::Binary => unit.iter().map(|&u| if u < 0.8 { u.round() } else { u }).collect(),
        Target::Shares => {
            let mut target: Vec<f32> = unit.iter().map(|u| 0.01 + 0.99 * u).collect();
            for row in target.chunks_mut(cols) {
                let total: f32 = row.iter().sum();
                row.iter_mut().for_each(|y| *y /= total);
            }
            target
        }
    };
    (pred, target)
}

fn forward(
    ctx: &Context,
    score: Score,
    cols: usize,
    pred: &[f32],
    target: &[f32],
    weights: Option<&[f32]>,
) -> Vec<f32> {
    let rows = pred.len() / cols;
    let (pred, target) = (Guarded::new(ctx, pred), Guarded::new(ctx, target));
    let (weights, out) = (weights.map(|w| Guarded::new(ctx, w)), Guarded::out(ctx, rows));
    run(ctx, |rec| {
        let weights = weights.as_ref().map(|w| &w.slice);
        kernels::score_forward(rec, score, rows, cols, &pred.slice, &target.slice, weights, &out.slice)
    });
    out.read(ctx)
}

fn backward(
    ctx: &Context,
    score: Score,
    cols: usize,
    pred: &[f32],
    target: &[f32],
    weights: Option<&[f32]>,
    scale: f32,
) -> Vec<f32> {
    let rows = pred.len() / cols;
    let (pred, target) = (Guarded::new(ctx, pred), Guarded::new(ctx, target));
    let (weights, out) = (weights.map(|w| Guarded::new(ctx, w)), Guarded::out(ctx, rows * cols));
    run(ctx, |rec| {
        let weights = weights.as_ref().map(|w| &w.slice);
        kernels::score_backward(
            rec,
            score,
            rows,
            cols,
            &pred.slice,
            &target.slice,
            weights,
            scale,
            &out.slice,
        )
    });
    out.read(ctx)
}

fn check(ctx: &Context, score: Score, rows: usize, cols: usize, weighted: bool) {
    let what = format!("{score:?} {rows} {cols} {weighted}");
    let (pred, target) = data(score, rows, cols, 61);
    let weights = weighted.then(|| numbers(63, rows, 0.0, 2.0));
    let wide_weights = weights.as_deref().map(wide);
    let mut want = vec![0.0; rows];
    let (p, y) = (wide(&pred), wide(&target));
    cpu_core::score_forward(score, rows, cols, &p, &y, wide_weights.as_deref(), &mut want).unwrap();
    assert_close(&what, &forward(ctx, score, cols, &pred, &target, weights.as_deref()), &want, RTOL, ATOL);
    if score.is_loss() {
        let mut want = vec![0.0; rows * cols];
        cpu_core::score_backward(score, rows, cols, &p, &y, wide_weights.as_deref(), 0.5, &mut want).unwrap();
        let got = backward(ctx, score, cols, &pred, &target, weights.as_deref(), 0.5);
        assert_close(&format!("gradient of {what}"), &got, &want, RTOL, ATOL);
    }
}

#[test]
fn every_score_at_the_edges() {
    let Some(ctx) = testing::context() else { return };
    for score in ALL {
        for (rows, cols) in [(1, 1), (1, 2), (257, 4), (65, 17), (5, 129), (2, 1500), (20_000, 1)] {
            check(&ctx, score, rows, cols, rows % 2 == 0);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn any_shape(which in 0usize..32, rows in 1usize..80, cols in 1usize..100, weighted: bool) {
        if let Some(ctx) = testing::context() {
            check(&ctx, ALL[which], rows, cols, weighted);
        }
    }
}

#[test]
fn clips_and_extremes() {
    let Some(ctx) = testing::context() else { return };
    let binary = Score::BinaryCrossentropy { from_logits: false, label_smoothing: 0.0 };
    let logits = Score::BinaryCrossentropy { from_logits: true, label_smoothing: 0.0 };
    let categorical = Score::CategoricalCrossentropy { from_logits: false, label_smoothing: 0.0 };
    let cases: [(Score, &[f32], &[f32]); 6] = [
        (binary, &[0.0, 1.0, 0.0, 1.0, -3.0, 7.0], &[0.0, 0.0, 1.0, 1.0, 1.0, 0.0]),
        (logits, &[100.0, -100.0, 100.0, -100.0, 0.0, 20.0], &[0.0, 0.0, 1.0, 1.0, 1.0, 1.0]),
        (categorical, &[0.0, 1.0, 0.0, 0.0, 2.0, 2.0], &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0]),
        (
            Score::CategoricalCrossentropy { from_logits: true, label_smoothing: 0.0 },
            &[100.0, -100.0, 0.0, 1e4, 0.0, 0.0],
            &[0.0, 1.0, 0.0, 0.0, 1.0, 0.0],
        ),
        (Score::KlDivergence, &[0.0, 1.0, 2.0, 0.5, 1e-9, 0.1], &[0.5, 0.0, 1.0, 2.0, 0.0, 0.0]),
        (Score::MeanAbsoluteError, &[1.0, 2.0, 3.0, -1.0, 0.0, 5.0], &[1.0, 2.5, 2.0, -1.0, 0.0, 5.0]),
    ];
    for (score, pred, target) in cases {
        // A single class of probability 0 would be 0 / 0.
        let columns: &[usize] = if score == categorical { &[3] } else { &[1, 3] };
        for &cols in columns {
            let rows = 6 / cols;
            let mut want = vec![0.0f32; rows];
            cpu_core::score_forward(score, rows, cols, pred, target, None, &mut want).unwrap();
            assert_close(
                &format!("{score:?}"),
                &forward(&ctx, score, cols, pred, target, None),
                &wide(&want),
                RTOL,
                ATOL,
            );
            let mut want = vec![0.0f32; 6];
            cpu_core::score_backward(score, rows, cols, pred, target, None, 1.0, &mut want).unwrap();
            let got = backward(&ctx, score, cols, pred, target, None, 1.0);
            assert_close(&format!("gradient of {score:?}"), &got, &wide(&want), RTOL, ATOL);
        }
    }
    // Where the clip is active, exactly nothing.
    let got = backward(&ctx, binary, 1, &[0.0, 1.0, -3.0, 0.5], &[1.0, 0.0, 1.0, 1.0], None, 1.0);
    assert_eq!(got, [0.0, 0.0, 0.0, -2.0]);
    // A small binary loss from logits keeps its digits: ln(1 + exp(-15)).
    let got = forward(&ctx, logits, 1, &[15.0], &[1.0], None);
    assert_close("small loss", &got, &[(-15.0f64).exp().ln_1p()], 1e-5, 0.0);
}

#[test]
fn nan_and_wrong_classes_give_nan() {
    let Some(ctx) = testing::context() else { return };
    for score in ALL {
        for cols in [3, 70, 200] {
            let (mut pred, target) = data(score, 2, cols, 71);
            pred[cols + 1] = f32::NAN;
            let got = forward(&ctx, score, cols, &pred, &target, None);
            assert!(!got[0].is_nan(), "{score:?}: {got:?}");
            assert_all_nan(&format!("{score:?}"), &got[1..]);
            if score.is_loss() {
                let got = backward(&ctx, score, cols, &pred, &target, None, 1.0);
                assert!(got[cols + 1].is_nan(), "gradient of {score:?}");
                assert!(got[..cols].iter().all(|g| !g.is_nan()), "gradient of {score:?}: the other row");
            }
        }
        if score.target_is_index() {
            for class in [-1.0, 3.0, 1e9, f32::NAN] {
                assert_all_nan("class", &forward(&ctx, score, 3, &[0.2, 0.3, 0.5], &[class], None));
                if score.is_loss() {
                    assert_all_nan("class", &backward(&ctx, score, 3, &[0.2, 0.3, 0.5], &[class], None, 1.0));
                }
            }
        }
    }
}

#[test]
fn the_first_of_equals_is_the_class() {
    let Some(ctx) = testing::context() else { return };
    for cols in [4, 20, 200, 2000] {
        let mut pred = vec![0.25; cols];
        (pred[1], pred[3]) = (0.5, 0.5);
        for (class, right) in [(1.0, 1.0), (3.0, 0.0), (0.0, 0.0)] {
            let got = forward(&ctx, Score::SparseCategoricalAccuracy, cols, &pred, &[class], None);
            assert_eq!(got, [right], "{cols} {class}");
        }
        let got = forward(&ctx, Score::CategoricalAccuracy, cols, &pred, &vec![1.0; cols], None);
        assert_eq!(got, [0.0], "all equal: class 0, {cols}");
    }
}

#[test]
fn bad_arguments_are_refused() {
    let Some(ctx) = testing::context() else { return };
    let (six, two) = (ctx.alloc(6).unwrap().all(), ctx.alloc(2).unwrap().all());
    let mse = Score::MeanSquaredError;
    let message = refused(&ctx, |rec| kernels::score_forward(rec, mse, 2, 3, &six, &two, None, &two));
    assert_eq!(message, "score_forward: target needs 6 elements, got 2");
    let message = refused(&ctx, |rec| kernels::score_forward(rec, mse, 2, 3, &six, &six, Some(&six), &two));
    assert_eq!(message, "score_forward: weights needs 2 elements, got 6");
    let accuracy = Score::BinaryAccuracy { threshold: 0.5 };
    let message =
        refused(&ctx, |rec| kernels::score_backward(rec, accuracy, 2, 3, &six, &six, None, 1.0, &six));
    assert_eq!(
        message,
        "score_backward: BinaryAccuracy { threshold: 0.5 } has no gradient; it is a metric only"
    );
}

/// The launcher gives a whole row to one invocation on software adapters; hardware shares rows, and so does this.
#[test]
fn every_way_to_share_a_row() {
    use rnn_shaders::{score_backward, score_forward};
    let Some(ctx) = testing::context() else { return };
    for score in ALL {
        for (rows, cols) in [(70, 5), (9, 300)] {
            let (pred, target) = data(score, rows, cols, 91);
            let (p, y) = (wide(&pred), wide(&target));
            let (pred, target) = (Guarded::new(&ctx, &pred), Guarded::new(&ctx, &target));
            let Constants { shape, on, off, keep, lift } = score.constants(cols);
            let [shape, on, off, keep, lift] = [shape, on, off, keep, lift].map(|x| x as f32);
            let mut want = vec![0.0; rows];
            let mut want_gradient = vec![0.0; rows * cols];
            cpu_core::score_forward(score, rows, cols, &p, &y, None, &mut want).unwrap();
            for lanes in [8, 256] {
                let (out, gradient) = (Guarded::out(&ctx, rows), Guarded::out(&ctx, rows * cols));
                let overrides = [("LANES", lanes as f64), ("SCORE", f64::from(score.code()))];
                let groups = Groups::linear(rows, 256 / lanes);
                run(&ctx, |rec| {
                    rec.call(Call {
                        kernel: &score_forward::KERNEL,
                        overrides: &overrides,
                        buffers: &[&pred.slice, &target.slice, &pred.slice, &out.slice],
                        params: bytemuck::bytes_of(&score_forward::Params {
                            rows: rows as u32,
                            cols: cols as u32,
                            shape,
                            on,
                            off,
                            keep,
                            lift,
                            ..Default::default()
                        }),
                        groups,
                        flops: 0.0,
                    })?;
                    rec.call(Call {
                        kernel: &score_backward::KERNEL,
                        overrides: &overrides,
                        buffers: &[&pred.slice, &target.slice, &pred.slice, &gradient.slice],
                        params: bytemuck::bytes_of(&score_backward::Params {
                            rows: rows as u32,
                            cols: cols as u32,
                            shape,
                            on,
                            off,
                            keep,
                            lift,
                            scale: 0.5,
                            ..Default::default()
                        }),
                        groups,
                        flops: 0.0,
                    })
                });
                let what = format!("{score:?} {rows} {cols} by {lanes}");
                assert_close(&what, &out.read(&ctx), &want, RTOL, ATOL);
                if score.is_loss() {
                    cpu_core::score_backward(score, rows, cols, &p, &y, None, 0.5, &mut want_gradient)
                        .unwrap();
                    assert_close(
                        &format!("gradient of {what}"),
                        &gradient.read(&ctx),
                        &want_gradient,
                        RTOL,
                        ATOL,
                    );
                }
            }
        }
    }
}
