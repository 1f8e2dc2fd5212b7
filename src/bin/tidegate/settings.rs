//! Settings of a training: from the command line, else from a TOML file, else the defaults.

use std::path::{Path, PathBuf};

use rnn_model::series::TestSize;
use serde::Deserialize;

use crate::args::Train;
use crate::failure::{Failure, Outcome};
use crate::recipe::{self, Rates};
use crate::series_file::Selection;

/// The options of `tidegate train` by their names, all optional. Paths are relative to the file's folder.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct FromFile {
    data: Option<PathBuf>,
    columns: Option<Vec<String>>,
    time_column: Option<String>,
    delimiter: Option<char>,
    output: Option<PathBuf>,
    look_back: Option<usize>,
    layers: Option<Vec<String>>,
    transform: Option<Vec<String>>,
    test: Option<RowsOrPart>,
    validation: Option<f64>,
    patience: Option<u64>,
    epochs: Option<u64>,
    batch_size: Option<usize>,
    memory_budget: Option<String>,
    optimizer: Option<String>,
    learning_rate: Option<f64>,
    decay: Option<f64>,
    clip_norm: Option<f64>,
    loss: Option<String>,
    season: Option<usize>,
    plot: Option<PathBuf>,
    seed: Option<u64>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum RowsOrPart {
    Rows(usize),
    Part(f64),
}

/// Complete settings.
#[derive(Debug)]
pub struct Settings {
    pub data: PathBuf,
    pub selection: Selection,
    pub output: PathBuf,
    pub look_back: usize,
    pub layers: Vec<String>,
    pub transform: Vec<String>,
    /// `None`: nothing is held back.
    pub test: Option<TestSize>,
    pub validation: f64,
    pub patience: Option<u64>,
    pub epochs: u64,
    pub batch_size: usize,
    /// in bytes
    pub memory_budget: Option<u64>,
    pub optimizer: String,
    pub rates: Rates,
    pub loss: String,
    pub season: Option<usize>,
    pub plot: Option<PathBuf>,
    pub seed: u64,
    pub resume: Option<PathBuf>,
}

impl Settings {
    /// Puts the sources together and refuses what can not work.
    pub fn new(args: &Train, seed: Option<u64>) -> Outcome<Settings> {
        let file = match &args.config {
            Some(path) => read(path)?,
            None => FromFile::default(),
        };
        let listed =
            |flag: &Vec<String>, file: Option<Vec<String>>, default: &str| match (flag.is_empty(), file) {
                (false, _) => flag.clone(),
                (true, Some(words)) => words,
                (true, None) => vec![default.to_owned()],
            };
        let data = args.data.clone().or(file.data);
        let test = match &args.test {
            Some(text) => test_size(text)?,
            None => match file.test {
                Some(RowsOrPart::Rows(0)) => None,
                Some(RowsOrPart::Rows(rows)) => Some(TestSize::Rows(rows)),
                Some(RowsOrPart::Part(part)) => part_of(part)?,
                None => Some(TestSize::Fraction(0.2)),
            },
        };
        let settings = Settings {
            data: data
                .ok_or_else(|| Failure::usage("no series: give a .csv or .npy file (tidegate train DATA)"))?,
            selection: Selection {
                columns: if args.columns.columns.is_empty() {
                    file.columns.unwrap_or_default()
                } else {
                    args.columns.columns.clone()
                },
                time: args.columns.time_column.clone().or(file.time_column),
                delimiter: args.columns.delimiter.or(file.delimiter),
                any_order: false,
            },
            output: args.output.clone().or(file.output).unwrap_or_else(|| "model.safetensors".into()),
            look_back: args.look_back.or(file.look_back).unwrap_or(12),
            layers: listed(&args.layers, file.layers, "lstm:32"),
            transform: listed(&args.transform, file.transform, "auto"),
            test,
            validation: args.validation.or(file.validation).unwrap_or(0.0),
            patience: args.patience.or(file.patience),
            epochs: args.epochs.or(file.epochs).unwrap_or(100),
            batch_size: args.batch_size.or(file.batch_size).unwrap_or(32),
            memory_budget: match args.memory_budget.as_ref().or(file.memory_budget.as_ref()) {
                Some(text) => Some(bytes(text)?),
                None => None,
            },
            optimizer: args.optimizer.clone().or(file.optimizer).unwrap_or_else(|| "adam".into()),
            rates: Rates {
                learning_rate: args.learning_rate.or(file.learning_rate),
                decay: args.decay.or(file.decay).unwrap_or(0.0),
                clip_norm: args.clip_norm.or(file.clip_norm),
            },
            loss: args.loss.clone().or(file.loss).unwrap_or_else(|| "mse".into()),
            season: args.season.or(file.season),
            plot: args.plot.clone().or(file.plot),
            seed: seed.or(file.seed).unwrap_or(0),
            resume: args.resume.clone(),
        };
        settings.check()
    }

    fn check(self) -> Outcome<Settings> {
        let at_least_1 = [
            ("look-back", self.look_back as u64),
            ("epochs", self.epochs),
            ("batch-size", self.batch_size as u64),
            ("season", self.season.map_or(1, |season| season as u64)),
            ("patience", self.patience.unwrap_or(1)),
        ];
        if let Some((name, _)) = at_least_1.iter().find(|(_, value)| *value == 0) {
            return Err(Failure::usage(format!("--{name} must be at least 1")));
        }
        if !(0.0..1.0).contains(&self.validation) {
            return Err(Failure::usage(format!(
                "--validation must be at least 0 and below 1, got {}",
                self.validation
            )));
        }
        // Words are read before anything is opened.
        recipe::transforms(&self.transform)?;
        recipe::sequential(&self.layers, self.look_back, 1, 0)?;
        recipe::optimizer(&self.optimizer, self.rates)?;
        recipe::loss(&self.loss)?;
        if self.patience.is_some() && self.validation == 0.0 {
            return Err(Failure::usage(
                "--patience waits for a better validation loss: give --validation 0.1, too",
            ));
        }
        Ok(self)
    }
}

