//! Where a model runs: the CPU device, a GPU through wgpu, or the f64 reference. All offer one [`Engine`].

mod access;
mod cpu;
mod gpu;
mod layer_op;
mod memory;
mod op;
mod port;
mod tensor;

pub(crate) use access::{Access, Overwrite, goes_back_in_parts};
pub(crate) use layer_op::LayerOp;
pub(crate) use memory::{Buffer, IndexBuffer, IndexSlice, Program, Slice};
pub(crate) use op::{
    Factors, Gradient, Op, RecurrentGradients, RecurrentInputs, RecurrentUpstream, Segments,
};

use crate::{Error, Result};
use memory::BufferId;
use rnn_shaders::shape::RecurrentShape;
use rnn_shaders::vocabulary::{Cell, StepParams};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) use port::Port;
pub use tensor::Tensor;

pub use gpu_core::{AdapterChoice, AdapterReport, AdapterRequest};

/// What a device does for models. One per device, behind a lock.
pub(crate) trait Engine: Send {
    /// A zeroed buffer of `len` floats.
    fn alloc(&mut self, len: usize) -> Result<BufferId>;
    fn free(&mut self, id: BufferId);
    fn alloc_index(&mut self, len: usize) -> Result<BufferId>;
    fn free_index(&mut self, id: BufferId);
    /// Bytes of the largest buffer that there can be.
    fn largest_buffer(&self) -> u64 {
        u64::MAX
    }
    fn write(&mut self, to: Slice, data: &[f32]) -> Result<()>;
    fn read(&mut self, from: Slice) -> Result<Vec<f32>>;
    /// Whether the axes of batches change places on the way between host and device, which spares the programs doing it.
    fn swaps(&self) -> bool {
        false
    }
    /// Writes `data [a, b, f]` as `[b, a, f]`; of engines that swap.
    fn write_swapped(&mut self, to: Slice, data: &[f32], a: usize, b: usize, f: usize) -> Result<()> {
        let _ = (to, data, a, b, f);
        unreachable!("this engine does not swap")
    }
    /// Reads `[a, b, f]` as `[b, a, f]`; of engines that swap.
    fn read_swapped(&mut self, from: Slice, a: usize, b: usize, f: usize) -> Result<Vec<f32>> {
        let _ = (from, a, b, f);
        unreachable!("this engine does not swap")
    }
    fn write_index(&mut self, to: IndexSlice, data: &[u32]) -> Result<()>;
    /// In double precision where the device keeps it (the reference device), else by way of f32.
    fn read_f64(&mut self, from: Slice) -> Result<Vec<f64>> {
        Ok(self.read(from)?.into_iter().map(f64::from).collect())
    }
    /// Length of the `saved` buffer of a recurrent operation.
    fn saved_len(&self, cell: Cell, shape: RecurrentShape) -> usize;
    /// The schedule a recurrent operation runs by, and why.
    fn strategy(&self, cell: Cell, shape: RecurrentShape, training: bool) -> (String, String);
    fn compile(&mut self, ops: Vec<Op>) -> Result<usize>;
    fn free_program(&mut self, id: usize);
    /// Runs a program once per record, in order. May return before the device is done.
    fn run(&mut self, program: usize, steps: &[StepParams]) -> Result<()>;
    /// Waits until all work is done; reports what failed.
    fn synchronize(&mut self) -> Result<()>;
    /// Bytes held on the device now, and the most held so far.
    fn memory(&self) -> MemoryUse;
}

/// Device memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryUse {
    /// held by models and tensors now
    pub live: u64,
    /// the most that was held at a time
    pub peak: u64,
}

/// Which kind of device it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum DeviceKind {
    /// The CPU device.
    Cpu,
    /// The reference device: the CPU in double precision.
    Reference,
    /// A GPU, or a software adapter asked for by name.
    Gpu,
}

/// A device that models and tensors live on. Cloning is cheap and names the same device.
///
/// Work of models on one device is done in the order it is asked for; for independent models on several threads of
/// the CPU make a device for each.
///
/// ```
/// use rnn_model::Device;
/// let device = Device::cpu();
/// assert_eq!(device.name(), "cpu");
/// ```
#[derive(Clone)]
pub struct Device {
    inner: Arc<Inner>,
}

struct Inner {
    kind: DeviceKind,
    name: String,
    engine: Mutex<Box<dyn Engine>>,
}

