//! A training that goes on after the program was killed.

use super::callbacks::SaveFreq;
use super::{CallbackState, Logs};
use crate::files::write_atomically;
use crate::{Error, Result};
use ndarray::{ArrayD, IxDyn};
use safetensors::{Dtype, SafeTensors, tensor::TensorView};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::path::{Path, PathBuf};

const KEY: &str = "tidegate_backup";
const FORMAT: u32 = 1;
const NAME: &str = "backup.safetensors";

/// Saves a training while it runs, so that the same program, started again after a crash, a kill or a power cut, goes on
/// where it was, and ends with the same bits as if nothing had happened.
///
/// Saved are weights, optimizer, counters and the states of stateful layers; the place within the epoch; the sums of its
/// loss and metrics; the history; and what the callbacks know (the patience of `EarlyStopping` and its best weights, the
/// place in a `CsvLogger`'s file, ...). `fit` takes it all up by itself when it finds a backup in the folder. It must be the same
/// `fit`: model, options, callbacks and their order; the data is taken to be the same and only its size is checked. A source
/// must give the same batches for the same epoch, as the sources of this crate do.
///
/// The file appears whole or not at all, so a kill while it is written leaves the one before (Keras's
/// `double_checkpoint` has no use here). It is deleted when training ends.
///
/// ```
/// # use ndarray::Array;
/// # use rnn_model::{Adam, Device, Input, Loss, Sequential, layer::{Dense, Lstm}};
/// use rnn_model::{BackupAndRestore, FitOptions, SaveFreq};
/// # let mut model = Sequential::new(Input::sequence(5, 1)).layer(Lstm::new(4)).layer(Dense::new(1)).build(&Device::cpu())?;
/// # model.compile(Adam::new(), Loss::MeanSquaredError, &[])?;
/// # let (x, y) = (Array::<f32, _>::ones((20, 5, 1)), Array::<f32, _>::ones((20, 1)));
/// # let folder = tempfile::tempdir().unwrap();
/// let backup = BackupAndRestore::new(folder.path().join("backup")).save_freq(SaveFreq::Batches(500));
/// let history = model.fit(&x, &y, FitOptions::new().epochs(10).backup(backup))?;
/// # Ok::<(), rnn_model::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct BackupAndRestore {
    folder: PathBuf,
    freq: SaveFreq,
    delete: bool,
}

impl BackupAndRestore {
    /// Saves to `folder`, which is made where it is missing, after each epoch.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        BackupAndRestore { folder: folder.into(), freq: SaveFreq::Epoch, delete: true }
    }

    /// How often; after each epoch. By batches, it is after each epoch too.
    #[must_use]
    pub fn save_freq(mut self, freq: SaveFreq) -> Self {
        self.freq = freq;
        self
    }

    /// Delete the backup when training has ended; true.
    #[must_use]
    pub fn delete_checkpoint(mut self, on: bool) -> Self {
        self.delete = on;
        self
    }

    /// The file.
    pub fn path(&self) -> PathBuf {
        self.folder.join(NAME)
    }

    pub(crate) fn check(&self) -> Result<()> {
        match self.freq {
            SaveFreq::Batches(0) => {
                Err(Error::invalid("BackupAndRestore", "save_freq must be at least 1 batch"))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn every_batches(&self) -> Option<usize> {
        match self.freq {
            SaveFreq::Epoch => None,
            SaveFreq::Batches(n) => Some(n),
        }
    }

    pub(crate) fn save(&self, backup: &Backup) -> Result<()> {
        std::fs::create_dir_all(&self.folder).map_err(|source| Error::io(&self.folder, source))?;
        write_atomically(self.path(), &backup.to_bytes())
    }

    /// The backup of a training that was broken off, if there is one.
    pub(crate) fn load(&self) -> Result<Option<Backup>> {
        let path = self.path();
        match std::fs::read(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(Error::io(&path, source)),
            Ok(bytes) => Backup::from_bytes(&bytes).map(Some).map_err(|problem| {
                Error::file(&path, format!("{problem}; delete the file to begin the training anew"))
            }),
        }
    }

    /// Training has ended: removes the file, and the folder where nothing else is in it.
    pub(crate) fn finish(&self) -> Result<()> {
        if !self.delete {
            return Ok(());
        }
        let path = self.path();
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::io(&path, error));
            }
            _ => {}
        }
        // Other files in it are not ours.
        let _ = std::fs::remove_dir(&self.folder);
        Ok(())
    }
}

