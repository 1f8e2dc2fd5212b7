//! Which layers can go through time together in parts, and which need whole sequences: a graph as a list of stages.
//!
//! A layer that treats each step alike hands every step on as soon as it is made, so a chain of such layers can take one part
//! of the time axis after the other. What needs more than that ends a stage: a last output or state that another layer
//! starts from (a decoder behind its encoder), a vector, or a layer that looks at the whole sequence (Bidirectional, Flatten,
//! poolings, attention by Dot), which is run at once.

use super::Model;
use super::graph::Edge;
use crate::layer::{Layer, SampleShape};
use crate::{Error, Result};
use std::collections::HashSet;

/// Calls that are run together.
#[derive(Debug)]
pub(super) struct Stage {
    /// in an order in which each needs only those before it
    pub calls: Vec<usize>,
    /// steps of the time axis that they go along in parts; `None` where they are run at once
    pub time: Option<usize>,
    /// what later stages, or the caller, take
    pub outputs: Vec<Edge>,
}

/// A graph seen along time.
pub(super) struct Along<'m> {
    model: &'m Model,
    /// shapes of one sample of the inputs, and of the outputs of all calls
    inputs: Vec<SampleShape>,
    shapes: Vec<Vec<SampleShape>>,
    /// by call: goes along time in parts
    parts: Vec<bool>,
}

impl<'m> Along<'m> {
    /// For inputs of these shapes.
    pub fn new(model: &'m Model, samples: &[Vec<usize>]) -> Result<Self> {
        let given = samples.iter().take(model.graph.inputs.len());
        let inputs: Vec<SampleShape> = given.map(|s| s.iter().map(|&n| Some(n)).collect()).collect();
        let shapes = model.graph.shapes(&inputs)?;
        let mut along = Along { model, inputs, shapes, parts: Vec::new() };
        along.parts = (0..model.graph.calls.len()).map(|call| along.problem(call).is_none()).collect();
        Ok(along)
    }

    fn shape(&self, edge: &Edge) -> &SampleShape {
        match *edge {
            Edge::Input(i) => &self.inputs[i],
            Edge::Output { call, output } => &self.shapes[call][output],
        }
    }

    /// Steps of a value that has any.
    pub fn time(&self, edge: &Edge) -> Option<usize> {
        let shape = self.shape(edge);
        let steps = shape.len() >= 2 || matches!(edge, Edge::Input(i) if self.tokens(*i));
        if steps { shape[0] } else { None }
    }

    /// Whether a call gives a value with steps.
    pub fn makes_time(&self, call: usize) -> bool {
        self.shapes[call].iter().any(|shape| shape.len() >= 2)
    }

    /// An input `[time]` of numbers of words or series.
    fn tokens(&self, input: usize) -> bool {
        let graph = &self.model.graph;
        let mut uses = graph.calls.iter().filter(|c| c.inputs.contains(&Edge::Input(input))).map(|c| {
            let layer = &graph.layers[c.layer].layer;
            match layer {
                Layer::Embedding(_) => true,
                Layer::Packed(_) => c.inputs[0] != Edge::Input(input),
                _ => false,
            }
        });
        self.inputs[input].len() == 1 && uses.next() == Some(true) && uses.all(|tokens| tokens)
    }

