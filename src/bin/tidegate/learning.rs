//! Training with a progress bar that Ctrl-C can end in good order.

use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::ProgressBar;
use ndarray::ArrayD;
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
    /// that of the model, or 32, where nothing is said
    pub batch_size: Option<usize>,
    /// unless the model is stateful, where nothing is said
    pub shuffle: Option<bool>,
    /// Ends after that many epochs without a better validation loss, and goes back to the best weights.
    pub patience: Option<u64>,
    /// Where Ctrl-C saves the training.
    pub checkpoint: PathBuf,
    pub resume: Resume,
}

/// How a command is given the checkpoint to go on from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resume {
    /// `--resume CHECKPOINT`; `--epochs` counts from the model's first
    Checkpoint,
    /// `--model CHECKPOINT`; `--epochs` counts from here on
    Model,
}

/// Samples to learn from and to validate on.
pub struct Samples {
    /// one array for each input
    pub x: Vec<ArrayD<f32>>,
    /// one array for each output
    pub y: Vec<ArrayD<f32>>,
    pub validation: Validation,
}

/// What each epoch is validated on.
pub enum Validation {
    None,
    /// inputs and targets
    Data(Vec<ArrayD<f32>>, Vec<ArrayD<f32>>),
    /// this part of the samples, at their end
    Part(f64),
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
    let options = FitOptions::new().epochs(plan.epochs - from);
    let options = plan.batch_size.into_iter().fold(options, FitOptions::batch_size);
    let options = plan.shuffle.into_iter().fold(options, FitOptions::shuffle);
    let options = match &samples.validation {
        Validation::None => options,
        Validation::Data(x, y) => options.validation_data(x, y),
        Validation::Part(part) => options.validation_split(*part),
    };
    let history = model.fit(&samples.x, &samples.y, options.callback(&mut watch));
    watch.bar.finish_and_clear();
    let history = history?;
    if interrupted() {
        return Err(save_checkpoint(model, plan));
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

fn save_checkpoint(model: &Model, plan: &Plan) -> Failure {
    let (path, epochs) = (plan.checkpoint.as_path(), plan.epochs);
    let left = (plan.resume == Resume::Model).then(|| epochs.saturating_sub(model.epochs()).max(1));
    let saved = files::make_folder(path).and_then(|()| Ok(model.save(path)?));
    match saved {
        Ok(()) => Failure {
            code: INTERRUPTED,
            message: format!(
                "interrupted after epoch {} of {epochs}. The training is saved in {}. Go on with:\n  {}",
                model.epochs(),
                path.display(),
                command_to_resume(std::env::args(), path, left)
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

/// The same command with `--resume`, or, of a model trained on arrays, with the checkpoint in place of the model and the
/// epochs that are left.
fn command_to_resume(args: impl Iterator<Item = String>, checkpoint: &Path, left: Option<u64>) -> String {
    let dropped: &[&str] = if left.is_some() { &["--model", "-m", "--epochs"] } else { &["--resume"] };
    let mut words = Vec::new();
    let mut args = args.enumerate();
    while let Some((index, arg)) = args.next() {
        match arg.split_once('=').map_or(arg.as_str(), |(name, _)| name) {
            _ if index == 0 => words.push("tidegate".to_owned()),
            name if dropped.contains(&name) => {
                if name == arg {
                    args.next();
                }
            }
            _ => words.push(quoted(&arg)),
        }
    }
    let checkpoint = quoted(&checkpoint.display().to_string());
    words.extend(match left {
        Some(left) => ["--model".to_owned(), checkpoint, "--epochs".to_owned(), left.to_string()].to_vec(),
        None => vec!["--resume".to_owned(), checkpoint],
    });
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
            command_to_resume(args.iter().map(|arg| (*arg).to_owned()), Path::new("it's.safetensors"), None);
        assert_eq!(command, r"tidegate train 'my data.csv' --epochs 9 --resume 'it'\''s.safetensors'");

        let args = ["tidegate", "train", "--model", "m.keras", "--x", "x.npy", "--epochs=9", "--loss", "mse"];
        let args = args.iter().map(|arg| (*arg).to_owned());
        let command = command_to_resume(args, Path::new("c.safetensors"), Some(4));
        assert_eq!(command, "tidegate train --x x.npy --loss mse --model c.safetensors --epochs 4");
    }
}
