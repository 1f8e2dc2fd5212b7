//! A device with its queue, buffer pool, pipelines and step records.
use crate::adapter::{AdapterReport, AdapterRequest, Kind, choose};
use crate::buffer::{Buffer, Slice};
use crate::pipeline::{Pipeline, PipelineCache};
use crate::pool::{Pool, PoolStats};
use crate::readback::Staging;
use crate::recorder::Recorder;
use crate::submit::Steps;
use crate::{Error, Result};
use rnn_shaders::contract::Kernel;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

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
    pub(crate) steps: Mutex<Steps>,
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

        let pipelines = PipelineCache::new(&device, &report);
        let steps = Mutex::new(Steps::new(&device, &limits, &pipelines.step_layout));
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

    /// Bytes of the largest buffer that a kernel can be given.
    pub fn largest_binding(&self) -> u64 {
        let limits = self.limits();
        limits.max_storage_buffer_binding_size.min(limits.max_buffer_size)
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
        self.inner.pipelines.get(&self.inner.device, &self.inner.queue, kernel, overrides)
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
