"""Single LSTM, GRU and RNN nodes over all their options, with weights inside the file."""

import itertools

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from .case import Case, random

GATES = {"LSTM": 4, "GRU": 3, "RNN": 1}
STATES = {"LSTM": ["h", "c"], "GRU": ["h"], "RNN": ["h"]}


def node_model(
    op, *, direction="forward", units=5, features=3, bias=True, states=(), peepholes=False, lens=False,
    outputs=("Y", "Y_h", "Y_c"), time="time", constant_state=None, seed=1, **attributes,
):
    dirs = 2 if direction == "bidirectional" else 1
    rows = GATES[op] * units
    weights = {
        "W": random(seed, dirs, rows, features, scale=0.8),
        "R": random(seed + 1, dirs, rows, units, scale=0.8),
    }
    if bias:
        weights["B"] = random(seed + 2, dirs, 2 * rows, scale=0.5)
    if peepholes:
        weights["P"] = random(seed + 3, dirs, 3 * units, scale=0.7)
    names = ["X", "W", "R", "B" if bias else "", "lens" if lens else ""]
    inputs = [helper.make_tensor_value_info("X", TensorProto.FLOAT, [time, "batch", features])]
    if lens:
        inputs.append(helper.make_tensor_value_info("lens", TensorProto.INT32, ["batch"]))
    for state in STATES[op]:
        name = f"initial_{state}"
        if state in states:
            names.append(name)
            inputs.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [dirs, "batch", units]))
        else:
            names.append("")
    if op == "LSTM":
        names.append("P" if peepholes else "")
    outputs = [o if o in outputs and not (o == "Y_c" and op != "LSTM") else "" for o in ("Y", "Y_h", "Y_c")]
    if op != "LSTM":
        outputs = outputs[:2]
    shapes = {"Y": [time, dirs, "batch", units], "Y_h": [dirs, "batch", units], "Y_c": [dirs, "batch", units]}
    infos = [helper.make_tensor_value_info(o, TensorProto.FLOAT, shapes[o]) for o in outputs if o]
    while names and not names[-1]:
        names.pop()
    node = helper.make_node(op, names, outputs, hidden_size=units, direction=direction, **attributes)
    initializers = [numpy_helper.from_array(a, n) for n, a in weights.items()]
    graph = helper.make_graph([node], "one", inputs, infos, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def arrays(model, time=4, batch=3, lens=(4, 2, 1), seed=50):
    made = {}
    for info in model.graph.input:
        dims = [d.dim_value or {"time": time, "batch": batch}[d.dim_param] for d in info.type.tensor_type.shape.dim]
        if info.type.tensor_type.elem_type == TensorProto.INT32:
            made[info.name] = np.array(lens[:batch], np.int32)
        else:
            seed += 1
            made[info.name] = random(seed, *dims)
    return made


ACTIVATIONS = {
    "LSTM": [
        dict(activations=["HardSigmoid", "Tanh", "Tanh"], activation_alpha=[0.25], activation_beta=[0.4]),
        dict(activations=["Sigmoid", "Relu", "Relu"]),
        dict(activations=["Sigmoid", "Softsign", "Softsign"]),
        dict(activations=["Sigmoid", "ScaledTanh", "ScaledTanh"], activation_alpha=[0.9, 0.9], activation_beta=[0.7, 0.7]),
        dict(activations=["Sigmoid", "Tanh", "Relu"]),
        dict(activations=["HardSigmoid", "ScaledTanh", "Affine"], activation_alpha=[0.25, 0.9, 0.6],
             activation_beta=[0.4, 0.7, 0.1]),
    ],
    "GRU": [
        dict(activations=["HardSigmoid", "Softsign"], activation_alpha=[0.3], activation_beta=[0.45]),
        dict(activations=["Sigmoid", "LeakyRelu"], activation_alpha=[0.05]),
        dict(activations=["Sigmoid", "Elu"], activation_alpha=[0.7]),
        dict(activations=["Sigmoid", "Affine"], activation_alpha=[0.5], activation_beta=[0.1]),
    ],
    "RNN": [
        dict(activations=["Relu"]),
        dict(activations=["Sigmoid"]),
        dict(activations=["Softplus"]),
        dict(activations=["ThresholdedRelu"], activation_alpha=[0.2]),
        dict(activations=["Affine"], activation_alpha=[0.5], activation_beta=[-0.1]),
    ],
}


def cases():
    def case(name, op, lens=(4, 2, 1), **options):
        model = node_model(op, **options)
        return Case(name, model, arrays(model, lens=lens))

    for op, direction in itertools.product(GATES, ("forward", "reverse", "bidirectional")):
        base = f"{op.lower()}_{direction}"
        yield case(f"{base}_all", op, direction=direction)
        yield case(f"{base}_y", op, direction=direction, outputs=("Y",), bias=False)
        yield case(f"{base}_states", op, direction=direction, states=STATES[op], outputs=("Y", "Y_h", "Y_c"))
        yield case(f"{base}_lens", op, direction=direction, lens=True)
        yield case(f"{base}_lens_states_h", op, direction=direction, lens=True, states=STATES[op], outputs=("Y_h",))
        yield case(f"{base}_clip", op, direction=direction, clip=0.4, outputs=("Y", "Y_h"), time=4)
        for i, options in enumerate(ACTIVATIONS[op]):
            if direction == "bidirectional":
                options = {k: v * 2 for k, v in options.items()}
            yield case(f"{base}_act{i}", op, direction=direction, outputs=("Y", "Y_h"), **options)
    for direction in ("forward", "reverse", "bidirectional"):
        yield case(f"lstm_{direction}_peepholes", "LSTM", direction=direction, peepholes=True)
        yield case(f"lstm_{direction}_peepholes_clip", "LSTM", direction=direction, peepholes=True, clip=0.6)
        yield case(f"lstm_{direction}_coupled", "LSTM", direction=direction, input_forget=1)
        yield case(f"gru_{direction}_linear", "GRU", direction=direction, linear_before_reset=1)
        yield case(f"gru_{direction}_linear_lens", "GRU", direction=direction, linear_before_reset=1, lens=True)
    yield case("lstm_h_only", "LSTM", states=("h",))
    yield case("lstm_c_only", "LSTM", states=("c",), direction="bidirectional")
    yield case("gru_mixed_directions", "GRU", direction="bidirectional",
               activations=["Sigmoid", "Tanh", "HardSigmoid", "Relu"])
