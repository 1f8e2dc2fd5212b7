//! What initializers draw.

use super::draw::DEVIATION_OF_CUT_NORMAL;
use super::*;

fn draw(initializer: Initializer, shape: &[usize]) -> Vec<f32> {
    initializer.check(shape).unwrap();
    initializer.values(shape, 0, 3, 1)
}

/// Mean, variance and largest magnitude.
fn moments(w: &[f32]) -> (f64, f64, f64) {
    let w: Vec<f64> = w.iter().map(|&x| f64::from(x)).collect();
    let mean = w.iter().sum::<f64>() / w.len() as f64;
    let variance = w.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / w.len() as f64;
    (mean, variance, w.iter().fold(0.0, |a, x| a.max(x.abs())))
}

#[test]
fn orthogonal_rows_are_orthonormal_times_the_gain() {
    let gained = Initializer::orthogonal(2.5);
    for (initializer, gain) in [(Initializer::Orthogonal, 1.0f32), (gained, 2.5)] {
        for shape in [
            &[4, 16][..],
            &[16, 4],
            &[5, 5],
            &[1, 1],
            &[2, 3, 4],
            &[40, 131],
            &[131, 40],
            &[65, 65],
            &[150, 290],
        ] {
            let w = draw(initializer, shape);
            let cols = shape[shape.len() - 1];
            let rows = w.len() / cols;
            let short = rows.min(cols);
            for a in 0..short {
                for b in 0..short {
                    let at =
                        |v: usize, i: usize| if rows <= cols { w[v * cols + i] } else { w[i * cols + v] };
                    let dot: f32 = (0..rows.max(cols)).map(|i| at(a, i) * at(b, i)).sum();
                    let want = if a == b { gain * gain } else { 0.0 };
                    // products of numbers below the gain, each rounded to f32, and their sums
                    let tolerance = rows.max(cols).max(16) as f32 * gain * gain * f32::EPSILON;
                    assert!((dot - want).abs() < tolerance, "{shape:?}: {dot}");
                }
            }
        }
    }
}

/// The threads share out rows and columns, never a sum.
#[test]
fn orthogonal_numbers_do_not_depend_on_threads() {
    let draw = |threads| cpu_core::with_threads(threads, || draw(Initializer::Orthogonal, &[300, 500]));
    assert_eq!(draw(1), draw(2));
    assert_eq!(draw(1), draw(5));
}

/// Fans by Keras's `compute_fans`; moments within five deviations of theirs for 20,000 draws.
#[test]
fn variance_scaling_has_the_stated_variance_and_bounds() {
    use Distribution::{TruncatedNormal, Uniform, UntruncatedNormal};
    let scaling = Initializer::variance_scaling;
    let cases: [(Initializer, &[usize], f64, f64); 14] = [
        (Initializer::GlorotUniform, &[50, 400], 2.0 / 450.0, 3.0f64.sqrt()),
        (Initializer::GlorotNormal, &[50, 400], 2.0 / 450.0, 2.0 / 0.8796),
        (Initializer::HeUniform, &[50, 400], 2.0 / 50.0, 3.0f64.sqrt()),
        (Initializer::HeNormal, &[50, 400], 2.0 / 50.0, 2.0 / 0.8796),
        (Initializer::LecunUniform, &[50, 400], 1.0 / 50.0, 3.0f64.sqrt()),
        (Initializer::LecunNormal, &[50, 400], 1.0 / 50.0, 2.0 / 0.8796),
        (Initializer::GlorotUniform, &[20_000], 1.0 / 20_000.0, 3.0f64.sqrt()),
        (Initializer::HeNormal, &[5, 10, 400], 2.0 / 50.0, 2.0 / 0.8796),
        (Initializer::GlorotUniform, &[5, 10, 400], 2.0 / 2050.0, 3.0f64.sqrt()),
        (scaling(0.5, Fan::Out, Uniform), &[50, 400], 0.5 / 400.0, 3.0f64.sqrt()),
        (scaling(3.0, Fan::Out, TruncatedNormal), &[50, 400], 3.0 / 400.0, 2.0 / 0.8796),
        (scaling(3.0, Fan::In, UntruncatedNormal), &[50, 400], 3.0 / 50.0, 6.0),
        (scaling(3.0, Fan::Average, UntruncatedNormal), &[50, 400], 3.0 / 225.0, 6.0),
        (Initializer::torch_linear(), &[50, 400], 1.0 / 150.0, 3.0f64.sqrt()),
    ];
    for (initializer, shape, want, bound) in cases {
        let w = draw(initializer, shape);
        let (mean, variance, largest) = moments(&w);
        let deviation = want.sqrt();
        assert!(mean.abs() < 5.0 * deviation / (w.len() as f64).sqrt(), "{initializer:?}: mean {mean}");
        // relative deviation of a normal's sample variance is sqrt(2 / 20000) = 1 %, of the others less
        assert!((variance / want - 1.0).abs() < 0.05, "{initializer:?} {shape:?}: {variance}, not {want}");
        assert!(largest <= bound * deviation * 1.000_1, "{initializer:?}: {largest}");
        // Each bound is all but reached; a normal of 20,000 passes three deviations.
        assert!(largest > deviation * if bound == 6.0 { 3.0 } else { 0.98 * bound }, "{initializer:?}");
    }
}

