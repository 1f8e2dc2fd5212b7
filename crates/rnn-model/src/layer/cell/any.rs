//! A cell of any kind, as data: cloned, compared, written to a file and read again.

use super::{CellDefinition, Cells};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::sync::Arc;

/// A cell of any kind.
///
/// ```
/// use rnn_model::cell::{AnyCell, CellDefinition, LstmCell};
/// let cell = AnyCell::from(LstmCell::new(8));
/// assert_eq!(cell.definition().state_sizes(), [8, 8]);
/// ```
#[derive(Clone, Debug)]
pub struct AnyCell(Arc<dyn CellDefinition>);

impl<C: CellDefinition> From<C> for AnyCell {
    fn from(cell: C) -> Self {
        AnyCell(Arc::new(cell))
    }
}

impl AnyCell {
    /// What it does.
    pub fn definition(&self) -> &dyn CellDefinition {
        self.0.as_ref()
    }

    /// The cell as a `C`, if it is one.
    pub(crate) fn downcast<C: CellDefinition>(&self) -> Option<&C> {
        (self.definition() as &dyn std::any::Any).downcast_ref()
    }
}

/// Cells are equal when a file would hold the same of them.
impl PartialEq for AnyCell {
    fn eq(&self, other: &Self) -> bool {
        let (a, b) = (self.definition(), other.definition());
        a.class() == b.class() && a.config() == b.config()
    }
}

/// How a cell stands in a file.
#[derive(Serialize, Deserialize)]
struct Written {
    class_name: String,
    config: serde_json::Value,
}

impl Serialize for AnyCell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let cell = self.definition();
        Written { class_name: cell.class().to_owned(), config: cell.config() }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for AnyCell {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let Written { class_name, config } = Written::deserialize(deserializer)?;
        Cells::make(&class_name, config).map_err(serde::de::Error::custom)
    }
}
