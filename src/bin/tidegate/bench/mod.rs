//! `tidegate bench`: known workloads on a device, timed and checked.

mod measure;
mod workloads;

use rnn_model::{Device, DeviceKind};
use serde_json::json;

use crate::args::{Bench, Global, Mode};
use crate::console::Console;
use crate::devices;
use crate::failure::{Failure, Outcome};
use crate::table::{Align, render};
use measure::Measured;

pub fn run(args: &Bench, global: &Global, console: &Console) -> Outcome {
    if !(args.seconds > 0.0 && args.seconds <= 3600.0) {
        return Err(Failure::usage(format!(
            "--seconds must be above 0 and at most 3600, got {}",
            args.seconds
        )));
    }
    if args.threads == Some(0) {
        return Err(Failure::usage("--threads must be at least 1"));
    }
    let names: Vec<&str> = workloads::ALL.iter().map(|w| w.name).chain(["airline"]).collect();
    let is_known = |asked: &&String| names.iter().any(|name| name.eq_ignore_ascii_case(asked));
    if let Some(unknown) = args.workload.iter().find(|asked| !is_known(asked)) {
        return Err(Failure::usage(format!(
            "there is no workload {unknown:?}; there are {}",
            names.join(", ")
        )));
    }
    let is_wanted = |name: &str| {
        args.workload.is_empty() || args.workload.iter().any(|asked| asked.eq_ignore_ascii_case(name))
    };
    let modes = match args.mode {
        Some(mode) => vec![mode],
        None => vec![Mode::Infer, Mode::Train],
    };
    let device = open(args, global, console)?;
    let mut results = Vec::new();
    for workload in workloads::ALL.iter().filter(|workload| is_wanted(workload.name)) {
        for mode in &modes {
            console.note(format!(
                "{} {}",
                workload.name,
                if *mode == Mode::Infer { "infer" } else { "train" }
            ));
            results.push(measure::run(workload, *mode, &device, args.seconds)?);
        }
    }
    if is_wanted("airline") && modes.contains(&Mode::Train) {
        console.note("airline train");
        results.push(measure::run_airline(&device)?);
    }
    console.object(&json!({ "device": device.name(), "threads": args.threads, "results": results }))?;
    console.text(table(&results))?;
    match results.iter().find(|result| !result.max_abs_error.is_finite()) {
        Some(wrong) => {
            Err(Failure::other(format!("{} {} gave values that are not finite", wrong.workload, wrong.mode)))
        }
        None => Ok(()),
    }
}

fn open(args: &Bench, global: &Global, console: &Console) -> Outcome<Device> {
    let device = devices::open(global, console)?;
    match (args.threads, device.kind()) {
        (None, _) => Ok(device),
        (Some(threads), DeviceKind::Cpu) => Ok(Device::cpu_with_threads(threads)),
        (Some(_), _) => Err(Failure::usage("--threads is for the CPU device: give --device cpu, too")),
    }
}

fn table(results: &[Measured]) -> String {
    let columns = [
        ("workload", Align::Left),
        ("mode", Align::Left),
        ("median ms", Align::Right),
        ("min", Align::Right),
        ("max", Align::Right),
        ("GFLOP/s", Align::Right),
        ("device MB", Align::Right),
        ("max abs error", Align::Right),
        ("runs", Align::Right),
    ];
    let row = |result: &Measured| {
        vec![
            result.workload.to_owned(),
            result.mode.to_owned(),
            format!("{:.3}", result.median_ms),
            format!("{:.3}", result.min_ms),
            format!("{:.3}", result.max_ms),
            result.gflops.map_or_else(String::new, |gflops| format!("{gflops:.1}")),
            format!("{:.1}", result.device_bytes as f64 / 1e6),
            format!("{:.1e}", result.max_abs_error),
            result.runs.to_string(),
        ]
    };
    render(&columns, &results.iter().map(row).collect::<Vec<_>>())
}