/// Everything a training goes on from.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Backup {
    pub place: Place,
    /// the model file, with states
    pub model: Vec<u8>,
    /// running sums of loss and metrics
    pub sums: Vec<f32>,
    pub logs: Vec<Logs>,
    pub epochs: Vec<u64>,
    /// in the order of the callbacks
    pub callbacks: Vec<Option<CallbackState>>,
}

/// Where a training is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Place {
    /// what must be the same in the `fit` that goes on
    pub task: Task,
    /// the epoch that is being run, or will be next
    pub epoch: u64,
    /// batches of it that are done
    pub batch: usize,
    /// the pass over the data, from 1, and batches of it that are done
    pub pass: u64,
    pub pass_batch: usize,
    /// batches since training began
    pub total: u64,
    /// a callback has ended the training
    pub stopped: bool,
}

/// What a training does.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Task {
    pub first_epoch: u64,
    pub last_epoch: u64,
    /// 0: as the source says
    pub batch_size: usize,
    /// samples in memory; 0 for a source
    pub samples: usize,
    pub validation_samples: usize,
    pub shuffle: bool,
    pub steps_per_epoch: Option<usize>,
    pub reset_states: bool,
}

#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    place: Place,
    /// numbers as bits: JSON knows no NaN
    history: Vec<(u64, Vec<(String, u64)>)>,
    callbacks: Vec<Option<CallbackHeader>>,
}

#[derive(Serialize, Deserialize)]
struct CallbackHeader {
    kind: String,
    text: String,
    arrays: usize,
}

impl Backup {
    fn to_bytes(&self) -> Vec<u8> {
        let header = Header {
            format: FORMAT,
            place: self.place.clone(),
            history: self.epochs.iter().zip(&self.logs).map(|(&epoch, logs)| (epoch, bits(logs))).collect(),
            callbacks: self
                .callbacks
                .iter()
                .map(|state| {
                    state.as_ref().map(|s| CallbackHeader {
                        kind: s.kind.clone(),
                        text: s.text.clone(),
                        arrays: s.arrays.len(),
                    })
                })
                .collect(),
        };
        let json = serde_json::to_string(&header).expect("plain data");
        let floats = |values: &mut dyn Iterator<Item = &f32>| {
            values.flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>()
        };
        let mut tensors = vec![
            ("model".to_owned(), Dtype::U8, vec![self.model.len()], self.model.clone()),
            ("sums".to_owned(), Dtype::F32, vec![self.sums.len()], floats(&mut self.sums.iter())),
        ];
        for (i, state) in self.callbacks.iter().enumerate() {
            for (j, array) in state.iter().flat_map(|s| &s.arrays).enumerate() {
                let data = floats(&mut array.iter());
                tensors.push((array_name(i, j), Dtype::F32, array.shape().to_vec(), data));
            }
        }
        let views = tensors.iter().map(|(name, dtype, shape, data)| {
            let view = TensorView::new(*dtype, shape.clone(), data).expect("as many bytes as the shape says");
            (name.as_str(), view)
        });
        let metadata = HashMap::from([(KEY.to_owned(), json)]);
        safetensors::serialize(views, Some(metadata)).expect("names are unique and shapes fit")
    }

    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let file = SafeTensors::deserialize(bytes).map_err(|e| format!("not a complete backup ({e})"))?;
        let (_, metadata) =
            SafeTensors::read_metadata(bytes).map_err(|e| format!("unreadable header ({e})"))?;
        let json =
            metadata.metadata().as_ref().and_then(|m| m.get(KEY)).ok_or("not a backup of a training")?;
        let header: Header = serde_json::from_str(json).map_err(|e| format!("damaged backup ({e})"))?;
        if header.format != FORMAT {
            return Err(format!("format {}, but this program reads format {FORMAT}", header.format));
        }
        let tensor = |name: &str, dtype: Dtype| match file.tensor(name) {
            Ok(tensor) if tensor.dtype() == dtype => Ok(tensor),
            _ => Err(format!("{name} is missing")),
        };
        let floats = |bytes: &[u8]| -> Vec<f32> {
            bytes.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b)).collect()
        };
        let mut callbacks = Vec::new();
        for (i, state) in header.callbacks.into_iter().enumerate() {
            let Some(state) = state else {
                callbacks.push(None);
                continue;
            };
            let mut arrays = Vec::new();
            for j in 0..state.arrays {
                let tensor = tensor(&array_name(i, j), Dtype::F32)?;
                let array = ArrayD::from_shape_vec(IxDyn(tensor.shape()), floats(tensor.data()));
                arrays.push(array.map_err(|e| e.to_string())?);
            }
            callbacks.push(Some(CallbackState { kind: state.kind, text: state.text, arrays }));
        }
        let (epochs, logs) = header.history.into_iter().map(|(epoch, logs)| (epoch, values(logs))).unzip();
        Ok(Backup {
            place: header.place,
            model: tensor("model", Dtype::U8)?.data().to_vec(),
            sums: floats(tensor("sums", Dtype::F32)?.data()),
            logs,
            epochs,
            callbacks,
        })
    }
}

