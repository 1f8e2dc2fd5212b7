//! The device memory of a training, known before it runs, and training within a budget: with the time axis in segments that
//! are computed again when their gradient is due.

use super::Model;
use super::dataset::Dataset;
use super::lowering::{LaidOut, StateSlices};
use super::plan::{Key, Ports, Purpose};
use super::stages::Stage;
use super::window::Reach;
use crate::device::{Buffer, DeviceKind};
use crate::{Error, Result};

/// Bytes of device memory that training takes: [`Model::memory_need`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryNeed {
    /// the weights
    pub weights: u64,
    /// a gradient for each weight
    pub gradients: u64,
    /// what the optimizer keeps
    pub optimizer: u64,
    /// a step's values, gradients and intermediate results
    pub step: u64,
    /// the same with the time axis in so many segments that are computed twice: the number and the bytes, where the model
    /// can go through time in parts. More segments need less, down to a smallest need.
    pub recomputed: Vec<(usize, u64)>,
}

impl MemoryNeed {
    /// All of it, with nothing computed twice.
    pub fn total(&self) -> u64 {
        self.fixed() + self.step
    }

    /// The least that training can do with.
    pub fn smallest(&self) -> u64 {
        self.fixed()
            + self.recomputed.iter().map(|r| r.1).min().map_or(self.step, |least| least.min(self.step))
    }

    /// The fewest segments that a budget allows; `None` where it is too small.
    pub fn segments(&self, budget: u64) -> Option<usize> {
        if self.total() <= budget {
            return Some(1);
        }
        let fits = |&&(_, bytes): &&(usize, u64)| self.fixed() + bytes <= budget;
        self.recomputed.iter().find(fits).map(|&(segments, _)| segments)
    }

    fn fixed(&self) -> u64 {
        self.weights + self.gradients + self.optimizer
    }
}

impl std::fmt::Display for MemoryNeed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "training needs {}: weights {}, gradients {}, optimizer {}, a step {}",
            size(self.total()),
            size(self.weights),
            size(self.gradients),
            size(self.optimizer),
            size(self.step)
        )?;
        match self.recomputed.iter().min_by_key(|r| r.1) {
            Some(&(segments, bytes)) if bytes < self.step => {
                write!(f, "; {} with {segments} segments of time computed twice", size(self.fixed() + bytes))
            }
            _ => Ok(()),
        }
    }
}

/// Bytes as a person reads them.
fn size(bytes: u64) -> String {
    match bytes {
        0..10_240 => format!("{bytes} B"),
        10_240..10_485_760 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        10_485_760..10_737_418_240 => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
        _ => format!("{:.1} GiB", bytes as f64 / 1_073_741_824.0),
    }
}

/// Numbers of segments worth trying for `time` steps: about half as many again each time.
fn counts(time: usize) -> impl Iterator<Item = usize> {
    let next = |&n: &usize| Some(n.div_ceil(2) + n);
    std::iter::successors(Some(2), next).take_while(move |&n| n <= time.div_ceil(4))
}

/// Steps of the longest time axis that can be cut.
fn longest(stages: &[Stage]) -> usize {
    stages.iter().filter_map(|stage| stage.time).max().unwrap_or(0)
}

impl Model {
    /// Bytes of device memory that a training step on `batch` samples of `time` steps takes, found without taking them.
    /// Data sets, and what a driver keeps for itself, come on top.
    ///
    /// ```
    /// # use rnn_model::{Adam, Device, Input, Loss, Sequential, layer::{Dense, Lstm}};
    /// let mut model = Sequential::new(Input::sequence(None, 1))
    ///     .layer(Lstm::new(32).return_sequences(true)).layer(Dense::new(1)).build(&Device::cpu())?;
    /// model.compile(Adam::new(), Loss::MeanSquaredError, &[])?;
    /// let need = model.memory_need(16, 1000)?;
    /// assert!(need.smallest() < need.total() / 4);
    /// # Ok::<(), rnn_model::Error>(())
    /// ```
    ///
    /// # Errors
    /// When the model is not compiled, or does not take sequences of `time` steps.
    pub fn memory_need(&self, batch: usize, time: usize) -> Result<MemoryNeed> {
        let sample = |shape: Vec<Option<usize>>| shape.into_iter().map(|n| n.unwrap_or(time)).collect();
        let samples: Vec<Vec<usize>> = self.graph.input_shapes().into_iter().map(sample).collect();
        let samples: Vec<&[usize]> = samples.iter().map(Vec::as_slice).collect();
        self.memory_need_for(batch, &samples)
    }

