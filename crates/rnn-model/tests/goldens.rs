//! Every golden case of Keras and PyTorch on every device: outputs, states, gradients of all weights, of the input and
//! of the start states.

mod common;

use common::golden::{Case, family};
use common::{Report, Tolerance, gpu};
use ndarray::ArrayD;
use rnn_model::{Device, LayerState, Model};

fn run_families(device: &Device, tolerance: Tolerance, families: &[&str]) {
    let mut report = Report::new();
    for case in families.iter().flat_map(|name| family(name)) {
        run_case(&case, device, tolerance, &mut report);
    }
    report.finish(1100);
}

fn run_case(case: &Case, device: &Device, tolerance: Tolerance, report: &mut Report) {
    let mut model =
        case.architecture(case.tensor("0/x").shape()).build(device).expect("a model of the case's layers");
    if let Some(bias) = case.find("initial_bias") {
        let weights = model.get_weights().expect("weights");
        report.close(&format!("{} initial bias", case.name), &weights[2], bias, 0.0, 0.0);
    }
    model.set_weights(case.numbered("w")).expect("Keras's weights fit");
    let stateful = case.settings["layers"].to_string().contains(r#""stateful":true"#);
    for call in 0..case.count("calls") {
        let what = |field: &str| format!("{} {call}/{field}", case.name);
        let x = case.tensor(&format!("{call}/x"));
        let start = start_states(case, call, &model);

        // Gradients from the states as they are before the call, then the call itself, which moves them.
        let dy = case.tensor(&format!("{call}/dy"));
        let gradients = model.gradients(x, dy, start.as_deref()).expect("gradients");
        let want = case.numbered(&format!("{call}/dw"));
        assert_eq!(gradients.weights.len(), want.len(), "{}", case.name);
        for (i, (got, want)) in gradients.weights.iter().zip(want).enumerate() {
            report.close(&what(&format!("dw.{i}")), got, want, tolerance.gradient, TINY);
        }
        let dx = case.tensor(&format!("{call}/dx"));
        report.close(&what("dx"), &gradients.inputs[0], dx, tolerance.gradient, TINY);
        if case.flag("initial_state") {
            let got = gradients.states.iter().flat_map(arrays);
            compare_all(
                report,
                &what("ds0"),
                got,
                &case.numbered(&format!("{call}/ds0")),
                tolerance.gradient,
                TINY,
            );
        }

        let y = case.tensor(&format!("{call}/y"));
        report.close(&what("y in training mode"), &gradients.outputs[0], y, tolerance.forward, 1.0);
        let wanted_states = case.numbered(&format!("{call}/s"));
        if stateful {
            let got = model.predict_on_batch(x).expect("a prediction");
            report.close(&what("y"), &got, y, tolerance.forward, 1.0);
            let states = model.get_states().expect("states");
            if !wanted_states.is_empty() {
                compare_all(
                    report,
                    &what("s"),
                    states.iter().flat_map(arrays),
                    &wanted_states,
                    tolerance.forward,
                    1.0,
                );
            }
        } else {
            let (got, states) = model.predict_with_states(x, start.as_deref()).expect("a prediction");
            report.close(&what("y"), &got, y, tolerance.forward, 1.0);
            if !wanted_states.is_empty() {
                compare_all(
                    report,
                    &what("s"),
                    states.iter().flat_map(arrays),
                    &wanted_states,
                    tolerance.forward,
                    1.0,
                );
            }
        }
    }
}

/// Below this a gradient's scale does not sink: a gradient that is exactly 0 in the golden may be a rounding error here.
const TINY: f64 = 1e-3;

/// What a call starts from: the given states, those kept by a stateful model, or zero.
fn start_states(case: &Case, call: usize, model: &Model) -> Option<Vec<LayerState>> {
    let given = case.numbered(&format!("{call}/s0"));
    if given.is_empty() {
        let kept = model.get_states().expect("states");
        return (!kept.is_empty()).then_some(kept);
    }
    // As many for each recurrent part as the case says; one part has them all where it says nothing.
    let mut given = given.into_iter().cloned();
    let parts = case.settings["states"].as_array().map_or(vec![usize::MAX], |parts| {
        parts.iter().map(|sizes| sizes.as_array().expect("sizes").len()).collect()
    });
    let part =
        |count: usize| LayerState { layer: String::new(), states: given.by_ref().take(count).collect() };
    Some(parts.into_iter().map(part).collect())
}

fn arrays(state: &LayerState) -> impl Iterator<Item = &ArrayD<f32>> {
    state.states.iter()
}

fn compare_all<'a>(
    report: &mut Report,
    what: &str,
    got: impl Iterator<Item = &'a ArrayD<f32>>,
    want: &[&ArrayD<f32>],
    tolerance: f64,
    floor: f64,
) {
    let got: Vec<_> = got.collect();
    if got.len() != want.len() {
        report.fail(format!("{what}: {} arrays, expected {}", got.len(), want.len()));
    }
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        report.close(&format!("{what}.{i}"), got, want, tolerance, floor);
    }
}

const LAYERS: [&str; 4] = ["recurrent", "layers", "torch", "rnn"];

#[test]
fn layers_on_the_cpu() {
    run_families(&Device::cpu(), Tolerance::F32, &LAYERS);
}

#[test]
fn layers_on_the_cpu_with_any_number_of_threads() {
    for threads in [1, 3] {
        run_families(&Device::cpu_with_threads(threads), Tolerance::F32, &LAYERS);
    }
}

#[test]
fn layers_on_the_reference() {
    run_families(&Device::reference(), Tolerance::F64, &LAYERS);
}

#[test]
fn layers_on_the_gpu() {
    if let Some(device) = gpu() {
        run_families(&device, Tolerance::F32, &LAYERS);
    }
}
