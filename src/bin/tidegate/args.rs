//! The command line as types.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::failure::CODES;
use crate::series_file::Selection;

/// Trains recurrent networks on a GPU or on the CPU, and forecasts with them.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, after_help = CODES, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

const EVERYWHERE: &str = "Options of every command";

/// Options of every command.
#[derive(Args, Debug)]
pub struct Global {
    /// Where to run: auto (a hardware GPU, else the CPU), cpu, gpu (any adapter), or part of an adapter's name
    #[arg(long, global = true, help_heading = EVERYWHERE, default_value = "auto", value_name = "auto|cpu|gpu|NAME")]
    pub device: String,
    /// Decides initial weights, shuffling and dropout
    #[arg(long, global = true, help_heading = EVERYWHERE, value_name = "N")]
    pub seed: Option<u64>,
    /// Print the result as JSON on stdout
    #[arg(long, global = true, help_heading = EVERYWHERE)]
    pub json: bool,
    /// No progress and no notes on stderr
    #[arg(long, short, global = true, help_heading = EVERYWHERE)]
    pub quiet: bool,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the devices that models can run on
    Devices,
    /// Train a forecaster on the airline-passengers series in the program, and draw what it learnt
    Demo(Demo),
    /// Train a forecaster on a series and save it
    Train(Box<Train>),
    /// Continue a series with a trained model
    Forecast(Forecast),
    /// Run a model on an array
    Predict(Predict),
    /// Say what is in a model file
    Inspect(Inspect),
    /// Measure this machine on known workloads, and check the results
    Bench(Bench),
    /// Print a completion script for a shell
    Completions(Completions),
}

#[derive(Args, Debug)]
pub struct Demo {
    /// Folder for the model, the CSV and the plot
    #[arg(long, default_value = "tidegate-out", value_name = "DIR")]
    pub out: PathBuf,
}

/// Which part of a data file is the series.
#[derive(Args, Debug)]
pub struct Columns {
    /// Columns of the series, by name or number from 1 [default: all columns of numbers]
    #[arg(long, value_delimiter = ',', value_name = "A,B")]
    pub columns: Vec<String>,
    /// Column with dates or labels [default: the first one with dates]
    #[arg(long, value_name = "NAME")]
    pub time_column: Option<String>,
    /// Character between columns [default: found out]
    #[arg(long, value_name = "CHAR", value_parser = delimiter)]
    pub delimiter: Option<char>,
}

impl Columns {
    pub fn selection(&self) -> Selection {
        Selection { columns: self.columns.clone(), time: self.time_column.clone(), delimiter: self.delimiter }
    }
}

fn delimiter(text: &str) -> Result<char, String> {
    let mut chars = text.chars();
    match (text, chars.next(), chars.next()) {
        ("\\t" | "tab", ..) => Ok('\t'),
        (_, Some(one), None) if one.is_ascii() => Ok(one),
        _ => Err("one ASCII character, or tab".into()),
    }
}

