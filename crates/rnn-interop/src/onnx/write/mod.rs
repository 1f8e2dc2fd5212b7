//! From a model to the bytes of a file. All tensors have the batch first, as here; recurrent nodes, which want the steps
//! first, stand between two transposes.

mod activations;
mod emit;
mod layers;
mod masks;
mod merges;
mod recurrent;

use super::proto::{self, Size, data_type};
use crate::{PortableModel, Result};
use emit::{Emit, Tensor};
use masks::Mask;
use prost::Message;
use rnn_model::layer::Layer;
use rnn_model::{Edge, Graph};

/// The version of the operators that is written: the first with LayerNormalization.
const OPSET: i64 = 17;
/// The version of the file format that goes with it.
const IR_VERSION: i64 = 8;

pub(super) fn write(model: &PortableModel) -> Result<Vec<u8>> {
    model.check()?;
    let graph = &model.graph;
    let specs = graph.weights()?;
    let weights_of = |layer: usize| -> Vec<_> {
        let own = specs.iter().zip(&model.weights).filter(|(spec, _)| spec.layer == layer);
        own.map(|(_, array)| array.clone()).collect()
    };
    let mut emit = Emit::default();
    let mut inputs = Vec::new();
    let mut infos = Vec::new();
    for (at, input) in graph.inputs().iter().enumerate() {
        let whole = is_tokens(graph, at);
        let shape = input.input.sample_shape().to_vec();
        let kind = if whole { data_type::INT64 } else { data_type::FLOAT };
        infos.push(info(&input.name, kind, input.input.batch_size(), &shape));
        emit.reserve(&input.name);
        inputs.push(Tensor { name: input.name.clone(), shape, mask: Mask::None, whole });
    }
    let names = graph.output_names();
    names.iter().for_each(|name| emit.reserve(name));

    let shapes = graph.call_shapes()?;
    let mut made: Vec<Vec<Tensor>> = Vec::new();
    for (call, shapes) in graph.calls().iter().zip(&shapes) {
        let layer = &graph.layers()[call.layer];
        let args: Vec<Tensor> = call.inputs.iter().map(|edge| at(&inputs, &made, edge).clone()).collect();
        emit.enter(&layer.name, layer.layer.class());
        made.push(layers::layer(&mut emit, &layer.layer, &weights_of(call.layer), &args, shapes)?);
    }
    let batch = graph.inputs().iter().find_map(|input| input.input.batch_size());
    let mut outputs = Vec::new();
    for (edge, name) in graph.outputs().iter().zip(&names) {
        let x = at(&inputs, &made, edge);
        // An input that is an output at once has its name already.
        let name = if graph.inputs().iter().any(|i| i.name == *name) {
            format!("{name}_output")
        } else {
            name.clone()
        };
        emit.enter(&name, "output");
        emit.named("Identity", &[&x.name], &name);
        let kind = if x.whole { data_type::INT64 } else { data_type::FLOAT };
        outputs.push(info(&name, kind, batch, &x.shape));
    }
    for state in std::mem::take(&mut emit.kept) {
        let shape = [Some(state.units)];
        infos.push(info(&state.input, data_type::FLOAT, batch, &shape));
        emit.named("Identity", &[&state.last], &state.output);
        outputs.push(info(&state.output, data_type::FLOAT, batch, &shape));
    }
    let made: Vec<String> = outputs.iter().map(|output| output.name.clone()).collect();
    let (node, initializer) = emit.finish(&made);
    let graph = proto::Graph {
        node,
        name: "tidegate".to_owned(),
        initializer,
        input: infos,
        output: outputs,
        sparse_initializer: Vec::new(),
    };
    let model = proto::Model {
        ir_version: IR_VERSION,
        producer_name: "tidegate".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        graph: Some(graph),
        opset_import: vec![proto::OperatorSet { domain: String::new(), version: OPSET }],
        functions: Vec::new(),
    };
    Ok(model.encode_to_vec())
}

/// Whether an input is nothing but numbers of rows.
fn is_tokens(graph: &Graph, input: usize) -> bool {
    let mut users = graph.calls().iter().filter(|call| call.inputs.contains(&Edge::Input(input))).peekable();
    users.peek().is_some()
        && users.all(|call| matches!(graph.layers()[call.layer].layer, Layer::Embedding(_)))
}

fn at<'t>(inputs: &'t [Tensor], made: &'t [Vec<Tensor>], edge: &Edge) -> &'t Tensor {
    match *edge {
        Edge::Input(i) => &inputs[i],
        Edge::Output { call, output } => &made[call][output],
    }
}

fn info(name: &str, elem_type: i32, batch: Option<usize>, sample: &[Option<usize>]) -> proto::ValueInfo {
    let sizes = std::iter::once(batch).chain(sample.iter().copied()).enumerate();
    let dim = sizes.map(|(axis, size)| proto::Dimension {
        size: Some(match size {
            Some(n) => Size::Value(n as i64),
            None if axis == 0 => Size::Name("batch".to_owned()),
            None => Size::Name(format!("{name}_axis_{axis}")),
        }),
    });
    let shape = proto::Shape { dim: dim.collect() };
    let tensor = proto::TensorType { elem_type, shape: Some(shape) };
    proto::ValueInfo { name: name.to_owned(), kind: Some(proto::Type { tensor: Some(tensor) }) }
}
