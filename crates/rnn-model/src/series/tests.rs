//! Chains against what they mean, over random series and random chains.

use ndarray::{Array2, array, s};
use proptest::prelude::*;

use super::{SeriesError, SeriesTransform, TransformStep, TransformStep::*};

fn steps() -> impl Strategy<Value = Vec<TransformStep>> {
    let step = prop_oneof![
        (1_usize..6).prop_map(|lag| Difference { lag }),
        Just(Standard),
        Just(MinMax { low: -1.0, high: 2.0 }),
    ];
    (any::<bool>(), prop::collection::vec(step, 0..4)).prop_map(|(log, rest)| {
        let log = log.then_some(Log);
        log.into_iter().chain(rest).collect()
    })
}

fn series(rows: usize) -> impl Strategy<Value = Array2<f64>> {
    prop::collection::vec(0.5_f64..50.0, rows * 2)
        .prop_map(move |values| Array2::from_shape_vec((rows, 2), values).unwrap())
}

/// The chain has at most 4 affine steps and a logarithm on values of size 50; differences of scaled values grow by at
/// most 2 per lag step, and a min-max range of nearly constant values can magnify rounding. 1e-6 relative is far above
/// that and far below any wrong row.
fn close(a: f64, b: f64) -> bool {
    (a - b).abs() <= 1e-6 * (1.0 + b.abs())
}

proptest! {
    /// Inverting the transformed future on the raw past gives the raw future, at any split.
    #[test]
    fn invert_is_the_inverse_of_apply(steps in steps(), series in series(40), origin in 20_usize..39) {
        let transform = SeriesTransform::fit(&steps, &series.slice(s![..30, ..])).unwrap();
        let transformed = transform.apply(&series).unwrap();
        prop_assert_eq!(transformed.nrows() + transform.lost(), 40);
        let future = transformed.slice(s![origin - transform.lost().., ..]);
        let history = series.slice(s![..origin, ..]);
        let restored = transform.invert(&history, &future).unwrap();
        prop_assert_eq!(restored.nrows(), 40 - origin);
        for (got, expected) in restored.iter().zip(series.slice(s![origin.., ..])) {
            prop_assert!(close(*got, *expected), "{} {}", got, expected);
        }
    }

    /// A one-step prediction is a forecast of one step from its own origin.
    #[test]
    fn invert_each_is_invert_row_by_row(steps in steps(), series in series(30), first in 15_usize..28) {
        let transform = SeriesTransform::fit(&steps, &series).unwrap();
        let predictions = Array2::from_shape_fn((30 - first + 1, 2), |(i, f)| 0.1 * i as f64 - 0.3 * f as f64);
        let each = transform.invert_each(&series, first, &predictions).unwrap();
        for i in 0..predictions.nrows() {
            let history = series.slice(s![..first + i, ..]);
            let alone = transform.invert(&history, &predictions.slice(s![i..=i, ..])).unwrap();
            prop_assert!(close(each[[i, 0]], alone[[0, 0]]) && close(each[[i, 1]], alone[[0, 1]]));
        }
    }

    /// What is saved is what is loaded.
    #[test]
    fn a_chain_survives_its_file(steps in steps(), series in series(30)) {
        let names = vec!["a".to_owned(), "b".to_owned()];
        let transform = SeriesTransform::fit(&steps, &series).unwrap().with_names(names).unwrap();
        let text = serde_json::to_string(&transform).unwrap();
        prop_assert_eq!(serde_json::from_str::<SeriesTransform>(&text).unwrap(), transform);
    }
}

#[test]
fn known_values() {
    let series = array![[1.0_f64], [2.0], [4.0], [8.0]];
    let transform = SeriesTransform::fit(&[Log, Difference { lag: 1 }], &series).unwrap();
    assert_eq!(transform.lost(), 1);
    assert_eq!(transform.describe(), "log, difference 1");
    let growth = transform.apply(&series).unwrap();
    assert!(growth.iter().all(|v| (v - std::f64::consts::LN_2).abs() < 1e-15), "{growth}");
    let forecast = transform.invert(&series, &growth).unwrap();
    assert!((&forecast - &array![[16.0], [32.0], [64.0]]).iter().all(|d| d.abs() < 1e-12), "{forecast}");
    // Knowing the true row each time: twice the row before.
    let each = transform.invert_each(&series, 2, &growth).unwrap();
    assert!((&each - &array![[4.0], [8.0], [16.0]]).iter().all(|d| d.abs() < 1e-12), "{each}");
}

