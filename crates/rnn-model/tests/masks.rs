//! What masks mean: a padded batch equals its series alone, a packed row equals separate rows; and noise is the same on every
//! device.

mod common;

use common::gpu;
use ndarray::{Array2, Array3, ArrayD, Axis, s};
use rnn_model::layer::{
    AlphaDropout, Dense, Dropout, Embedding, GaussianDropout, GaussianNoise, GlobalMaxPooling1D, Gru, Layer,
    Lstm, Masking, Permute, SimpleRnn, SpatialDropout1D, packed, with_lengths,
};
use rnn_model::{Device, Graph, Input, Sequential, Tensor};

/// Numbers in [-1, 1) from a seed.
fn numbers(seed: u32, shape: (usize, usize, usize)) -> Array3<f32> {
    let mut state = seed.wrapping_mul(0x9e37_79b9) | 1;
    Array3::from_shape_simple_fn(shape, || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    })
}

fn devices() -> Vec<Device> {
    [Some(Device::cpu()), Some(Device::reference()), gpu()].into_iter().flatten().collect()
}

/// Largest difference; NaN is infinite.
fn apart(a: &ArrayD<f32>, b: &ArrayD<f32>) -> f32 {
    assert_eq!(a.shape(), b.shape());
    a.iter().zip(b).fold(0.0, |worst, (a, b)| {
        let d = (a - b).abs();
        if d.is_nan() { f32::INFINITY } else { worst.max(d) }
    })
}