impl Device {
    /// A hardware GPU where there is one, else the CPU device. A software adapter is never chosen: it is slower than
    /// the CPU device.
    ///
    /// # Errors
    /// When a GPU is there but can not be opened.
    pub fn best() -> Result<Device> {
        match gpu_core::Context::new(&request(AdapterChoice::Best)) {
            Ok(context) => Ok(Self::from_context(context)),
            Err(gpu_core::Error::NoAdapter { .. }) => Ok(Device::cpu()),
            Err(error) => Err(error.into()),
        }
    }

    /// The CPU device, on all cores.
    pub fn cpu() -> Device {
        Device::cpu_with_threads(std::thread::available_parallelism().map_or(1, |n| n.get()))
    }

    /// The CPU device on `threads` threads (at least one).
    pub fn cpu_with_threads(threads: usize) -> Device {
        Self::new(DeviceKind::Cpu, "cpu".into(), Box::new(cpu::CpuEngine::<f32>::new(threads.max(1))))
    }

    /// The reference device: the CPU's plain kernels in double precision. Slow, and what the others are checked with.
    pub fn reference() -> Device {
        Self::new(DeviceKind::Reference, "cpu-f64".into(), Box::new(cpu::CpuEngine::<f64>::new(1)))
    }

    /// A GPU, or any adapter asked for by name or index.
    ///
    /// # Errors
    /// When no adapter fits, or it can not be opened.
    pub fn gpu(request: &AdapterRequest) -> Result<Device> {
        Ok(Self::from_context(gpu_core::Context::new(request)?))
    }

    /// A device by what a person types: `auto`, `cpu`, `gpu`, or part of an adapter's name.
    ///
    /// # Errors
    /// When no adapter fits; the message lists those there are.
    pub fn from_name(name: &str) -> Result<Device> {
        match name {
            "auto" => Device::best(),
            "cpu" => Ok(Device::cpu()),
            "gpu" => Device::gpu(&request(AdapterChoice::Any)),
            other => {
                Device::gpu(&request(AdapterChoice::Name(other.to_owned()))).map_err(|error| match error {
                    Error::Gpu(gpu_core::Error::NoAdapter { .. }) => Error::UnknownDevice {
                        name: other.to_owned(),
                        available: Self::available().join(", "),
                    },
                    error => error,
                })
            }
        }
    }

    fn available() -> Vec<String> {
        let adapters = gpu_core::adapters().into_iter().map(|a| format!("{} ({})", a.name, a.backend));
        ["auto", "cpu", "gpu"].into_iter().map(String::from).chain(adapters).collect()
    }

    fn from_context(context: gpu_core::Context) -> Device {
        let name = context.info().name.clone();
        Self::new(DeviceKind::Gpu, name, Box::new(gpu::GpuEngine::new(context)))
    }

    fn new(kind: DeviceKind, name: String, engine: Box<dyn Engine>) -> Device {
        Device { inner: Arc::new(Inner { kind, name, engine: Mutex::new(engine) }) }
    }

    /// The adapter's name, or `cpu`.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// Which kind of device it is.
    pub fn kind(&self) -> DeviceKind {
        self.inner.kind
    }

    /// Bytes held on the device.
    pub fn memory(&self) -> MemoryUse {
        self.engine().memory()
    }

    /// Waits until the device has done all its work.
    ///
    /// # Errors
    /// What failed on the device since the last wait: lost device, lack of memory.
    pub fn synchronize(&self) -> Result<()> {
        self.engine().synchronize()
    }

    /// The engine's state is valid between operations, so a panic elsewhere does not poison it for good.
    pub(crate) fn engine(&self) -> MutexGuard<'_, Box<dyn Engine>> {
        self.inner.engine.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn alloc(&self, len: usize) -> Result<Buffer> {
        let id = self.engine().alloc(len)?;
        Ok(Buffer::new(self.clone(), id, len))
    }

    pub(crate) fn alloc_index(&self, len: usize) -> Result<IndexBuffer> {
        let id = self.engine().alloc_index(len)?;
        Ok(IndexBuffer::new(self.clone(), id, len))
    }

    pub(crate) fn compile(&self, ops: Vec<Op>) -> Result<Program> {
        let id = self.engine().compile(ops)?;
        Ok(Program::new(self.clone(), id))
    }

    pub(crate) fn run(&self, program: &Program, steps: &[StepParams]) -> Result<()> {
        self.engine().run(program.id(), steps)
    }
}

fn request(choice: AdapterChoice) -> AdapterRequest {
    AdapterRequest { choice, ..AdapterRequest::default() }
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Device({})", self.name())
    }
}
