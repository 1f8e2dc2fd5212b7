//! Models that are no chain, beside Keras on every device: outputs, gradients of all weights and of the inputs.

mod common;

use common::golden::{Case, family, layer};
use common::{Report, Tolerance, gpu};
use ndarray::ArrayD;
use rnn_model::layer::SharedLayer;
use rnn_model::{Device, Graph, HostArray, Input, Symbol, apply};
use serde_json::Value;

/// The graph of a case: calls of layers on edges `[call, output]`; call -1 - i is input i.
fn graph(settings: &Value) -> Graph {
    let list = |key: &str| settings[key].as_array().expect("a list");
    let sample = |s: &Value| -> Vec<Option<usize>> { serde_json::from_value(s.clone()).expect("a shape") };
    let inputs: Vec<Symbol> = list("inputs").iter().map(|s| Input::shape(sample(s)).symbol()).collect();
    let layers: Vec<SharedLayer> = list("layers").iter().map(|spec| SharedLayer::new(layer(spec))).collect();
    let mut made: Vec<Vec<Symbol>> = Vec::new();
    let at = |made: &[Vec<Symbol>], edge: &Value| {
        let (call, output) = (edge[0].as_i64().expect("a call"), edge[1].as_u64().expect("an output"));
        if call < 0 {
            inputs[(-1 - call) as usize].clone()
        } else {
            made[call as usize][output as usize].clone()
        }
    };
    for call in list("calls") {
        let edges = call["inputs"].as_array().expect("edges");
        let args: Vec<Symbol> = edges.iter().map(|edge| at(&made, edge)).collect();
        let args: Vec<&Symbol> = args.iter().collect();
        let index = call["layer"].as_u64().expect("a layer") as usize;
        made.push(apply(&layers[index], &args).expect("shapes that fit"));
    }
    let outputs: Vec<Symbol> = list("outputs").iter().map(|edge| at(&made, edge)).collect();
    let inputs: Vec<&Symbol> = inputs.iter().collect();
    Graph::new(&inputs, &outputs.iter().collect::<Vec<_>>()).expect("a graph")
}

fn run_case(case: &Case, device: &Device, tolerance: Tolerance, report: &mut Report) {
    let mut model = graph(&case.settings["graph"]).build(device).expect("a model");
    model.set_weights(case.numbered("w")).expect("Keras's weights fit");
    let arrays = |field: &str| -> Vec<HostArray<'_>> {
        case.numbered(field).into_iter().map(HostArray::from).collect()
    };
    let mut compare = |what: &str, got: &[ArrayD<f32>], field: &str, tolerance: f64, floor: f64| {
        let want = case.numbered(field);
        assert_eq!(got.len(), want.len(), "{} {what}", case.name);
        for (i, (got, want)) in got.iter().zip(want).enumerate() {
            report.close(&format!("{} {what}.{i}", case.name), got, want, tolerance, floor);
        }
    };
    let y = model.predict_outputs(arrays("x")).expect("outputs");
    compare("y", &y, "y", tolerance.forward, 1.0);
    let gradients = model.gradients(arrays("x"), arrays("dy"), None).expect("gradients");
    compare("y in training mode", &gradients.outputs, "y", tolerance.forward, 1.0);
    compare("dw", &gradients.weights, "dw", tolerance.gradient, TINY);
    if !case.numbered("dx").is_empty() {
        compare("dx", &gradients.inputs, "dx", tolerance.gradient, TINY);
    }
}

/// Below this a gradient's scale does not sink: a gradient that is exactly 0 in the golden may be a rounding error here.
const TINY: f64 = 1e-3;

fn run(device: &Device, tolerance: Tolerance) {
    let mut report = Report::new();
    for case in family("graphs") {
        run_case(&case, device, tolerance, &mut report);
    }
    report.finish(900);
}

#[test]
fn graphs_on_the_cpu() {
    run(&Device::cpu(), Tolerance::F32);
}

#[test]
fn graphs_on_the_reference() {
    run(&Device::reference(), Tolerance::F64);
}

#[test]
fn graphs_on_the_gpu() {
    if let Some(device) = gpu() {
        run(&device, Tolerance::F32);
    }
}
