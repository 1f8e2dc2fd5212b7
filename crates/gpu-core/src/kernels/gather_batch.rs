//! A batch out of a data set that lives on the device.
use super::operands::{ELEMENT_GROUP, apart, elements, size};
use crate::buffer::expect_len;
use crate::{Call, Error, Groups, Recorder, Result, Slice};
use rnn_shaders::gather_batch::{KERNEL, Params};

/// `out[t, b, :] = dataset[indices[cursor + b], t, :]` with the cursor of the step record: `dataset [N, time, features]`,
/// `indices` u32, at least `cursor + rows` of them, `out [time, rows, features]`. Bit for bit.
///
/// An index that the data set does not have, and a cursor that runs past the indices, give NaN.
///
/// # Errors
/// [`ShapeMismatch`](Error::ShapeMismatch) where `out` or `dataset` do not fit the shape, or there are fewer than `rows`
/// indices.
pub fn gather_batch(
    rec: &mut Recorder,
    rows: usize,
    time: usize,
    features: usize,
    dataset: &Slice,
    indices: &Slice,
    out: &Slice,
) -> Result<()> {
    const NAME: &str = "gather_batch";
    expect_len(NAME, "out", out, elements(&[time, rows, features]))?;
    if out.is_empty() {
        return Ok(());
    }
    let sample = time * features;
    let samples = dataset.len() / sample;
    expect_len(NAME, "dataset", dataset, samples.max(1) * sample)?;
    if indices.len() < rows {
        return Err(Error::ShapeMismatch {
            operation: NAME,
            what: "indices",
            expected: rows,
            got: indices.len(),
        });
    }
    let dataset = apart(rec, dataset, &[out])?;
    let indices = apart(rec, indices, &[out])?;
    rec.call(Call {
        kernel: &KERNEL,
        overrides: &[],
        buffers: &[&dataset, &indices, out],
        params: bytemuck::bytes_of(&Params {
            n: size(NAME, out.len())?,
            rows: size(NAME, rows)?,
            time: size(NAME, time)?,
            features: size(NAME, features)?,
            samples: size(NAME, samples)?,
            count: size(NAME, indices.len())?,
            ..Default::default()
        }),
        groups: Groups::linear(out.len(), ELEMENT_GROUP),
        flops: out.len() as f64,
    })
}
