//! Losses and metrics within a program: added to running sums on the device, and the losses' gradients.

use super::Model;
use super::compile::Goal;
use super::dataset::Dataset;
use super::lowering::{Lowering, Value};
use super::plan::feed;
use super::targets::TargetShape;
use crate::device::{IndexSlice, Op, Port, Slice};
use crate::train::{Metric, Tally, places};
use crate::{Error, Result};

/// Places of the running sum of a loss: a sum in two parts, and a count in two parts.
pub(super) const PLACES: usize = 4;

/// Where the targets of a batch go in, and the sample weights where there are any.
pub(super) struct TargetPorts {
    pub y: Vec<Port>,
    pub weights: Vec<Option<Port>>,
}

impl Model {
    /// Loss and metrics of each output, added to the running sums; the losses' gradients when training. `weights` says how
    /// many sample weights there are per sample of each output.
    pub(super) fn lower_scores(
        &self,
        l: &mut Lowering<'_>,
        outputs: &[Value],
        weights: &[Option<usize>],
        dataset: Option<&Dataset>,
        training: bool,
    ) -> Result<TargetPorts> {
        let compiled = self.compiled("training")?;
        let mut ports = TargetPorts { y: Vec::new(), weights: Vec::new() };
        let mut sums = compiled.sums.all();
        for (i, (output, goal)) in outputs.iter().zip(&compiled.config.goals).enumerate() {
            let shape = TargetShape::new(&output.shape, goal.loss);
            let source = dataset.and_then(|d| Some((d, d.y.get(i)?.all())));
            let (port, target) = feed(l, &shape.sample(&output.shape), source)?;
            ports.y.push(port);
            let mut given = None;
            if let Some(count) = weights.get(i).copied().flatten() {
                let source = dataset.and_then(|d| Some((d, d.weights.get(i)?.as_ref()?.all())));
                let (port, slice) = feed(l, &[count, 1], source)?;
                given = Some(slice);
                ports.weights.push(Some(port));
            } else {
                ports.weights.push(None);
            }
            Scored::new(l, goal, output, target, given)?.lower(l, sums, training)?;
            let used = goal.sums(*output.shape.last().unwrap_or(&1));
            sums = sums.part(used, sums.len - used);
        }
        Ok(ports)
    }
}

/// One output with what it is compared with.
struct Scored<'g> {
    goal: &'g Goal,
    output: Value,
    target: Slice,
    rows: usize,
    cols: usize,
    /// of each row: in the loss, in the metrics, and in the weighted metrics; none means 1
    loss_weights: Option<Slice>,
    mask_weights: Option<Slice>,
    metric_weights: Option<Slice>,
}

impl<'g> Scored<'g> {
    fn new(
        l: &mut Lowering<'_>,
        goal: &'g Goal,
        output: &Value,
        target: Slice,
        weights: Option<Slice>,
    ) -> Result<Self> {
        let cols = *output.shape.last().unwrap_or(&1);
        let rows = output.data.len / cols;
        let flags = output.mask;
        if flags.is_some_and(|flags| flags.len != rows) {
            let problem =
                format!("a masked output must be [batch, time, values], but a sample is {:?}", output.shape);
            return Err(Error::invalid("masked loss", problem));
        }
        let mut scored = Scored {
            goal,
            output: output.clone(),
            target,
            rows,
            cols,
            loss_weights: None,
            mask_weights: None,
            metric_weights: None,
        };
        let mut valid = None;
        if flags.is_some() {
            let mask = row_weights(l, rows, None, flags, None)?;
            let count = l.buffer(1)?;
            l.emit(Op::SumRows { rows, cols: 1, x: mask, out: count, accumulate: false });
            (scored.mask_weights, valid) = (Some(mask), Some(count));
        }
        if flags.is_some() || weights.is_some() {
            scored.loss_weights = Some(row_weights(l, rows, weights, flags, valid)?);
            scored.metric_weights = match weights {
                Some(_) => Some(row_weights(l, rows, weights, flags, None)?),
                None => scored.mask_weights,
            };
        }
        Ok(scored)
    }