/// A size as people write it: `1500000`, `500MiB`, `2GiB`.
pub fn bytes(text: &str) -> Outcome<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match text[digits.len()..].to_ascii_lowercase().as_str() {
        "" | "b" => Some(1u64),
        "k" | "kib" => Some(1 << 10),
        "m" | "mib" => Some(1 << 20),
        "g" | "gib" => Some(1 << 30),
        _ => None,
    };
    let size = digits.trim().parse::<u64>().ok().zip(unit).and_then(|(n, unit)| n.checked_mul(unit));
    size.filter(|&size| size > 0).ok_or_else(|| {
        Failure::usage(format!("--memory-budget takes a size such as 500MiB, 2GiB or 1500000, got {text:?}"))
    })
}

fn read(path: &Path) -> Outcome<FromFile> {
    let text = std::fs::read_to_string(path).map_err(|error| Failure::reading(path, error))?;
    let mut file: FromFile = toml::from_str(&text)
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display()).trim_end()))?;
    let folder = path.parent().unwrap_or(Path::new(""));
    for place in [&mut file.data, &mut file.output, &mut file.plot].into_iter().flatten() {
        *place = folder.join(&place);
    }
    Ok(file)
}

/// `48` is rows, `0.2` or `20%` a part, `0` nothing.
fn test_size(text: &str) -> Outcome<Option<TestSize>> {
    if let Ok(rows) = text.parse::<usize>() {
        return Ok((rows > 0).then_some(TestSize::Rows(rows)));
    }
    let part = match text.strip_suffix('%') {
        Some(percent) => percent.parse::<f64>().map(|percent| percent / 100.0),
        None => text.parse::<f64>(),
    };
    part_of(
        part.map_err(|_| {
            Failure::usage(format!("--test {text}: give a number of rows or a part such as 0.2"))
        })?,
    )
}

fn part_of(part: f64) -> Outcome<Option<TestSize>> {
    if part == 0.0 {
        return Ok(None);
    }
    if part > 0.0 && part < 1.0 {
        return Ok(Some(TestSize::Fraction(part)));
    }
    Err(Failure::usage(format!("the part held back must lie between 0 and 1, got {part}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::args::{Cli, Command};
    use crate::failure::{DATA, USAGE};
    use clap::Parser;

    fn settings(line: &str) -> Outcome<Settings> {
        let cli = Cli::try_parse_from(line.split_whitespace()).map_err(Failure::usage)?;
        let Command::Train(args) = cli.command else { panic!("{line}") };
        Settings::new(&args, cli.global.seed)
    }

    #[test]
    fn flags_win_over_the_file_and_the_file_over_defaults() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("t.toml");
        let text = "data = 'x.csv'\nlook_back = 3\nlayers = ['gru:8', 'dense:4']\ntest = 48\nseed = 5\nlearning_rate = 0.5\n";
        std::fs::write(&path, text).unwrap();
        let s = settings(&format!("tidegate train --config {} --look-back 6 --batch-size 7", path.display()))
            .unwrap();
        assert_eq!((s.look_back, s.batch_size, s.epochs, s.seed), (6, 7, 100, 5));
        assert_eq!(
            (s.data, s.layers),
            (folder.path().join("x.csv"), vec!["gru:8".to_owned(), "dense:4".to_owned()])
        );
        assert_eq!((s.test, s.rates.learning_rate), (Some(TestSize::Rows(48)), Some(0.5)));
        std::fs::write(&path, "look_bak = 3\n").unwrap();
        let failure = settings(&format!("tidegate train x.csv --config {}", path.display())).unwrap_err();
        assert!(failure.code == USAGE && failure.message.contains("look_bak"), "{}", failure.message);
        assert_eq!(settings("tidegate train x.csv --config /no/file.toml").unwrap_err().code, DATA);
    }

    #[test]
    fn test_sizes() {
        for (text, expected) in [
            ("48", Some(TestSize::Rows(48))),
            ("0", None),
            ("0.25", Some(TestSize::Fraction(0.25))),
            ("25%", Some(TestSize::Fraction(0.25))),
            ("0.0", None),
        ] {
            assert_eq!(
                settings(&format!("tidegate train x.csv --test {text}")).unwrap().test,
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn what_can_not_work_is_refused() {
        for line in [
            "tidegate train",
            "tidegate train x.csv --test 1.5",
            "tidegate train x.csv --test a",
            "tidegate train x.csv --test nan",
            "tidegate train x.csv --look-back 0",
            "tidegate train x.csv --epochs 0",
            "tidegate train x.csv --batch-size 0",
            "tidegate train x.csv --epochs -3",
            "tidegate train x.csv --validation 1",
            "tidegate train x.csv --patience 3",
            "tidegate train x.csv --delimiter ab",
            "tidegate train x.csv y.csv",
            "tidegate train x.csv --layers conv:3",
            "tidegate train x.csv --transform sqrt",
            "tidegate train x.csv --optimizer lyon",
            "tidegate train x.csv --loss hinge",
        ] {
            assert_eq!(settings(line).unwrap_err().code, USAGE, "{line}");
        }
    }
}
