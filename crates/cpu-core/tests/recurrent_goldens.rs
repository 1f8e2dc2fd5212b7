//! Recurrent operations against what ONNX Runtime and Keras answer: peepholes, limits, coupled gates, recurrent dropout.
//! `scripts/golden_cases/cells.py` makes the file.

use cpu_core::recurrent::{
    InputGradient, OutputGradient, RecurrentGrads, RecurrentInputs, RecurrentShape, RecurrentStates,
    RecurrentTrace, RecurrentUpstream, RecurrentWorkspace, recurrent_backward, recurrent_forward, saved_len,
};
use cpu_core::{Activation, Cell, CellExtras, Parametric, Real};
use safetensors::SafeTensors;
use serde_json::Value;

const FILE: &[u8] = include_bytes!("../../rnn-model/tests/goldens/cells.safetensors");

struct Case<'a> {
    name: String,
    file: &'a SafeTensors<'a>,
}

impl Case<'_> {
    fn maybe<T: Real>(&self, field: &str) -> Option<Vec<T>> {
        let tensor = self.file.tensor(&format!("{}/{field}", self.name)).ok()?;
        let number = |b: &[u8]| T::from_f32(f32::from_le_bytes(b.try_into().unwrap()));
        Some(tensor.data().chunks_exact(4).map(number).collect())
    }

    fn get<T: Real>(&self, field: &str) -> Vec<T> {
        self.maybe(field).unwrap_or_else(|| panic!("{} has no {field}", self.name))
    }

    /// Goldens are stored in f32 (6e-8 of a value), ONNX Runtime computes in f32: five steps of sums of ten terms, all of
    /// order 1, then come to within 2e-6 of the largest.
    fn close<T: Real>(&self, field: &str, got: &[T]) {
        let expected = self.get::<f64>(field);
        assert_eq!(got.len(), expected.len(), "{} {field}", self.name);
        let scale = expected.iter().fold(1.0f64, |m, v| m.max(v.abs()));
        for (i, (got, expected)) in got.iter().zip(&expected).enumerate() {
            let error = (got.to_f64() - expected).abs();
            assert!(error <= 2e-6 * scale, "{} {field}[{i}]: {got:?} against {expected}", self.name);
        }
    }
}

/// Of the gates, of the candidate and of the output, by ONNX's names.
fn activations(config: &Value) -> [Activation; 3] {
    let Some(names) = config["activations"].as_array() else {
        return [Activation::Sigmoid, Activation::Tanh, Activation::Tanh];
    };
    let kind = |name: &Value| match name.as_str().unwrap() {
        "Sigmoid" => Activation::Sigmoid,
        // ONNX's slope is 0.2, Keras's 1 / 6.
        "HardSigmoid" => Activation::With(Parametric::HardSigmoid { alpha: 0.2, beta: 0.5 }),
        "Tanh" => Activation::Tanh,
        "Softsign" => Activation::Softsign,
        "Relu" => Activation::Relu,
        other => panic!("no activation {other}"),
    };
    [0, 1, 2].map(|at| kind(&names[at]))
}

fn check<T: Real>(case: &Case<'_>, config: &Value) {
    let size = |key: &str| config["shape"][key].as_u64().unwrap() as usize;
    let shape = RecurrentShape {
        time: size("time"),
        batch: size("batch"),
        input: size("input"),
        units: size("units"),
    };
    let [recurrent_activation, activation, output_activation] = activations(config);
    let cell = match config["op"].as_str().unwrap() {
        "LSTM" => Cell::Lstm { activation, recurrent_activation, output_activation },
        "GRU" => Cell::Gru {
            activation,
            recurrent_activation,
            reset_after: config["reset_after"].as_bool().unwrap(),
        },
        _ => Cell::SimpleRnn { activation },
    };
    let lstm = cell.states() == 2;
    let slot = shape.batch * shape.units;
    let states = |start: Vec<T>| {
        let mut all = start;
        all.resize(slot * (shape.time + 1), T::ZERO);
        all
    };
    let (x, kernel, recurrent) = (case.get::<T>("x"), case.get::<T>("kernel"), case.get::<T>("recurrent"));
    let (bias, h_mask, peepholes) =
        (case.get::<T>("bias"), case.maybe::<T>("h_mask"), case.maybe::<T>("peepholes"));
    let inputs = RecurrentInputs {
        bias: Some(&bias),
        h_mask: h_mask.as_deref(),
        peepholes: peepholes.as_deref(),
        extras: CellExtras {
            clip: config["clip"].as_f64().map(|clip| clip as f32),
            coupled: config["coupled"].as_bool().unwrap(),
        },
        ..RecurrentInputs::new(&x, &kernel, &recurrent)
    };
    let mut h = states(case.get("h0"));
    let mut c = if lstm { states(case.get("c0")) } else { Vec::new() };
    let mut saved = vec![T::ZERO; saved_len(cell, shape)];
    let mut workspace = RecurrentWorkspace::new();
    let out = RecurrentStates {
        saved: Some(&mut saved),
        ..RecurrentStates::new(&mut h, lstm.then_some(&mut c[..]))
    };
    recurrent_forward(cell, shape, inputs, out, &mut workspace, 0, 1).unwrap();
    case.close("y", &h[slot..]);
    if case.maybe::<T>("c_last").is_some() {
        case.close("c_last", &c[slot * shape.time..]);
    }
    let Some(dy) = case.maybe::<T>("dy") else { return };
    let (mut dk, mut dr, mut db) =
        (vec![T::ZERO; kernel.len()], vec![T::ZERO; recurrent.len()], vec![T::ZERO; bias.len()]);
    let (mut dx, mut dh0, mut dc0) = (vec![T::ZERO; x.len()], vec![T::ZERO; slot], vec![T::ZERO; slot]);
    let grads = RecurrentGrads {
        kernel: &mut dk,
        recurrent: &mut dr,
        bias: Some(&mut db),
        peepholes: None,
        x: Some(InputGradient::Apart(&mut dx)),
        h0: Some(&mut dh0),
        c0: lstm.then_some(&mut dc0),
    };
    let trace = RecurrentTrace { h: &h, c: lstm.then_some(&c), saved: &saved };
    let up = RecurrentUpstream { dy: Some(OutputGradient::Made(&dy)), dh_last: None, dc_last: None };
    recurrent_backward(cell, shape, inputs, trace, up, grads, &mut workspace, 0, 1).unwrap();
    for (field, got) in [("dkernel", &dk), ("drecurrent", &dr), ("dbias", &db), ("dx", &dx), ("dh0", &dh0)] {
        case.close(field, got);
    }
    if lstm {
        case.close("dc0", &dc0);
    }
}

#[test]
fn onnx_and_keras_cells() {
    let (_, metadata) = SafeTensors::read_metadata(FILE).unwrap();
    let config = metadata.metadata().as_ref().unwrap()["config"].clone();
    let config: Value = serde_json::from_str(&config).unwrap();
    let file = SafeTensors::deserialize(FILE).unwrap();
    let cases = config["cases"].as_array().unwrap();
    assert_eq!(cases.len(), 14);
    for config in cases {
        let case = Case { name: config["name"].as_str().unwrap().to_owned(), file: &file };
        check::<f64>(&case, config);
        check::<f32>(&case, config);
    }
}
