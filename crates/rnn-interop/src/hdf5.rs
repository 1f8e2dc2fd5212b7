//! HDF5 files in memory: the one module that knows `hdf5-pure`.
//!
//! A file is walked by [`structure`] before `hdf5-pure` sees it, so that what is decoded has no cycles, no links, bounded
//! sizes and a closed set of types. Then `hdf5-pure` decodes attributes and chunks; values in one piece are read right from
//! the bytes. It reads through [`Metered`], which ends any loop, and its calls stand within a `catch_unwind`: the last fence,
//! since a panic of a dependency is not to end the program that reads a file.

mod bytes;
mod datatype;
mod structure;
mod write;

pub(crate) use write::Writer;

use crate::{Error, Limits, Result};
use datatype::Type;
use hdf5_pure::{AttrValue, FormatError, Source};
use ndarray::{ArrayD, IxDyn};
use std::collections::{HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use structure::{Dataset, Object, Storage, Tree, show};

/// What an attribute holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Attribute {
    Text(String),
    Texts(Vec<String>),
    Number(f64),
    Numbers(Vec<f64>),
}

/// An HDF5 file whose structure has been checked.
///
/// Paths are names joined by `/`, without one in front; the root group is the empty path.
pub(crate) struct File {
    bytes: Arc<[u8]>,
    file: hdf5_pure::File,
    allowance: Arc<AtomicU64>,
    tree: Tree,
    limits: Limits,
}

impl File {
    /// Checks a file's whole structure, and reads no value.
    ///
    /// # Errors
    /// What is not an HDF5 file, is cut off, contradicts itself, refers to itself or to other files, or is made of parts
    /// outside of what h5py and Keras write.
    pub(crate) fn open(bytes: &[u8], limits: &Limits) -> Result<Self> {
        Limits::at_most("file", "the number of bytes", bytes.len() as u64, limits.file_bytes)?;
        let tree = structure::walk(bytes, limits)?;
        let bytes: Arc<[u8]> = bytes.into();
        let allowance = Arc::new(AtomicU64::new(allowance(&bytes)));
        let source = Metered { bytes: bytes.clone(), left: allowance.clone() };
        let file = fenced("HDF5 header", || hdf5_pure::File::from_source(source))?;
        Ok(File { bytes, file, allowance, tree, limits: *limits })
    }

    /// The names of a group's members in the order of the file (by name where h5py wrote it with its defaults), or nothing
    /// where no group of this path is.
    pub(crate) fn members(&self, group: &str) -> Option<&[String]> {
        match self.tree.get(group)? {
            Object::Group(names) => Some(names),
            Object::Dataset(_) => None,
        }
    }

    /// The shape of a data set, or nothing where none of this path is.
    pub(crate) fn shape(&self, path: &str) -> Option<&[u64]> {
        match self.tree.get(path)? {
            Object::Group(_) => None,
            Object::Dataset(dataset) => Some(&dataset.shape),
        }
    }

    /// The paths of all data sets.
    pub(crate) fn datasets(&self) -> impl Iterator<Item = &str> {
        self.tree
            .iter()
            .filter(|(_, object)| matches!(object, Object::Dataset(_)))
            .map(|(path, _)| path.as_str())
    }

    /// The values of a data set of numbers, which has to have the shape `expected`.
    ///
    /// # Errors
    /// A path that is not there, another shape (before anything is read), values that are no numbers, that have never been
    /// written, or that are not finite as `f32`.
    pub(crate) fn read(&self, path: &str, expected: &[usize]) -> Result<ArrayD<f32>> {
        let dataset = self.dataset(path)?;
        if !dataset.shape.iter().copied().eq(expected.iter().map(|&axis| axis as u64)) {
            let problem = format!("expected shape {expected:?}, got {:?}", dataset.shape);
            return Err(Error::damaged(show(path), problem));
        }
        let values: Vec<f32> = self.numbers(path, dataset)?.into_iter().map(|value| value as f32).collect();
        self.limits.finite(show(path), &values)?;
        ArrayD::from_shape_vec(IxDyn(expected), values)
            .map_err(|error| Error::damaged(show(path), error.to_string()))
    }

