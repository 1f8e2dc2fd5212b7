//! The table of operators.

use super::arithmetic::Binary;
use super::builder::Builder;
use super::node::Node;
use super::value::{Kind, Value};
use super::{
    activations, branch, concat, constants, dense, drawn, elementwise, filled, flags, gather, looped, parts,
    recurrent, slice, sorting, views,
};
use crate::Result;

/// Operators that look at shapes alone, hand a value on, or know what to do with truth values.
const OF_ANY_KIND: [&str; 12] = [
    "Identity",
    "Shape",
    "Transpose",
    "Squeeze",
    "Unsqueeze",
    "Reshape",
    "ReverseSequence",
    "Loop",
    "Scan",
    "LSTM",
    "GRU",
    "RNN",
];

/// What an operator makes.
pub(super) fn operator(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    if node.op == "If" {
        return branch::choose(b, node);
    }
    if sorting::is_sorting(node) {
        return sorting::operator(b, node);
    }
    drawn::check(b, node)?;
    let order = sorting::order(b, node)?;
    let mut made = of_ordered(b, node)?;
    sorting::ordered(order, &mut made);
    Ok(made)
}

/// What an operator makes of samples that are in one order.
fn of_ordered(b: &mut Builder<'_>, node: &Node<'_>) -> Result<Vec<Value>> {
    if let Some(made) = filled::operator(b, node)? {
        return Ok(made);
    }
    let is_flag = |value: &Value| matches!(value, Value::Device(x) if x.kind == Kind::Flag);
    if node.inputs().any(is_flag) && !OF_ANY_KIND.contains(&node.op) {
        return flags::operator(b, node);
    }
    let is_part = |value: &Value| matches!(value, Value::Device(x) if x.kind == Kind::Part);
    let of_part = matches!(node.op, "Neg" | "Sqrt" | "Reciprocal") && node.inputs().any(is_part);
    let computed = node.inputs().any(|value| matches!(value, Value::Device(_)));
    if of_part || computed && matches!(node.op, "Sqrt" | "Reciprocal" | "Erf" | "Erfc") {
        return parts::unary(b, node);
    }
    if let Some(op) = Binary::of(node.op) {
        // Of versions before 7.
        if node.opset < 7 {
            node.pass_over("broadcast");
        }
        return elementwise::binary(b, node, op);
    }
    match node.op {
        "LSTM" | "GRU" | "RNN" => recurrent::recurrent(b, node),
        "Loop" => looped::looped(b, node),
        "Scan" => looped::scan(b, node),
        "ReverseSequence" => slice::reverse_sequence(b, node),
        "MatMul" => dense::matmul(b, node),
        "Gemm" => dense::gemm(b, node),
        "LayerNormalization" => dense::layer_normalization(b, node),
        "PRelu" => activations::prelu(b, node),
        "GlobalAveragePool" => dense::mean_of_channels(b, node),
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
