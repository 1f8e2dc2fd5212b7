//! Gradients that go back through the last batches of a stateful training.
//!
//! A stateful layer starts each batch from the states that the batch before left. Training cuts the gradient there:
//! truncated back-propagation (Williams and Peng 1990), where a batch's loss teaches its own steps alone. With a window of
//! `k` batches, the update for batch `n` follows the exact gradient of
//!
//! `L_n(w)`: the loss of batch `n` alone, of the run over batches `n - k + 1 .. n` with the weights `w` as they are now, from
//! the states in which batch `n - k` left the layers,
//!
//! which is what one gets from the `k` batches joined along time, with targets for the last one. The older batches are run
//! again with today's weights; the states after the oldest one, from the last time that it was run, are where the next window
//! starts. Until `k` batches have been seen since the states were last set or reset, the window is all of them.

use super::graph::Edge;
use super::lowering::{Lowering, Made, StateSlices, Value};
use super::scores::TargetPorts;
use super::segments::Segments;
use super::stages::Stage;
use super::state::StateSet;
use super::{Model, dataset::Dataset, plan::Purpose};
use crate::device::{Buffer, Op};
use crate::layer::Layer;
use crate::{Error, Result};
use rnn_shaders::vocabulary::StepParams;

/// The batches that one program goes back through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Reach {
    /// that of the loss among them; 0 where every batch is alone
    pub batches: usize,
    /// the window was full: the oldest batch leaves it
    pub shifts: bool,
}

/// The last batches of a training.
#[derive(Default)]
pub(super) struct Window {
    limit: usize,
    count: usize,
    memory: Option<Memory>,
}

struct Memory {
    batch: usize,
    /// shape of one sample of each input
    samples: Vec<Vec<usize>>,
    /// `[limit * time, batch, ...]` of each input
    x: Vec<Buffer>,
    /// states before the oldest batch
    start: StateSet,
}

impl Window {
    /// What the next step goes back through.
    pub fn reach(&self) -> Reach {
        match self.limit {
            0 | 1 => Reach::default(),
            limit => Reach { batches: (self.count + 1).min(limit), shifts: self.count >= limit },
        }
    }

    /// Steps that a program for `reach` fits, from now on.
    fn alike(&self) -> usize {
        let Reach { batches, shifts } = self.reach();
        if batches == 0 || shifts { usize::MAX } else { 1 }
    }

    pub fn ran(&mut self, steps: usize) {
        self.count = self.count.saturating_add(steps).min(self.limit);
    }

    /// The states have come from elsewhere than the last batch.
    pub fn forget(&mut self) {
        self.count = 0;
    }

    pub fn count(&self) -> usize {
        self.count
    }

    /// Back to where a run beside the training has interrupted it.
    pub fn resume(&mut self, count: usize) {
        self.count = count;
    }

    pub fn limit(&self) -> usize {
        self.limit.max(1)
    }
}

impl Model {
    /// The update for a batch follows the gradient through the last `batches` batches of the stateful layers; 1 is what
    /// stateful training does by itself: the gradient stops at the start of the batch. What the gradient is of, exactly: the
    /// loss of this batch alone, after running the last `batches` batches with the present weights from the states in which
    /// the batch before them left the layers. Dropout is drawn anew for all of them. It costs the time of `batches` batches and
    /// as many forward passes again, and the memory of one.
    ///
    /// # Errors
    /// When no layer is stateful, a layer needs whole sequences, or `batches` is 0.
    pub fn set_backprop_batches(&mut self, batches: usize) -> Result<()> {
        if batches == 0 {
            return Err(Error::invalid("backprop_batches", "must be at least 1"));
        }
        if batches > 1 {
            if !self.is_stateful() {
                let problem =
                    "no layer of this model is stateful, so batches have nothing to do with each other";
                return Err(Error::invalid("backprop_batches", problem));
            }
            self.check_steps("backprop_batches")?;
        }
        if batches != self.window.limit() {
            self.window = Window { limit: batches, ..Window::default() };
            self.plans.clear();
        }
        Ok(())
    }

    /// Makes room for the batches of the window, if there is one.
    pub(super) fn prepare_window(&mut self, batch: usize, samples: &[Vec<usize>]) -> Result<()> {
        if self.window.limit() == 1 {
            return Ok(());
        }
        if self.window.memory.as_ref().is_some_and(|m| m.batch == batch && m.samples == samples) {
            return Ok(());
        }
        if samples.len() > self.graph.inputs.len() {
            let problem = "resets within a batch do not go together with gradients through several batches";
            return Err(Error::invalid("backprop_batches", problem));
        }
        if let Some(other) = samples.iter().find(|s| s[0] != samples[0][0]) {
            let expected = format!("{} steps, as many as the first input has", samples[0][0]);
            return Err(Error::shape("x", expected, other.as_slice()));
        }
        let len = |sample: &Vec<usize>| self.window.limit * batch * sample.iter().product::<usize>();
        let x = samples.iter().map(|s| self.device.alloc(len(s))).collect::<Result<_>>()?;
        let start = StateSet::zeros(&self.device, batch, &self.parts, |part| part.stateful)?;
        self.window.memory = Some(Memory { batch, samples: samples.to_vec(), x, start });
        self.window.forget();
        self.plans.clear();
        Ok(())
    }

