//! `tidegate`: train, forecast, predict and measure from a shell.
//!
//! Data goes to stdout, progress and notes to stderr. Every failure has a code; see [`failure`].
#![allow(missing_docs, reason = "a program: its documentation is --help")]

mod args;
mod arrays;
mod automatic;
mod backtest;
mod bench;
mod calendar;
mod commands;
mod console;
mod devices;
mod failure;
mod files;
mod goals;
mod learning;
mod models;
mod picture;
mod recipe;
mod series_file;
mod settings;
mod table;
mod timeline;

use std::process::ExitCode;

use args::{Cli, Command};
use clap::{CommandFactory, Parser};
use console::Console;
use failure::Outcome;

fn main() -> ExitCode {
    quiet_display_probe();
    // clap prints help on stdout with code 0 and wrong usage on stderr with code 2.
    let cli = Cli::parse();
    match run(&cli) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            console::fail(&failure);
            ExitCode::from(failure.code)
        }
    }
}

/// wgpu's GL backend asks libwayland for a display, which writes an error to stderr where this variable is not set (root,
/// containers). Any folder without a display's socket gives the same answer in silence.
fn quiet_display_probe() {
    if cfg!(target_os = "linux") && std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // SAFETY: the first thing the program does: no other thread reads or writes the environment yet.
        unsafe { std::env::set_var("XDG_RUNTIME_DIR", std::env::temp_dir()) };
    }
}

fn run(cli: &Cli) -> Outcome {
    let global = &cli.global;
    let console = Console { quiet: global.quiet, json: global.json };
    match &cli.command {
        Command::Devices => commands::devices::run(&console),
        Command::Demo(args) => commands::demo::run(args, global, &console),
        Command::Train(args) => commands::train::run(args, global, &console),
        Command::Forecast(args) => commands::forecast::run(args, global, &console),
        Command::Predict(args) => commands::predict::run(args, global, &console),
        Command::Verify(args) => commands::verify::run(args, global, &console),
        Command::Convert(args) => commands::convert::run(args, &console),
        Command::Inspect(args) => commands::inspect::run(args, &console),
        Command::Bench(args) => bench::run(args, global, &console),
        Command::Completions(args) => {
            let mut script = Vec::new();
            clap_complete::generate(args.shell, &mut Cli::command(), "tidegate", &mut script);
            console::print(&String::from_utf8_lossy(&script))
        }
    }
}