#[test]
fn no_steps_change_nothing() {
    let series = array![[1.0_f32, -2.0], [0.0, 5.0]];
    let transform = SeriesTransform::fit(&[], &series).unwrap();
    assert_eq!(transform.describe(), "none");
    assert_eq!(transform.apply(&series).unwrap(), series);
    assert_eq!(transform.invert(&series, &series).unwrap(), series);
    assert_eq!(transform.invert_each(&series, 0, &series).unwrap(), series);
}

#[test]
fn single_precision_keeps_single_precision() {
    let series = Array2::from_shape_fn((60, 1), |(t, _)| 100.0_f32 + t as f32);
    let transform = SeriesTransform::fit(&[Log, Difference { lag: 12 }, Standard], &series).unwrap();
    let history = series.slice(s![..40, ..]);
    let future = transform.apply(&series).unwrap().slice(s![28.., ..]).to_owned();
    for (got, expected) in transform.invert(&history, &future).unwrap().iter().zip(series.slice(s![40.., ..]))
    {
        // Values are rounded to f32 once each way (6e-8 relative), and two steps of the difference build on each other.
        assert!((got / expected - 1.0).abs() < 1e-6, "{got} {expected}");
    }
}

#[test]
fn errors_say_where() {
    let bad = array![[1.0_f64], [3.0], [0.0], [4.0]];
    let error = SeriesTransform::fit(&[Log], &bad).unwrap_err();
    assert_eq!(
        error.to_string(),
        "log: the value at row 2, feature 0 is 0; the logarithm needs values above 0"
    );
    // A logarithm after a difference names the raw row, too.
    let error = SeriesTransform::fit(&[Difference { lag: 1 }, Log], &bad).unwrap_err();
    assert!(matches!(error, SeriesError::NotPositive { row: 2, .. }), "{error}");
    let nan = array![[1.0_f64], [f64::NAN]];
    assert!(matches!(SeriesTransform::fit(&[], &nan), Err(SeriesError::NotFinite { row: 1, .. })));
    let short = SeriesTransform::fit(&[Difference { lag: 3 }, Difference { lag: 1 }], &bad).unwrap_err();
    assert!(matches!(short, SeriesError::TooShort { needed: 5, rows: 4, .. }), "{short}");
    assert!(SeriesTransform::fit(&[Difference { lag: 0 }], &bad).is_err());
    assert!(SeriesTransform::fit(&[Difference { lag: usize::MAX }, Difference { lag: 2 }], &bad).is_err());
    assert!(SeriesTransform::fit(&[MinMax { low: 1.0, high: 1.0 }], &bad).is_err());
    assert!(SeriesTransform::fit(&[Standard], &Array2::<f32>::zeros((0, 1))).is_err());
}

#[test]
fn widths_and_histories_are_checked() {
    let series = Array2::from_shape_fn((10, 2), |(t, f)| 1.0 + (t + f) as f64);
    let transform = SeriesTransform::fit(&[Difference { lag: 2 }], &series).unwrap();
    let (wide, one) = (Array2::<f64>::zeros((3, 3)), Array2::<f64>::zeros((1, 2)));
    assert!(matches!(transform.apply(&wide), Err(SeriesError::Features { expected: 2, got: 3, .. })));
    assert!(transform.invert(&series, &wide).is_err());
    assert!(transform.invert_each(&series, 4, &wide).is_err());
    assert!(transform.clone().with_names(vec!["one".to_owned()]).is_err());
    assert!(transform.apply(&series.slice(s![..2, ..])).is_err());
    assert!(transform.invert(&series.slice(s![..1, ..]), &one).is_err());
    assert!(transform.invert(&series.slice(s![..2, ..]), &one).is_ok());
    assert!(transform.invert_each(&series, 1, &one).is_err());
    assert!(transform.invert_each(&series, 10, &one).is_ok());
    assert!(transform.invert_each(&series, 11, &one).is_err());
    assert!(transform.invert_each(&series, usize::MAX, &one).is_err());
}

#[test]
fn a_file_can_not_hold_a_broken_chain() {
    for broken in [
        r#"{"features":0,"steps":[]}"#,
        r#"{"features":1,"steps":[{"kind":"difference","lag":0}]}"#,
        r#"{"features":2,"steps":[{"kind":"standard","mean":[0.0],"std":[1.0]}]}"#,
        r#"{"features":1,"steps":[{"kind":"sqrt"}]}"#,
        r#"{"features":1,"names":["a","b"],"steps":[]}"#,
    ] {
        assert!(serde_json::from_str::<SeriesTransform>(broken).is_err(), "{broken}");
    }
    let text = r#"{"features":1,"steps":[{"kind":"log"},{"kind":"difference","lag":12}]}"#;
    assert_eq!(serde_json::from_str::<SeriesTransform>(text).unwrap().lost(), 12);
}
