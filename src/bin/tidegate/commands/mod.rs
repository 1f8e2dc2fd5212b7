//! One module per command.

pub mod convert;
pub mod demo;
pub mod devices;
pub mod forecast;
pub mod inspect;
pub mod predict;
pub mod train;
pub mod train_arrays;
pub mod verify;
