//! Reading results: copies into mapped staging buffers that are used again and again.
use crate::buffer::Slice;
use crate::context::Context;
use crate::{Error, Result};
use futures_intrusive::channel::shared::{OneshotReceiver, oneshot_channel};
use std::sync::{Mutex, PoisonError};

/// Staging buffers kept for the next read.
const KEPT: usize = 4;

/// The ring of staging buffers.
#[derive(Debug, Default)]
pub(crate) struct Staging {
    free: Mutex<Vec<wgpu::Buffer>>,
}

impl Staging {
    fn take(&self, device: &wgpu::Device, bytes: u64) -> wgpu::Buffer {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let fit = (0..free.len()).filter(|&i| free[i].size() >= bytes).min_by_key(|&i| free[i].size());
        match fit {
            Some(i) => free.swap_remove(i),
            None => device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("read-back"),
                size: crate::pool::size_class(bytes),
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            }),
        }
    }

    fn give(&self, buffer: wgpu::Buffer) {
        let mut free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        free.push(buffer);
        if free.len() > KEPT {
            // The smallest serves the fewest.
            if let Some(i) = (0..free.len()).min_by_key(|&i| free[i].size()) {
                free.swap_remove(i);
            }
        }
    }
}

/// A read that is under way: the copy is submitted, later programs may already run behind it.
#[derive(Debug)]
pub struct Readback {
    ctx: Context,
    staging: Option<wgpu::Buffer>,
    submission: Option<wgpu::SubmissionIndex>,
    receiver: OneshotReceiver<std::result::Result<(), wgpu::BufferAsyncError>>,
    len: usize,
}

impl Context {
    /// Starts reading a slice, without waiting.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::OutOfMemory`].
    pub fn start_read(&self, slice: &Slice) -> Result<Readback> {
        self.check("read")?;
        let (sender, receiver) = oneshot_channel();
        if slice.is_empty() {
            return Ok(Readback { ctx: self.clone(), staging: None, submission: None, receiver, len: 0 });
        }
        let inner = &self.inner;
        let bytes = slice.len as u64 * 4;
        let scope = inner.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let staging = inner.staging.take(&inner.device, bytes);
        if pollster::block_on(scope.pop()).is_some() {
            return Err(Error::OutOfMemory {
                operation: "read-back".into(),
                asked: bytes,
                live: self.stats().live,
                limit: u64::MAX,
            });
        }
        let mut encoder = inner.device.create_command_encoder(&Default::default());
        encoder.copy_buffer_to_buffer(&slice.buffer.inner.raw, slice.offset as u64 * 4, &staging, 0, bytes);
        let submission = inner.queue.submit([encoder.finish()]);
        staging.map_async(wgpu::MapMode::Read, 0..bytes, move |result| {
            // The receiver may be gone; then nobody wants the answer.
            let _ = sender.send(result);
        });
        Ok(Readback {
            ctx: self.clone(),
            staging: Some(staging),
            submission: Some(submission),
            receiver,
            len: slice.len,
        })
    }

    /// Reads a slice as f32, waiting for everything submitted before.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::Timeout`], [`Error::OutOfMemory`], [`Error::Driver`].
    pub fn read_f32(&self, slice: &Slice) -> Result<Vec<f32>> {
        self.start_read(slice)?.wait()
    }

    /// As [`Context::read_f32`], for buffers of u32.
    ///
    /// # Errors
    /// As [`Context::read_f32`].
    pub fn read_u32(&self, slice: &Slice) -> Result<Vec<u32>> {
        self.start_read(slice)?.wait_as()
    }
}

impl Readback {
    /// Waits for the data.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::Timeout`], [`Error::Driver`].
    pub fn wait(self) -> Result<Vec<f32>> {
        self.wait_as()
    }

    pub(crate) fn wait_as<T: bytemuck::Pod>(mut self) -> Result<Vec<T>> {
        let Some(staging) = self.staging.take() else { return Ok(Vec::new()) };
        self.ctx.wait(self.submission.take(), "read-back")?;
        let mapped = pollster::block_on(self.receiver.receive());
        self.ctx.check("read-back")?;
        let driver = |reason: String| Error::Driver { operation: "read-back".into(), reason };
        match mapped {
            Some(Ok(())) => {}
            Some(Err(e)) => return Err(driver(e.to_string())),
            None => return Err(driver("the mapping was given up".into())),
        }
        let view = staging.get_mapped_range(0..self.len as u64 * 4).map_err(|e| driver(e.to_string()))?;
        let data = bytemuck::pod_collect_to_vec(&view);
        drop(view);
        staging.unmap();
        self.ctx.inner.staging.give(staging);
        Ok(data)
    }
}