    /// As [`memory_need`](Self::memory_need), for inputs whose samples have these shapes.
    ///
    /// # Errors
    /// As `memory_need`.
    pub fn memory_need_for(&self, batch: usize, samples: &[&[usize]]) -> Result<MemoryNeed> {
        let training = self.compiled("memory_need")?;
        let given: Vec<Vec<usize>> = samples.iter().map(|sample| [&[batch], *sample].concat()).collect();
        if batch == 0 {
            return Err(Error::invalid("memory_need", "batch must be at least 1"));
        }
        let given: Vec<&[usize]> = given.iter().map(Vec::as_slice).collect();
        let samples = self.check_shapes("memory_need", &given)?;
        self.concrete_outputs(&samples)?;
        let weights = vec![None; self.graph.outputs.len()];
        let key =
            Key { purpose: Purpose::Train, batch, samples, weights, window: Reach::default(), dataset: None };
        let bytes = |segments: usize| -> Result<u64> {
            Ok(self.step_bytes(&self.lower(&key, None, &StateSlices::new(), segments)?.0))
        };
        let mut recomputed = Vec::new();
        if let Ok(stages) = self.stages(&key.samples) {
            for segments in counts(longest(&stages)) {
                // A cell of one's own can refuse parts of the time axis.
                let Ok(bytes) = bytes(segments) else { break };
                recomputed.push((segments, bytes));
            }
        }
        let value = self.value_bytes();
        let len = |buffer: &Buffer| buffer.all().len as u64 * value;
        Ok(MemoryNeed {
            weights: len(&self.params),
            gradients: self.grads.as_ref().map_or(0, len),
            optimizer: training.slots.iter().flatten().map(len).sum(),
            step: bytes(1)?,
            recomputed,
        })
    }

    /// Bytes of device memory that weights, gradients, optimizer and a training step, or weights and a prediction, may take
    /// together; `None` for any number. Where a step needs more, the time axis is cut into the fewest segments that fit: a forward pass keeps the states
    /// between them, and each is computed again when its gradient is due. The results are the same up to rounding, dropout
    /// included; the time is about a third more. Layers that need whole sequences (Bidirectional, Flatten, poolings) are run at
    /// once between those that go along time in parts. A prediction goes from chunk to chunk of time.
    pub fn set_memory_budget(&mut self, bytes: Option<u64>) {
        if self.memory_budget != bytes {
            self.memory_budget = bytes;
            self.plans.clear();
        }
    }

    /// What [`set_memory_budget`](Self::set_memory_budget) was told.
    pub fn memory_budget(&self) -> Option<u64> {
        self.memory_budget
    }

    /// The operations of a training step that fits the budget.
    pub(super) fn lower_within(
        &self,
        budget: u64,
        key: &Key,
        dataset: Option<&Dataset>,
        states: &StateSlices,
    ) -> Result<(LaidOut<'_>, Ports)> {
        let training = self.compiled("memory_budget")?;
        let fixed = [Some(&*self.params), self.grads.as_ref()]
            .into_iter()
            .chain(training.slots.each_ref().map(Option::as_ref));
        let fixed: u64 = fixed.flatten().map(|b| b.all().len as u64 * self.value_bytes()).sum();
        let whole = self.lower(key, dataset, states, 1)?;
        let need = fixed + self.step_bytes(&whole.0);
        if need <= budget {
            return Ok(whole);
        }
        drop(whole);
        let refuse = |problem: String| {
            let problem =
                format!("{} are not enough: this training needs {} {problem}", size(budget), size(need));
            Err(Error::invalid("memory_budget", problem))
        };
        if key.window.batches > 0 {
            return refuse("with gradients through several batches; use fewer or smaller batches".into());
        }
        let stages = match self.stages(&key.samples) {
            Ok(stages) => stages,
            Err(Error::Invalid { what, problem }) => {
                return refuse(format!(
                    "and can not be cut along time ({what}: {problem}); use smaller batches or shorter sequences"
                ));
            }
            Err(error) => return Err(error),
        };
        let mut least = need;
        for segments in counts(longest(&stages)) {
            let lowered = self.lower(key, dataset, states, segments)?;
            let need = fixed + self.step_bytes(&lowered.0);
            if need <= budget {
                return Ok(lowered);
            }
            least = least.min(need);
        }
        let whole = match self.runs_at_once(&key.samples)? {
            Some(layer) => format!(", but for layer {layer}, which needs whole sequences"),
            None => String::new(),
        };
        refuse(format!(
            "at once and {} with the time axis in segments{whole}; use smaller batches",
            size(least)
        ))
    }

    pub(super) fn step_bytes(&self, program: &LaidOut<'_>) -> u64 {
        (program.len() + program.scratch()) as u64 * self.value_bytes()
    }

    /// Bytes of the weights.
    pub(super) fn weight_bytes(&self) -> u64 {
        self.params.all().len as u64 * self.value_bytes()
    }

    fn value_bytes(&self) -> u64 {
        if self.device.kind() == DeviceKind::Reference { 8 } else { 4 }
    }
}
