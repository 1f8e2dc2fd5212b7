//! Training with a progress bar that Ctrl-C can end in good order.

use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use ndarray::{Array2, Array3, ArrayD};
use rnn_model::{Callback, FitOptions, Flow, History, Logs, Model, Progress};

use crate::console::Console;
use crate::failure::{Failure, INTERRUPTED, Outcome};
use crate::files;

static STOP: AtomicBool = AtomicBool::new(false);

/// From now on the first Ctrl-C asks training to end, the second ends the program at once.
fn listen_for_interrupts() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let handler = || {
            if STOP.swap(true, Ordering::SeqCst) {
                std::process::exit(i32::from(INTERRUPTED));
            }
        };
        // Without a handler Ctrl-C ends the program as usual; there is nothing to tell a person here.
        drop(ctrlc::set_handler(handler));
    });
}

fn interrupted() -> bool {
    STOP.load(Ordering::SeqCst)
}

/// How a training goes on and ends.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Number of the last epoch, counted from the model's first.
    pub epochs: u64,
    pub batch_size: usize,
    pub shuffle: bool,
    /// Ends after that many epochs without a better validation loss, and goes back to the best weights.
    pub patience: Option<u64>,
    /// Where Ctrl-C saves the training.
    pub checkpoint: PathBuf,
}

/// Samples to learn from and to validate on.
pub struct Samples {
    pub x: Array3<f32>,
    pub y: Array2<f32>,
    pub validation: Option<(Array3<f32>, Array2<f32>)>,
}

/// What a training came to.
pub struct Learnt {
    pub history: History,
    pub seconds: f64,
    /// The epoch whose weights were kept, where that is not the last.
    pub best_epoch: Option<u64>,
}

/// Trains `model`. On Ctrl-C the training is saved and the command ends with a message that says how to go on.
pub fn learn(model: &mut Model, samples: &Samples, plan: &Plan, console: &Console) -> Outcome<Learnt> {
    listen_for_interrupts();
    let begun = Instant::now();
    let from = model.epochs();
    if from >= plan.epochs {
        return Err(Failure::usage(format!(
            "the model has already seen {from} epochs; ask for more with --epochs"
        )));
    }
    let mut watch = Watch::new(console, from, plan);
    let options =
        FitOptions::new().epochs(plan.epochs - from).batch_size(plan.batch_size).shuffle(plan.shuffle);
    let options = match &samples.validation {
        Some((x, y)) => options.validation_data(x, y),
        None => options,
    };
    let history = model.fit(&samples.x, &samples.y, options.callback(&mut watch));
    watch.bar.finish_and_clear();
    let history = history?;
    if interrupted() {
        return Err(save_checkpoint(model, &plan.checkpoint, plan.epochs));
    }
    let mut best_epoch = None;
    if let Some(best) =
        watch.best.take().filter(|best| best.epoch != model.epochs() && plan.patience.is_some())
    {
        model.set_weights(&best.weights)?;
        best_epoch = Some(best.epoch);
    }
    Ok(Learnt { history, seconds: begun.elapsed().as_secs_f64(), best_epoch })
}

fn save_checkpoint(model: &Model, path: &Path, epochs: u64) -> Failure {
    let saved = files::make_folder(path).and_then(|()| Ok(model.save(path)?));
    match saved {
        Ok(()) => Failure {
            code: INTERRUPTED,
            message: format!(
                "interrupted after epoch {} of {epochs}. The training is saved in {}. Go on with:\n  {}",
                model.epochs(),
                path.display(),
                command_to_resume(std::env::args(), path)
            ),
        },
        Err(failure) => Failure {
            code: INTERRUPTED,
            message: format!(
                "interrupted after epoch {} of {epochs}, and not saved: {failure}",
                model.epochs()
            ),
        },
    }
}

/// The same command with `--resume`.
fn command_to_resume(args: impl Iterator<Item = String>, checkpoint: &Path) -> String {
    let mut words = Vec::new();
    let mut args = args.enumerate();
    while let Some((index, arg)) = args.next() {
        match arg.as_str() {
            "--resume" => drop(args.next()),
            _ if arg.starts_with("--resume=") => {}
            _ if index == 0 => words.push("tidegate".to_owned()),
            _ => words.push(quoted(&arg)),
        }
    }
    words.push("--resume".to_owned());
    words.push(quoted(&checkpoint.display().to_string()));
    words.join(" ")
}

/// As a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || "-_./:=,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

struct Best {
    epoch: u64,
    loss: f64,
    weights: Vec<ArrayD<f32>>,
}

/// Shows progress, listens for Ctrl-C and keeps the best weights.
struct Watch<'a> {
    console: &'a Console,
    bar: ProgressBar,
    patience: Option<u64>,
    best: Option<Best>,
    /// When Ctrl-C was first seen.
    stopping: Option<Instant>,
    /// When a line was last written where no bar can be drawn.
    told: Instant,
}

impl<'a> Watch<'a> {
    fn new(console: &'a Console, from: u64, plan: &Plan) -> Self {
        let bar = console.bar(plan.epochs, "training");
        bar.set_position(from);
        Watch { console, bar, patience: plan.patience, best: None, stopping: None, told: Instant::now() }
    }

    fn remember(&mut self, model: &Model, epoch: u64, loss: f64) -> rnn_model::Result<Flow> {
        let Some(patience) = self.patience else { return Ok(Flow::Continue) };
        if self.best.as_ref().is_none_or(|best| loss < best.loss) {
            self.best = Some(Best { epoch, loss, weights: model.get_weights()? });
        }
        let waited = self.best.as_ref().map_or(0, |best| epoch - best.epoch);
        Ok(if waited >= patience { Flow::Stop } else { Flow::Continue })
    }
}

/// A short epoch is finished before training ends, so that it can go on exactly; a long one is left after this time.
const GRACE: Duration = Duration::from_secs(5);

impl Callback for Watch<'_> {
    fn on_batches_end(&mut self, _: &mut Model, _: Progress) -> rnn_model::Result<Flow> {
        if !interrupted() {
            return Ok(Flow::Continue);
        }
        let since = *self.stopping.get_or_insert_with(Instant::now);
        Ok(if since.elapsed() > GRACE { Flow::Stop } else { Flow::Continue })
    }

    fn on_epoch_end(
        &mut self,
        model: &mut Model,
        progress: Progress,
        logs: &Logs,
    ) -> rnn_model::Result<Flow> {
        let message =
            logs.iter().map(|(name, value)| format!("{name} {value:.5}")).collect::<Vec<_>>().join(" ");
        self.bar.set_position(progress.epoch);
        if self.bar.is_hidden() && self.told.elapsed() > Duration::from_secs(2) {
            self.told = Instant::now();
            self.console.note(format!("epoch {}/{} {message}", progress.epoch, progress.epochs));
        }
        self.bar.set_message(message);
        if interrupted() {
            return Ok(Flow::Stop);
        }
        match logs.get("val_loss") {
            Some(loss) => self.remember(model, progress.epoch, loss),
            None => Ok(Flow::Continue),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_to_go_on_with_can_be_pasted() {
        let args =
            ["/x/tidegate", "train", "my data.csv", "--resume", "old", "--epochs", "9", "--resume=older"];
        let command =
            command_to_resume(args.iter().map(|arg| (*arg).to_owned()), Path::new("it's.safetensors"));
        assert_eq!(command, r"tidegate train 'my data.csv' --epochs 9 --resume 'it'\''s.safetensors'");
    }
}
