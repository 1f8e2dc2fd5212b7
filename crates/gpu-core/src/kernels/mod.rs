//! Launchers: each checks lengths against shapes and records the kernel of its name.
pub mod canary;
mod fill;

pub use fill::fill;
