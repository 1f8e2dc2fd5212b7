//! How the values of a weight are spread, as TensorBoard's histograms show it.

/// Intervals of a histogram, TensorBoard's default.
const BUCKETS: usize = 30;

/// `[left, right, count]` of equal intervals between the smallest and the largest value. Where all are the same, all intervals
/// are that value and the last one counts them. Values that are not finite are left out; no rows where nothing is left.
pub(super) fn buckets(values: &[f32]) -> Vec<[f64; 3]> {
    let finite = || values.iter().map(|&x| f64::from(x)).filter(|x| x.is_finite());
    let (low, high) = finite().fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)));
    if low > high {
        return Vec::new();
    }
    let width = (high - low) / BUCKETS as f64;
    let edge = |i: usize| if i == BUCKETS { high } else { low + width * i as f64 };
    let mut rows: Vec<[f64; 3]> = (0..BUCKETS).map(|i| [edge(i), edge(i + 1), 0.0]).collect();
    for x in finite() {
        let at = if width > 0.0 { ((x - low) / width) as usize } else { BUCKETS };
        rows[at.min(BUCKETS - 1)][2] += 1.0;
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By `tensorboard.plugins.histogram.summary_v2.histogram_pb`: the upper edge belongs to the last interval.
    #[test]
    fn intervals_are_equal_and_count_every_value() {
        let values: Vec<f32> = (0..=60).map(|i| i as f32).collect();
        let rows = buckets(&values);
        assert_eq!(rows.len(), 30);
        assert_eq!((rows[0], rows[1], rows[29]), ([0.0, 2.0, 2.0], [2.0, 4.0, 2.0], [58.0, 60.0, 3.0]));
        let rows = buckets(&[0.5; 7]);
        assert_eq!((rows[0], rows[29]), ([0.5, 0.5, 0.0], [0.5, 0.5, 7.0]));
        assert_eq!(buckets(&[f32::NAN, 1.0, f32::INFINITY])[29], [1.0, 1.0, 1.0]);
        assert!(buckets(&[f32::NAN]).is_empty() && buckets(&[]).is_empty());
    }
}