fn cells() -> [(&'static str, Layer); 4] {
    [
        ("lstm", Lstm::new(5).return_sequences(true).into()),
        ("gru", Gru::new(5).return_sequences(true).into()),
        ("gru, reset before", Gru::new(5).reset_after(false).return_sequences(true).into()),
        ("simple", SimpleRnn::new(5).return_sequences(true).into()),
    ]
}

/// A batch of padded series gives at each series' steps what the series gives alone, forward and backward.
#[test]
fn lengths_equal_series_alone() {
    let (time, features) = (7, 3);
    let lengths = [7usize, 1, 4];
    let x = numbers(1, (3, time, features));
    let given = Array2::from_shape_vec((3, 1), lengths.map(|n| n as f32).to_vec()).unwrap().into_dyn();
    for device in devices() {
        for (name, cell) in cells() {
            let (sequence, length) = (Input::sequence(None, features).symbol(), Input::vector(1).symbol());
            let y = with_lengths(&sequence, &length).unwrap().layer(cell.clone()).unwrap();
            let y = y.layer(Dense::new(2)).unwrap();
            let mut model = Graph::new(&[&sequence, &length], &[&y]).unwrap().seed(3).build(&device).unwrap();
            let mut alone = Sequential::new(Input::sequence(None, features)).layer(cell).layer(Dense::new(2));
            alone = alone.seed(3);
            let mut alone = alone.build(&device).unwrap();
            let weights = model.get_weights().unwrap();
            alone.set_weights(&weights).unwrap();
            let mut dy = numbers(2, (3, time, 2));
            for (b, &n) in lengths.iter().enumerate() {
                dy.slice_mut(s![b, n.., ..]).fill(0.0);
            }
            let inputs = [&x.clone().into_dyn(), &given];
            let all = model.gradients(inputs, &dy.clone().into_dyn(), None).unwrap();
            let mut sums: Vec<ArrayD<f32>> = all.weights.iter().map(|w| w * 0.0).collect();
            for (b, &n) in lengths.iter().enumerate() {
                let own = x.slice(s![b..b + 1, ..n, ..]).to_owned().into_dyn();
                let own_dy = dy.slice(s![b..b + 1, ..n, ..]).to_owned().into_dyn();
                let one = alone.gradients(&own, &own_dy, None).unwrap();
                let got = all.outputs[0].slice(s![b..b + 1, ..n, ..]).to_owned().into_dyn();
                // The same operations in the same order, but for the width of a batch: a few roundings.
                assert!(apart(&got, &one.outputs[0]) < 1e-6, "{name} on {}: output {b}", device.name());
                let got = all.inputs[0].slice(s![b..b + 1, ..n, ..]).to_owned().into_dyn();
                assert!(apart(&got, &one.inputs[0]) < 1e-5, "{name} on {}: dx {b}", device.name());
                sums.iter_mut().zip(&one.weights).for_each(|(sum, w)| *sum += w);
            }
            for (got, want) in all.weights.iter().zip(&sums) {
                assert!(apart(got, want) < 2e-5, "{name} on {}: dw", device.name());
            }
        }
    }
}

/// Series packed into one row give what they give in rows of their own, forward and backward.
#[test]
fn packed_rows_equal_separate_rows() {
    let (time, features) = (9, 2);
    // Row 0: series of 3, 2 and 3 steps with a gap; row 1: one of 9.
    let ids = [[1.0, 1.0, 1.0, 5.0, 5.0, 0.0, 2.0, 2.0, 2.0], [4.0; 9]];
    let series = [(0usize, 0usize, 3usize), (0, 3, 5), (0, 6, 9), (1, 0, 9)];
    let ids = Array2::from_shape_vec((2, time), ids.concat()).unwrap().into_dyn();
    let x = numbers(3, (2, time, features));
    for device in devices() {
        for (name, cell) in cells() {
            let (sequence, places) = (Input::sequence(None, features).symbol(), Input::tokens(None).symbol());
            let y = packed(&sequence, &places).unwrap().layer(cell.clone()).unwrap();
            let mut model = Graph::new(&[&sequence, &places], &[&y]).unwrap().build(&device).unwrap();
            let mut alone =
                Sequential::new(Input::sequence(None, features)).layer(cell).build(&device).unwrap();
            alone.set_weights(&model.get_weights().unwrap()).unwrap();
            let mut dy = numbers(4, (2, time, 5));
            dy.slice_mut(s![0, 5, ..]).fill(0.0);
            let all = model.gradients([&x.clone().into_dyn(), &ids], &dy.clone().into_dyn(), None).unwrap();
            for (row, from, to) in series {
                let part = |a: &Array3<f32>| a.slice(s![row..row + 1, from..to, ..]).to_owned().into_dyn();
                let one = alone.gradients(&part(&x), &part(&dy), None).unwrap();
                let cut = |a: &ArrayD<f32>| a.slice(s![row..row + 1, from..to, ..]).to_owned().into_dyn();
                let what = format!("{name} on {}: row {row} from {from}", device.name());
                assert!(apart(&cut(&all.outputs[0]), &one.outputs[0]) < 1e-6, "{what}");
                assert!(apart(&cut(&all.inputs[0]), &one.inputs[0]) < 1e-5, "{what}, gradient");
            }
        }
    }
}

#[test]
fn a_maximum_can_leave_out_masked_steps() {
    let x = ndarray::array![[[-2.0f32], [-3.0], [0.0]], [[0.0], [0.0], [0.0]]].into_dyn();
    for device in devices() {
        for (masked, want) in [(false, [0.0, 0.0]), (true, [-2.0, 0.0])] {
            let layers = Sequential::new(Input::sequence(None, 1)).layer(Masking::new(0.0));
            let mut model = layers.layer(GlobalMaxPooling1D::new().masked(masked)).build(&device).unwrap();
            assert_eq!(model.predict_on_batch(&x).unwrap().as_slice().unwrap(), want);
        }
    }
}

/// Noise passes through in a prediction; in training all devices draw the same, and the gradient is that of what was drawn.
#[test]
fn noise_is_the_same_on_every_device() {
    let x = numbers(5, (4, 6, 3)).into_dyn();
    let dy = numbers(6, (4, 6, 3)).into_dyn();
    let layers: [Layer; 5] = [
        Dropout::new(0.4).noise_shape([None, Some(1), None]).into(),
        GaussianNoise::new(0.5).into(),
        GaussianDropout::new(0.3).into(),
        AlphaDropout::new(0.3).into(),
        SpatialDropout1D::new(0.4).into(),
    ];
    for layer in layers {
        let class = layer.class();
        let mut results = Vec::new();
        for device in devices() {
            let input = Input::sequence(None, 3);
            let mut model = Sequential::new(input).layer(layer.clone()).seed(11).build(&device).unwrap();
            assert_eq!(model.predict_on_batch(&x).unwrap(), x, "{class}");
            let run = model.gradients(&x, &dy, None).unwrap();
            assert!(apart(&run.outputs[0], &x) > 0.1, "{class} does nothing while training");
            if class == "SpatialDropout1D" || class == "Dropout" {
                let dropped = run.outputs[0].mapv(|y| y == 0.0);
                let first = dropped.index_axis(Axis(1), 0).to_owned();
                assert!(
                    dropped.axis_iter(Axis(1)).all(|step| step == first),
                    "other features at other steps"
                );
            }
            results.push((run.outputs[0].clone(), run.inputs[0].clone()));
        }
        for (y, dx) in &results[1..] {
            // The normal numbers agree to 2e-6.
            assert!(apart(y, &results[0].0) < 5e-6 && apart(dx, &results[0].1) < 5e-6, "{class}");
        }
    }
}

/// What is on the device already is not read back; arrays are looked at (`ids.rs`).
#[test]
fn ids_beyond_the_table_are_rows_of_zeros_on_the_device() {
    for device in devices() {
        let mut model =
            Sequential::new(Input::tokens(None)).layer(Embedding::new(3, 2)).build(&device).unwrap();
        let ids = ndarray::array![[0.0f32, 3.0, -1.0, 2.0]].into_dyn();
        let ids = Tensor::from_array(&device, &ids).unwrap();
        let y = model.predict_tensor(&ids).unwrap().to_array().unwrap();
        let table = &model.get_weights().unwrap()[0];
        let row = |t: usize| y.slice(s![0, t, ..]).to_owned();
        assert_eq!(row(0), table.slice(s![0, ..]));
        assert_eq!(row(3), table.slice(s![2, ..]));
        assert!(row(1).iter().chain(&row(2)).all(|&v| v == 0.0));
    }
}

#[test]
fn what_can_not_work_is_refused() {
    let sequence = Input::sequence(4, 3).symbol();
    assert!(sequence.layer(Embedding::new(3, 2).mask_zero(true)).is_err());
    assert!(sequence.layer(Embedding::new(0, 2)).is_err());
    assert!(sequence.layer(Permute::new([2, 2])).is_err());
    assert!(sequence.layer(Permute::new([1])).is_err());
    assert!(Input::sequence(None, 3).symbol().layer(Permute::new([2, 1])).is_err());
    assert!(Input::vector(3).symbol().layer(Masking::new(0.0)).is_err());
    assert!(sequence.layer(GaussianNoise::new(-0.1)).is_err());
    assert!(sequence.layer(Dropout::new(0.1).noise_shape([None, None, Some(1)])).is_err());
    assert!(with_lengths(&sequence, &sequence).is_err());
    assert!(packed(&sequence, &Input::tokens(5).symbol()).is_err());
    assert!(packed(&sequence, &Input::tokens(4).symbol()).is_ok());
    let error = sequence.layer(SpatialDropout1D::new(1.0)).unwrap_err().to_string();
    assert!(error.contains("the rate must be at least 0 and below 1, got 1"), "{error}");
}
