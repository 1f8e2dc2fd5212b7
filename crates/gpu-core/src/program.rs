//! A recorded list of dispatches that can run any number of times.
use crate::buffer::{Buffer, Slice};
use crate::context::Context;
use crate::pipeline::Pipeline;
use crate::{Error, Result};
use std::sync::Arc;

/// A slice with the byte range of its buffer that is bound for it.
#[derive(Clone, Debug)]
pub(crate) struct Bound {
    pub(crate) slice: Slice,
    pub(crate) base: u64,
    pub(crate) size: u64,
}

/// A pipeline with what is bound to it.
pub(crate) type Bind = (Arc<Pipeline>, Vec<Bound>);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Dispatch {
    pub(crate) bind: usize,
    pub(crate) params_at: u32,
    pub(crate) groups: [u32; 3],
    pub(crate) step: bool,
    pub(crate) flops: f64,
}

/// A recorded program: made by [`Recorder::finish`](crate::Recorder::finish), run by
/// [`Context::run`](crate::Context::run). Keeps the buffers that it uses alive.
#[derive(Debug)]
pub struct Program {
    ctx: Context,
    dispatches: Vec<Dispatch>,
    binds: Vec<(Arc<Pipeline>, wgpu::BindGroup)>,
    uses_step: bool,
    _params: Option<Buffer>,
    _keep: Vec<Slice>,
}

impl Program {
    pub(crate) fn build(
        ctx: Context,
        dispatches: Vec<Dispatch>,
        params: Vec<u8>,
        binds: Vec<Bind>,
        mut keep: Vec<Slice>,
    ) -> Result<Self> {
        let uses_step = dispatches.iter().any(|d| d.step);
        if dispatches.is_empty() {
            return Ok(Program { ctx, dispatches, binds: Vec::new(), uses_step, _params: None, _keep: keep });
        }
        let buffer = ctx.alloc(params.len().div_ceil(4))?;
        ctx.write(&buffer.all(), &params)?;
        let device = ctx.device();
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let mut made = Vec::with_capacity(binds.len());
        for (pipeline, bound) in binds {
            let mut entries: Vec<_> = (0u32..)
                .zip(&bound)
                .map(|(binding, Bound { slice, base, size })| wgpu::BindGroupEntry {
                    binding,
                    resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                        buffer: &slice.buffer.inner.raw,
                        offset: *base,
                        size: std::num::NonZeroU64::new(*size),
                    }),
                })
                .collect();
            entries.push(wgpu::BindGroupEntry {
                binding: bound.len() as u32,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: &buffer.inner.raw,
                    offset: 0,
                    size: std::num::NonZeroU64::new(pipeline.kernel.params_size.next_multiple_of(16) as u64),
                }),
            });
            let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(pipeline.kernel.stem),
                layout: &pipeline.layout,
                entries: &entries,
            });
            keep.extend(bound.into_iter().map(|bound| bound.slice));
            made.push((pipeline, group));
        }
        if let Some(error) = pollster::block_on(scope.pop()) {
            return Err(Error::Driver { operation: "a recorded program".into(), reason: error.to_string() });
        }
        Ok(Program { ctx, dispatches, binds: made, uses_step, _params: Some(buffer), _keep: keep })
    }

    /// Dispatches of one run.
    pub fn dispatches(&self) -> usize {
        self.dispatches.len()
    }

    pub(crate) fn context(&self) -> &Context {
        &self.ctx
    }

    pub(crate) fn uses_step(&self) -> bool {
        self.uses_step
    }

    /// Floating-point operations of each dispatch, as its launcher estimates them.
    pub(crate) fn flops(&self) -> impl Iterator<Item = f64> + '_ {
        self.dispatches.iter().map(|d| d.flops)
    }

    /// Encodes dispatches `range` with the step record at `step_offset` bytes.
    pub(crate) fn encode(
        &self,
        pass: &mut wgpu::ComputePass<'_>,
        range: std::ops::Range<usize>,
        step_group: &wgpu::BindGroup,
        step_offset: u32,
    ) {
        let mut current: *const Pipeline = std::ptr::null();
        for dispatch in &self.dispatches[range] {
            let (pipeline, group) = &self.binds[dispatch.bind];
            if !std::ptr::eq(current, Arc::as_ptr(pipeline)) {
                pass.set_pipeline(&pipeline.raw);
                current = Arc::as_ptr(pipeline);
            }
            pass.set_bind_group(0, group, &[dispatch.params_at]);
            if dispatch.step {
                pass.set_bind_group(1, step_group, &[step_offset]);
            }
            let [x, y, z] = dispatch.groups;
            pass.dispatch_workgroups(x, y, z);
        }
    }
}
