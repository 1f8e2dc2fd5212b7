//! The command line as types.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use rnn_interop::Format;

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
    /// Train a forecaster on a series and save it, or train a model from a file on arrays
    Train(Box<Train>),
    /// Continue a series with a trained model
    Forecast(Forecast),
    /// Run a model of any format on arrays
    Predict(Predict),
    /// Run a model of any format on arrays and compare the outputs with expected ones
    Verify(Verify),
    /// Bring a model from one format into another
    Convert(Convert),
    /// Say what is in a model file of any format
    Inspect(Inspect),
    /// Measure this machine on known workloads, and check the results
    Bench(Bench),
    /// Print a completion script for a shell
    Completions(Completions),
}

const MODELS: &str = "How a model file is read";

/// What the ending of a model file does not say.
#[derive(Args, Debug, Default)]
pub struct Reading {
    /// Format of the model file: tidegate, keras, h5, weights-h5, onnx, torch, npz [default: by ending and contents]
    #[arg(long, help_heading = MODELS, value_name = "FORMAT", value_parser = format)]
    pub from: Option<Format>,
    /// Model whose architecture takes the weights of a file that has weights alone
    #[arg(long, help_heading = MODELS, value_name = "FILE")]
    pub architecture: Option<PathBuf>,
    /// What a PyTorch state dict does not say: output=last|all, nonlinearity=tanh|relu, activation=NAME,
    /// order=PREFIX,PREFIX, embedding=PREFIX, map=PREFIX:LAYER+LAYER; may be given several times
    #[arg(long, help_heading = MODELS, value_name = "NAME=VALUE")]
    pub torch: Vec<String>,
}

fn format(text: &str) -> Result<Format, String> {
    Format::from_name(text).map_err(|error| error.to_string())
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
        Selection {
            columns: self.columns.clone(),
            time: self.time_column.clone(),
            delimiter: self.delimiter,
            any_order: false,
        }
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
    /// adam, adamw, rmsprop, sgd, or another of Keras's optimizers [default: adam]
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
    /// mse, mae or huber [default: mse]; with --model also any other of Keras's losses, such as
    /// sparse_categorical_crossentropy, or sparse_categorical_crossentropy:logits; one for each output
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
    #[command(flatten)]
    pub arrays: OnArrays,
}

const ON_ARRAYS: &str = "Training a model from a file on arrays (with --output, --epochs, --batch-size, --optimizer, \
--learning-rate, --loss, --validation, --patience, --memory-budget)";

/// Options that only belong to a series.
const OF_A_SERIES: [&str; 11] = [
    "data",
    "columns",
    "time_column",
    "delimiter",
    "config",
    "look_back",
    "layers",
    "transform",
    "test",
    "season",
    "plot",
];

/// `tidegate train --model`: what only it has. What the model file says of its training holds where nothing is given.
#[derive(Args, Debug)]
pub struct OnArrays {
    /// Model to train: .safetensors, .keras, .h5, .onnx; saved as FILE-trained.safetensors, trained again as FILE-trained-2.safetensors, unless --output says otherwise
    #[arg(long, short, help_heading = ON_ARRAYS, value_name = "FILE", requires_all = ["x", "y"], conflicts_with_all = OF_A_SERIES, conflicts_with = "resume")]
    pub model: Option<PathBuf>,
    /// Inputs: .npy, .npz with an array for each by its name, or .csv with a row for each sample
    #[arg(long, help_heading = ON_ARRAYS, value_name = "X.npy", requires = "model")]
    pub x: Option<PathBuf>,
    /// Targets, in the same way by the names of the outputs
    #[arg(long, help_heading = ON_ARRAYS, value_name = "Y.npy", requires = "model")]
    pub y: Option<PathBuf>,
    /// Metrics of each epoch: mae, mse, rmse, accuracy and others by Keras's names, recall@0.3 at a
    /// threshold
    #[arg(long, help_heading = ON_ARRAYS, value_delimiter = ',', value_name = "NAMES", requires = "model")]
    pub metrics: Vec<String>,
    /// Take the samples in their order
    #[arg(long, help_heading = ON_ARRAYS, requires = "model")]
    pub no_shuffle: bool,
    /// Write loss and metrics of all epochs here
    #[arg(long, help_heading = ON_ARRAYS, value_name = "H.json", requires = "model")]
    pub history: Option<PathBuf>,
    #[command(flatten)]
    pub reading: Reading,
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
    /// The model: .safetensors, .keras, .h5, .onnx
    #[arg(long, short, value_name = "FILE")]
    pub model: PathBuf,
    /// Samples: a .npy file of shape [samples, time, features] or [samples, features], an .npz file with an array for each
    /// input by its name, or a .csv file with a row for each sample
    #[arg(long, short, value_name = "X.npy|X.npz")]
    pub input: PathBuf,
    /// Where the outputs go; an .npz file takes several, by their names
    #[arg(long, short, value_name = "Y.npy|Y.npz")]
    pub output: PathBuf,
    /// Samples that run together [default: 32, or what the model asks for]
    #[arg(long, value_name = "N")]
    pub batch_size: Option<usize>,
    #[command(flatten)]
    pub reading: Reading,
}

#[derive(Args, Debug)]
pub struct Verify {
    /// The model: .safetensors, .keras, .h5, .onnx
    #[arg(long, short, value_name = "FILE")]
    pub model: PathBuf,
    /// Samples: an .npz file with an array for each input by its name, or a .npy file
    #[arg(long, short, value_name = "X.npz")]
    pub inputs: PathBuf,
    /// What the outputs should be: an .npz file with an array for each output by its name, or a .npy file
    #[arg(long, short, value_name = "Y.npz")]
    pub expected: PathBuf,
    /// A value may be off by this much, and by this part of the expected value; past it the exit code is 3
    #[arg(long, default_value_t = 1e-5, value_name = "T")]
    pub tolerance: f64,
    /// Samples that run together [default: 32, or what the model asks for]
    #[arg(long, value_name = "N")]
    pub batch_size: Option<usize>,
    #[command(flatten)]
    pub reading: Reading,
}

#[derive(Args, Debug)]
pub struct Convert {
    /// The model that there is
    #[arg(value_name = "IN")]
    pub input: PathBuf,
    /// The file to write: .safetensors, .keras, .h5, .weights.h5, .onnx, .npz
    #[arg(value_name = "OUT")]
    pub output: PathBuf,
    /// Format of the file to write: tidegate, keras, h5, weights-h5, onnx, torch, npz [default: by ending]
    #[arg(long, value_name = "FORMAT", value_parser = format)]
    pub to: Option<Format>,
    #[command(flatten)]
    pub reading: Reading,
}

#[derive(Args, Debug)]
pub struct Inspect {
    /// The model
    pub model: PathBuf,
    /// Also draw its layers and what each is applied to
    #[arg(long, value_name = "FILE.svg")]
    pub plot: Option<PathBuf>,
    #[command(flatten)]
    pub reading: Reading,
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
