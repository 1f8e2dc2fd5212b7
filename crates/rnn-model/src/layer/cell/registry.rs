//! Which cells a model file may name.

use super::{
    AnyCell, CellDefinition, CellOps, CellStep, CellValue, CellVariable, CellWeight, GruCell,
    LayerNormGruCell, LayerNormLstmCell, LstmCell, ProjectedLstmCell, SimpleRnnCell, StackedCells, Zoneout,
};
use crate::{Error, Result};
use serde::de::DeserializeOwned;
use serde_json::Value as Json;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

type Make = Arc<dyn Fn(&Json) -> Result<AnyCell> + Send + Sync>;

/// Cells of one's own that a model file may name; the built-in ones are always known.
///
/// ```no_run
/// use rnn_model::{Device, Model, cell::{Cells, LstmCell}};
/// // in place of LstmCell, a cell of one's own
/// let cells = Cells::new().with("Mine", |config| {
///     Ok(LstmCell::new(config["units"].as_u64().unwrap_or(1) as usize))
/// });
/// let model = Model::load_with("model.safetensors", &Device::cpu(), &cells)?;
/// # Ok::<(), rnn_model::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Cells {
    own: BTreeMap<String, Make>,
}

thread_local! {
    /// What the file that is being read may name: serde hands nothing of the kind through.
    static READING: RefCell<Cells> = RefCell::new(Cells::default());
}

impl Cells {
    /// No cells beside the built-in ones.
    pub fn new() -> Self {
        Self::default()
    }

    /// A cell of one's own: its [`class`](CellDefinition::class), and how it is made from its
    /// [`config`](CellDefinition::config). A file is not to be trusted: refuse a config that can not be.
    pub fn with<C: CellDefinition>(
        mut self,
        class: impl Into<String>,
        make: impl Fn(&Json) -> Result<C> + Send + Sync + 'static,
    ) -> Self {
        self.own.insert(class.into(), Arc::new(move |config| Ok(make(config)?.into())));
        self
    }

    /// Runs `f`, which reads a file that may name these cells.
    pub(crate) fn reading<R>(&self, f: impl FnOnce() -> R) -> R {
        /// Puts back what was there, also when `f` panics.
        struct Restore(Cells);
        impl Drop for Restore {
            fn drop(&mut self) {
                READING.set(std::mem::take(&mut self.0));
            }
        }
        let _restore = Restore(READING.replace(self.clone()));
        f()
    }

    /// A cell by its class and config. One that nobody knows is made all the same; it refuses to be used.
    pub(super) fn make(class: &str, config: Json) -> std::result::Result<AnyCell, String> {
        if let Some(cell) = built_in(class, &config) {
            return cell.map_err(|e| format!("cell {class}: {e}"));
        }
        // The lock is not held while the cell is made: it may have cells in it.
        let make = READING.with_borrow(|cells| cells.own.get(class).cloned());
        match make {
            Some(make) => make(&config).map_err(|e| format!("cell {class}: {e}")),
            None => Ok(Unknown { class: class.to_owned(), config }.into()),
        }
    }
}

impl std::fmt::Debug for Cells {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.own.keys()).finish()
    }
}

fn built_in(class: &str, config: &Json) -> Option<serde_json::Result<AnyCell>> {
    fn read<C: CellDefinition + DeserializeOwned>(config: &Json) -> serde_json::Result<AnyCell> {
        Ok(C::deserialize(config)?.into())
    }
    Some(match class {
        "LSTMCell" => read::<LstmCell>(config),
        "GRUCell" => read::<GruCell>(config),
        "SimpleRNNCell" => read::<SimpleRnnCell>(config),
        "StackedRNNCells" => read::<StackedCells>(config),
        "LayerNormLSTMCell" => read::<LayerNormLstmCell>(config),
        "LayerNormGRUCell" => read::<LayerNormGruCell>(config),
        "ProjectedLSTMCell" => read::<ProjectedLstmCell>(config),
        "Zoneout" => read::<Zoneout>(config),
        _ => return None,
    })
}

/// A cell that a file names and that was not registered. It can be looked at and written again, not run.
#[derive(Clone, Debug)]
struct Unknown {
    class: String,
    config: Json,
}

impl CellDefinition for Unknown {
    fn class(&self) -> &str {
        &self.class
    }

    fn config(&self) -> Json {
        self.config.clone()
    }

    fn check(&self) -> Result<()> {
        let problem = "the model needs this cell, which is none of the built-in ones; give it to Model::load_with by \
                       Cells::new().with(...)";
        Err(Error::invalid(format!("cell {:?}", self.class), problem))
    }

    fn state_sizes(&self) -> Vec<usize> {
        Vec::new()
    }

    fn variables(&self, _: usize) -> Vec<CellVariable> {
        Vec::new()
    }

    fn step(
        &self,
        _: &mut CellOps<'_, '_>,
        _: &CellValue,
        _: &[CellValue],
        _: &[CellWeight],
    ) -> Result<CellStep> {
        Err(self.check().expect_err("always"))
    }
}
