//! The device a command runs on.

use rnn_model::{Device, DeviceKind};

use crate::args::Global;
use crate::console::Console;
use crate::failure::Outcome;

/// Opens the device asked for and says which it is.
pub fn open(global: &Global, console: &Console) -> Outcome<Device> {
    let device = Device::from_name(&global.device)?;
    let why = match (global.device.as_str(), device.kind()) {
        ("auto", DeviceKind::Cpu) => " (no hardware GPU found)",
        _ => "",
    };
    console.note(format!("device: {}{why}", device.name()));
    Ok(device)
}
