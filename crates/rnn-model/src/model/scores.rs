//! Losses and metrics within a program: added to running sums on the device, and the losses' gradients.

use super::Model;
use super::compile::Goal;
use super::dataset::{Dataset, TargetShape};
use super::lowering::{Lowering, Value};
use super::plan::feed;
use crate::Result;
use crate::device::{Op, Port, Slice};
use crate::train::Loss;

impl Model {
    /// Loss and metrics of each output, added to the running sums; the losses' gradients when training. Gives where the
    /// targets of a batch go in.
    pub(super) fn lower_scores(
        &self,
        l: &mut Lowering<'_>,
        outputs: &[Value],
        dataset: Option<&Dataset>,
        training: bool,
    ) -> Result<Vec<Port>> {
        let compiled = self.compiled("training")?;
        let mut ports = Vec::new();
        let mut sums = compiled.sums.all();
        for (i, (output, goal)) in outputs.iter().zip(&compiled.config.goals).enumerate() {
            let target = TargetShape::new(&output.shape, goal.loss);
            let source = dataset.and_then(|d| Some((d, d.y.get(i)?.all())));
            let (port, target) = feed(l, &target.sample(&output.shape), source)?;
            lower_goal(l, goal, output, target, sums, training)?;
            let used = goal.sums();
            sums = sums.part(used, sums.len - used);
            ports.push(port);
        }
        Ok(ports)
    }
}

/// One output's loss and metrics.
fn lower_goal(
    l: &mut Lowering<'_>,
    goal: &Goal,
    output: &Value,
    target: Slice,
    sums: Slice,
    training: bool,
) -> Result<()> {
    let classes = *output.shape.last().unwrap_or(&1);
    let rows = output.data.len / classes;
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
    let scores = l.buffer(rows)?;
    let metrics = goal.metrics.iter().map(|m| (output.data, m.score(goal.loss, classes)));
    for (i, (pred, score)) in std::iter::once((pred.data, loss.score())).chain(metrics).enumerate() {
        l.emit(Op::ScoreForward { score, rows, cols: classes, pred, target, weights: None, out: scores });
        l.emit(Op::AccumulateMean { x: scores, acc: sums.part(2 * i, 2) });
    }
    if !training {
        return Ok(());
    }
    let (data, scale, score) = (pred.data, goal.weight as f32 / rows as f32, loss.score());
    l.propagate(pred, |l, to| {
        if let Some(dpred) = to {
            let (cols, pred) = (classes, data);
            l.emit(Op::ScoreBackward { score, rows, cols, pred, target, weights: None, scale, dpred });
        }
    })
}
