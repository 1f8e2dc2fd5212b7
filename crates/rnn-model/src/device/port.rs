//! Where a batch goes into a program, or comes out of it.

use super::{Device, Op, Slice, Tensor};
use crate::Result;

/// A batch `[batch, time, features]` of the host beside its place on the device. Layers want it time-major: the axes
/// change places within the program, or on the way, where the way is a copy that the CPU makes anyhow.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Port {
    slice: Slice,
    batch: usize,
    time: usize,
    features: usize,
    /// the slice is time-major
    swaps: bool,
}

impl Port {
    /// A port whose slice is batch-major, or time-major where `swaps`.
    pub fn new(slice: Slice, batch: usize, time: usize, features: usize, swaps: bool) -> Self {
        let swaps = swaps && batch > 1 && time > 1;
        Port { slice, batch, time, features, swaps }
    }

    /// The same port at another place.
    pub fn at(self, slice: Slice) -> Self {
        Port { slice, ..self }
    }

    /// Values that pass.
    pub fn len(&self) -> usize {
        self.slice.len
    }

    /// From the host, batch-major.
    pub fn write(&self, device: &Device, data: &[f32]) -> Result<()> {
        let mut engine = device.engine();
        if self.swaps {
            engine.write_swapped(self.slice, data, self.batch, self.time, self.features)
        } else {
            engine.write(self.slice, data)
        }
    }

    /// To the host, batch-major.
    pub fn read(&self, device: &Device) -> Result<Vec<f32>> {
        let mut engine = device.engine();
        if self.swaps {
            engine.read_swapped(self.slice, self.time, self.batch, self.features)
        } else {
            engine.read(self.slice)
        }
    }

    /// From a tensor on the same device.
    pub fn take(&self, device: &Device, tensor: &Tensor) -> Result<()> {
        self.transfer(device, tensor.all(), self.slice, self.batch, self.time)
    }

    /// To a tensor on the same device.
    pub fn give(&self, device: &Device, tensor: &Tensor) -> Result<()> {
        self.transfer(device, self.slice, tensor.all(), self.time, self.batch)
    }

    fn transfer(&self, device: &Device, x: Slice, y: Slice, a: usize, b: usize) -> Result<()> {
        let op =
            if self.swaps { Op::Transpose01 { a, b, f: self.features, x, y } } else { Op::Copy { x, y } };
        let program = device.compile(vec![op])?;
        device.run(&program, &[Default::default()])
    }

    /// The slice, of data that is already in the order the program wants.
    pub fn slice(&self) -> Slice {
        self.slice
    }
}
