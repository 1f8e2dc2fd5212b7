//! Windows, streams and files of data: against Keras's values, against their definitions, and read back from disk.

use ndarray::{Array, Array1, Array2, ArrayD, Axis, concatenate, s};
use proptest::prelude::*;
use rnn_model::data::{
    Batch, BatchSource, NpyFile, Prefetch, RowBatches, Rows, StatefulBatches, TimeseriesDataset,
    timeseries_dataset_from_array,
};
use std::path::PathBuf;

fn epoch(source: &mut impl BatchSource, epoch: u64) -> Vec<Batch> {
    source.begin(epoch).unwrap();
    std::iter::from_fn(|| source.next_batch().unwrap()).collect()
}

fn ramp(rows: usize) -> Array1<f32> {
    Array1::from_shape_fn(rows, |i| i as f32)
}

/// `np.save` of an array with the given type; `bytes` in the file's order.
fn npy(name: &str, descr: &str, shape: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let mut header = format!("{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}");
    while (header.len() + 11) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    let mut file = b"\x93NUMPY\x01\x00".to_vec();
    file.extend((header.len() as u16).to_le_bytes());
    file.extend(header.as_bytes());
    file.extend(bytes);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, file).unwrap();
    (folder, path)
}

fn npy_f32(array: &ArrayD<f32>) -> (tempfile::TempDir, PathBuf) {
    let shape: String = array.shape().iter().map(|n| format!("{n}, ")).collect();
    let bytes: Vec<u8> = array.iter().flat_map(|x| x.to_le_bytes()).collect();
    npy("array.npy", "<f4", &format!("({shape})"), &bytes)
}

