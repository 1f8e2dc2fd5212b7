//! Ids that an Embedding has no row for, and labels that are no class, are refused where they come in, by place.

mod devices;

use devices::on_each;
use ndarray::{Array, Array2, ArrayD, Axis, concatenate, s};
use rnn_model::data::RowBatches;
use rnn_model::layer::{
    ActivationLayer, Concatenate, Dense, Embedding, Flatten, GlobalAveragePooling1D, Layer, Permute, Reshape,
    Reverse, Slice, Softmax, TimeDistributed,
};
use rnn_model::{
    Activation, Adam, Device, FitOptions, Graph, Input, Loss, Model, Sequential, Symbol, Tensor, apply,
};

const BAD: [f32; 5] = [5.0, -1.0, 1.5, f32::NAN, f32::INFINITY];

/// Six samples of four ids below 5.
fn ids() -> Array2<f32> {
    Array::from_shape_fn((6, 4), |(i, t)| ((i * 3 + t * 2) % 5) as f32)
}

fn with(value: f32) -> Array2<f32> {
    let mut x = ids();
    x[[3, 2]] = value;
    x
}

fn targets() -> Array2<f32> {
    Array::from_shape_fn((6, 1), |(i, _)| i as f32 * 0.1)
}

fn compiled(graph: &Graph, device: &Device) -> Model {
    let mut model = graph.build(device).unwrap();
    model.compile(Adam::new(), Loss::MeanSquaredError, &[]).unwrap();
    model
}

/// Ids through `layers` to a table of 5 rows.
fn table_behind(layers: Vec<Layer>) -> Graph {
    let ids = Input::tokens(4).symbol();
    let moved = layers.into_iter().fold(ids.clone(), |x, layer| x.layer(layer).unwrap());
    let rows = moved.layer(Embedding::new(5, 2)).unwrap();
    let y = rows.layer(Flatten::new()).unwrap().layer(Dense::new(1)).unwrap();
    Graph::new(&[&ids], &[&y]).unwrap()
}

fn refused<T>(result: rnn_model::Result<T>) -> String {
    result.map(|_| ()).unwrap_err().to_string()
}

#[test]
fn every_way_in_names_layer_sample_step_and_value() {
    on_each(|device| {
        let mut model = compiled(&table_behind(Vec::new()), device);
        let (good, y) = (ids(), targets());
        for bad in BAD {
            let x = with(bad);
            let mut source = RowBatches::new(x.view()).target(y.view()).batch_size(6);
            let messages = [
                refused(model.predict(&x)),
                refused(model.predict_with_states(&x, None)),
                refused(model.evaluate(&x, &y)),
                refused(model.train_on_batch(&x, &y)),
                refused(model.gradients(&x, &y, None)),
                refused(model.fit(&x, &y, FitOptions::new())),
                refused(model.fit(&good, &y, FitOptions::new().validation_data(&x, &y))),
                refused(model.fit_source(&mut source, FitOptions::new())),
                refused(model.evaluate_source(&mut source)),
                refused(model.predict_source(&mut source)),
            ];
            for message in messages {
                let named = ["layer embedding ", "from 0 to 4", "sample 3, step 2", &format!("got {bad} in")];
                for part in named {
                    assert!(message.contains(part), "{part:?} is not in {message:?}");
                }
            }
        }
        assert!(model.predict(&good).is_ok());
        assert!(model.fit(&good, &y, FitOptions::new()).is_ok());
    });
}

#[test]
fn ids_are_looked_at_behind_layers_that_only_move_them() {
    let device = Device::cpu();
    let cases: Vec<(Vec<Layer>, &str)> = vec![
        (vec![Reshape::new([2, 2]).into()], "sample 3, step 1, place [0]"),
        (vec![Reshape::new([2, 2]).into(), Permute::new([2, 1]).into()], "sample 3, step 0, place [1]"),
        (vec![Reshape::new([4, 1]).into(), Reverse::new().into()], "sample 3, step 1, place [0]"),
        (vec![Reshape::new([2, 2]).into(), Flatten::new().into()], "sample 3, step 2"),
        (vec![Slice::new(1, 1, None).into()], "sample 3, step 1"),
    ];
    for (layers, place) in cases {
        let mut model = table_behind(layers.clone()).build(&device).unwrap();
        let message = refused(model.predict(&with(7.0)));
        assert!(message.contains(place) && message.contains("got 7 in"), "{layers:?}: {message}");
        assert!(model.predict(&ids()).is_ok(), "{layers:?}");
    }
    // What a slice leaves out need be no id.
    let mut model = table_behind(vec![Slice::new(1, 3, None).into()]).build(&device).unwrap();
    assert!(model.predict(&with(-0.5)).is_ok());
}

