//! The buffer pool: size classes, reuse, a cap, and statistics.
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// What the pool holds, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PoolStats {
    /// In use.
    pub live: u64,
    /// Kept for reuse.
    pub pooled: u64,
    /// Most that was in use and kept together.
    pub peak: u64,
    /// Buffers made on the device since the context was made (reuse does not count).
    pub allocations: u64,
    /// Cap set by the user, `u64::MAX` for none.
    pub cap: u64,
}

#[derive(Debug, Default)]
struct State {
    free: BTreeMap<u64, Vec<wgpu::Buffer>>,
    stats: PoolStats,
}

#[derive(Debug)]
pub(crate) struct Pool {
    state: Mutex<State>,
}

/// A device buffer that goes back to its pool when dropped.
#[derive(Debug)]
pub(crate) struct PooledBuffer {
    pub(crate) raw: wgpu::Buffer,
    pool: Arc<Pool>,
}

impl Drop for PooledBuffer {
    fn drop(&mut self) {
        let mut state = self.pool.lock();
        let size = self.raw.size();
        state.stats.live -= size;
        state.stats.pooled += size;
        state.free.entry(size).or_default().push(self.raw.clone());
    }
}

/// Smallest size class that holds `bytes`: multiples of 256 bytes up to 4 KiB, then quarter steps between powers of two,
/// so that at most a quarter is wasted, and above 1 MiB, where waste counts more than finding a free buffer, steps of a thirty-second.
pub(crate) fn size_class(bytes: u64) -> u64 {
    let step = match bytes {
        0..=4096 => 256,
        4097..=0x10_0000 => bytes.next_power_of_two() / 8,
        _ => bytes.next_power_of_two() / 64,
    };
    bytes.max(1).div_ceil(step) * step
}

impl Pool {
    pub(crate) fn new(cap: u64) -> Arc<Self> {
        let stats = PoolStats { cap, ..Default::default() };
        Arc::new(Pool { state: Mutex::new(State { free: BTreeMap::new(), stats }) })
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn stats(&self) -> PoolStats {
        self.lock().stats
    }

    pub(crate) fn set_cap(&self, cap: u64) {
        let mut state = self.lock();
        state.stats.cap = cap;
        let State { free, stats } = &mut *state;
        if stats.live + stats.pooled > cap {
            free.clear();
            stats.pooled = 0;
        }
    }

    /// Gives everything that is kept for reuse back to the device.
    pub(crate) fn trim(&self) {
        let mut state = self.lock();
        state.free.clear();
        state.stats.pooled = 0;
    }

    /// A buffer of at least `bytes`, contents unspecified: a free one below twice the size, else a new one.
    pub(crate) fn take(
        self: &Arc<Self>,
        device: &wgpu::Device,
        max_buffer: u64,
        bytes: u64,
    ) -> Result<PooledBuffer> {
        let refuse = |live: u64, limit: u64| {
            Err(Error::OutOfMemory { operation: "a buffer".into(), asked: bytes, live, limit })
        };
        if bytes > max_buffer {
            return refuse(self.stats().live, max_buffer);
        }
        let size = size_class(bytes).min(max_buffer.max(bytes));
        let mut state = self.lock();
        let fit = state
            .free
            .range(size..size.saturating_mul(2))
            .find(|(_, list)| !list.is_empty())
            .map(|(&s, _)| s);
        if let Some(fit) = fit
            && let Some(raw) = state.free.get_mut(&fit).and_then(Vec::pop)
        {
            state.stats.pooled -= fit;
            state.stats.live += fit;
            return Ok(PooledBuffer { raw, pool: self.clone() });
        }
        if state.stats.live + state.stats.pooled + size > state.stats.cap {
            state.free.clear();
            state.stats.pooled = 0;
            if state.stats.live + size > state.stats.cap {
                return refuse(state.stats.live, state.stats.cap);
            }
        }
        let raw = match create(device, size) {
            Some(raw) => raw,
            None => {
                // What is kept for reuse may be what the device lacks.
                state.free.clear();
                state.stats.pooled = 0;
                match create(device, size) {
                    Some(raw) => raw,
                    None => return refuse(state.stats.live, u64::MAX),
                }
            }
        };
        let stats = &mut state.stats;
        stats.live += size;
        stats.allocations += 1;
        stats.peak = stats.peak.max(stats.live + stats.pooled);
        Ok(PooledBuffer { raw, pool: self.clone() })
    }
}

fn create(device: &wgpu::Device, size: u64) -> Option<wgpu::Buffer> {
    let memory = device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
    let validation = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let raw = device.create_buffer(&wgpu::BufferDescriptor {
        label: None,
        size,
        usage: wgpu::BufferUsages::STORAGE
            | wgpu::BufferUsages::UNIFORM
            | wgpu::BufferUsages::COPY_SRC
            | wgpu::BufferUsages::COPY_DST,
        mapped_at_creation: false,
    });
    let refused = pollster::block_on(validation.pop()).is_some();
    let exhausted = pollster::block_on(memory.pop()).is_some();
    (!refused && !exhausted).then_some(raw)
}

#[cfg(test)]
mod tests {
    use super::size_class;

    #[test]
    fn classes_hold_what_is_asked_and_waste_little() {
        for bytes in [0, 1, 255, 256, 257, 4096, 4097, 5000, 70_000, 1 << 20, (1 << 20) + 1, 3_000_000_001] {
            let class = size_class(bytes);
            assert!(class >= bytes && class.is_multiple_of(256), "{bytes} -> {class}");
            let waste = if bytes > 1 << 20 { bytes / 32 } else { bytes / 4 };
            assert!(class <= bytes + waste + 256, "{bytes} -> {class}");
            assert_eq!(size_class(class), class);
        }
    }
}