    fn lower(&self, l: &mut Lowering<'_>, sums: Slice, training: bool) -> Result<()> {
        let Scored { goal, ref output, target, rows, cols, .. } = *self;
        // Cross-entropy of a softmax is computed from the softmax's input: exact where probabilities round to 0.
        let (pred, loss) = match (&output.logits, goal.loss.before_softmax()) {
            (Some(logits), Some(loss)) => (logits.as_ref(), loss),
            _ => (output, goal.loss),
        };
        let out = l.buffer(rows)?;
        let (data, weights, score) = (pred.data, self.loss_weights, loss.score());
        l.emit(Op::ScoreForward { score, rows, cols, pred: data, target, weights, out });
        // Each batch counts by its samples, as Keras has it.
        let batch = l.batch() as f32;
        let acc = sums.part(0, PLACES);
        l.emit(Op::Accumulate { rows, cols: 1, x: out, scale: batch / rows as f32, count: Some(batch), acc });
        let plain = goal.metrics.iter().map(|m| (m, self.mask_weights));
        let weighted = goal.weighted_metrics.iter().map(|m| (m, self.metric_weights));
        let mut at = PLACES;
        for (metric, weights) in plain.chain(weighted) {
            let len = metric_places(metric, goal, cols);
            self.lower_metric(l, metric, weights, out, sums.part(at, len))?;
            at += len;
        }
        if !training {
            return Ok(());
        }
        let scale = goal.weight as f32 / rows as f32;
        l.propagate(pred, |l, to| {
            if let Some(dpred) = to {
                l.emit(Op::ScoreBackward { score, rows, cols, pred: data, target, weights, scale, dpred });
            }
        })
    }
}

impl Scored<'_> {
    /// A metric, added to its sums `acc`; `out [rows]` is memory to work in.
    fn lower_metric(
        &self,
        l: &mut Lowering<'_>,
        metric: &Metric,
        weights: Option<Slice>,
        out: Slice,
        acc: Slice,
    ) -> Result<()> {
        let Scored { goal, ref output, target, rows, cols, .. } = *self;
        let pred = output.data;
        let counts = acc.part(acc.len - 2, 2);
        let count = |l: &mut Lowering<'_>, x: Slice| {
            l.emit(Op::Accumulate { rows, cols: 1, x, scale: 1.0, count: None, acc: counts });
        };
        match metric.tally(goal.loss, cols) {
            Tally::Mean(score) => {
                l.emit(Op::ScoreForward { score, rows, cols, pred, target, weights, out });
                let unweighted = weights.is_none().then_some(rows as f32);
                let sum = if weights.is_some() { acc.part(0, 2) } else { acc };
                l.emit(Op::Accumulate { rows, cols: 1, x: out, scale: 1.0, count: unweighted, acc: sum });
                if let Some(weights) = weights {
                    count(l, weights);
                }
            }
            Tally::Thresholds { thresholds, top_k, class } => {
                let acc = acc.part(0, acc.len - 2);
                let pred = match top_k {
                    None => pred,
                    Some(k) => {
                        // The others lie below every threshold but the one that counts all there are.
                        let (fill, y) = (f32::MIN, l.buffer(pred.len)?);
                        l.emit(Op::KeepLargest { k, fill, rows, cols, x: pred, y });
                        y
                    }
                };
                l.emit(Op::ThresholdCounts { thresholds, class, rows, cols, pred, target, weights, acc });
            }
            Tally::Columns(terms) => {
                let acc = acc.part(0, acc.len - 2);
                l.emit(Op::ColumnTerms { terms, rows, cols, pred, target, weights, acc });
                let rows_counted = match weights {
                    Some(weights) => weights,
                    None => row_weights(l, rows, None, None, None)?,
                };
                count(l, rows_counted);
            }
        }
        Ok(())
    }
}

/// Places of a metric's running sums, for outputs of `cols` values.
pub(super) fn metric_places(metric: &Metric, goal: &Goal, cols: usize) -> usize {
    places(metric.tally(goal.loss, cols).sums(cols))
}

/// The weight of each row: of its sample or step, 0 where it is masked, divided by the share of rows that are `valid`.
fn row_weights(
    l: &mut Lowering<'_>,
    rows: usize,
    weights: Option<Slice>,
    flags: Option<IndexSlice>,
    valid: Option<Slice>,
) -> Result<Slice> {
    let out = l.buffer(rows)?;
    l.emit(Op::RowWeights { weights, flags, valid, out });
    Ok(out)
}