struct Case {
    dataset: fn(TimeseriesDataset<'static>) -> TimeseriesDataset<'static>,
    length: usize,
    starts: &'static [f32],
    last: &'static [f32],
    sizes: &'static [usize],
    targets: &'static [f32],
}

/// Keras 3.15: `timeseries_dataset_from_array(np.arange(20.), targets, batch_size=2, ...)`, without targets and with
/// `100 + np.arange(12.)`.
#[test]
fn timeseries_windows_are_those_of_keras() {
    let cases = [
        Case {
            dataset: |d| d,
            length: 4,
            starts: &[0., 1., 2., 3., 4., 5., 6., 7., 8., 9., 10., 11., 12., 13., 14., 15., 16.],
            last: &[16., 17., 18., 19.],
            sizes: &[2, 2, 2, 2, 2, 2, 2, 2, 1],
            targets: &[100., 101., 102., 103., 104., 105., 106., 107., 108., 109., 110., 111.],
        },
        Case {
            dataset: |d| d.sequence_stride(2).sampling_rate(3),
            length: 3,
            starts: &[0., 2., 4., 6., 8., 10., 12.],
            last: &[12., 15., 18.],
            sizes: &[2, 2, 2, 1],
            targets: &[100., 102., 104., 106., 108., 110.],
        },
        Case {
            dataset: |d| d.sequence_stride(3).sampling_rate(2).start_index(2).end_index(17),
            length: 3,
            starts: &[2., 5., 8., 11.],
            last: &[11., 13., 15.],
            sizes: &[2, 2],
            targets: &[102., 105., 108., 111.],
        },
        Case {
            dataset: |d| d.sequence_stride(5).start_index(1),
            length: 5,
            starts: &[1., 6., 11.],
            last: &[11., 12., 13., 14., 15.],
            sizes: &[2, 1],
            targets: &[101., 106., 111.],
        },
        Case {
            dataset: |d| d.sequence_stride(4).end_index(9),
            length: 2,
            starts: &[0., 4.],
            last: &[4., 5.],
            sizes: &[2],
            targets: &[100., 104.],
        },
    ];
    for case in cases {
        let plain = timeseries_dataset_from_array(ramp(20), None, case.length).batch_size(2);
        let mut plain = (case.dataset)(plain);
        let batches = epoch(&mut plain, 1);
        assert_eq!(batches.iter().map(Batch::samples).collect::<Vec<_>>(), case.sizes);
        assert_eq!(plain.batches(), Some(case.sizes.len()));
        let all = plain.collect().unwrap();
        let x = all.inputs[0].view().into_dimensionality::<ndarray::Ix2>().unwrap();
        assert_eq!(x.column(0).to_vec(), case.starts);
        assert_eq!(x.row(x.nrows() - 1).to_vec(), case.last);
        assert!(all.targets.is_empty());
        let targets = ramp(12) + 100.0;
        let with =
            timeseries_dataset_from_array(ramp(20), Some(Box::new(targets)), case.length).batch_size(2);
        let all = (case.dataset)(with).collect().unwrap();
        assert_eq!(all.targets[0].iter().copied().collect::<Vec<_>>(), case.targets);
    }
}

#[test]
fn timeseries_options_that_can_not_work_are_named() {
    let new = || TimeseriesDataset::new(ramp(20), 5);
    let cases = [
        (new().sampling_rate(0), "sampling_rate"),
        (new().sampling_rate(20), "sampling_rate"),
        (new().sequence_stride(0), "sequence_stride"),
        (new().sequence_stride(20), "sequence_stride"),
        (new().start_index(20), "start_index"),
        (new().start_index(7).end_index(7), "end_index"),
        (new().end_index(21), "end_index"),
        (new().batch_size(0), "batch_size"),
        (TimeseriesDataset::new(ramp(20), 0), "sequence_length"),
        (TimeseriesDataset::new(ramp(20), 21), "sequence_length"),
        (TimeseriesDataset::new(ramp(20), usize::MAX).sampling_rate(3), "sequence_length"),
        (new().targets(ramp(0)), "sequence_length"),
        (new().start_index(12).targets(ramp(12)), "sequence_length"),
    ];
    for (mut dataset, option) in cases {
        let error = dataset.begin(1).unwrap_err().to_string();
        assert!(error.starts_with(option), "{option}: {error}");
        // The counts do not panic on what begin refuses.
        let _ = (dataset.batches(), dataset.samples());
    }
}

/// Streams `[stream, rows]` cut into windows, by the definition.
fn streams_by_hand(series: &Array2<f32>, streams: usize, window: usize) -> Vec<ArrayD<f32>> {
    let rows = series.nrows() / streams;
    let part = |stream: usize, k: usize| {
        let from = stream * rows + k * window;
        series.slice(s![from..from + window, ..]).insert_axis(Axis(0)).to_owned()
    };
    (0..rows / window)
        .map(|k| {
            let parts: Vec<_> = (0..streams).map(|stream| part(stream, k)).collect();
            let views: Vec<_> = parts.iter().map(|p| p.view()).collect();
            concatenate(Axis(0), &views).unwrap().into_dyn()
        })
        .collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// From memory and from a file, shuffled and not: every window once, with its own target.
    #[test]
    fn windows_equal_their_definition(
        rows in 2usize..40,
        length in 1usize..6,
        stride in 1usize..4,
        rate in 1usize..4,
        start in 0usize..5,
        batch in 1usize..7,
        shuffle: bool,
    ) {
        let series = Array2::from_shape_fn((rows, 2), |(t, f)| (t * 2 + f) as f32);
        let targets = ramp(rows);
        let (_folder, path) = npy_f32(&series.clone().into_dyn());
        let options = |d: TimeseriesDataset<'static>| {
            d.targets(targets.clone()).sequence_stride(stride).sampling_rate(rate).start_index(start).batch_size(batch)
                .shuffle(shuffle).seed(3)
        };
        let mut memory = options(TimeseriesDataset::new(series.clone(), length));
        let mut file = options(TimeseriesDataset::new(NpyFile::open(path).unwrap(), length));
        let wanted: Vec<usize> =
            (start..rows).step_by(stride).filter(|s| s + (length - 1) * rate < rows).collect();
        if wanted.is_empty() || rate >= rows || stride >= rows {
            prop_assert!(memory.begin(1).is_err());
            return Ok(());
        }
        let batches = epoch(&mut memory, 2);
        prop_assert_eq!(&batches, &epoch(&mut file, 2));
        file.begin(2).unwrap();
        file.skip(1).unwrap();
        let second = file.next_batch().unwrap();
        prop_assert_eq!(batches.get(1), second.as_ref());
        let mut starts = Vec::new();
        for batch in &batches {
            for (x, y) in batch.inputs[0].outer_iter().zip(&batch.targets[0]) {
                let start = *y as usize;
                starts.push(start);
                let want = Array::from_shape_fn((length, 2), |(t, f)| series[[start + t * rate, f]]).into_dyn();
                prop_assert_eq!(x, want.view());
            }
        }
        if shuffle {
            starts.sort_unstable();
        }
        prop_assert_eq!(starts, wanted);
    }

