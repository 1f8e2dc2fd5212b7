//! The project's own tasks: `cargo xtask test`.
//!
//! It stands outside the library and has no dependencies, so that it is built in a second on a fresh machine.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program for people at a shell")]

mod adapter;
mod install;

use std::process::{Command, ExitCode};

const HELP: &str = "\
cargo xtask test [-- ARGS]

  test   makes sure that there is a Vulkan adapter (installs a software one where there is none and where that is
         possible), sets TIDEGATE_REQUIRE_GPU=1 and runs every test of the workspace; ARGS go to `cargo test`
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["test", rest @ ..] => test(rest.strip_prefix(&["--"]).unwrap_or(rest)),
        ["help" | "--help" | "-h"] => {
            print!("{HELP}");
            ExitCode::SUCCESS
        }
        _ => {
            eprint!("{HELP}");
            ExitCode::from(2)
        }
    }
}

/// Runs the tests, doc tests included; examples are built along with them. All targets run even where one fails, so
/// that one run shows everything.
fn test(extra: &[&str]) -> ExitCode {
    match adapter::find() {
        adapter::Found::Usable(what) => eprintln!("xtask: GPU tests run on {what}"),
        adapter::Found::Nothing(why) => {
            eprintln!("xtask: {why}");
            if let Err(message) = install::software_vulkan() {
                eprintln!("xtask: {message}");
                return ExitCode::FAILURE;
            }
            match adapter::find() {
                adapter::Found::Usable(what) => eprintln!("xtask: GPU tests run on {what}"),
                adapter::Found::Nothing(why) => {
                    eprintln!("xtask: after the installation still: {why}");
                    return ExitCode::FAILURE;
                }
            }
        }
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["test", "--workspace", "--release", "--no-fail-fast"])
        .args(extra)
        .env("TIDEGATE_REQUIRE_GPU", "1")
        .status();
    match status {
        Ok(status) if status.success() => ExitCode::SUCCESS,
        Ok(status) => ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)),
        Err(error) => {
            eprintln!("xtask: cargo could not be started: {error}");
            ExitCode::FAILURE
        }
    }
}
