//! What training reports.

use serde::{Deserialize, Serialize};

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