#[test]
fn of_several_inputs_the_one_is_named() {
    let device = Device::cpu();
    let (a, b) = (Input::tokens(4).name("words").symbol(), Input::tokens(4).name("tags").symbol());
    let embed = |x: &Symbol, rows| x.layer(Embedding::new(rows, 2)).unwrap();
    let both = apply(Concatenate::new(), &[&embed(&a, 5), &embed(&b, 3)]).unwrap().swap_remove(0);
    let y = both.layer(GlobalAveragePooling1D::new()).unwrap();
    let mut model = Graph::new(&[&a, &b], &[&y]).unwrap().build(&device).unwrap();
    let small = ids().mapv(|id| id % 3.0);
    assert!(model.predict([&ids(), &small]).is_ok());
    let message = refused(model.predict([&ids(), &ids()]));
    assert!(
        message.starts_with("x (tags): layer embedding_1 takes ids, whole numbers from 0 to 2"),
        "{message}"
    );

    // Ids of both inputs in one table.
    let joined = apply(Concatenate::new(), &[&a, &b]).unwrap().swap_remove(0);
    let y = joined.layer(Embedding::new(5, 2)).unwrap().layer(GlobalAveragePooling1D::new()).unwrap();
    let mut model = Graph::new(&[&a, &b], &[&y]).unwrap().build(&device).unwrap();
    assert!(model.predict([&ids(), &ids()]).is_ok());
    let message = refused(model.predict([&ids(), &with(9.0)]));
    assert!(message.contains("sample 3, step 6"), "{message}");
}

#[test]
fn a_table_for_each_step_is_looked_at_too() {
    let x = Input::shape(vec![Some(2), Some(4)]).symbol();
    let y = x.layer(TimeDistributed::new(Embedding::new(5, 2))).unwrap().layer(Flatten::new()).unwrap();
    let mut model = Graph::new(&[&x], &[&y]).unwrap().build(&Device::cpu()).unwrap();
    let good = concatenate(Axis(1), &[ids().insert_axis(Axis(1)).view(), ids().insert_axis(Axis(1)).view()]);
    let mut ids: ArrayD<f32> = good.unwrap().into_dyn();
    assert!(model.predict(&ids).is_ok());
    ids[[4, 1, 2]] = 5.0;
    let message = refused(model.predict(&ids));
    assert!(
        message.contains("layer time_distributed ") && message.contains("sample 4, step 1, place [2]"),
        "{message}"
    );
}

/// What the device computes, and what is there already, is not read back: an unknown id is a row of zeros.
#[test]
fn ids_on_the_device_are_not_read_back() {
    on_each(|device| {
        let layers = vec![Layer::from(ActivationLayer::new(Activation::Linear))];
        for graph in [table_behind(Vec::new()), table_behind(layers.clone())] {
            let mut model = graph.build(device).unwrap();
            let on_device = Tensor::from_array(device, &with(5.0).into_dyn()).unwrap();
            let with_unknown = model.predict_tensor(&on_device).unwrap().to_array().unwrap();
            assert!(with_unknown.iter().all(|v| v.is_finite()));
        }
        let mut model = table_behind(layers).build(device).unwrap();
        assert!(model.predict(&with(5.0)).is_ok());
    });
}

#[test]
fn labels_that_are_no_class_are_refused_by_place() {
    let device = Device::cpu();
    let build = |steps: bool| {
        let input = Sequential::new(Input::sequence(4, 1));
        let model = if steps { input } else { input.layer(Flatten::new()) };
        let mut model = model.layer(Dense::new(3).activation(Softmax)).build(&device).unwrap();
        let loss = Loss::SparseCategoricalCrossentropy { from_logits: false };
        model.compile(Adam::new(), loss, &[]).unwrap();
        model
    };
    let x = Array::from_shape_fn((6, 4, 1), |(i, t, _)| (i + t) as f32 * 0.1);
    let mut labels = Array::from_shape_fn((6, 4), |(i, t)| ((i + t) % 3) as f32);
    for bad in [3.0, -1.0, 0.5, f32::NAN] {
        labels[[5, 1]] = bad;
        let message = refused(build(true).train_on_batch(&x, &labels));
        assert!(
            message.contains(&format!(
                "0 to 2, as many as the output has values, got {bad} in sample 5, step 1"
            ))
        );
        let message = refused(build(false).evaluate(&x, &labels.slice(s![.., 1])));
        assert!(message.ends_with(&format!("got {bad} in sample 5")), "{message}");
    }
}
