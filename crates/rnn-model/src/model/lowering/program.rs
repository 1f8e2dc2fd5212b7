//! A finished list of operations: what memory it needs, and with it.

use super::super::placement::{Layout, Placed};
use super::Lowering;
use crate::Result;
use crate::device::{Device, IndexBuffer, Op, Port, Slice};
use std::collections::HashMap;

/// A finished list of operations with the buffers it lives in.
pub(crate) struct Lowered {
    pub ops: Vec<Op>,
    pub buffers: Placed,
    pub index_buffers: Vec<IndexBuffer>,
    /// by part and state, where any gradient has reached it
    pub start_state_gradients: HashMap<usize, Vec<Option<Slice>>>,
}

/// A finished list of operations whose buffers have no memory yet.
pub(crate) struct LaidOut<'a> {
    device: &'a Device,
    ops: Vec<Op>,
    layout: Layout,
    index_buffers: Vec<IndexBuffer>,
    state_gradients: HashMap<usize, Vec<Option<Slice>>>,
}

impl LaidOut<'_> {
    /// Values that the program's buffers take together.
    pub fn len(&self) -> usize {
        let indices: usize = self.index_buffers.iter().map(|b| b.all().len).sum();
        self.layout.len() + indices
    }

    /// Values that the kernels of any one operation take beside them, at most.
    pub fn scratch(&self) -> usize {
        self.ops.iter().map(Op::scratch).max().unwrap_or(0)
    }

    /// Bytes of the list itself, on the host.
    pub fn list_bytes(&self) -> u64 {
        (self.ops.len() * size_of::<Op>()) as u64
    }

    pub fn place(mut self) -> Result<Lowered> {
        let buffers = self.layout.place(self.device, &mut self.ops)?;
        let mut state_gradients = self.state_gradients;
        for slice in state_gradients.values_mut().flatten().flatten() {
            *slice = buffers.slice(*slice);
        }
        let (ops, index_buffers) = (self.ops, self.index_buffers);
        Ok(Lowered { ops, buffers, index_buffers, start_state_gradients: state_gradients })
    }
}

impl Lowered {
    /// A port of the program, where its buffer has come to stand.
    pub fn port(&self, port: Port) -> Port {
        port.at(self.buffers.slice(port.slice()))
    }

    /// All of several ports.
    pub fn ports(&self, ports: &[Port]) -> Vec<Port> {
        ports.iter().map(|&port| self.port(port)).collect()
    }
}

impl<'a> Lowering<'a> {
    /// Gives the program's buffers their memory.
    ///
    /// # Errors
    /// When the device lacks it.
    pub fn finish(self) -> Result<Lowered> {
        self.lay_out().place()
    }

    /// Finds out what memory the program needs.
    pub fn lay_out(mut self) -> LaidOut<'a> {
        let mut state_gradients: HashMap<usize, Vec<Option<Slice>>> = HashMap::new();
        if self.state_gradients {
            for (part, values) in std::mem::take(&mut self.starts) {
                let found = self.gradients_of(&values);
                found.iter().flatten().for_each(|&at| self.buffers.keep(at));
                state_gradients.insert(part, found);
            }
        }
        let layout = self.buffers.layout(&mut self.ops);
        let (device, ops, index_buffers) = (self.device, self.ops, self.index_buffers);
        LaidOut { device, ops, layout, index_buffers, state_gradients }
    }
}