    /// The value of a data set of one number, such as a count of steps.
    ///
    /// # Errors
    /// A path that is not there, and more or less than one number.
    pub(crate) fn number(&self, path: &str) -> Result<f64> {
        let dataset = self.dataset(path)?;
        if dataset.shape.iter().any(|&axis| axis != 1) {
            return Err(Error::damaged(
                show(path),
                format!("expected one number, got shape {:?}", dataset.shape),
            ));
        }
        let values = self.numbers(path, dataset)?;
        values.first().copied().ok_or_else(|| Error::damaged(show(path), "expected one number, got none"))
    }

    /// An attribute of a group or a data set, or nothing where it has none of this name.
    ///
    /// # Errors
    /// A path that is not there, and an attribute whose value can not be decoded.
    pub(crate) fn attribute(&self, path: &str, name: &str) -> Result<Option<Attribute>> {
        self.attributes(path)?.take(path, name)
    }

    /// All attributes of a group or a data set.
    fn attributes(&self, path: &str) -> Result<Attributes> {
        self.renew(|| {
            let is_group = self.object(path)?.is_group();
            fenced(show(path), || {
                let (values, types) = if !is_group {
                    let dataset = self.file.dataset(path)?;
                    (dataset.attrs()?, dataset.attr_datatypes()?)
                } else {
                    let group = if path.is_empty() { self.file.root() } else { self.file.group(path)? };
                    (group.attrs()?, group.attr_datatypes()?)
                };
                Ok(Attributes { values, names: types.into_keys().collect() })
            })
        })
    }

    /// An attribute that has to be text.
    ///
    /// # Errors
    /// As [`File::attribute`], and one of numbers or of several texts.
    pub(crate) fn text(&self, path: &str, name: &str) -> Result<Option<String>> {
        match self.attribute(path, name)? {
            None => Ok(None),
            Some(Attribute::Text(text)) => Ok(Some(text)),
            Some(other) => {
                let problem = format!("expected text, got {}", other.kind());
                Err(Error::damaged(format!("{}: attribute {name:?}", show(path)), problem))
            }
        }
    }

    /// An attribute that has to be a list of texts, also where it is cut into `name0`, `name1` and so on, as Keras does with
    /// long ones.
    ///
    /// # Errors
    /// As [`File::attribute`], and one of numbers.
    pub(crate) fn texts(&self, path: &str, name: &str) -> Result<Option<Vec<String>>> {
        let mut attributes = self.attributes(path)?;
        if let Some(value) = attributes.take(path, name)? {
            return value.texts(path, name).map(Some);
        }
        let mut all = None;
        for part in 0.. {
            let name = format!("{name}{part}");
            match attributes.take(path, &name)? {
                Some(value) => all.get_or_insert_with(Vec::new).extend(value.texts(path, &name)?),
                None => break,
            }
        }
        Ok(all)
    }

    fn object(&self, path: &str) -> Result<&Object> {
        let problem = "is not in the file (links are not followed)";
        self.tree.get(path).ok_or_else(|| Error::damaged(show(path), problem))
    }

    fn dataset(&self, path: &str) -> Result<&Dataset> {
        match self.object(path)? {
            Object::Dataset(dataset) => Ok(dataset),
            Object::Group(_) => Err(Error::damaged(show(path), "expected a data set, got a group")),
        }
    }

    fn numbers(&self, path: &str, dataset: &Dataset) -> Result<Vec<f64>> {
        let place = show(path);
        let elements = self.limits.elements(place, &dataset.shape)?;
        let bytes = self.limits.bytes(place, elements, dataset.values.bytes())?;
        let kind = match dataset.values {
            // Keras says so beside the values.
            Type::TwoBytes if self.text(path, "dtype")?.as_deref() == Some("bfloat16") => {
                Type::Bfloat16 { big_endian: false }
            }
            other => other,
        };
        let values = match dataset.storage {
            Storage::Nowhere => return Err(Error::damaged(place, "its values have never been written")),
            // The walk has found these bytes within the file.
            Storage::Contiguous(from) => kind.decode(self.bytes.get(from..from + bytes).unwrap_or_default()),
            Storage::Other => {
                let raw = self.renew(|| fenced(place, || self.file.dataset(path)?.read_raw()))?;
                kind.decode(raw.get(..bytes).unwrap_or_default())
            }
        };
        match values {
            Some(values) if values.len() == elements => Ok(values),
            Some(values) => {
                Err(Error::damaged(place, format!("expected {elements} values, got {}", values.len())))
            }
            None => Err(Error::damaged(place, format!("expected numbers, got {}", kind.name()))),
        }
    }

