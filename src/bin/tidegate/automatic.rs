//! The transform that `tidegate train` takes by itself.

use ndarray::{Array2, Axis};
use rnn_model::series::{SeriesTransform, TransformStep};

/// A logarithm where a positive series grows to several times its size, then the difference (to the row before, to a
/// season before, or none) that leaves the least spread, then unit scale. Looks at the training part alone.
pub fn transform(train: &Array2<f64>, season: Option<usize>) -> Vec<TransformStep> {
    let low = train.iter().copied().fold(f64::INFINITY, f64::min);
    let high = train.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let mut steps = Vec::new();
    if low > 0.0 && high >= GROWTH * low {
        steps.push(TransformStep::Log);
    }
    // Differences to a season before need several seasons to learn from.
    let season = season.filter(|period| *period > 1 && train.nrows() >= 4 * period);
    let lags = [Some(1), season].into_iter().flatten().map(|lag| TransformStep::Difference { lag });
    let candidates = std::iter::once(None).chain(lags.map(Some));
    let with =
        |difference: &Option<TransformStep>| steps.iter().copied().chain(*difference).collect::<Vec<_>>();
    let plain = spread(train, &with(&None));
    let best = candidates
        .map(|difference| (with(&difference), relative(&spread(train, &with(&difference)), &plain)))
        .min_by(|(_, a), (_, b)| a.total_cmp(b));
    let mut steps = best.map_or(steps, |(steps, _)| steps);
    steps.push(TransformStep::Standard);
    steps
}

/// How many times its least value a series has to reach for a logarithm.
const GROWTH: f64 = 3.0;

/// Standard deviation of each column after the steps; infinite where they do not work.
fn spread(train: &Array2<f64>, steps: &[TransformStep]) -> Vec<f64> {
    let applied = SeriesTransform::fit(steps, train).and_then(|transform| transform.apply(train));
    match applied {
        Ok(values) => values.std_axis(Axis(0), 0.0).to_vec(),
        Err(_) => vec![f64::INFINITY; train.ncols()],
    }
}

/// Mean of the columns' ratios; a constant column counts as unchanged.
fn relative(spread: &[f64], plain: &[f64]) -> f64 {
    let ratios = spread.iter().zip(plain).map(|(a, b)| if *b > 0.0 { a / b } else { 1.0 });
    ratios.sum::<f64>() / plain.len().max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use TransformStep::{Difference, Log, Standard};

    fn column(f: impl Fn(f64) -> f64) -> Array2<f64> {
        Array2::from_shape_fn((144, 1), |(t, _)| f(t as f64))
    }

    #[test]
    fn each_kind_of_series_gets_its_transform() {
        let season = |t: f64| (t * std::f64::consts::TAU / 12.0).sin();
        // Multiples of the golden ratio: evenly spread, neighbours far apart.
        let noise = |t: f64| (t * 0.618_034).fract() - 0.5;
        let growing = column(|t| 100.0 * 1.01_f64.powf(t) * (1.0 + 0.3 * season(t)));
        assert_eq!(transform(&growing, Some(12)), [Log, Difference { lag: 12 }, Standard]);
        assert_eq!(
            transform(&column(|t| 50.0 + 0.1 * t + 0.05 * noise(t)), None),
            [Difference { lag: 1 }, Standard]
        );
        assert_eq!(transform(&column(noise), None), [Standard]);
        assert_eq!(transform(&column(|_| 3.0), Some(12)), [Standard]);
        // Two seasons are too few for differences between seasons.
        let short = growing.slice(ndarray::s![..24, ..]).to_owned();
        assert!(!transform(&short, Some(12)).contains(&Difference { lag: 12 }));
    }
}
