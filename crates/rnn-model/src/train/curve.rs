//! Metrics over thresholds: precision, recall, and areas under curves, as Keras computes them.

use super::metric::Curve;
use std::sync::Arc;

/// Thresholds of an area: `count` of them evenly from 0 to 1, the first below and the last above every prediction. Logits are
/// compared with the logits of the thresholds.
pub(super) fn thresholds(count: u32, from_logits: bool) -> Arc<[f32]> {
    let last = count.saturating_sub(1);
    (0..count)
        .map(|i| match i {
            0 => f32::NEG_INFINITY,
            i if i == last => f32::INFINITY,
            i => {
                let share = f64::from(i) / f64::from(last);
                if from_logits { (share / (1.0 - share)).ln() as f32 } else { share as f32 }
            }
        })
        .collect()
}

/// How many positives and negatives lie above each of some thresholds, the first of which is below everything.
pub(super) struct Confusion {
    true_positives: Vec<f64>,
    false_positives: Vec<f64>,
}

impl Confusion {
    /// From how many lie above each threshold and not above the next: positives, then negatives.
    pub fn of(sums: &[f64]) -> Self {
        let (positives, negatives) = sums.split_at(sums.len() / 2);
        Confusion { true_positives: from_each_on(positives), false_positives: from_each_on(negatives) }
    }

    fn positives(&self) -> f64 {
        self.true_positives[0]
    }

    fn negatives(&self) -> f64 {
        self.false_positives[0]
    }

    /// Of what lies above threshold `t`, the share of positives; 0 where nothing does.
    pub fn precision(&self, t: usize) -> f64 {
        ratio(self.true_positives[t], self.true_positives[t] + self.false_positives[t])
    }

    /// The share of positives above threshold `t`.
    pub fn recall(&self, t: usize) -> f64 {
        ratio(self.true_positives[t], self.positives())
    }

    fn false_positive_rate(&self, t: usize) -> f64 {
        ratio(self.false_positives[t], self.negatives())
    }
}

/// The area under the curve.
pub(super) fn auc(curve: Curve, counts: &Confusion) -> f64 {
    let pairs = 0..counts.true_positives.len().saturating_sub(1);
    match curve {
        Curve::Roc => pairs
            .map(|t| {
                let width = counts.false_positive_rate(t) - counts.false_positive_rate(t + 1);
                width * (counts.recall(t) + counts.recall(t + 1)) / 2.0
            })
            .sum(),
        Curve::Pr => pairs.map(|t| pr_step(counts, t)).sum(),
    }
}

/// The area between two points of the precision-recall curve, precision interpolated as Davis and Goadrich 2006 do.
fn pr_step(counts: &Confusion, t: usize) -> f64 {
    let tp = |t: usize| counts.true_positives[t];
    let predicted = |t: usize| tp(t) + counts.false_positives[t];
    let (step, step_predicted) = (tp(t) - tp(t + 1), predicted(t) - predicted(t + 1));
    let slope = ratio(step, step_predicted.max(0.0));
    let intercept = tp(t + 1) - slope * predicted(t + 1);
    let both = predicted(t) > 0.0 && predicted(t + 1) > 0.0;
    let growth = if both { predicted(t) / predicted(t + 1) } else { 1.0 };
    ratio(slope * (step + intercept * growth.ln()), counts.positives().max(0.0))
}

/// The sum of the values from each place on.
fn from_each_on(values: &[f64]) -> Vec<f64> {
    let mut sums: Vec<f64> = values
        .iter()
        .rev()
        .scan(0.0, |sum, value| {
            *sum += value;
            Some(*sum)
        })
        .collect();
    sums.reverse();
    sums
}

/// `a / b`, or 0 where `b` is 0.
fn ratio(a: f64, b: f64) -> f64 {
    if b == 0.0 { 0.0 } else { a / b }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Four predictions .1 .4 .6 .9, the second and the last positive; Keras's documentation has 0.75 for such.
    #[test]
    fn areas_by_hand() {
        let predictions = [(0.1, false), (0.4, true), (0.6, false), (0.9, true)];
        let thresholds = thresholds(200, false);
        let mut sums = vec![0.0; 400];
        for (p, positive) in predictions {
            let below = thresholds.partition_point(|&t| p > t);
            sums[below - 1 + if positive { 0 } else { 200 }] += 1.0;
        }
        let counts = Confusion::of(&sums);
        assert!((auc(Curve::Roc, &counts) - 0.75).abs() < 1e-12);
        assert_eq!((counts.precision(100), counts.recall(100)), (0.5, 0.5));
        assert_eq!((counts.precision(199), counts.recall(0)), (0.0, 1.0));
    }

    #[test]
    fn logits_have_the_logits_of_the_thresholds() {
        let (plain, logits) = (thresholds(5, false), thresholds(5, true));
        assert_eq!(plain[1..4], [0.25, 0.5, 0.75]);
        for (p, x) in plain.iter().zip(logits.iter()).take(4).skip(1) {
            assert!((1.0 / (1.0 + (-x).exp()) - p).abs() < 1e-6);
        }
    }
}
