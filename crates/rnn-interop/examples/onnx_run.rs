//! Runs ONNX models, and writes them again, for `scripts/interop_onnx.py` to compare with ONNX Runtime.
//!
//! `onnx_run CASES.json DEVICE`: a list of `{"name", "model", "inputs", "outputs", "export"}`. `inputs` and `outputs` are
//! safetensors files of arrays by ONNX's names, in ONNX's order of axes; what the model takes no input for is bound. `export`
//! is where the model is written again. What fails is said and counted. A model may be a `.keras` file, whose outputs are
//! called `output_0`, ... in `outputs`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a program")]

use ndarray::{ArrayD, IxDyn};
use rnn_interop::onnx::{self, Imported, Port};
use rnn_interop::{Limits, keras};
use rnn_model::Device;
use safetensors::tensor::{Dtype, TensorView};
use serde::Deserialize;
use std::collections::HashMap;
use std::error::Error;

#[derive(Deserialize)]
struct Case {
    name: String,
    model: String,
    inputs: String,
    outputs: String,
    export: Option<String>,
    #[serde(default)]
    bind: Vec<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let (Some(cases), Some(device)) = (args.next(), args.next()) else {
        return Err("usage: onnx_run CASES.json DEVICE".into());
    };
    let cases: Vec<Case> = serde_json::from_slice(&std::fs::read(cases)?)?;
    let device = Device::from_name(&device)?;
    let mut failed = 0;
    for case in &cases {
        if let Err(error) = run(case, &device) {
            println!("{}: {error}", case.name);
            failed += 1;
        }
    }
    println!("{} of {} cases ran on {}", cases.len() - failed, cases.len(), device.name());
    Ok(())
}

fn run(case: &Case, device: &Device) -> Result<(), Box<dyn Error>> {
    let arrays = read(&case.inputs)?;
    let options =
        case.bind.iter().fold(onnx::Options::new(), |options, name| options.bind(name, arrays[name].clone()));
    let bytes = std::fs::read(&case.model)?;
    let imported = match case.model.ends_with(".keras") {
        true => of_keras(&bytes)?,
        false => onnx::read_with(&bytes, &Limits::default(), &options)?,
    };
    let mut model = imported.model.build(device)?;
    let inputs: Vec<ArrayD<f32>> = imported
        .inputs
        .iter()
        .map(|port| arrays.get(&port.name).map(|array| port.to_batch_first(array)))
        .collect::<Option<_>>()
        .ok_or("an input has no array")?;
    let made = model.predict_outputs(&inputs)?;
    let outputs = imported.outputs.iter().zip(&made);
    let outputs: Vec<(String, ArrayD<f32>)> =
        outputs.map(|(port, array)| (port.name.clone(), port.from_batch_first(array))).collect();
    write(&case.outputs, &outputs)?;
    if let Some(path) = &case.export {
        let bytes = onnx::write(&imported.model).map_err(|e| format!("written: {e}"))?;
        std::fs::write(path, &bytes)?;
        // In the order of the model's own inputs and outputs, for the exported file has these.
        let named = |names: Vec<String>, arrays: &[ArrayD<f32>]| {
            names.into_iter().zip(arrays.to_vec()).collect::<Vec<_>>()
        };
        let names = imported.model.graph.inputs().iter().map(|input| input.name.clone()).collect();
        write(&format!("{path}.inputs"), &named(names, &inputs))?;
        write(&format!("{path}.outputs"), &named(imported.model.graph.output_names(), &made))?;
    }
    Ok(())
}

/// A model of Keras, with its outputs numbered.
fn of_keras(bytes: &[u8]) -> Result<Imported, Box<dyn Error>> {
    let model = keras::read_keras(bytes, &Limits::default())?;
    let port = |name: String, sample: &[Option<usize>]| Port { name, batch_axis: 0, rank: sample.len() + 1 };
    let inputs = model.graph.inputs().iter().map(|x| port(x.name.clone(), x.input.sample_shape())).collect();
    let outputs = (0..model.graph.outputs().len()).map(|i| port(format!("output_{i}"), &[None; 2])).collect();
    Ok(Imported { model, inputs, outputs })
}

fn read(path: &str) -> Result<HashMap<String, ArrayD<f32>>, Box<dyn Error>> {
    let bytes = std::fs::read(path)?;
    let mut arrays = HashMap::new();
    for (name, view) in safetensors::SafeTensors::deserialize(&bytes)?.tensors() {
        let values =
            view.data().chunks_exact(4).map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]])).collect();
        arrays.insert(name, ArrayD::from_shape_vec(IxDyn(view.shape()), values)?);
    }
    Ok(arrays)
}

fn write(path: &str, arrays: &[(String, ArrayD<f32>)]) -> Result<(), Box<dyn Error>> {
    let bytes: Vec<Vec<u8>> =
        arrays.iter().map(|(_, array)| array.iter().flat_map(|x| x.to_le_bytes()).collect()).collect();
    let mut views = Vec::new();
    for ((name, array), bytes) in arrays.iter().zip(&bytes) {
        views.push((name.as_str(), TensorView::new(Dtype::F32, array.shape().to_vec(), bytes)?));
    }
    std::fs::write(path, safetensors::serialize(views, None)?)?;
    Ok(())
}
