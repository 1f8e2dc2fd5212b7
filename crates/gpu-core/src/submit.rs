//! Running programs: step records go up, dispatches are encoded, submissions are cut and counted.
use crate::adapter::Kind;
use crate::context::Context;
use crate::program::Program;
use crate::{Error, Result};
use rnn_shaders::vocabulary::StepParams;
use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};

/// Step records that one upload holds.
const STEP_SLOTS: usize = 64;
/// Submissions that may be under way before the host waits for the oldest.
const IN_FLIGHT: usize = 8;

/// The uniform buffer of step records and the submissions under way.
#[derive(Debug)]
pub(crate) struct Steps {
    buffer: wgpu::Buffer,
    group: wgpu::BindGroup,
    stride: usize,
    bytes: Vec<u8>,
    under_way: VecDeque<wgpu::SubmissionIndex>,
}

impl Steps {
    pub(crate) fn new(
        device: &wgpu::Device,
        limits: &wgpu::Limits,
        step_layout: &wgpu::BindGroupLayout,
    ) -> Self {
        let stride = size_of::<StepParams>()
            .next_multiple_of(limits.min_uniform_buffer_offset_alignment.max(16) as usize);
        let buffer = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("step"),
            size: (stride * STEP_SLOTS) as u64,
            usage: wgpu::BufferUsages::UNIFORM | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("step"),
            layout: step_layout,
            entries: &[wgpu::BindGroupEntry {
                binding: 0,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: &buffer,
                    offset: 0,
                    size: std::num::NonZeroU64::new(size_of::<StepParams>() as u64),
                }),
            }],
        });
        Steps { buffer, group, stride, bytes: Vec::new(), under_way: VecDeque::new() }
    }
}

impl Context {
    /// Runs the program once per step record, in order, without waiting for the end. Long programs are cut into several
    /// submissions so that no driver watchdog sees one that takes too long.
    ///
    /// # Errors
    /// [`Error::DeviceLost`], [`Error::Timeout`], or what an earlier run left; [`Error::InvalidArgument`] where the program
    /// is another context's.
    pub fn run(&self, program: &Program, steps: &[StepParams]) -> Result<()> {
        if !Arc::ptr_eq(&program.context().inner, &self.inner) {
            let reason = "the program was recorded on another context; record it on this one".into();
            return Err(Error::InvalidArgument { operation: "run", reason });
        }
        self.check("run")?;
        let mut state = self.inner.steps.lock().unwrap_or_else(PoisonError::into_inner);
        // About 100 ms of work each, so that no driver's watchdog resets the device; software has none.
        let budget = if self.info().kind == Kind::DiscreteGpu { 2e10 } else { 2e9 };
        for chunk in steps.chunks(STEP_SLOTS) {
            let stride = state.stride;
            if program.uses_step() {
                state.bytes.clear();
                state.bytes.resize(stride * chunk.len(), 0);
                for (i, step) in chunk.iter().enumerate() {
                    state.bytes[i * stride..][..size_of::<StepParams>()]
                        .copy_from_slice(bytemuck::bytes_of(step));
                }
                self.inner.queue.write_buffer(&state.buffer, 0, &state.bytes);
            }
            let mut pending = Submission::new(self);
            for i in 0..chunk.len() {
                let mut start = 0;
                for (at, flops) in program.flops().enumerate() {
                    pending.flops += flops;
                    pending.dispatches += 1;
                    if pending.flops >= budget || pending.dispatches >= 4096 {
                        pending.encode(program, start..at + 1, &state.group, (i * stride) as u32);
                        pending.submit(&mut state)?;
                        start = at + 1;
                    }
                }
                pending.encode(program, start..program.dispatches(), &state.group, (i * stride) as u32);
            }
            pending.submit(&mut state)?;
        }
        Ok(())
    }

    /// Uploads one step record into the first slot and hands the bind group to `encode`, which submits.
    pub(crate) fn with_step(
        &self,
        program: &Program,
        step: StepParams,
        encode: impl FnOnce(&wgpu::BindGroup),
    ) {
        let state = self.inner.steps.lock().unwrap_or_else(PoisonError::into_inner);
        if program.uses_step() {
            self.inner.queue.write_buffer(&state.buffer, 0, bytemuck::bytes_of(&step));
        }
        encode(&state.group);
    }
}

/// A command buffer being filled.
struct Submission<'a> {
    ctx: &'a Context,
    encoder: Option<wgpu::CommandEncoder>,
    flops: f64,
    dispatches: usize,
}

impl<'a> Submission<'a> {
    fn new(ctx: &'a Context) -> Self {
        Submission { ctx, encoder: None, flops: 0.0, dispatches: 0 }
    }

    fn encode(
        &mut self,
        program: &Program,
        range: std::ops::Range<usize>,
        group: &wgpu::BindGroup,
        offset: u32,
    ) {
        if range.is_empty() {
            return;
        }
        let device = self.ctx.device();
        let encoder = self.encoder.get_or_insert_with(|| device.create_command_encoder(&Default::default()));
        let mut pass = encoder.begin_compute_pass(&Default::default());
        program.encode(&mut pass, range, group, offset);
    }

    /// Submits what was encoded; waits for the oldest submission where many are under way.
    fn submit(&mut self, state: &mut Steps) -> Result<()> {
        let Some(encoder) = self.encoder.take() else { return Ok(()) };
        state.under_way.push_back(self.ctx.inner.queue.submit([encoder.finish()]));
        (self.flops, self.dispatches) = (0.0, 0);
        if state.under_way.len() > IN_FLIGHT {
            let oldest = state.under_way.pop_front();
            self.ctx.wait(oldest, "run")?;
        }
        Ok(())
    }
}
