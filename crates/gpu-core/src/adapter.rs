//! Which adapters there are, what matters of them here, and how one is chosen.
use crate::{Error, Result};
use std::fmt;

/// Hardware or software.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// A card of its own.
    DiscreteGpu,
    /// Shares memory with the processor.
    IntegratedGpu,
    /// A part of a GPU, given to a virtual machine.
    VirtualGpu,
    /// lavapipe, WARP and the like: slower than the CPU device, for tests.
    Software,
    /// The driver does not say.
    Other,
}

impl Kind {
    /// True for everything but software adapters.
    pub fn is_hardware(self) -> bool {
        self != Kind::Software
    }

    fn rank(self) -> u32 {
        match self {
            Kind::DiscreteGpu => 0,
            Kind::VirtualGpu => 1,
            Kind::IntegratedGpu => 2,
            Kind::Other => 3,
            Kind::Software => 4,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::DiscreteGpu => "discrete GPU",
            Kind::IntegratedGpu => "integrated GPU",
            Kind::VirtualGpu => "virtual GPU",
            Kind::Software => "software",
            Kind::Other => "other",
        })
    }
}

/// What matters of an adapter for this engine.
#[derive(Clone, Debug, PartialEq)]
pub struct AdapterReport {
    /// Place in [`adapters`], for [`AdapterChoice::Index`].
    pub index: usize,
    /// The driver's name of it.
    pub name: String,
    /// `vulkan`, `metal`, `dx12` or `gl`.
    pub backend: String,
    /// Hardware or software.
    pub kind: Kind,
    /// Driver name.
    pub driver: String,
    /// Driver version.
    pub driver_info: String,
    /// Largest single buffer that a kernel can bind, bytes.
    pub max_binding_bytes: u64,
    /// Largest buffer, bytes.
    pub max_buffer_bytes: u64,
    /// Memory that a workgroup shares, bytes.
    pub workgroup_bytes: u32,
    /// Invocations in a workgroup.
    pub workgroup_invocations: u32,
    /// Storage buffers that a kernel can bind.
    pub storage_buffers: u32,
    /// Smallest and largest subgroup, 0 where unknown.
    pub subgroup_sizes: (u32, u32),
    /// Half-precision arithmetic in shaders.
    pub shader_f16: bool,
    /// Subgroup operations in shaders.
    pub subgroups: bool,
    /// Times on the device can be taken.
    pub timestamps: bool,
    /// Cooperative matrices.
    pub cooperative_matrix: bool,
    /// Whether kernels can run: compute shaders and 8 storage buffers.
    pub compute: bool,
}

impl AdapterReport {
    /// Whether the lanes of a workgroup can share rows of a product (`row_tiles.wgsl`): each subgroup is one workgroup of the
    /// kernels for software adapters.
    pub(crate) fn shares_rows(&self) -> bool {
        let lanes = rnn_shaders::SOFTWARE_LANES as u32;
        self.kind == Kind::Software && self.subgroups && self.subgroup_sizes == (lanes, lanes)
    }
}

impl fmt::Display for AdapterReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}, {}, {})", self.name, self.backend, self.kind, self.driver)
    }
}

/// How to pick an adapter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AdapterChoice {
    /// `WGPU_ADAPTER_NAME` where set, else the best hardware; software never.
    #[default]
    Best,
    /// `WGPU_ADAPTER_NAME` where set, else the best hardware, else software.
    Any,
    /// A software adapter, for tests.
    Software,
    /// Part of the name, any case.
    Name(String),
    /// Place in the list of [`adapters`].
    Index(usize),
}

impl fmt::Display for AdapterChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AdapterChoice::Best => f.write_str("the best hardware GPU"),
            AdapterChoice::Any => f.write_str("any adapter"),
            AdapterChoice::Software => f.write_str("a software adapter"),
            AdapterChoice::Name(name) => write!(f, "an adapter named like \"{name}\""),
            AdapterChoice::Index(index) => write!(f, "adapter number {index}"),
        }
    }
}

/// What a context is made from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AdapterRequest {
    /// Which adapter.
    pub choice: AdapterChoice,
    /// Bytes that buffers may take together; `None` for what the device gives.
    pub memory_cap: Option<u64>,
}

impl From<AdapterChoice> for AdapterRequest {
    fn from(choice: AdapterChoice) -> Self {
        AdapterRequest { choice, memory_cap: None }
    }
}