/// What is not given on the command line is taken from the TOML file, if there is one, else from the default.
#[derive(Args, Debug)]
pub struct Train {
    /// The series: a .csv or .npy file, one row per time step, oldest first
    pub data: Option<PathBuf>,
    #[command(flatten)]
    pub columns: Columns,
    /// Where the model is saved [default: model.safetensors]
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Settings from a TOML file, with the names of these options (look_back = 12, layers = ["lstm:32"])
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Rows that the model sees for each forecast [default: 12]
    #[arg(long, value_name = "ROWS")]
    pub look_back: Option<usize>,
    /// Hidden layers: lstm:UNITS, gru:UNITS, rnn:UNITS, dense:UNITS[:ACTIVATION], dropout:RATE [default: lstm:32]
    #[arg(long, value_delimiter = ',', value_name = "LAYERS")]
    pub layers: Vec<String>,
    /// Before training: auto, none, or steps of log, difference:LAG, standard, minmax[:LOW:HIGH] [default: auto]
    #[arg(long, value_delimiter = ',', value_name = "STEPS", allow_hyphen_values = true)]
    pub transform: Vec<String>,
    /// Rows at the end that are held back and forecast after training: a number, or a part such as 0.2 [default: 0.2]
    #[arg(long, value_name = "ROWS|PART")]
    pub test: Option<String>,
    /// Part of the training windows, at their end, that validates each epoch [default: 0]
    #[arg(long, allow_negative_numbers = true, value_name = "PART")]
    pub validation: Option<f64>,
    /// End after this many epochs without a better validation loss, and keep the best weights
    #[arg(long, value_name = "EPOCHS")]
    pub patience: Option<u64>,
    /// Times the series is gone through [default: 100]
    #[arg(long, value_name = "N")]
    pub epochs: Option<u64>,
    /// Windows per update [default: 32]
    #[arg(long, value_name = "N")]
    pub batch_size: Option<usize>,
    /// Device memory that training may take: bytes, or 500MiB, 2GiB; long windows are computed in parts to fit [default: any]
    #[arg(long, value_name = "SIZE")]
    pub memory_budget: Option<String>,
    /// adam, adamw, rmsprop or sgd [default: adam]
    #[arg(long, value_name = "NAME")]
    pub optimizer: Option<String>,
    /// Step size [default: that of the optimizer]
    #[arg(long, allow_negative_numbers = true, value_name = "RATE")]
    pub learning_rate: Option<f64>,
    /// The learning rate is divided by 1 + decay * updates [default: 0]
    #[arg(long, allow_negative_numbers = true, value_name = "D")]
    pub decay: Option<f64>,
    /// Scale all gradients together down to this norm
    #[arg(long, allow_negative_numbers = true, value_name = "NORM")]
    pub clip_norm: Option<f64>,
    /// mse, mae or huber [default: mse]
    #[arg(long, value_name = "NAME")]
    pub loss: Option<String>,
    /// Rows in a season, for the seasonal naive forecast [default: from the dates]
    #[arg(long, value_name = "ROWS")]
    pub season: Option<usize>,
    /// Also draw history, fit and held-back forecast
    #[arg(long, value_name = "FILE.png")]
    pub plot: Option<PathBuf>,
    /// Go on with a training that was interrupted
    #[arg(long, value_name = "CHECKPOINT")]
    pub resume: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct Forecast {
    /// The series to continue: a .csv or .npy file
    pub data: PathBuf,
    #[command(flatten)]
    pub columns: Columns,
    /// A model from `tidegate train`
    #[arg(long, short, value_name = "FILE")]
    pub model: PathBuf,
    /// Rows to forecast
    #[arg(long, short, default_value_t = 12, value_name = "N")]
    pub steps: usize,
    /// Write the forecast as CSV here [default: stdout]
    #[arg(long, short, value_name = "FILE.csv")]
    pub output: Option<PathBuf>,
    /// Also draw history and forecast
    #[arg(long, value_name = "FILE.png")]
    pub plot: Option<PathBuf>,
}

#[derive(Args, Debug)]
pub struct Predict {
    /// The model
    #[arg(long, short, value_name = "FILE")]
    pub model: PathBuf,
    /// Samples: a .npy file of shape [samples, time, features] or [samples, features]
    #[arg(long, short, value_name = "X.npy")]
    pub input: PathBuf,
    /// Where the outputs go
    #[arg(long, short, value_name = "Y.npy")]
    pub output: PathBuf,
    /// Samples that run together
    #[arg(long, default_value_t = 32, value_name = "N")]
    pub batch_size: usize,
}

#[derive(Args, Debug)]
pub struct Inspect {
    /// The model
    pub model: PathBuf,
}

/// Forward alone, or a whole training step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Mode {
    Infer,
    Train,
}

#[derive(Args, Debug)]
pub struct Bench {
    /// Only these: W1 to W7, airline
    #[arg(long, value_delimiter = ',', value_name = "W3")]
    pub workload: Vec<String>,
    /// Only this one [default: both]
    #[arg(long)]
    pub mode: Option<Mode>,
    /// Time for each measurement, after the warm-up
    #[arg(long, default_value_t = 1.0, value_name = "S")]
    pub seconds: f64,
    /// Threads of the CPU device [default: all]
    #[arg(long, value_name = "N")]
    pub threads: Option<usize>,
}

#[derive(Args, Debug)]
pub struct Completions {
    /// bash, zsh, fish, elvish or powershell
    pub shell: clap_complete::Shell,
}