    /// Why a call can not go along time in parts.
    pub fn problem(&self, index: usize) -> Option<&'static str> {
        let graph = &self.model.graph;
        let call = &graph.calls[index];
        let layer = &graph.layers[call.layer].layer;
        if !layer.kind().goes_in_parts() {
            return Some("needs whole sequences");
        }
        let Some(time) = self.time(&call.inputs[0]) else { return Some("is not applied to a sequence") };
        let mut others = call.inputs[1..].iter().filter_map(|edge| self.time(edge));
        if others.any(|other| other != time) {
            return Some("is applied to sequences of different lengths");
        }
        // The first step of a part belongs to the series before or not: all numbers must be there.
        let made = matches!(call.inputs.get(1), Some(Edge::Output { .. }));
        (matches!(layer, Layer::Packed(_)) && made).then_some("needs the numbers of its series as an input")
    }

    /// A value that is handed on step by step from one call to the other.
    fn streams(&self, edge: &Edge, to: usize) -> bool {
        let Edge::Output { call: from, .. } = *edge else { return false };
        self.parts[from] && self.parts[to] && self.time(edge).is_some()
    }

    /// The levels of all calls: even ones go along time in parts, odd ones are run at once. A call is as late as those that
    /// need it allow, so that as little as possible is kept for later.
    fn levels(&self) -> Vec<usize> {
        let graph = &self.model.graph;
        let mut levels = vec![0usize; graph.calls.len()];
        let up = |level: usize, call: usize| level + usize::from(level.is_multiple_of(2) != self.parts[call]);
        let mut fixed = HashSet::new();
        for (index, call) in graph.calls.iter().enumerate() {
            let mut level = up(0, index);
            for edge in &call.inputs {
                let Edge::Output { call: from, .. } = *edge else { continue };
                let together = self.streams(edge, index) || (!self.parts[from] && !self.parts[index]);
                level = level.max(up(levels[from] + usize::from(!together), index));
            }
            // A stateful layer goes on where its last use has ended.
            let stateful = self.model.parts.iter().any(|p| p.layer == call.layer && p.traits.stateful);
            if stateful {
                fixed.insert(index);
                for before in (0..index).filter(|&before| graph.calls[before].layer == call.layer) {
                    let together = !self.parts[before] && !self.parts[index];
                    level = level.max(up(levels[before] + usize::from(!together), index));
                }
            }
            levels[index] = level;
        }
        for index in (0..levels.len()).rev() {
            let own = |edge: &&Edge| matches!(edge, Edge::Output { call, .. } if *call == index);
            if fixed.contains(&index) || graph.outputs.iter().any(|edge| own(&edge)) {
                continue;
            }
            let mut latest = usize::MAX;
            for (later, call) in graph.calls.iter().enumerate() {
                for edge in call.inputs.iter().filter(own) {
                    let together = self.streams(edge, later) || (!self.parts[index] && !self.parts[later]);
                    latest = latest.min(levels[later] - usize::from(!together));
                }
            }
            if latest < usize::MAX {
                let down = latest - usize::from(latest.is_multiple_of(2) != self.parts[index]);
                levels[index] = levels[index].max(down);
            }
        }
        levels
    }

    /// The stages, in the order in which they are run.
    pub fn stages(&self) -> Vec<Stage> {
        let graph = &self.model.graph;
        let key = |call: usize, level: usize| {
            (level, if self.parts[call] { self.time(&graph.calls[call].inputs[0]) } else { None })
        };
        let keys: Vec<_> =
            self.levels().into_iter().enumerate().map(|(call, level)| key(call, level)).collect();
        let mut order: Vec<_> = keys.clone();
        order.sort_unstable();
        order.dedup();
        let stage = |key| {
            let calls: Vec<usize> = (0..keys.len()).filter(|&call| keys[call] == key).collect();
            let inside = |edge: &Edge| matches!(edge, Edge::Output { call, .. } if calls.contains(call));
            let users = (0..keys.len()).filter(|call| !calls.contains(call));
            let taken = users.flat_map(|call| &graph.calls[call].inputs).chain(&graph.outputs);
            let mut outputs = Vec::new();
            for edge in taken.filter(|edge| inside(edge)) {
                if !outputs.contains(edge) {
                    outputs.push(*edge);
                }
            }
            Stage { calls, time: key.1, outputs }
        };
        order.into_iter().map(stage).collect()
    }
}

impl Model {
    /// The stages for inputs of these shapes, of which at least one with states goes along time in parts.
    ///
    /// # Errors
    /// When none does: names a layer, and says why.
    pub(super) fn stages(&self, samples: &[Vec<usize>]) -> Result<Vec<Stage>> {
        let along = Along::new(self, samples)?;
        let stages = along.stages();
        if stages.iter().any(|stage| stage.time.is_some_and(|time| time > 1)) {
            return Ok(stages);
        }
        let name = |call: usize| self.graph.layers[self.graph.calls[call].layer].name.clone();
        let recurrent = |call: &usize| self.parts.iter().any(|p| p.layer == self.graph.calls[*call].layer);
        let calls = 0..self.graph.calls.len();
        let call = calls.clone().find(recurrent).or_else(|| calls.clone().next()).unwrap_or(0);
        let problem = along.problem(call).unwrap_or("is applied to a single step");
        Err(Error::invalid(format!("layer {}", name(call)), format!("it {problem}")))
    }

    /// The first layer that takes whole sequences.
    pub(super) fn runs_at_once(&self, samples: &[Vec<usize>]) -> Result<Option<String>> {
        let along = Along::new(self, samples)?;
        let calls = self.graph.calls.iter().enumerate();
        let mut whole = calls.filter(|(at, call)| !along.parts[*at] && along.time(&call.inputs[0]).is_some());
        Ok(whole.next().map(|(_, call)| self.graph.layers[call.layer].name.clone()))
    }

    /// The graph along time, for inputs of these shapes.
    pub(super) fn along(&self, samples: &[Vec<usize>]) -> Result<Along<'_>> {
        Along::new(self, samples)
    }
}
