//! Arrays in `.npy` files, read some rows at a time.

use super::npy_header::{NpyHeader, PREFIX, header_end, parse};
use super::rows::{Rows, check_read};
use crate::{Error, Result};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

/// An array in a `.npy` file, as NumPy's `np.save` writes it: `f2`, `f4`, `f8`, `i1` to `i8`, `u1` to `u8` or `b1` of either byte
/// order, in C order. Values become `f32`.
///
/// Only the rows that are asked for are read, at their place in the file; the operating system keeps what is used often
/// in memory, as it would for a mapped file, and a file that is cut off while it is read is an error, not a signal.
///
/// ```no_run
/// use rnn_model::data::{NpyFile, TimeseriesDataset};
/// use rnn_model::data::Rows;
/// let series = NpyFile::open("series.npy")?;
/// let (rows, next) = (series.rows(), series.reopen()?);
/// let windows = TimeseriesDataset::new(series, 50).targets(next.range(50, rows)?).shuffle(true);
/// # Ok::<(), rnn_model::Error>(())
/// ```
#[derive(Debug)]
pub struct NpyFile {
    path: PathBuf,
    file: File,
    header: NpyHeader,
    bytes: Vec<u8>,
}

impl NpyFile {
    /// Opens a file and checks its header against its length.
    ///
    /// # Errors
    /// When the file can not be read, is no `.npy` file, is cut off, or holds other values than those above.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let failed = |source| Error::io(&path, source);
        let wrong = |problem: String| Error::file(&path, problem);
        let mut file = File::open(&path).map_err(failed)?;
        let len = file.metadata().map_err(failed)?.len();
        let mut start = vec![0; PREFIX.min(usize::try_from(len).unwrap_or(PREFIX))];
        file.read_exact(&mut start).map_err(failed)?;
        let end = header_end(&start).map_err(wrong)?;
        if len < end as u64 {
            return Err(wrong("the file ends within its header".into()));
        }
        let read = start.len().min(end);
        start.truncate(end);
        start.resize(end, 0);
        file.seek(SeekFrom::Start(read as u64)).map_err(failed)?;
        file.read_exact(&mut start[read..]).map_err(failed)?;
        let header = parse(&start, len).map_err(wrong)?;
        if header.fortran && header.shape.len() > 1 {
            let problem =
                "the array is in Fortran order, its rows do not lie together; save np.ascontiguousarray(a)";
            return Err(wrong(problem.into()));
        }
        if header.shape.is_empty() {
            return Err(wrong("a single number; an array with rows is needed".into()));
        }
        Ok(NpyFile { path, file, header, bytes: Vec::new() })
    }

    /// The same file once more, to be read at another place.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn reopen(&self) -> Result<Self> {
        Self::open(&self.path)
    }
}

impl Rows for NpyFile {
    fn shape(&self) -> &[usize] {
        &self.header.shape
    }

    fn read(&mut self, from: usize, count: usize, out: &mut [f32]) -> Result<()> {
        let row = check_read(&self.header.shape, from, count, out)?;
        let size = self.header.element.bytes;
        // Both fit: the whole array does, by the check of the header.
        let at = self.header.data + (from * row * size) as u64;
        self.bytes.resize(out.len() * size, 0);
        let read = self.file.seek(SeekFrom::Start(at)).and_then(|_| self.file.read_exact(&mut self.bytes));
        read.map_err(|source| Error::io(&self.path, source))?;
        self.header.element.decode(&self.bytes, out);
        Ok(())
    }
}
