//! One module per command.

pub mod demo;
pub mod devices;
pub mod forecast;
pub mod inspect;
pub mod predict;
pub mod train;
