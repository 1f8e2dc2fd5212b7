//! Recording: launchers put kernel calls into a [`Recorder`], which becomes a [`Program`].
use crate::buffer::Slice;
use crate::context::Context;
use crate::program::{Bind, Bound, Dispatch, Program};
use crate::{Error, Result};
use rnn_shaders::contract::Kernel;
use std::collections::HashMap;
use std::sync::Arc;

/// Workgroups of a dispatch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Groups(pub [u32; 3]);

impl Groups {
    /// Enough workgroups of `per_group` elements for `n`, spread over x and y so that no dimension passes 65,535; the
    /// kernel gets its number back by `linear_group` (math.wgsl). One spare row at most.
    pub fn linear(n: usize, per_group: usize) -> Groups {
        let groups = n.div_ceil(per_group.max(1)).max(1);
        let x = groups.min(65_535);
        Groups([x as u32, groups.div_ceil(x) as u32, 1])
    }

    /// As they are.
    pub fn xyz(x: usize, y: usize, z: usize) -> Groups {
        Groups([x, y, z].map(|v| u32::try_from(v).unwrap_or(u32::MAX)))
    }
}

/// One kernel call: what a launcher hands to [`Recorder::call`].
#[derive(Debug)]
pub struct Call<'a> {
    /// The contract of the kernel.
    pub kernel: &'static Kernel,
    /// Overrides that differ from their defaults.
    pub overrides: &'a [(&'static str, f64)],
    /// One slice per storage buffer of the contract, in its order.
    pub buffers: &'a [&'a Slice],
    /// The bytes of `Params`; the recorder fills in the leading `*_at` members.
    pub params: &'a [u8],
    /// Workgroups.
    pub groups: Groups,
    /// Roughly how many floating-point operations this is: long programs are cut into submissions by it.
    pub flops: f64,
}

/// Identity and byte range of each bound buffer: calls that agree share a bind group.
type BindKey = (usize, Vec<(usize, u64, u64)>);

/// Collects kernel calls in order. Launchers check shapes and return errors; nothing runs before
/// [`Context::run`](crate::Context::run).
#[derive(Debug)]
pub struct Recorder {
    ctx: Context,
    dispatches: Vec<Dispatch>,
    params: Vec<u8>,
    last_params: HashMap<&'static str, (usize, usize)>,
    binds: Vec<Bind>,
    bind_index: HashMap<BindKey, usize>,
    nothing: Option<Slice>,
    keep: Vec<Slice>,
    /// scratch of the operation being recorded, and of those before it
    scratch: Vec<Slice>,
    free: Vec<Slice>,
    recurrent: Option<crate::kernels::StrategyKind>,
    chunk_bytes: u64,
}

impl Recorder {
    pub(crate) fn new(ctx: Context) -> Self {
        Recorder {
            ctx,
            dispatches: Vec::new(),
            params: Vec::new(),
            last_params: HashMap::new(),
            binds: Vec::new(),
            bind_index: HashMap::new(),
            nothing: None,
            keep: Vec::new(),
            scratch: Vec::new(),
            free: Vec::new(),
            recurrent: None,
            chunk_bytes: 256 << 20,
        }
    }

    /// The context that this records for.
    pub fn context(&self) -> &Context {
        &self.ctx
    }

    /// Makes the recurrent layers recorded from here on take this strategy (where the cell can), or choose again with
    /// `None`: for measuring and tests.
    pub fn force_recurrent(&mut self, kind: Option<crate::kernels::StrategyKind>) {
        self.recurrent = kind;
    }

    /// Bytes that the gates of one chunk of a sequence may take (default 256 MiB, and never more than the adapter binds at
    /// once): longer sequences go chunk by chunk, with the same results.
    pub fn set_chunk_bytes(&mut self, bytes: u64) {
        self.chunk_bytes = bytes;
    }

    pub(crate) fn chunk_bytes(&self) -> u64 {
        self.chunk_bytes
    }

    pub(crate) fn recurrent_override(&self) -> Option<crate::kernels::StrategyKind> {
        self.recurrent
    }

