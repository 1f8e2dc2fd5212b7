"""Recurrent layers as a Scan: what exporters and people write for cells of their own."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from .case import Case, random

F = TensorProto.FLOAT
FEATURES, UNITS = 3, 4


class Body:
    """What one step makes of the states and of a slice of the sequence."""

    def __init__(self, seed: int):
        self.nodes, self.weights, self.seed = [], [], seed

    def weight(self, *shape):
        self.seed += 1
        name = f"w{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(random(self.seed, *shape, scale=0.7), name))
        return name

    def op(self, op, *inputs, outputs=1, **attributes):
        names = [f"b{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, **attributes))
        return names[0] if outputs == 1 else names

    def sum(self, columns):
        x, h = self.op("MatMul", "x_t", self.weight(FEATURES, columns)), self.op("MatMul", "h", self.weight(UNITS, columns))
        return self.op("Add", self.op("Add", x, h), self.weight(columns))

    def parts(self, x, count):
        sizes = f"sizes{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.full(count, UNITS, np.int64), sizes))
        return self.op("Split", x, sizes, outputs=count, axis=1)


def rnn(body: Body):
    return [body.op("Tanh", body.sum(UNITS))]


def lstm(body: Body):
    i, f, g, o = body.parts(body.sum(4 * UNITS), 4)
    i, f, g, o = (body.op("Sigmoid" if x != g else "Tanh", x) for x in (i, f, g, o))
    c = body.op("Add", body.op("Mul", f, "c"), body.op("Mul", i, g))
    return [body.op("Mul", o, body.op("Tanh", c)), c]


def gru(body: Body):
    z, r = body.parts(body.op("Sigmoid", body.sum(2 * UNITS)), 2)
    x = body.op("Add", body.op("MatMul", "x_t", body.weight(FEATURES, UNITS)), body.weight(UNITS))
    inner = body.op("Mul", r, body.op("Add", body.op("MatMul", "h", body.weight(UNITS, UNITS)), body.weight(UNITS)))
    candidate = body.op("Tanh", body.op("Add", x, inner))
    return [body.op("Add", candidate, body.op("Mul", z, body.op("Sub", "h", candidate)))]


def scan(name: str, cell, *, given=False, time=5, seed=3, **attributes):
    """A model of one Scan; `given` states are inputs, others zeros of the batch's size."""
    body, states = Body(seed), ["h", "c"] if cell is lstm else ["h"]
    following = cell(body)
    body.nodes.append(helper.make_node("Identity", [following[0]], ["y_t"]))
    info = lambda name, *dims: helper.make_tensor_value_info(name, F, list(dims))
    inner = helper.make_graph(
        body.nodes, "step",
        [*(info(state, None, UNITS) for state in states), info("x_t", None, FEATURES)],
        [*(info(value, None, UNITS) for value in following), info("y_t", None, UNITS)],
        body.weights,
    )
    dims = ["time", "batch", FEATURES] if not attributes.get("scan_input_axes", [0])[0] else ["batch", "time", FEATURES]
    inputs, nodes, weights, starts = [info("x", *dims)], [], [], []
    arrays = {"x": random(seed + 40, *(dict(time=time, batch=3).get(n, n) for n in dims))}
    if given:
        starts = [f"first_{state}" for state in states]
        inputs += [info(start, "batch", UNITS) for start in starts]
        arrays |= {start: random(seed + 50 + i, 3, UNITS) for i, start in enumerate(starts)}
    else:
        weights += [numpy_helper.from_array(np.array([dims.index("batch")]), "axis"), numpy_helper.from_array(np.array([UNITS]), "units")]
        nodes += [helper.make_node("Shape", ["x"], ["shape"]), helper.make_node("Gather", ["shape", "axis"], ["size"]),
                  helper.make_node("Concat", ["size", "units"], ["of_state"], axis=0),
                  helper.make_node("ConstantOfShape", ["of_state"], ["zeros"])]
        starts = ["zeros"] * len(states)
    lasts = [f"last_{state}" for state in states]
    nodes.append(helper.make_node("Scan", [*starts, "x"], [*lasts, "y"], name="scan", body=inner, num_scan_inputs=1, **attributes))
    outputs = [info("y", None, None, None), *(info(last, None, None) for last in lasts)]
    graph = helper.make_graph(nodes, name, inputs, outputs, weights)
    return Case(name, helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), arrays)


def cases():
    for cell in (rnn, lstm, gru):
        kind = cell.__name__
        yield scan(f"{kind}_scan", cell)
        yield scan(f"{kind}_scan_states", cell, given=True, seed=4)
        yield scan(f"{kind}_scan_backwards", cell, given=True, seed=5, scan_input_directions=[1])
        yield scan(f"{kind}_scan_backwards_in_place", cell, seed=6, scan_input_directions=[1], scan_output_directions=[1])
        yield scan(f"{kind}_scan_batch_first", cell, seed=7, scan_input_axes=[1], scan_output_axes=[1])
