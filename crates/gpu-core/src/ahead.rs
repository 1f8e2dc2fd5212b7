//! Compiling ahead. Software drivers turn a pipeline into machine code when its first dispatch comes, on the thread that runs
//! dispatches. A dispatch of no workgroups, sent as soon as the pipeline is there, makes them do so while the host
//! goes on with the next pipeline.
use crate::pipeline::Pipeline;
use rnn_shaders::contract::Access;
use rnn_shaders::vocabulary::StepParams;

/// What no kernel reads: something to bind.
#[derive(Debug)]
pub(crate) struct Ahead {
    read: wgpu::Buffer,
    written: wgpu::Buffer,
    uniform: wgpu::Buffer,
    step: wgpu::BindGroup,
}

/// Bytes of each buffer, no less than a kernel's parameters.
const BYTES: usize = 1024;

impl Ahead {
    pub(crate) fn new(device: &wgpu::Device, step_layout: &wgpu::BindGroupLayout) -> Self {
        let buffer = |usage| {
            device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("ahead"),
                size: BYTES as u64,
                usage,
                mapped_at_creation: false,
            })
        };
        let uniform = buffer(wgpu::BufferUsages::UNIFORM);
        let step = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("ahead"),
            layout: step_layout,
            entries: &[entry(0, &uniform, size_of::<StepParams>())],
        });
        let [read, written] = [wgpu::BufferUsages::STORAGE; 2].map(buffer);
        Ahead { read, written, uniform, step }
    }

    /// Sends a dispatch of no workgroups.
    pub(crate) fn compile(&self, device: &wgpu::Device, queue: &wgpu::Queue, pipeline: &Pipeline) {
        let kernel = pipeline.kernel;
        let mut entries: Vec<_> = (0u32..)
            .zip(kernel.bindings)
            .map(|(i, binding)| match binding.access {
                Access::Read => entry(i, &self.read, BYTES),
                Access::ReadWrite => entry(i, &self.written, BYTES),
            })
            .collect();
        let params = kernel.params_size.next_multiple_of(16);
        entries.push(entry(kernel.bindings.len() as u32, &self.uniform, params));
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some("ahead"),
            layout: &pipeline.layout,
            entries: &entries,
        });
        let mut encoder = device.create_command_encoder(&Default::default());
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(&pipeline.raw);
        pass.set_bind_group(0, &group, &[0]);
        if kernel.step {
            pass.set_bind_group(1, &self.step, &[0]);
        }
        pass.dispatch_workgroups(0, 0, 0);
        drop(pass);
        queue.submit([encoder.finish()]);
    }
}

fn entry(binding: u32, buffer: &wgpu::Buffer, bytes: usize) -> wgpu::BindGroupEntry<'_> {
    let size = std::num::NonZeroU64::new(bytes as u64);
    let resource = wgpu::BindingResource::Buffer(wgpu::BufferBinding { buffer, offset: 0, size });
    wgpu::BindGroupEntry { binding, resource }
}
