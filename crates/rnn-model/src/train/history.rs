//! What training reports.

use serde::{Deserialize, Serialize};
use std::fmt;

/// Named numbers in order: `loss`, then the metrics, then the same of the validation data with `val_` before.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Logs(pub(crate) Vec<(String, f64)>);

impl Logs {
    /// The number called `name`.
    pub fn get(&self, name: &str) -> Option<f64> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, value)| *value)
    }

    /// The loss; every report has one.
    pub fn loss(&self) -> f64 {
        self.get("loss").unwrap_or(f64::NAN)
    }

    /// Sets the number called `name`, which comes last where it is new.
    pub fn insert(&mut self, name: &str, value: f64) {
        match self.0.iter_mut().find(|(n, _)| n == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// Names and numbers in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(name, value)| (name.as_str(), *value))
    }
}

/// `loss 0.0312, mean_absolute_error 0.14`: as many digits as the formatter's precision says, five figures without one.
impl fmt::Display for Logs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, (name, value)) in self.iter().enumerate() {
            let comma = if i == 0 { "" } else { ", " };
            match f.precision() {
                Some(digits) => write!(f, "{comma}{name} {value:.digits$}")?,
                None if value == 0.0 || (1e-3..1e5).contains(&value.abs()) => {
                    let before = value.abs().max(1.0).log10() as usize;
                    write!(f, "{comma}{name} {value:.digits$}", digits = 4 - before.min(4))?;
                }
                None => write!(f, "{comma}{name} {value:.4e}")?,
            }
        }
        Ok(())
    }
}

/// The reports of all epochs of one `fit`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct History {
    /// number of each epoch, from 1
    pub epochs: Vec<u64>,
    /// one report per epoch
    pub logs: Vec<Logs>,
    /// training was stopped by a callback
    pub stopped: bool,
}

impl History {
    /// The numbers called `name`, one per epoch that has it: `loss`, `val_loss`, `mae`.
    pub fn get(&self, name: &str) -> Vec<f64> {
        self.logs.iter().filter_map(|logs| logs.get(name)).collect()
    }

    /// The last epoch's report.
    pub fn last(&self) -> Option<&Logs> {
        self.logs.last()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logs_show_their_numbers() {
        let mut logs = Logs::default();
        for (name, value) in [("loss", 0.031249), ("mae", 123.456), ("rate", 1e-7), ("none", f64::NAN)] {
            logs.insert(name, value);
        }
        assert_eq!(logs.to_string(), "loss 0.0312, mae 123.46, rate 1.0000e-7, none NaN");
        assert_eq!(format!("{logs:.1}"), "loss 0.0, mae 123.5, rate 0.0, none NaN");
        assert_eq!(Logs::default().to_string(), "");
    }
}