    /// Training steps on batches of a data set.
    pub(super) fn run_training(
        &mut self,
        batch: usize,
        dataset: &Dataset,
        weights: &[Option<usize>],
        mut steps: &[StepParams],
    ) -> Result<()> {
        while !steps.is_empty() {
            let plan = self.plan(Purpose::Train, batch, &dataset.shapes, weights, Some(dataset))?;
            let (now, later) = steps.split_at(self.window.alike().min(steps.len()));
            self.device.run(&plan.program, now)?;
            self.steps_ran(now.len());
            steps = later;
        }
        Ok(())
    }

    /// So many training steps have been run.
    pub(super) fn steps_ran(&mut self, steps: usize) {
        self.states_are_fresh = false;
        self.window.ran(steps);
    }

    /// The training step on the batches of the window; `states` are the resident ones.
    pub(super) fn lower_window(
        &self,
        l: &mut Lowering<'_>,
        inputs: &[Value],
        samples: &[Vec<usize>],
        reach: Reach,
        states: &StateSlices,
        scores: impl FnOnce(&mut Lowering<'_>, &[Value]) -> Result<TargetPorts>,
    ) -> Result<TargetPorts> {
        let memory = self.window.memory.as_ref().expect("made before the program");
        let (limit, batches) = (self.window.limit, reach.batches);
        let mut joined = Vec::new();
        for (x, kept) in inputs.iter().zip(&memory.x) {
            let (n, whole) = (x.data.len, kept.all());
            if reach.shifts {
                let later = l.buffer((limit - 1) * n)?;
                l.emit(Op::Copy { x: whole.part(n, later.len), y: later });
                l.emit(Op::Copy { x: later, y: whole.part(0, later.len) });
            }
            l.emit(Op::Copy { x: x.data, y: whole.part((batches - 1) * n, n) });
            let mut shape = x.shape.clone();
            shape[0] *= batches;
            joined.push(l.input(whole.part(0, batches * n), shape, false));
        }
        let start = memory.start.slices();
        let copy = |l: &mut Lowering<'_>, from: &StateSlices, to: &StateSlices| {
            for part in memory.start.parts() {
                from[&part].iter().zip(&to[&part]).for_each(|(&x, &y)| l.emit(Op::Copy { x, y }));
            }
        };
        if batches == 1 {
            copy(l, states, &start);
        }
        let steps = vec![inputs[0].shape[0]; batches];
        let segments = Segments { steps, scored: batches - 1, batches: true };
        let (along, calls) = (self.along(samples)?, (0..self.graph.calls.len()).collect());
        let stage = Stage { calls, time: Some(samples[0][0]), outputs: self.graph.outputs.clone() };
        let mut made: Made = joined.into_iter().enumerate().map(|(i, x)| (Edge::Input(i), x)).collect();
        let mut walk = self.walk(&stage, segments, &along);
        self.walk_forward(l, &mut walk, &mut made, &start, &StateSlices::new(), &along)?;
        let outputs: Vec<Value> = self.graph.outputs.iter().map(|edge| made[edge].clone()).collect();
        let ports = scores(l, &outputs)?;
        self.walk_backward(l, &walk, &made, &StateSlices::new())?;
        copy(l, &walk.states(batches), states);
        if batches == limit {
            copy(l, &walk.states(1), &start);
        }
        Ok(ports)
    }

    /// Refuses a model that can not go on from batch to batch.
    fn check_steps(&self, operation: &str) -> Result<()> {
        let refuse =
            |layer: &str, problem: &str| Err(Error::invalid(format!("{operation}: layer {layer}"), problem));
        if let Some(node) = self.nodes.iter().find(|n| !n.layer.kind().is_stepwise()) {
            return refuse(
                &node.name,
                "it needs whole sequences, so the model can not go through time in parts",
            );
        }
        for (at, layer) in self.graph.layers.iter().enumerate() {
            if matches!(layer.layer, Layer::ActivityRegularization(_)) {
                let problem =
                    "its penalty belongs to one batch, and would be counted for all batches of the window";
                return refuse(&layer.name, problem);
            }
            let mut calls = self.graph.calls.iter().filter(|c| c.layer == at);
            let first = calls.next().map_or(0, |c| c.inputs.len());
            if self.parts.iter().any(|p| p.layer == at) && (first > 1 || calls.next().is_some()) {
                let problem =
                    "it is given its states by another layer, or is used twice, so they can not be handed on";
                return refuse(&layer.name, problem);
            }
        }
        match self.graph.inputs.iter().find(|i| i.input.sample.len() < 2) {
            Some(input) => refuse(&input.name, "this input has no time axis"),
            None => Ok(()),
        }
    }
}
