//! How far training is, for a person who looks on.

use crate::train::{Callback, Flow, Logs, Progress};
use crate::{Model, Result};
use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

/// Shows each epoch on stderr. On a terminal one line is drawn again and again: a bar, the time left, samples and steps per
/// second, loss and metrics so far. Elsewhere there is one line per epoch.
///
/// ```text
/// Epoch 3/10 [=========>          ]  43/93 - 4.1 s - eta 4.8 s - 336 samples/s - 10.5 steps/s - loss: 1.2345e-2
/// Epoch 3/10 - 8.9 s - 334 samples/s - 10.4 steps/s - loss: 1.1876e-2 - val_loss: 1.4021e-2
/// ```
pub struct ProgressBar<'a> {
    out: Box<dyn Write + 'a>,
    redraws: bool,
    begun: Instant,
    /// batches done when the epoch was begun (a resumed one begins in the middle)
    first: usize,
    drawn: Option<Instant>,
    /// signs of the line on the screen
    width: usize,
}

const BAR: usize = 20;
/// A person reads no faster.
const REDRAW: Duration = Duration::from_millis(100);

impl Default for ProgressBar<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl<'a> ProgressBar<'a> {
    /// On stderr, drawn again where that is a terminal.
    pub fn new() -> Self {
        Self::on(std::io::stderr(), std::io::stderr().is_terminal())
    }

    /// On `out`; `redraws` says whether a line can be drawn again after a carriage return.
    pub fn on(out: impl Write + 'a, redraws: bool) -> Self {
        ProgressBar { out: Box::new(out), redraws, begun: Instant::now(), first: 0, drawn: None, width: 0 }
    }

    /// Draws `line` over the one before. A closed stderr is no reason to stop training.
    fn draw(&mut self, line: &str, end: &str) {
        let pad = " ".repeat(self.width.saturating_sub(line.chars().count()));
        let back = if self.redraws { "\r" } else { "" };
        let _ = write!(self.out, "{back}{line}{pad}{end}");
        let _ = self.out.flush();
        self.width = if end.is_empty() { line.chars().count() } else { 0 };
    }

    fn speed(&self, progress: Progress) -> String {
        let seconds = self.begun.elapsed().as_secs_f64().max(1e-9);
        let steps = progress.batch.saturating_sub(self.first) as f64 / seconds;
        match progress.batch_size {
            0 => format!("{} steps/s", short(steps)),
            size => format!("{} samples/s - {} steps/s", short(steps * size as f64), short(steps)),
        }
    }
}

/// About three digits.
fn short(x: f64) -> String {
    match x {
        x if x >= 99.95 || !x.is_finite() => format!("{x:.0}"),
        x if x >= 9.995 => format!("{x:.1}"),
        _ => format!("{x:.2}"),
    }
}

fn duration(seconds: f64) -> String {
    match seconds as u64 {
        0 if seconds < 0.01 => format!("{:.1} ms", seconds * 1e3),
        0 => format!("{:.0} ms", seconds * 1e3),
        1..60 => format!("{seconds:.1} s"),
        s @ 60..3600 => format!("{}:{:02}", s / 60, s % 60),
        s => format!("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60),
    }
}

fn numbers(logs: &Logs) -> String {
    logs.iter().map(|(name, value)| format!(" - {name}: {value:.4e}")).collect()
}

impl Callback for ProgressBar<'_> {
    fn on_epoch_begin(&mut self, _: &mut Model, progress: Progress) -> Result<()> {
        (self.begun, self.first, self.drawn) = (Instant::now(), progress.batch, None);
        Ok(())
    }

    fn on_epoch_resumed(&mut self, model: &mut Model, progress: Progress) -> Result<()> {
        self.on_epoch_begin(model, progress)
    }

    fn on_batches_end(&mut self, model: &mut Model, progress: Progress) -> Result<Flow> {
        let early = self.drawn.is_some_and(|drawn| drawn.elapsed() < REDRAW);
        // The line of the epoch's end comes right after its last batch.
        if !self.redraws || early || progress.batch == progress.batches {
            return Ok(Flow::Continue);
        }
        self.drawn = Some(Instant::now());
        let seconds = self.begun.elapsed().as_secs_f64();
        let mut line = format!("Epoch {}/{}", progress.epoch, progress.epochs);
        // Of a stream whose length is not known there is no bar.
        if let Some(filled) = (BAR * progress.batch).checked_div(progress.batches) {
            let filled = filled.min(BAR - 1);
            let digits = progress.batches.to_string().len();
            let bar = format!("{}>{}", "=".repeat(filled), " ".repeat(BAR - 1 - filled));
            line.push_str(&format!(" [{bar}] {:>digits$}/{}", progress.batch, progress.batches));
        } else {
            line.push_str(&format!(" {} batches", progress.batch));
        }
        line.push_str(&format!(" - {}", duration(seconds)));
        let done = progress.batch.saturating_sub(self.first);
        if done > 0 && progress.batches > 0 {
            let left = seconds * (progress.batches - progress.batch) as f64 / done as f64;
            line.push_str(&format!(" - eta {}", duration(left)));
        }
        let logs = model.running_logs()?;
        line.push_str(&format!(" - {}{}", self.speed(progress), numbers(&logs)));
        self.draw(&line, "");
        Ok(Flow::Continue)
    }

    fn on_epoch_end(&mut self, _: &mut Model, progress: Progress, logs: &Logs) -> Result<Flow> {
        let seconds = self.begun.elapsed().as_secs_f64();
        let line = format!(
            "Epoch {}/{} - {} - {}{}",
            progress.epoch,
            progress.epochs,
            duration(seconds),
            self.speed(progress),
            numbers(logs)
        );
        self.draw(&line, "\n");
        Ok(Flow::Continue)
    }

    fn on_train_end(&mut self, _: &mut Model) -> Result<()> {
        // Stopped within an epoch: the prompt comes on a line of its own.
        if self.width > 0 {
            self.draw("", "\n");
        }
        Ok(())
    }
}
