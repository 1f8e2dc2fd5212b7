//! The golden cases around recurrent layers on every device: ids, masks, merges of several inputs, normalisation, pooling.
//! Outputs, and gradients of all weights and inputs.

mod common;

use common::golden::{Case, family, layer};
use common::{Report, Tolerance, gpu};
use ndarray::Array3;
use rnn_model::layer::{Lstm, SharedLayer, add};
use rnn_model::{Device, Graph, Input, Model, Symbol, apply};
use serde_json::Value;

fn run(device: &Device, tolerance: Tolerance) {
    let mut report = Report::new();
    for case in family("masks_and_merges") {
        run_case(&case, device, tolerance, &mut report);
    }
    // 149 cases with an output in two modes, and each at least one gradient.
    report.finish(500);
}

fn run_case(case: &Case, device: &Device, tolerance: Tolerance, report: &mut Report) {
    let name = &case.name;
    let mut model = model(case, device);
    model.set_weights(case.numbered("w")).expect("Keras's weights fit");
    let x: Vec<_> = case.numbered("x").into_iter().cloned().collect();
    let (y, dy) = (case.tensor("y"), case.tensor("dy"));

    let gradients = model.gradients(&x, dy, None).expect("gradients");
    report.close(&format!("{name} y in training mode"), &gradients.outputs[0], y, tolerance.forward, 1.0);
    for (what, got, want) in
        [("dw", &gradients.weights, case.numbered("dw")), ("dx", &gradients.inputs, case.numbered("dx"))]
    {
        if got.len() != want.len() {
            report.fail(format!("{name}: {} of {what}, expected {}", got.len(), want.len()));
        }
        for (i, (got, want)) in got.iter().zip(want).enumerate() {
            // Below 1e-3 a gradient's scale does not sink: one that is exactly 0 may be a rounding error here.
            report.close(&format!("{name} {what}.{i}"), got, want, tolerance.gradient, 1e-3);
        }
    }
    let got = model.predict_on_batch(&x).expect("a prediction");
    report.close(&format!("{name} y"), &got, y, tolerance.forward, 1.0);
}

/// The graph of a case: branches, what merges them, what follows.
fn model(case: &Case, device: &Device) -> Model {
    let list = |value: &Value| value.as_array().expect("a list").clone();
    let chain = |symbol: Symbol, layers: &Value| {
        list(layers).iter().fold(symbol, |symbol, spec| {
            symbol.layer(layer(spec)).unwrap_or_else(|e| panic!("{}: {e}", case.name))
        })
    };
    let shapes =
        case.numbered("x").into_iter().map(|x| x.shape()[1..].iter().map(|&n| Some(n)).collect::<Vec<_>>());
    let inputs: Vec<Symbol> = shapes.map(|shape| Input::shape(shape).symbol()).collect();
    let branches = list(&case.settings["branches"]);
    let values: Vec<Symbol> =
        inputs.iter().zip(&branches).map(|(input, layers)| chain(input.clone(), layers)).collect();
    let merged = match &case.settings["merge"] {
        Value::Null => values[0].clone(),
        spec => {
            let values: Vec<&Symbol> = values.iter().collect();
            let outputs = apply(SharedLayer::new(layer(spec)), &values);
            outputs.unwrap_or_else(|e| panic!("{}: {e}", case.name)).swap_remove(0)
        }
    };
    let y = chain(merged, &case.settings["after"]);
    let inputs: Vec<&Symbol> = inputs.iter().collect();
    Graph::new(&inputs, &[&y])
        .and_then(|graph| graph.build(device))
        .unwrap_or_else(|e| panic!("{}: {e}", case.name))
}

#[test]
fn on_the_cpu() {
    run(&Device::cpu(), Tolerance::F32);
}

#[test]
fn on_the_cpu_with_three_threads() {
    run(&Device::cpu_with_threads(3), Tolerance::F32);
}

#[test]
fn on_the_reference() {
    run(&Device::reference(), Tolerance::F64);
}

#[test]
fn on_the_gpu() {
    if let Some(device) = gpu() {
        run(&device, Tolerance::F32);
    }
}

/// What is the same at every step can not be told from a step of a part of the time axis.
#[test]
fn what_is_repeated_over_time_is_not_run_in_parts() {
    let device = Device::cpu();
    let x = Input::sequence(None, 2).symbol();
    let steps = x.layer(Lstm::new(3).return_sequences(true)).unwrap();
    let last = x.layer(Lstm::new(3)).unwrap();
    let y = add(&[&steps, &last]).unwrap();
    let mut model = Graph::new(&[&x], &[&y]).unwrap().build(&device).unwrap();
    let message = model.predict_long(&Array3::<f32>::ones((2, 6, 2)), 3).unwrap_err().to_string();
    assert!(message.contains("layer add: it brings a sequence together with what has no steps"), "{message}");
    // Inputs whose steps are as many only when it runs.
    let (a, b) = (Input::sequence(None, 2).symbol(), Input::sequence(None, 2).symbol());
    let mut model = Graph::new(&[&a, &b], &[&add(&[&a, &b]).unwrap()]).unwrap().build(&device).unwrap();
    let (six, one) = (Array3::<f32>::ones((2, 6, 2)), Array3::<f32>::ones((2, 1, 2)));
    assert!(model.predict([&six, &one]).unwrap().iter().all(|&v| v == 2.0));
    let message = model.predict_long([&six, &one], 3).unwrap_err().to_string();
    assert!(message.contains("6 steps, as many as the first input has"), "{message}");
    let message = model.predict([&six, &Array3::<f32>::ones((2, 4, 2))]).unwrap_err().to_string();
    assert!(message.contains("input of Add") && message.contains("[4, 2]"), "{message}");
}
