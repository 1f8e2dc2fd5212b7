//! Losses and metrics within a program: added to running sums on the device, and the losses' gradients.

use super::Model;
use super::compile::Goal;
use super::dataset::Dataset;
use super::lowering::{Lowering, Value};
use super::plan::feed;
use super::targets::TargetShape;
use crate::device::{IndexSlice, Op, Port, Slice};
use crate::train::Loss;
use crate::{Error, Result};

/// Places of the running sums of a loss or metric: a sum in two parts, and a count in two parts.
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
            let used = goal.sums();
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
        let (pred, loss) = match (&output.logits, goal.loss) {
            (Some(logits), Loss::CategoricalCrossentropy { from_logits: false }) => {
                (logits.as_ref(), Loss::CategoricalCrossentropy { from_logits: true })
            }
            (Some(logits), Loss::SparseCategoricalCrossentropy { from_logits: false }) => {
                (logits.as_ref(), Loss::SparseCategoricalCrossentropy { from_logits: true })
            }
            (_, loss) => (output, loss),
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
        for (i, (metric, weights)) in plain.chain(weighted).enumerate() {
            let score = metric.score(goal.loss, cols);
            l.emit(Op::ScoreForward { score, rows, cols, pred: output.data, target, weights, out });
            let acc = sums.part(PLACES * (1 + i), PLACES);
            match weights {
                None => {
                    let count = Some(rows as f32);
                    l.emit(Op::Accumulate { rows, cols: 1, x: out, scale: 1.0, count, acc });
                }
                Some(weights) => {
                    for (x, at) in [(out, 0), (weights, 2)] {
                        let acc = acc.part(at, 2);
                        l.emit(Op::Accumulate { rows, cols: 1, x, scale: 1.0, count: None, acc });
                    }
                }
            }
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