/// Every adapter that wgpu finds (`WGPU_BACKEND` narrows the search), best first.
pub fn adapters() -> Vec<AdapterReport> {
    enumerate().into_iter().map(|(_, report)| report).collect()
}

pub(crate) fn enumerate() -> Vec<(wgpu::Adapter, AdapterReport)> {
    let instance = wgpu::Instance::new(wgpu::InstanceDescriptor::new_without_display_handle_from_env());
    let backends = wgpu::Backends::from_env().unwrap_or(wgpu::Backends::all());
    let low_power = wgpu::PowerPreference::from_env() == Some(wgpu::PowerPreference::LowPower);
    let mut list: Vec<_> = pollster::block_on(instance.enumerate_adapters(backends))
        .into_iter()
        .map(|adapter| {
            let report = report(&adapter);
            (adapter, report)
        })
        .collect();
    list.sort_by_key(|(_, r)| {
        let kind = match r.kind {
            Kind::IntegratedGpu if low_power => 0,
            other => other.rank() + 1,
        };
        // The same card is often reached by several backends; GL is the last resort.
        (kind, !r.compute, r.backend == "gl")
    });
    for (index, (_, report)) in list.iter_mut().enumerate() {
        report.index = index;
    }
    list
}

fn report(adapter: &wgpu::Adapter) -> AdapterReport {
    let info = adapter.get_info();
    let limits = adapter.limits();
    let features = adapter.features();
    let compute = adapter.get_downlevel_capabilities().flags.contains(wgpu::DownlevelFlags::COMPUTE_SHADERS)
        && limits.max_storage_buffers_per_shader_stage as usize >= rnn_shaders::contract::MAX_STORAGE;
    AdapterReport {
        index: 0,
        name: info.name,
        backend: info.backend.to_string(),
        kind: match info.device_type {
            wgpu::DeviceType::DiscreteGpu => Kind::DiscreteGpu,
            wgpu::DeviceType::IntegratedGpu => Kind::IntegratedGpu,
            wgpu::DeviceType::VirtualGpu => Kind::VirtualGpu,
            wgpu::DeviceType::Cpu => Kind::Software,
            wgpu::DeviceType::Other => Kind::Other,
        },
        driver: info.driver,
        driver_info: info.driver_info,
        max_binding_bytes: limits.max_storage_buffer_binding_size,
        max_buffer_bytes: limits.max_buffer_size,
        workgroup_bytes: limits.max_compute_workgroup_storage_size,
        workgroup_invocations: limits.max_compute_invocations_per_workgroup,
        storage_buffers: limits.max_storage_buffers_per_shader_stage,
        subgroup_sizes: (info.subgroup_min_size, info.subgroup_max_size),
        shader_f16: features.contains(wgpu::Features::SHADER_F16),
        subgroups: features.contains(wgpu::Features::SUBGROUP),
        timestamps: features.contains(wgpu::Features::TIMESTAMP_QUERY),
        cooperative_matrix: features.contains(wgpu::Features::EXPERIMENTAL_COOPERATIVE_MATRIX),
        compute,
    }
}

/// Picks from the list; the environment variable decides where the caller leaves the choice open.
pub(crate) fn choose(choice: &AdapterChoice) -> Result<(wgpu::Adapter, AdapterReport)> {
    let list = enumerate();
    let named = std::env::var("WGPU_ADAPTER_NAME").ok().filter(|name| !name.is_empty());
    let effective = match (choice, named) {
        (AdapterChoice::Best | AdapterChoice::Any, Some(name)) => AdapterChoice::Name(name),
        (other, _) => other.clone(),
    };
    let found = match list.is_empty() {
        true => "none".to_owned(),
        false => list.iter().map(|(_, r)| format!("[{}] {r}", r.index)).collect::<Vec<_>>().join(", "),
    };
    list.into_iter()
        .filter(|(_, r)| r.compute)
        .find(|(_, r)| match &effective {
            AdapterChoice::Best => r.kind.is_hardware(),
            AdapterChoice::Any => true,
            AdapterChoice::Software => !r.kind.is_hardware(),
            AdapterChoice::Name(name) => r.name.to_lowercase().contains(&name.to_lowercase()),
            AdapterChoice::Index(index) => r.index == *index,
        })
        .ok_or_else(|| Error::NoAdapter { request: effective.to_string(), found })
}