#[test]
fn plain_distributions_have_their_moments() {
    let w = draw(Initializer::RandomNormal { mean: 1.0, stddev: 0.5 }, &[20_000]);
    let (mean, variance, _) = moments(&w);
    assert!((mean - 1.0).abs() < 5.0 * 0.5 / 20_000f64.sqrt() && (variance / 0.25 - 1.0).abs() < 0.05);

    let w = draw(Initializer::truncated_normal(1.0, 0.5), &[20_000]);
    let (mean, variance, largest) = moments(&w);
    let want = (0.5 * DEVIATION_OF_CUT_NORMAL).powi(2);
    assert!((mean - 1.0).abs() < 5.0 * 0.5 / 20_000f64.sqrt() && (variance / want - 1.0).abs() < 0.05);
    assert!(largest <= 2.0 && w.iter().all(|&x| x >= 0.0), "past two deviations");

    let w = draw(Initializer::torch_recurrent(16), &[16, 64]);
    let (_, variance, largest) = moments(&w);
    // a uniform's sample variance of 1024 is off by sqrt(0.8 / 1024) = 3 %
    assert!(largest <= 0.25 && (variance / (0.0625 / 3.0) - 1.0).abs() < 0.15);

    assert_eq!(draw(Initializer::identity(3.0), &[2, 3]), [3.0, 0.0, 0.0, 0.0, 3.0, 0.0]);
    assert_eq!(draw(Initializer::Constant(0.5), &[2]), [0.5, 0.5]);
}

#[test]
fn streams_seeds_and_parts_differ_and_repeat() {
    let values = |i: Initializer, part, seed, stream| i.values(&[3, 5], part, seed, stream);
    let a = values(Initializer::GlorotUniform, 0, 1, 0);
    assert_eq!(a, values(Initializer::GlorotUniform, 0, 1, 0));
    assert_ne!(a, values(Initializer::GlorotUniform, 0, 1, 1));
    assert_ne!(a, values(Initializer::GlorotUniform, 0, 2, 0));
    assert_ne!(a, values(Initializer::GlorotUniform, 1, 1, 0));
    let seeded = Initializer::GlorotUniform.seed(7);
    assert_eq!(values(seeded, 0, 1, 0), values(seeded, 0, 2, 5));
    assert_ne!(values(seeded, 0, 1, 0), values(Initializer::GlorotUniform.seed(8), 0, 1, 0));
}

#[test]
fn what_has_no_meaning_is_refused() {
    assert!(Initializer::Orthogonal.check(&[4]).is_err());
    assert!(Initializer::Identity.check(&[2, 2, 2]).is_err());
    assert!(Initializer::variance_scaling(0.0, Fan::In, Distribution::Uniform).check(&[4]).is_err());
    assert!(Initializer::Constant(f32::NAN).check(&[4]).is_err());
}