    #[test]
    fn streams_equal_their_definition(rows in 1usize..60, streams in 1usize..5, window in 1usize..6) {
        let series = Array2::from_shape_fn((rows, 3), |(t, f)| (t * 3 + f) as f32);
        let next = &series + 3.0;
        let (_folder, path) = npy_f32(&series.clone().into_dyn());
        let mut memory = StatefulBatches::new(series.clone(), streams, window).targets(next.clone());
        if rows / streams < window {
            prop_assert!(memory.begin(1).is_err());
            return Ok(());
        }
        let mut file = StatefulBatches::new(NpyFile::open(path).unwrap(), streams, window).last_targets(next.clone());
        let (all, last) = (epoch(&mut memory, 1), epoch(&mut file, 1));
        let (x, y) = (streams_by_hand(&series, streams, window), streams_by_hand(&next, streams, window));
        prop_assert_eq!(all.len(), x.len());
        prop_assert_eq!(memory.unused_rows(), rows - x.len() * streams * window);
        for k in 0..x.len() {
            prop_assert_eq!(&all[k].inputs[0], &x[k]);
            prop_assert_eq!(&last[k].inputs[0], &x[k]);
            prop_assert_eq!(&all[k].targets[0], &y[k]);
            prop_assert_eq!(last[k].targets[0].view(), y[k].index_axis(Axis(1), window - 1));
        }
    }
}

#[test]
fn numpy_types_become_f32() {
    let check = |descr: &str, bytes: Vec<u8>, want: [f32; 4]| {
        let (_folder, path) = npy("a.npy", descr, "(4,)", &bytes);
        let mut file = NpyFile::open(&path).unwrap();
        let mut all = [0.0; 4];
        file.read(0, 4, &mut all).unwrap();
        assert_eq!(all, want, "{descr}");
        let mut two = [0.0; 2];
        file.reopen().unwrap().read(1, 2, &mut two).unwrap();
        assert_eq!(two, want[1..3], "{descr}");
    };
    macro_rules! each {
        ($($descr:literal $type:ty),*) => {$(
            let values: [$type; 4] = [0 as $type, 1 as $type, 100 as $type, <$type>::MAX];
            let want = values.map(|x| x as f32);
            check(concat!("<", $descr), values.iter().flat_map(|x| x.to_le_bytes()).collect(), want);
            check(concat!(">", $descr), values.iter().flat_map(|x| x.to_be_bytes()).collect(), want);
        )*};
    }
    each!("i2" i16, "i4" i32, "i8" i64, "u2" u16, "u4" u32, "u8" u64, "f4" f32, "f8" f64);
    check("|i1", vec![0, 1, 100, 0x80], [0., 1., 100., -128.]);
    check("|u1", vec![0, 1, 100, 0x80], [0., 1., 100., 128.]);
    check("|b1", vec![0, 1, 1, 0], [0., 1., 1., 0.]);
}

/// A file as NumPy 2.4 wrote it: `np.save(f, np.arange(6, dtype="<i2").reshape(3, 2) - 2)`.
#[test]
fn a_file_from_numpy() {
    let mut bytes =
        b"\x93NUMPY\x01\x00v\x00{'descr': '<i2', 'fortran_order': False, 'shape': (3, 2), }".to_vec();
    bytes.resize(127, b' ');
    bytes.extend(b"\n\xfe\xff\xff\xff\x00\x00\x01\x00\x02\x00\x03\x00");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("numpy.npy");
    std::fs::write(&path, &bytes).unwrap();
    let all = RowBatches::new(NpyFile::open(&path).unwrap()).collect().unwrap();
    assert_eq!(all.inputs[0], ndarray::array![[-2., -1.], [0., 1.], [2., 3.]].into_dyn());
    // Cut off anywhere, it is refused, and never read past its end.
    for len in 0..bytes.len() {
        std::fs::write(&path, &bytes[..len]).unwrap();
        assert!(NpyFile::open(&path).is_err(), "{len} bytes");
    }
    std::fs::write(&path, &bytes).unwrap();
    let mut open = NpyFile::open(&path).unwrap();
    std::fs::write(&path, &bytes[..130]).unwrap();
    assert!(open.read(0, 3, &mut [0.0; 6]).is_err());
    assert!(NpyFile::open(folder.path()).is_err());
    assert!(NpyFile::open(folder.path().join("none")).is_err());
}

#[test]
fn reading_ahead_from_a_file_gives_the_same_epochs() {
    let series = Array2::from_shape_fn((200, 3), |(t, f)| ((t * 3 + f) as f32).sin());
    let (_folder, path) = npy_f32(&series.into_dyn());
    let open = || {
        let file = NpyFile::open(&path).unwrap();
        TimeseriesDataset::new(file, 7).batch_size(16).shuffle(true).seed(1)
    };
    let (mut plain, mut ahead) = (open(), Prefetch::new(open(), 3));
    for number in 1..4 {
        assert_eq!(epoch(&mut plain, number), epoch(&mut ahead, number));
    }
}