fn array_name(callback: usize, array: usize) -> String {
    format!("callbacks/{callback}/{array}")
}

fn bits(logs: &Logs) -> Vec<(String, u64)> {
    logs.iter().map(|(name, value)| (name.to_owned(), value.to_bits())).collect()
}

fn values(logs: Vec<(String, u64)>) -> Logs {
    Logs(logs.into_iter().map(|(name, value)| (name, f64::from_bits(value))).collect())
}

/// Refuses a backup of another training.
pub(crate) fn check_task(path: &Path, saved: &Task, now: &Task) -> Result<()> {
    if saved == now {
        return Ok(());
    }
    let problem = format!(
        "it belongs to another training ({saved:?}, now {now:?}); give fit the same data and options, or delete the file"
    );
    Err(Error::file(path, problem))
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    fn backup() -> Backup {
        let state = CallbackState {
            kind: "EarlyStopping".into(),
            text: "{\"wait\":2}".into(),
            arrays: vec![array![[1.0f32, 2.0]].into_dyn(), array![3.0f32].into_dyn()],
        };
        Backup {
            place: Place { epoch: 3, batch: 7, pass: 3, pass_batch: 7, total: 27, ..Place::default() },
            model: vec![1, 2, 3],
            sums: vec![0.5, 20.0],
            logs: vec![Logs(vec![("loss".into(), 0.1), ("mae".into(), f64::NAN)])],
            epochs: vec![1],
            callbacks: vec![None, Some(state)],
        }
    }

    #[test]
    fn comes_back_whole() {
        let (before, after) = (backup(), Backup::from_bytes(&backup().to_bytes()).unwrap());
        assert_eq!(bits(&before.logs[0]), bits(&after.logs[0]));
        assert_eq!(Backup { logs: vec![], ..before }, Backup { logs: vec![], ..after });
    }

    #[test]
    fn damaged_files_are_refused() {
        let bytes = backup().to_bytes();
        for len in 0..bytes.len() {
            assert!(Backup::from_bytes(&bytes[..len]).is_err(), "{len}");
        }
        let folder = tempfile::tempdir().unwrap();
        let options = BackupAndRestore::new(folder.path().join("a"));
        assert!(options.load().unwrap().is_none());
        options.save(&backup()).unwrap();
        assert_eq!(options.load().unwrap().unwrap().place, backup().place);
        std::fs::write(options.path(), &bytes[..bytes.len() / 2]).unwrap();
        let error = options.load().unwrap_err().to_string();
        assert!(error.contains("delete the file"), "{error}");
        options.finish().unwrap();
        assert!(!folder.path().join("a").exists());
        assert!(BackupAndRestore::new("x").save_freq(SaveFreq::Batches(0)).check().is_err());
    }
}
