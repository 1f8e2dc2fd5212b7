//! The table of operators.

use super::arithmetic::Binary;
use super::builder::Builder;
use super::node::Node;
use super::value::Value;
use super::{activations, concat, constants, dense, elementwise, gather, recurrent, slice, views};
use crate::Result;

/// What an operator makes.
pub(super) fn operator(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    if let Some(op) = Binary::of(node.op) {
        // Of versions before 7.
        if node.opset < 7 {
            node.pass_over("broadcast");
        }
        return elementwise::binary(b, node, op);
    }
    match node.op {
        "LSTM" | "GRU" | "RNN" => recurrent::recurrent(b, node),
        "MatMul" => dense::matmul(b, node),
        "Gemm" => dense::gemm(b, node),
        "LayerNormalization" => dense::layer_normalization(b, node),
        "ReduceMean" | "ReduceMax" | "ReduceSum" | "ReduceProd" => dense::reduce(b, node),
        "Transpose" => views::transpose(b, node),
        "Squeeze" => views::squeeze(b, node),
        "Unsqueeze" => views::unsqueeze(b, node),
        "Reshape" => views::reshape(b, node),
        "Flatten" => views::flatten(b, node),
        "Expand" => views::expand(b, node),
        "Tile" => constants::tile(b, node),
        "Identity" => Ok(vec![node.input(0)?.clone()]),
        "Dropout" => constants::dropout(b, node),
        "Slice" => slice::slice(b, node),
        "Gather" => gather::gather(b, node),
        "Split" => slice::split(b, node),
        "Concat" => concat::concat(b, node),
        "Constant" => constants::constant(b, node),
        "ConstantOfShape" => constants::constant_of_shape(b, node),
        "Shape" => constants::shape(b, node),
        "Size" => constants::size(b, node),
        "Range" => constants::range(b, node),
        "Cast" => constants::cast(b, node),
        "Where" => elementwise::choose(b, node),
        "Clip" => activations::clip(b, node),
        "Softmax" | "LogSoftmax" => activations::softmax(b, node),
        "Neg" | "Abs" | "Sqrt" | "Reciprocal" | "Exp" | "Log" | "Floor" | "Ceil" | "Not" => {
            activations::unary(b, node)
        }
        "Sigmoid" | "Tanh" | "Relu" | "Softplus" | "Softsign" | "Mish" | "HardSwish" | "Elu" | "Celu"
        | "LeakyRelu" | "ThresholdedRelu" | "HardSigmoid" | "Selu" | "Gelu" | "Shrink" => {
            activations::activate(b, node)
        }
        _ => Err(b.unsupported("an operator that is not among those of recurrent models")),
    }
}
