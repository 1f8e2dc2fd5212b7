//! What a person sees: data on stdout, everything else on stderr.

use std::io::{IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::failure::{Failure, Outcome};

/// How much is said, and in which form results come.
#[derive(Clone, Copy, Debug)]
pub struct Console {
    pub quiet: bool,
    pub json: bool,
}

impl Console {
    /// A line on stderr, unless quiet.
    pub fn note(&self, text: impl AsRef<str>) {
        if !self.quiet {
            say(text.as_ref());
        }
    }

    /// A line on stderr, also when quiet.
    pub fn warn(&self, text: impl AsRef<str>) {
        say(&format!("{} {}", paint("warning:", YELLOW), text.as_ref()));
    }

    /// Result in words on stdout; nothing with `--json`, which prints an object instead.
    pub fn text(&self, text: impl AsRef<str>) -> Outcome {
        if self.json { Ok(()) } else { print(text.as_ref()) }
    }

    /// Result as JSON on stdout, with `--json`.
    pub fn object(&self, value: &impl serde::Serialize) -> Outcome {
        if !self.json {
            return Ok(());
        }
        let text = serde_json::to_string_pretty(value).map_err(Failure::other)?;
        print(&text)
    }

    /// A progress bar of `length` steps on stderr; hidden when quiet or where stderr is no terminal.
    pub fn bar(&self, length: u64, what: &str) -> ProgressBar {
        let target = if self.quiet { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(length), target);
        let template = if colours() {
            "{prefix} [{bar:30.cyan/dim}] {pos}/{len} {msg} {elapsed_precise} eta {eta}"
        } else {
            "{prefix} [{bar:30}] {pos}/{len} {msg} {elapsed_precise} eta {eta}"
        };
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.set_prefix(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(200));
        bar
    }
}

/// The final message on stderr.
pub fn fail(failure: &Failure) {
    say(&format!("{} {failure}", paint("error:", RED)));
}

const RED: &str = "1;31";
const YELLOW: &str = "1;33";

fn colours() -> bool {
    std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty()) && std::io::stderr().is_terminal()
}

fn paint(text: &str, code: &str) -> String {
    if colours() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// A closed stderr must not end the program.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// Text on stdout. A closed pipe (`tidegate ... | head`) ends the program quietly, as other tools do.
pub fn print(text: &str) -> Outcome {
    let mut out = std::io::stdout().lock();
    let newline = if text.ends_with('\n') { "" } else { "\n" };
    match write!(out, "{text}{newline}").and_then(|()| out.flush()) {
        Ok(()) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => std::process::exit(0),
        Err(error) => Err(Failure::other(format!("stdout: {error}"))),
    }
}

/// Seconds as a person reads them: `4.31 s`, `23 ms`, `0.8 ms`.
pub fn duration(seconds: f64) -> String {
    match seconds {
        1.0.. => format!("{seconds:.2} s"),
        0.01.. => format!("{:.0} ms", seconds * 1e3),
        _ => format!("{:.1} ms", seconds * 1e3),
    }
}
