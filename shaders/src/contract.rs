//! How a kernel is described to the host. The table in `<stem>.rs` and the declarations in `<stem>.wgsl` say the same
//! thing twice; `tests/contract.rs` proves that they agree.
//!
//! Conventions of every kernel:
//!
//! - entry point `main`;
//! - group 0 has the storage buffers of the table, in order, from binding 0, then the uniform `params: Params`;
//! - the first members of `Params` are `<name>_at: u32`, one per storage buffer in table order: where the slice starts,
//!   in elements from the start of the binding (slices need no alignment, bindings do). The recorder fills them in;
//! - group 1 binding 0, only where `step` is set, is the uniform `step: StepParams`;
//! - sizes that differ from call to call are in `Params`; choices that change the code are overrides.
use std::borrow::Cow;

/// What a kernel does with a storage buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// `var<storage, read>`
    Read,
    /// `var<storage, read_write>`
    ReadWrite,
}

/// One storage buffer of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Binding {
    /// Name of the variable in WGSL.
    pub name: &'static str,
    /// Read only, or read and written.
    pub access: Access,
}

/// A read-only storage buffer.
pub const fn read(name: &'static str) -> Binding {
    Binding { name, access: Access::Read }
}

/// A storage buffer that the kernel writes, or reads and writes.
pub const fn write(name: &'static str) -> Binding {
    Binding { name, access: Access::ReadWrite }
}

/// A pipeline-overridable constant: name and the value it has when the launcher says nothing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Override {
    /// Name in WGSL.
    pub name: &'static str,
    /// Default, as in WGSL.
    pub default: f64,
}

/// Shorthand for a table row.
pub const fn over(name: &'static str, default: f64) -> Override {
    Override { name, default }
}

/// All that the host knows of a kernel.
#[derive(Debug)]
pub struct Kernel {
    /// Name of the files and of the kernel in messages.
    pub stem: &'static str,
    /// The whole WGSL text, shared prelude included.
    pub source: &'static str,
    /// Storage buffers of group 0 in binding order, at most [`MAX_STORAGE`].
    pub bindings: &'static [Binding],
    /// Size of `Params` in bytes.
    pub params_size: usize,
    /// Names and offsets of the members of `Params` in order.
    pub params_fields: &'static [(&'static str, usize)],
    /// Whether the kernel reads `StepParams`.
    pub step: bool,
    /// Constants that specialise the code.
    pub overrides: &'static [Override],
    /// Every index is proven in range by the launcher's checks and the kernel's own conditions, and every loop ends:
    /// the driver may compile it without run-time bounds checks.
    pub unchecked: bool,
}

impl Kernel {
    /// The text for devices with subgroups.
    pub fn with_subgroups(&self) -> Cow<'static, str> {
        const ALONE: &str = include_str!("from_lane.wgsl");
        if self.source.contains(ALONE) {
            Cow::Owned(self.source.replace(ALONE, include_str!("subgroups.wgsl")))
        } else {
            Cow::Borrowed(self.source)
        }
    }
}

/// Storage buffers that every adapter offers to a kernel.
pub const MAX_STORAGE: usize = 8;

/// Declares `Params` of a kernel: a `#[repr(C)]` Pod struct and the list of its fields for the contract test.
///
/// ```
/// rnn_shaders::params! {
///     /// What one call needs.
///     pub struct Params {
///         /// filled by the recorder
///         pub y_at: u32,
///         /// elements
///         pub n: u32,
///     }
/// }
/// assert_eq!(Params::FIELDS[1], ("n", 4));
/// ```
#[macro_export]
macro_rules! params {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$fmeta:meta])* pub $field:ident : $ty:ty),* $(,)? }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, $crate::bytemuck::Pod, $crate::bytemuck::Zeroable)]
        #[bytemuck(crate = "rnn_shaders::bytemuck")]
        #[repr(C)]
        pub struct $name { $($(#[$fmeta])* pub $field: $ty),* }

        impl $name {
            /// Names and byte offsets of the members, in order.
            pub const FIELDS: &'static [(&'static str, usize)] =
                &[$((stringify!($field), ::core::mem::offset_of!($name, $field))),*];
        }
    };
}
