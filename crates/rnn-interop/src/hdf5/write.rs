//! HDF5 files written, such that h5py and Keras read them.

use super::{Attribute, fenced, show};
use crate::{Error, Result};
use hdf5_pure::{AttrValue, FileBuilder, GroupBuilder};
use ndarray::ArrayD;
use std::collections::BTreeMap;

/// A file to be: groups, data sets and attributes by their path. Groups come into being with what is put into them.
#[derive(Default)]
pub(crate) struct Writer {
    root: Group,
}

#[derive(Default)]
struct Group {
    groups: BTreeMap<String, Group>,
    datasets: BTreeMap<String, Dataset>,
    attributes: Vec<(String, Attribute)>,
}

struct Dataset {
    shape: Vec<u64>,
    values: Values,
    attributes: Vec<(String, Attribute)>,
}

enum Values {
    F32(Vec<f32>),
    I64(Vec<i64>),
}

impl Writer {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// An empty group, unless there is one.
    pub(crate) fn group(&mut self, path: &str) {
        self.root.at(path);
    }

    /// A data set of this path.
    pub(crate) fn f32(&mut self, path: &str, values: &ArrayD<f32>) {
        self.put(path, values.shape(), Values::F32(values.iter().copied().collect()));
    }

    /// As [`Writer::f32`].
    pub(crate) fn i64(&mut self, path: &str, values: &ArrayD<i64>) {
        self.put(path, values.shape(), Values::I64(values.iter().copied().collect()));
    }

    /// Gives a data set, or else a group, an attribute. (The root is the empty path.) More than 8 at one object are stored in a
    /// way that [`File`](super::File) does not read.
    pub(crate) fn attribute(&mut self, path: &str, name: &str, value: Attribute) {
        let (parent, last) = path.rsplit_once('/').unwrap_or(("", path));
        let attributes = match self.root.at(parent).datasets.get_mut(last) {
            Some(dataset) => &mut dataset.attributes,
            None => &mut self.root.at(path).attributes,
        };
        attributes.push((name.to_owned(), value));
    }

    /// The file's bytes.
    ///
    /// # Errors
    /// A name that HDF5 does not have, such as an empty one, or an attribute larger than it takes.
    pub(crate) fn finish(self) -> Result<Vec<u8>> {
        fenced("HDF5 file", || {
            let mut file = FileBuilder::new();
            let Group { groups, datasets, attributes } = self.root;
            for (name, value) in attributes {
                file.set_attr(&name, convert(value));
            }
            for (name, dataset) in datasets {
                dataset.write(file.create_dataset(&name));
            }
            for (name, group) in groups {
                let builder = file.create_group(&name);
                file.add_group(group.write(builder));
            }
            file.finish()
        })
        .map_err(|error| match error {
            Error::Damaged { problem, .. } => {
                Error::unsupported(show(""), format!("can not be written as HDF5: {problem}"))
            }
            other => other,
        })
    }

    fn put(&mut self, path: &str, shape: &[usize], values: Values) {
        let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
        let shape = shape.iter().map(|&axis| axis as u64).collect();
        self.root
            .at(parent)
            .datasets
            .insert(name.to_owned(), Dataset { shape, values, attributes: Vec::new() });
    }
}

impl Group {
    fn at(&mut self, path: &str) -> &mut Group {
        path.split('/')
            .filter(|name| !name.is_empty())
            .fold(self, |group, name| group.groups.entry(name.to_owned()).or_default())
    }

    fn write(self, mut builder: GroupBuilder) -> hdf5_pure::FinishedGroup {
        for (name, value) in self.attributes {
            builder.set_attr(&name, convert(value));
        }
        for (name, dataset) in self.datasets {
            dataset.write(builder.create_dataset(&name));
        }
        for (name, group) in self.groups {
            let inner = builder.create_group(&name);
            builder.add_group(group.write(inner));
        }
        builder.finish()
    }
}

impl Dataset {
    fn write(self, builder: &mut hdf5_pure::DatasetBuilder) {
        match &self.values {
            Values::F32(values) => builder.with_f32_data(values),
            Values::I64(values) => builder.with_i64_data(values),
        };
        builder.with_shape(&self.shape);
        for (name, value) in self.attributes {
            builder.set_attr(&name, convert(value));
        }
    }
}

fn convert(value: Attribute) -> AttrValue {
    match value {
        Attribute::Text(text) => AttrValue::VarLenString(text),
        // h5py gives an empty list of texts back as an empty list of numbers.
        Attribute::Texts(texts) if texts.is_empty() => AttrValue::F64Array(Vec::new()),
        Attribute::Texts(texts) => AttrValue::VarLenStringArray(texts),
        Attribute::Number(number) => AttrValue::F64(number),
        Attribute::Numbers(numbers) => AttrValue::F64Array(numbers),
    }
}
