//! Samples and targets that stay on the device for a whole `fit`, `evaluate` or `predict`; batches are gathered there.

use super::Model;
use super::targets::Targets;
use crate::array::Arrays;
use crate::device::{Buffer, IndexBuffer};
use crate::{Error, HostArray, Result};
use std::sync::atomic::{AtomicU64, Ordering};

/// Arrays on the device.
pub(super) struct Dataset {
    /// never used twice: programs are kept for the data set they were recorded with
    pub id: u64,
    pub samples: usize,
    /// shape of one sample of each input
    pub shapes: Vec<Vec<usize>>,
    pub x: Vec<Buffer>,
    /// targets of each output, if there are any
    pub y: Vec<Buffer>,
    /// sample weights of each output
    pub weights: Vec<Option<Buffer>>,
    /// the order in which samples are gathered
    pub indices: IndexBuffer,
}

static NEXT: AtomicU64 = AtomicU64::new(1);

impl Dataset {
    /// Uploads checked arrays, in their own order.
    pub fn upload(model: &Model, x: &Arrays<'_>, targets: Option<&Targets<'_>>) -> Result<Self> {
        let samples = x.samples();
        if samples > u32::MAX as usize {
            return Err(Error::shape("x", "at most 2^32 - 1 samples", x.0[0].shape.as_slice()));
        }
        let device = &model.device;
        let room = |a: &HostArray<'_>| device.alloc(a.data.len());
        let (mut y, mut weights) = (Vec::new(), Vec::new());
        if let Some(targets) = targets {
            y = targets.y.0.iter().map(room).collect::<Result<_>>()?;
            weights =
                targets.weights.iter().map(|w| w.as_ref().map(room).transpose()).collect::<Result<_>>()?;
        }
        let dataset = Dataset {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            samples,
            shapes: x.0.iter().map(|x| x.shape[1..].to_vec()).collect(),
            x: x.0.iter().map(room).collect::<Result<_>>()?,
            y,
            weights,
            indices: device.alloc_index(samples)?,
        };
        let order: Vec<u32> = (0..samples as u32).collect();
        dataset.set_order(model, &order)?;
        dataset.write(model, x, targets)?;
        Ok(dataset)
    }

    /// Whether other arrays of these shapes fit in place of the present ones.
    pub fn fits(&self, x: &Arrays<'_>, targets: &Targets<'_>) -> bool {
        let len = |buffer: &Option<Buffer>| buffer.as_ref().map(|b| b.all().len);
        x.samples() == self.samples
            && x.0.iter().map(|x| &x.shape[1..]).eq(self.shapes.iter().map(Vec::as_slice))
            && targets.y.0.iter().map(|y| y.data.len()).eq(self.y.iter().map(|y| y.all().len))
            && targets
                .weights
                .iter()
                .map(|w| w.as_ref().map(|w| w.data.len()))
                .eq(self.weights.iter().map(len))
    }

    /// Sample weights per sample of each output.
    pub fn weights_per_sample(&self) -> Vec<Option<usize>> {
        self.weights.iter().map(|w| w.as_ref().map(|w| w.all().len / self.samples)).collect()
    }

    pub fn write(&self, model: &Model, x: &Arrays<'_>, targets: Option<&Targets<'_>>) -> Result<()> {
        let mut engine = model.device.engine();
        for (buffer, array) in self.x.iter().zip(&x.0) {
            engine.write(buffer.all(), &array.data)?;
        }
        let Some(targets) = targets else { return Ok(()) };
        for (buffer, array) in self.y.iter().zip(&targets.y.0) {
            engine.write(buffer.all(), &array.data)?;
        }
        for (buffer, array) in self.weights.iter().zip(&targets.weights) {
            if let (Some(buffer), Some(array)) = (buffer, array) {
                engine.write(buffer.all(), &array.data)?;
            }
        }
        Ok(())
    }

    pub fn set_order(&self, model: &Model, order: &[u32]) -> Result<()> {
        model.device.engine().write_index(self.indices.all(), order)
    }
}
