//! Pipelines, made once per kernel and set of overrides.
use crate::adapter::{AdapterReport, Kind};
use crate::ahead::Ahead;
use crate::{Error, Result};
use rnn_shaders::contract::{Access, Kernel};
use rnn_shaders::vocabulary::StepParams;
use std::collections::HashMap;
use std::num::NonZeroU64;
use std::sync::{Arc, Mutex, PoisonError};

/// A kernel made ready for one set of overrides.
#[derive(Debug)]
pub(crate) struct Pipeline {
    pub(crate) raw: wgpu::ComputePipeline,
    pub(crate) layout: wgpu::BindGroupLayout,
    pub(crate) kernel: &'static Kernel,
}

type Key = (&'static str, Vec<(&'static str, u64)>);

#[derive(Debug, Default)]
struct State {
    modules: HashMap<&'static str, wgpu::ShaderModule>,
    layouts: HashMap<&'static str, wgpu::BindGroupLayout>,
    pipelines: HashMap<Key, Arc<Pipeline>>,
}

#[derive(Debug)]
pub(crate) struct PipelineCache {
    state: Mutex<State>,
    pub(crate) step_layout: wgpu::BindGroupLayout,
    /// For drivers that leave compiling to the first dispatch.
    ahead: Option<Ahead>,
    subgroups: bool,
}

fn buffer_entry(
    binding: u32,
    ty: wgpu::BufferBindingType,
    dynamic: bool,
    size: Option<usize>,
) -> wgpu::BindGroupLayoutEntry {
    wgpu::BindGroupLayoutEntry {
        binding,
        visibility: wgpu::ShaderStages::COMPUTE,
        ty: wgpu::BindingType::Buffer {
            ty,
            has_dynamic_offset: dynamic,
            min_binding_size: size.and_then(|size| NonZeroU64::new(size as u64)),
        },
        count: None,
    }
}

impl PipelineCache {
    pub(crate) fn new(device: &wgpu::Device, report: &AdapterReport) -> Self {
        let step_layout = device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor {
            label: Some("step"),
            entries: &[buffer_entry(
                0,
                wgpu::BufferBindingType::Uniform,
                true,
                Some(size_of::<StepParams>()),
            )],
        });
        let ahead = (report.kind == Kind::Software).then(|| Ahead::new(device, &step_layout));
        PipelineCache { state: Mutex::default(), step_layout, ahead, subgroups: report.shares_rows() }
    }

    /// The pipeline of this kernel with these overrides; the ones not named have their defaults.
    pub(crate) fn get(
        &self,
        device: &wgpu::Device,
        queue: &wgpu::Queue,
        kernel: &'static Kernel,
        overrides: &[(&'static str, f64)],
    ) -> Result<Arc<Pipeline>> {
        let key: Key =
            (kernel.stem, overrides.iter().map(|&(name, value)| (name, value.to_bits())).collect());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(pipeline) = state.pipelines.get(&key) {
            return Ok(pipeline.clone());
        }
        let scopes =
            [wgpu::ErrorFilter::Internal, wgpu::ErrorFilter::OutOfMemory, wgpu::ErrorFilter::Validation]
                .map(|filter| device.push_error_scope(filter));
        let pipeline = Arc::new(self.build(device, &mut state, kernel, overrides));
        let mut failure = None;
        for scope in scopes.into_iter().rev() {
            failure = failure.or(pollster::block_on(scope.pop()));
        }
        if let Some(error) = failure {
            return Err(Error::Driver {
                operation: format!("kernel {}", kernel.stem),
                reason: error.to_string(),
            });
        }
        if let Some(ahead) = &self.ahead {
            ahead.compile(device, queue, &pipeline);
        }
        state.pipelines.insert(key, pipeline.clone());
        Ok(pipeline)
    }

    fn build(
        &self,
        device: &wgpu::Device,
        state: &mut State,
        kernel: &'static Kernel,
        overrides: &[(&'static str, f64)],
    ) -> Pipeline {
        let label = Some(kernel.stem);
        let module = state.modules.entry(kernel.stem).or_insert_with(|| {
            let text = if self.subgroups { kernel.with_subgroups() } else { kernel.source.into() };
            let desc = wgpu::ShaderModuleDescriptor { label, source: wgpu::ShaderSource::Wgsl(text) };
            if kernel.unchecked {
                // SAFETY: the text is this project's own, and `Kernel::unchecked` is set only where the launcher's
                // length checks and the kernel's own conditions keep every index in range and every loop ends.
                unsafe { device.create_shader_module_trusted(desc, wgpu::ShaderRuntimeChecks::unchecked()) }
            } else {
                device.create_shader_module(desc)
            }
        });
        let layout = state
            .layouts
            .entry(kernel.stem)
            .or_insert_with(|| {
                let mut entries: Vec<_> = (0u32..)
                    .zip(kernel.bindings)
                    .map(|(i, b)| {
                        let read_only = b.access == Access::Read;
                        buffer_entry(i, wgpu::BufferBindingType::Storage { read_only }, false, None)
                    })
                    .collect();
                let params = kernel.bindings.len() as u32;
                entries.push(buffer_entry(
                    params,
                    wgpu::BufferBindingType::Uniform,
                    true,
                    Some(kernel.params_size.next_multiple_of(16)),
                ));
                device.create_bind_group_layout(&wgpu::BindGroupLayoutDescriptor { label, entries: &entries })
            })
            .clone();
        let groups = [Some(&layout), Some(&self.step_layout)];
        let pipeline_layout = device.create_pipeline_layout(&wgpu::PipelineLayoutDescriptor {
            label,
            bind_group_layouts: if kernel.step { &groups } else { &groups[..1] },
            immediate_size: 0,
        });
        let raw = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label,
            layout: Some(&pipeline_layout),
            module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants: overrides,
                zero_initialize_workgroup_memory: false,
            },
            cache: None,
        });
        Pipeline { raw, layout, kernel }
    }
}