    /// With a new allowance for reading.
    fn renew<T>(&self, read: impl FnOnce() -> T) -> T {
        self.allowance.store(allowance(&self.bytes), Ordering::Relaxed);
        read()
    }
}

impl Object {
    fn is_group(&self) -> bool {
        matches!(self, Object::Group(_))
    }
}

/// The attributes of one object: the values that `hdf5-pure` decoded, and the names of all.
struct Attributes {
    values: HashMap<String, AttrValue>,
    names: HashSet<String>,
}

impl Attributes {
    fn take(&mut self, path: &str, name: &str) -> Result<Option<Attribute>> {
        match self.values.remove(name) {
            Some(value) => Ok(Some(convert(value))),
            None if self.names.contains(name) => Err(Error::damaged(
                format!("{}: attribute {name:?}", show(path)),
                "its value can not be read",
            )),
            None => Ok(None),
        }
    }
}

impl Attribute {
    fn kind(&self) -> &'static str {
        match self {
            Attribute::Text(_) => "text",
            Attribute::Texts(_) => "a list of texts",
            Attribute::Number(_) => "a number",
            Attribute::Numbers(_) => "a list of numbers",
        }
    }

    fn texts(self, path: &str, name: &str) -> Result<Vec<String>> {
        match self {
            Attribute::Texts(texts) => Ok(texts),
            Attribute::Text(text) => Ok(vec![text]),
            // An empty list has no type that would tell.
            Attribute::Numbers(numbers) if numbers.is_empty() => Ok(Vec::new()),
            other => {
                let problem = format!("expected a list of texts, got {}", other.kind());
                Err(Error::damaged(format!("{}: attribute {name:?}", show(path)), problem))
            }
        }
    }
}

fn convert(value: AttrValue) -> Attribute {
    if let Some(text) = value.as_str() {
        return Attribute::Text(text.to_owned());
    }
    if let Some(texts) = value.as_strings() {
        return Attribute::Texts(texts.to_vec());
    }
    if let Some(number) = value.as_f64().or_else(|| value.as_i64().map(|value| value as f64)) {
        return Attribute::Number(number);
    }
    // What remains are lists of numbers.
    let integers = || Some(value.to_i64s()?.into_iter().map(|value| value as f64).collect());
    Attribute::Numbers(value.to_f64s().or_else(integers).unwrap_or_default())
}

/// How many bytes one call may read: the whole file several times, and some for what is small.
fn allowance(bytes: &[u8]) -> u64 {
    (1 << 20) + 16 * bytes.len() as u64
}

/// The bytes for `hdf5-pure`, which may read only so many of them. A structure that leads it around in a circle comes to an
/// end with an error.
struct Metered {
    bytes: Arc<[u8]>,
    left: Arc<AtomicU64>,
}

impl Source for Metered {
    fn len(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> Result<(), FormatError> {
        // A read of nothing is not for nothing.
        let cost = buf.len() as u64 + 64;
        let left =
            self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(cost));
        if left.is_err() {
            return Err(FormatError::NestingDepthExceeded);
        }
        let end = offset.checked_add(buf.len() as u64);
        let range = usize::try_from(offset).ok().zip(end.and_then(|end| usize::try_from(end).ok()));
        let Some(bytes) = range.and_then(|(from, to)| self.bytes.get(from..to)) else {
            let expected = end.map_or(usize::MAX, |end| end as usize);
            return Err(FormatError::UnexpectedEof { expected, available: self.bytes.len() });
        };
        buf.copy_from_slice(bytes);
        Ok(())
    }
}

/// A call of `hdf5-pure`, whose errors and panics are errors of the place.
fn fenced<T>(place: &str, call: impl FnOnce() -> Result<T, hdf5_pure::Error>) -> Result<T> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(Error::damaged(place, format!("can not be read: {error}"))),
        Err(_) => Err(Error::damaged(place, "can not be read: it contradicts itself")),
    }
}

#[cfg(test)]
mod tests;
