//! Time on the device, by timestamp queries.
use crate::context::Context;
use crate::program::Program;
use crate::{Error, Result};
use rnn_shaders::vocabulary::StepParams;
use std::time::Duration;

impl Context {
    /// Runs the program once, in one submission, and returns how long the device took; `None` where the adapter has no
    /// timestamps. Waits for the end.
    ///
    /// # Errors
    /// Those of [`Context::run`] and of reading back.
    pub fn time(&self, program: &Program, step: StepParams) -> Result<Option<Duration>> {
        let device = self.device();
        if !device.features().contains(wgpu::Features::TIMESTAMP_QUERY) {
            return Ok(None);
        }
        let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
        let queries = device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("timing"),
            ty: wgpu::QueryType::Timestamp,
            count: 2,
        });
        let resolved = device.create_buffer(&wgpu::BufferDescriptor {
            label: Some("timing"),
            size: 256,
            usage: wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            mapped_at_creation: false,
        });
        let ticks = self.alloc(4)?;
        let mut encoder = device.create_command_encoder(&Default::default());
        self.with_step(program, step, |group| {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: Some("timing"),
                timestamp_writes: Some(wgpu::ComputePassTimestampWrites {
                    query_set: &queries,
                    beginning_of_pass_write_index: Some(0),
                    end_of_pass_write_index: Some(1),
                }),
            });
            program.encode(&mut pass, 0..program.dispatches(), group, 0);
            drop(pass);
            encoder.resolve_query_set(&queries, 0..2, &resolved, 0);
            encoder.copy_buffer_to_buffer(&resolved, 0, &ticks.inner.raw, 0, 16);
            self.inner.queue.submit([encoder.finish()]);
        });
        if let Some(error) = pollster::block_on(scope.pop()) {
            return Err(Error::Driver { operation: "timing".into(), reason: error.to_string() });
        }
        let words = self.read_u32(&ticks.all())?;
        let tick = |i: usize| u64::from(words[i]) | u64::from(words[i + 1]) << 32;
        let nanos =
            tick(2).saturating_sub(tick(0)) as f64 * f64::from(self.inner.queue.get_timestamp_period());
        Ok(Some(Duration::from_secs_f64(nanos * 1e-9)))
    }
}
