//! A device with its queue, buffer pool, pipelines and step records.
use crate::adapter::{AdapterReport, AdapterRequest, Kind, choose};
use crate::buffer::{Buffer, Slice};
use crate::pipeline::{Pipeline, PipelineCache};
use crate::pool::{Pool, PoolStats};
use crate::program::Program;
use crate::readback::Staging;
use crate::recorder::Recorder;
use crate::{Error, Result};
use rnn_shaders::contract::Kernel;
use rnn_shaders::vocabulary::StepParams;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

/// Step records that one upload holds.
const STEP_SLOTS: usize = 64;
/// Submissions that may be under way before the host waits for the oldest.
const IN_FLIGHT: usize = 8;

/// What the driver told through its callbacks; the first of each is kept.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    lost: OnceLock<String>,
    uncaptured: Mutex<Option<wgpu::Error>>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) device: wgpu::Device,
    pub(crate) queue: wgpu::Queue,
    limits: wgpu::Limits,
    report: AdapterReport,
    faults: Arc<Faults>,
    pool: Arc<Pool>,
    pipelines: PipelineCache,
    pub(crate) staging: Staging,
    loop_limit: OnceLock<Option<u32>>,
    timeout_ms: AtomicU64,
    steps: Mutex<Steps>,
}

/// The uniform buffer of step records and the submissions under way.
#[derive(Debug)]
struct Steps {
    buffer: wgpu::Buffer,
    group: wgpu::BindGroup,
    stride: usize,
    bytes: Vec<u8>,
    under_way: VecDeque<wgpu::SubmissionIndex>,
}

/// A GPU, ready to run kernels. Cheap to clone; all clones are the same device.
#[derive(Clone, Debug)]
pub struct Context {
    pub(crate) inner: Arc<Inner>,
    faces: Faces,
}

/// Which faces of the kernels run: both give the same results, each is fast on its kind of adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Faces {
    /// Many invocations, workgroup memory, barriers.
    Hardware,
    /// Few invocations with much work each.
    Software,
}

