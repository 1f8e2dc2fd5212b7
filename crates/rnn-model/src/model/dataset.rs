//! Samples and targets that stay on the device for a whole `fit`, `evaluate` or `predict`; batches are gathered there.

use super::Model;
use crate::device::{Buffer, IndexBuffer};
use crate::train::Loss;
use crate::{Error, HostArray, Result};
use std::sync::atomic::{AtomicU64, Ordering};

/// Arrays on the device.
pub(super) struct Dataset {
    /// never used twice: programs are kept for the data set they were recorded with
    pub id: u64,
    pub samples: usize,
    /// shape of one sample
    pub sample: Vec<usize>,
    pub x: Buffer,
    pub y: Option<Buffer>,
    /// the order in which samples are gathered
    pub indices: IndexBuffer,
}

static NEXT: AtomicU64 = AtomicU64::new(1);

impl Dataset {
    /// Uploads checked arrays, in their own order.
    pub fn upload(model: &Model, x: &HostArray<'_>, y: Option<&HostArray<'_>>) -> Result<Self> {
        let samples = x.samples();
        if samples > u32::MAX as usize {
            return Err(Error::shape("x", "at most 2^32 - 1 samples", x.shape.as_slice()));
        }
        let device = &model.device;
        let dataset = Dataset {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            samples,
            sample: x.shape[1..].to_vec(),
            x: device.alloc(x.data.len())?,
            y: y.map(|y| device.alloc(y.data.len())).transpose()?,
            indices: device.alloc_index(samples)?,
        };
        let order: Vec<u32> = (0..samples as u32).collect();
        dataset.set_order(model, &order)?;
        dataset.write(model, x, y)?;
        Ok(dataset)
    }

    /// Whether other arrays of these shapes fit in place of the present ones.
    pub fn fits(&self, x: &HostArray<'_>, y: Option<&HostArray<'_>>) -> bool {
        let y_len = self.y.as_ref().map(|b| b.all().len);
        x.samples() == self.samples && x.shape[1..] == *self.sample && y.map(|y| y.data.len()) == y_len
    }

    pub fn write(&self, model: &Model, x: &HostArray<'_>, y: Option<&HostArray<'_>>) -> Result<()> {
        let mut engine = model.device.engine();
        engine.write(self.x.all(), &x.data)?;
        if let (Some(buffer), Some(y)) = (&self.y, y) {
            engine.write(buffer.all(), &y.data)?;
        }
        Ok(())
    }

    pub fn set_order(&self, model: &Model, order: &[u32]) -> Result<()> {
        model.device.engine().write_index(self.indices.all(), order)
    }
}

/// How targets stand beside outputs: `rows` per sample (steps, or 1) of `cols` values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TargetShape {
    pub rows: usize,
    pub cols: usize,
}

impl TargetShape {
    /// For outputs of `shape` per sample.
    pub fn new(shape: &[usize], loss: Loss) -> Self {
        let classes = shape.last().copied().unwrap_or(1);
        let rows = if shape.len() == 2 { shape[0] } else { 1 };
        TargetShape { rows, cols: if loss.score().target_is_index() { 1 } else { classes } }
    }
}

impl Model {
    /// Checks targets against the outputs that `sample`-shaped inputs give.
    pub(super) fn check_target(
        &self,
        y: &HostArray<'_>,
        samples: usize,
        sample: &[usize],
        loss: Loss,
    ) -> Result<()> {
        let output = self.concrete_output(sample);
        let TargetShape { rows, cols } = TargetShape::new(&output, loss);
        let mut full = vec![samples];
        full.extend_from_slice(&output);
        if let Some(last) = full.last_mut() {
            *last = cols;
        }
        // A last axis of one value may be left out, as people write it.
        let short = &full[..full.len() - 1];
        if y.shape != full && !(cols == 1 && y.shape == short) {
            let mut expected = format!("{full:?}");
            if cols == 1 {
                expected = format!("{expected} or {short:?}");
            }
            if loss.score().target_is_index() {
                expected.push_str(" (class indices)");
            }
            return Err(Error::shape("y", expected, y.shape.as_slice()));
        }
        debug_assert_eq!(y.data.len(), samples * rows * cols);
        if loss.score().target_is_index() {
            let classes = output.last().copied().unwrap_or(1);
            let bad = y.data.iter().find(|&&v| !(v >= 0.0 && v < classes as f32 && v.fract() == 0.0));
            if let Some(bad) = bad {
                let problem =
                    format!("class indices must be whole numbers from 0 to {}, got {bad}", classes - 1);
                return Err(Error::invalid("y", problem));
            }
        }
        Ok(())
    }

    /// Shape of one output sample for inputs of `sample` shape.
    pub(super) fn concrete_output(&self, sample: &[usize]) -> Vec<usize> {
        let mut shape: Vec<Option<usize>> = sample.iter().map(|&n| Some(n)).collect();
        for node in &self.nodes {
            shape = node.layer.kind().output_shape(&shape).expect("checked when the model was built");
        }
        shape.into_iter().map(|n| n.expect("all input axes are known")).collect()
    }
}