    /// Memory for a launcher's intermediate results, until [`end_operation`](Self::end_operation). Contents unspecified.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn scratch(&mut self, len: usize) -> Result<Slice> {
        // Not much too large, so that it is left for those that need it.
        let fits = |slice: &Slice| slice.len() >= len && slice.len() <= 2 * len.max(64);
        let free = self.free.iter().enumerate().filter(|(_, slice)| fits(slice));
        let slice = match free.min_by_key(|(_, slice)| slice.len()).map(|(at, _)| at) {
            Some(at) => self.free.swap_remove(at),
            None => self.table(len)?,
        };
        let part = slice.slice(0, len)?;
        self.scratch.push(slice);
        Ok(part)
    }

    /// Memory that lives as long as the recorded program, for what is written while it is recorded.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn table(&mut self, len: usize) -> Result<Slice> {
        let slice = self.ctx.alloc(len)?.all();
        self.keep.push(slice.clone());
        Ok(slice)
    }

    /// The calls recorded so far leave nothing in scratch memory that later ones read: these may use it for their own.
    pub fn end_operation(&mut self) {
        self.free.append(&mut self.scratch);
    }

    /// A slice of one element to bind where an optional **read-only** argument is absent; the kernel must not use it.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`].
    pub fn nothing(&mut self) -> Result<Slice> {
        if let Some(slice) = &self.nothing {
            return Ok(slice.clone());
        }
        let slice = self.table(4)?;
        self.nothing = Some(slice.clone());
        Ok(slice)
    }

    /// Adds a kernel call.
    ///
    /// # Errors
    /// [`Error::InvalidArgument`] where the grid or a binding is beyond the adapter's limits, or where one buffer is both
    /// read and written through two bindings; [`Error::Driver`] where the kernel does not compile.
    pub fn call(&mut self, call: Call<'_>) -> Result<()> {
        let kernel = call.kernel;
        let invalid = |reason: String| Err(Error::InvalidArgument { operation: kernel.stem, reason });
        let limits = self.ctx.limits();
        if call.groups.0.contains(&0) {
            return Ok(());
        }
        let most = limits.max_compute_workgroups_per_dimension;
        if call.groups.0.iter().any(|&g| g > most) {
            return invalid(format!(
                "a grid of {:?} workgroups passes {most} in one dimension",
                call.groups.0
            ));
        }
        assert_eq!(call.buffers.len(), kernel.bindings.len(), "kernel {}: buffers", kernel.stem);
        assert_eq!(call.params.len(), kernel.params_size, "kernel {}: params", kernel.stem);
        for (i, a) in call.buffers.iter().enumerate() {
            for (j, b) in call.buffers.iter().enumerate().take(i) {
                if a.same_buffer(b) && kernel.bindings[i].access != kernel.bindings[j].access {
                    let (a, b) = (kernel.bindings[i].name, kernel.bindings[j].name);
                    return invalid(format!(
                        "{a} and {b} are one buffer, one read and one written; use two buffers"
                    ));
                }
            }
        }
        let pipeline = self.ctx.pipeline(kernel, call.overrides)?;

        let align = u64::from(limits.min_storage_buffer_offset_alignment).max(4);
        let mut params = call.params.to_vec();
        let mut bound = Vec::with_capacity(call.buffers.len());
        for (i, slice) in call.buffers.iter().enumerate() {
            let start = slice.offset as u64 * 4;
            let base = start / align * align;
            let end =
                (start + slice.len.max(1) as u64 * 4).next_multiple_of(16).min(slice.buffer.inner.raw.size());
            if end - base > limits.max_storage_buffer_binding_size {
                return invalid(format!(
                    "{} has {} bytes, this adapter binds at most {}; use a smaller batch or fewer steps",
                    kernel.bindings[i].name,
                    end - base,
                    limits.max_storage_buffer_binding_size
                ));
            }
            params[i * 4..i * 4 + 4].copy_from_slice(&(((start - base) / 4) as u32).to_ne_bytes());
            bound.push(Bound { slice: (*slice).clone(), base, size: end - base });
        }

        let key = (
            Arc::as_ptr(&pipeline) as usize,
            bound.iter().map(|b| (Arc::as_ptr(&b.slice.buffer.inner) as usize, b.base, b.size)).collect(),
        );
        let bind = *self.bind_index.entry(key).or_insert_with(|| {
            self.binds.push((pipeline.clone(), bound));
            self.binds.len() - 1
        });
        let params_at = self.place_params(kernel.stem, &params);
        self.dispatches.push(Dispatch {
            bind,
            params_at,
            groups: call.groups.0,
            step: kernel.step,
            flops: call.flops,
        });
        Ok(())
    }

    /// Puts the bytes into the program's parameter buffer; a call with the parameters of the kernel's last call shares them.
    fn place_params(&mut self, stem: &'static str, params: &[u8]) -> u32 {
        if let Some(&(at, len)) = self.last_params.get(stem)
            && self.params[at..at + len] == *params
        {
            return at as u32;
        }
        let align = self.ctx.limits().min_uniform_buffer_offset_alignment.max(16) as usize;
        let at = self.params.len().next_multiple_of(align);
        self.params.resize(at, 0);
        self.params.extend_from_slice(params);
        self.params.resize(self.params.len().next_multiple_of(16), 0);
        self.last_params.insert(stem, (at, params.len()));
        at as u32
    }

    /// Ends the recording: uploads the parameters and makes the bind groups.
    ///
    /// # Errors
    /// [`Error::OutOfMemory`], [`Error::Driver`].
    pub fn finish(self) -> Result<Program> {
        Program::build(self.ctx, self.dispatches, self.params, self.binds, self.keep)
    }
}