impl Context {
    /// Opens an adapter with the limits and features that it has.
    ///
    /// # Errors
    /// [`Error::NoAdapter`] with the list of what there is; [`Error::NoDevice`] where the driver gives no device.
    pub fn new(request: &AdapterRequest) -> Result<Context> {
        let (adapter, report) = choose(&request.choice)?;
        let wanted = wgpu::Features::TIMESTAMP_QUERY | wgpu::Features::SUBGROUP | wgpu::Features::SHADER_F16;
        let limits = adapter.limits();
        let (device, queue) = pollster::block_on(adapter.request_device(&wgpu::DeviceDescriptor {
            label: Some("tidegate"),
            required_features: adapter.features() & wanted,
            required_limits: limits.clone(),
            experimental_features: wgpu::ExperimentalFeatures::disabled(),
            memory_hints: wgpu::MemoryHints::Performance,
            trace: wgpu::Trace::Off,
        }))
        .map_err(|e| Error::NoDevice { adapter: report.to_string(), reason: e.to_string() })?;

        let faults = Arc::new(Faults::default());
        let sink = faults.clone();
        device.set_device_lost_callback(move |reason, text| {
            tracing::error!("GPU device lost: {reason:?} {text}");
            sink.lost.get_or_init(|| format!("{reason:?} {text}"));
        });
        let sink = faults.clone();
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            tracing::error!("GPU error: {error}");
            sink.uncaptured.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        }));

        let pipelines = PipelineCache::new(&device);
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
            layout: &pipelines.step_layout,
            entries: &[wgpu::BindGroupEntry {
                binding: 0,
                resource: wgpu::BindingResource::Buffer(wgpu::BufferBinding {
                    buffer: &buffer,
                    offset: 0,
                    size: std::num::NonZeroU64::new(size_of::<StepParams>() as u64),
                }),
            }],
        });
        let steps =
            Mutex::new(Steps { buffer, group, stride, bytes: Vec::new(), under_way: VecDeque::new() });
        let timeout_ms = AtomicU64::new(if report.kind == Kind::Software { 600_000 } else { 60_000 });
        let faces = if report.kind.is_hardware() { Faces::Hardware } else { Faces::Software };
        let context = Context {
            faces,
            inner: Arc::new(Inner {
                device,
                queue,
                limits,
                report,
                faults,
                pool: Pool::new(request.memory_cap.unwrap_or(u64::MAX)),
                pipelines,
                staging: Staging::default(),
                loop_limit: OnceLock::new(),
                timeout_ms,
                steps,
            }),
        };
        context.check("opening the device")?;
        Ok(context)
    }

    /// The adapter that this context runs on.
    pub fn info(&self) -> &AdapterReport {
        &self.inner.report
    }

    /// The same device with the other faces of the kernels: for tests of the hardware faces where there is no hardware.
    pub fn with_faces(&self, faces: Faces) -> Context {
        Context { inner: self.inner.clone(), faces }
    }

    /// Which faces of the kernels programs recorded on this context use.
    pub fn faces(&self) -> Faces {
        self.faces
    }

    /// Longest wait for the device before [`Error::Timeout`]. Default: 60 s on hardware, 600 s on software adapters.
    pub fn set_timeout(&self, limit: Duration) {
        self.inner.timeout_ms.store(limit.as_millis().min(u128::from(u64::MAX)) as u64, Ordering::Relaxed);
    }

    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_millis(self.inner.timeout_ms.load(Ordering::Relaxed))
    }

    /// A buffer of `len` 4-byte elements, contents unspecified (what an earlier user of the memory left).
    ///
    /// # Errors
    /// [`Error::OutOfMemory`] with the numbers: the device's, or those of the cap.
    pub fn alloc(&self, len: usize) -> Result<Buffer> {
        self.check("allocation")?;
        let bytes = (len as u64).saturating_mul(4);
        let inner = self.inner.pool.take(&self.inner.device, self.inner.limits.max_buffer_size, bytes)?;
        Ok(Buffer::new(inner, len))
    }

    /// As [`Context::alloc`], filled with zeros.
    ///
    /// # Errors
    /// As [`Context::alloc`].
    pub fn alloc_zeroed(&self, len: usize) -> Result<Buffer> {
        let buffer = self.alloc(len)?;
        let mut encoder = self.inner.device.create_command_encoder(&Default::default());
        encoder.clear_buffer(&buffer.inner.raw, 0, None);
        self.inner.queue.submit([encoder.finish()]);
        Ok(buffer)
    }

    /// A buffer with these contents.
    ///
    /// # Errors
    /// As [`Context::alloc`].
    pub fn alloc_from(&self, data: &[f32]) -> Result<Buffer> {
        let buffer = self.alloc(data.len())?;
        self.write(&buffer.all(), bytemuck::cast_slice(data))?;
        Ok(buffer)
    }

    /// Copies bytes into a slice; in order with programs that run before and after.
    ///
    /// # Errors
    /// [`Error::ShapeMismatch`] where the bytes are not 4 per element.
    pub fn write(&self, slice: &Slice, bytes: &[u8]) -> Result<()> {
        if bytes.len().div_ceil(4) != slice.len || !bytes.len().is_multiple_of(4) {
            return Err(Error::ShapeMismatch {
                operation: "write",
                what: "the data",
                expected: slice.len,
                got: bytes.len() / 4,
            });
        }
        self.check("write")?;
        if !bytes.is_empty() {
            self.inner.queue.write_buffer(&slice.buffer.inner.raw, slice.offset as u64 * 4, bytes);
        }
        Ok(())
    }

    /// Starts a recording.
    pub fn recorder(&self) -> Recorder {
        Recorder::new(self.clone())
    }

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

    /// Waits until all that was submitted is done.
    ///
    /// # Errors
    /// [`Error::Timeout`], [`Error::DeviceLost`], [`Error::OutOfMemory`], [`Error::Driver`].
    pub fn synchronize(&self) -> Result<()> {
        self.wait(None, "synchronize")
    }

    pub(crate) fn wait(
        &self,
        submission_index: Option<wgpu::SubmissionIndex>,
        operation: &str,
    ) -> Result<()> {
        let timeout = self.timeout();
        let waited =
            self.inner.device.poll(wgpu::PollType::Wait { submission_index, timeout: Some(timeout) });
        self.check(operation)?;
        match waited {
            Ok(_) => Ok(()),
            Err(wgpu::PollError::Timeout) => {
                Err(Error::Timeout { operation: operation.into(), seconds: timeout.as_secs_f64() })
            }
            Err(other) => Err(Error::Driver { operation: operation.into(), reason: other.to_string() }),
        }
    }

    /// What the callbacks have told since the last check.
    pub(crate) fn check(&self, operation: &str) -> Result<()> {
        let uncaptured = self.inner.faults.uncaptured.lock().unwrap_or_else(PoisonError::into_inner).take();
        if uncaptured.is_some() {
            // Calls on a lost device fail as if they were invalid; its callback comes with the next poll.
            let _ = self.inner.device.poll(wgpu::PollType::Poll);
        }
        if let Some(reason) = self.inner.faults.lost.get() {
            return Err(Error::DeviceLost { operation: operation.into(), reason: reason.clone() });
        }
        match uncaptured {
            None => Ok(()),
            Some(wgpu::Error::OutOfMemory { .. }) => Err(Error::OutOfMemory {
                operation: operation.into(),
                asked: 0,
                live: self.stats().live,
                limit: u64::MAX,
            }),
            Some(error) => Err(Error::Driver { operation: operation.into(), reason: error.to_string() }),
        }
    }

    /// What the buffer pool holds.
    pub fn stats(&self) -> PoolStats {
        self.inner.pool.stats()
    }

    /// Bytes that buffers may take together, those kept for reuse included. Beyond it, [`Error::OutOfMemory`].
    pub fn set_memory_cap(&self, bytes: u64) {
        self.inner.pool.set_cap(bytes);
    }

    /// Gives memory that is kept for reuse back to the device.
    pub fn trim(&self) {
        self.inner.pool.trim();
    }

    /// Ends the device: everything after this returns [`Error::DeviceLost`]. Work under way is dropped.
    pub fn destroy(&self) {
        self.inner.device.destroy();
        self.inner.faults.lost.get_or_init(|| "it was ended by the program".into());
    }

    pub(crate) fn limits(&self) -> &wgpu::Limits {
        &self.inner.limits
    }

    pub(crate) fn device(&self) -> &wgpu::Device {
        &self.inner.device
    }

    pub(crate) fn pipeline(
        &self,
        kernel: &'static Kernel,
        overrides: &[(&'static str, f64)],
    ) -> Result<Arc<Pipeline>> {
        self.inner.pipelines.get(&self.inner.device, kernel, overrides)
    }

    /// Iterations, summed over its loops, that one shader invocation may run on this adapter; `None` where the canary
    /// kernel found no limit. Software adapters end longer loops silently (lavapipe: 65,535), so kernels split there.
    /// Half of what was found, so that nothing runs close to it.
    ///
    /// # Errors
    /// Where the canary cannot run.
    pub fn loop_limit(&self) -> Result<Option<u32>> {
        if let Some(&limit) = self.inner.loop_limit.get() {
            return Ok(limit);
        }
        let limit = crate::kernels::canary::measure(self)?;
        Ok(*self.inner.loop_limit.get_or_init(|| limit))
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
    fn submit(&mut self, state: &mut MutexGuard<'_, Steps>) -> Result<()> {
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
