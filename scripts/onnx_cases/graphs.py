"""Graphs of several nodes, built by hand: what exporters write around recurrent nodes, and what people add."""

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from .case import Case, random
from .recurrent import GATES

F, I32, I64 = TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64


class Build:
    """A graph in the making."""

    def __init__(self, name: str, opset: int = 17):
        self.name, self.opset = name, opset
        self.nodes, self.weights, self.inputs, self.outputs, self.arrays = [], [], [], [], {}
        self.seed = 7

    def input(self, name, kind, dims, array):
        self.inputs.append(helper.make_tensor_value_info(name, kind, dims))
        self.arrays[name] = array
        return name

    def const(self, array, name=None):
        name = name or f"c{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.asarray(array), name))
        return name

    def ints(self, *values):
        return self.const(np.array(values, np.int64))

    def weight(self, *shape, scale=0.6):
        self.seed += 1
        return self.const(random(self.seed, *shape, scale=scale))

    def op(self, op, *inputs, outputs=1, **attributes):
        names = [f"v{len(self.nodes)}_{i}" for i in range(outputs)]
        self.nodes.append(helper.make_node(op, list(inputs), names, name=f"n{len(self.nodes)}", **attributes))
        return names[0] if outputs == 1 else names

    def rnn(self, op, x, features, units, direction="forward", states=(), lens="", outputs=2, **attributes):
        dirs = 2 if direction == "bidirectional" else 1
        rows = GATES[op] * units
        weights = [self.weight(dirs, rows, features), self.weight(dirs, rows, units), self.weight(dirs, 2 * rows)]
        return self.op(op, x, *weights, lens, *states, outputs=outputs, hidden_size=units, direction=direction, **attributes)

    def output(self, value, name="out", rank=2, kind=F):
        self.nodes.append(helper.make_node("Identity", [value], [name]))
        self.outputs.append(helper.make_tensor_value_info(name, kind, [None] * rank))

    def case(self):
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=8)
        return Case(self.name, model, self.arrays)


X = random(3, 3, 4, 6)


def sequence(g, time="time", batch="batch"):
    """x [batch, time, 6] as the [time, batch, 6] of recurrent nodes."""
    return g.op("Transpose", g.input("x", F, [batch, time, 6], X), perm=[1, 0, 2])


def merge_directions(g, y, units):
    """[time, 2, batch, units] to [time, batch, 2 units]."""
    y = g.op("Transpose", y, perm=[0, 2, 1, 3])
    return g.op("Reshape", y, g.ints(0, 0, -1))


def stacked_bidirectional():
    g = Build("stacked_bidirectional")
    y, _ = g.rnn("LSTM", sequence(g), 6, 5, "bidirectional")
    y, h = g.rnn("GRU", merge_directions(g, y, 5), 10, 4, "bidirectional", linear_before_reset=1)
    y = g.op("Transpose", merge_directions(g, y, 4), perm=[1, 0, 2])
    g.output(g.op("Gemm", g.op("Gather", h, g.const(np.int64(-1)), axis=0), g.weight(4, 3), g.weight(3)), "last")
    g.output(g.op("Softmax", g.op("MatMul", y, g.weight(8, 3)), axis=-1), "steps", 3)
    return g.case()


def last_step():
    g = Build("last_step")
    y = g.rnn("LSTM", sequence(g), 6, 5, outputs=1)
    y = g.op("Transpose", g.op("Squeeze", y, g.ints(1)), perm=[1, 0, 2])
    y = g.op("Gather", y, g.const(np.int64(-1)), axis=1)
    g.output(g.op("Gemm", y, g.weight(2, 5), g.weight(2), transB=1, alpha=0.5, beta=2.0))
    return g.case()


def middle_steps():
    g = Build("middle_steps")
    y = g.op("Squeeze", g.rnn("RNN", sequence(g, 4), 6, 5, outputs=1), g.ints(1))
    part = g.op("Slice", y, g.ints(1), g.ints(3), g.ints(0))
    g.output(g.op("Transpose", part, perm=[1, 0, 2]), "part", 3)
    g.output(g.op("Slice", y, g.ints(-1), g.ints(-(2**31)), g.ints(0), g.ints(-1)), "flipped", 3)
    g.output(g.op("Gather", y, g.const(np.int64(0)), axis=0), "first")
    return g.case()


def open_last():
    """The last two steps of a sequence of any length, by its shape."""
    g = Build("open_last")
    y = g.op("Squeeze", g.rnn("GRU", sequence(g), 6, 5, outputs=1), g.ints(1))
    n = g.op("Gather", g.op("Shape", y), g.ints(0), axis=0)
    start = g.op("Sub", n, g.ints(2))
    g.output(g.op("Slice", y, start, n, g.ints(0)), "two", 3)
    return g.case()


def zero_states():
    """Initial zeros of the batch's size, as exporters make them."""
    g = Build("zero_states")
    x = sequence(g)
    batch = g.op("Gather", g.op("Shape", x), g.ints(1), axis=0)
    shape = g.op("Concat", g.ints(1), batch, g.ints(5), axis=0)
    zeros = g.op("ConstantOfShape", shape)
    more = g.op("Expand", g.const(np.zeros((1, 1, 5), np.float32)), shape)
    y, h, c = g.rnn("LSTM", x, 6, 5, states=(zeros, more), outputs=3)
    g.output(g.op("Squeeze", h, g.ints(0)), "h")
    g.output(c, "c", 3)
    return g.case()


def learned_states():
    """An initial state that is a weight, the same for all samples."""
    g = Build("learned_states")
    x = sequence(g)
    batch = g.op("Gather", g.op("Shape", x), g.ints(1), axis=0)
    h0 = g.op("Expand", g.weight(2, 1, 5), g.op("Concat", g.ints(2), batch, g.ints(5), axis=0))
    y, h = g.rnn("GRU", x, 6, 5, "bidirectional", states=(h0,))
    g.output(merge_directions(g, y, 5), "y", 3)
    return g.case()


def encoder_decoder():
    """The last states of one layer are the first ones of another, which reads another input."""
    g = Build("encoder_decoder")
    _, h, c = g.rnn("LSTM", sequence(g), 6, 5, outputs=3)
    z = g.op("Transpose", g.input("z", F, ["batch", "later", 2], random(9, 3, 7, 2)), perm=[1, 0, 2])
    y, _, _ = g.rnn("LSTM", z, 2, 5, states=(h, c), outputs=3)
    y = g.op("Transpose", g.op("Squeeze", y, g.ints(1)), perm=[1, 0, 2])
    g.output(g.op("Add", g.op("MatMul", y, g.weight(5, 3)), g.weight(3)), "y", 3)
    return g.case()


def autoencoder():
    g = Build("autoencoder")
    _, h = g.rnn("GRU", sequence(g, 4), 6, 5)
    code = g.op("Squeeze", h, g.ints(0))
    wide = g.op("Tile", g.op("Unsqueeze", code, g.ints(0)), g.ints(4, 1, 1))
    y = g.op("Squeeze", g.rnn("GRU", wide, 5, 6, outputs=1), g.ints(1))
    y = g.op("MatMul", g.op("Transpose", y, perm=[1, 0, 2]), g.weight(6, 6))
    g.output(y, "y", 3)
    g.output(g.op("Tanh", code), "code")
    return g.case()


def states_in_and_out():
    """Two layers whose states are one input and one output each, as PyTorch has them."""
    g = Build("states_in_and_out")
    x = sequence(g)
    h0 = g.input("h", F, [2, "batch", 5], random(11, 2, 3, 5))
    c0 = g.input("c", F, [2, "batch", 5], random(12, 2, 3, 5))
    hs, cs, y, width = [], [], x, 6
    for i in range(2):
        states = [g.op("Slice", s, g.ints(i), g.ints(i + 1), g.ints(0)) for s in (h0, c0)]
        y, h, c = g.rnn("LSTM", y, width, 5, states=states, outputs=3)
        y, width = g.op("Squeeze", y, g.ints(1)), 5
        hs.append(h)
        cs.append(c)
    g.output(y, "y", 3)
    g.output(g.op("Concat", *hs, axis=0), "hn", 3)
    g.output(g.op("Concat", *cs, axis=0), "cn", 3)
    return g.case()


def embedding_lens():
    g = Build("embedding_lens")
    ids = g.input("ids", I64, ["batch", "time"], np.array([[1, 2, 3, 0], [4, 5, 0, 0], [6, 0, 0, 0]], np.int64))
    lens = g.input("lens", I64, ["batch"], np.array([3, 2, 1], np.int64))
    x = g.op("Transpose", g.op("Gather", g.weight(8, 6), ids, axis=0), perm=[1, 0, 2])
    lens = g.op("Cast", lens, to=I32)
    y, h = g.rnn("GRU", x, 6, 5, "bidirectional", lens=lens)
    y, h = g.rnn("GRU", merge_directions(g, y, 5), 10, 4, "forward", lens=lens)
    g.output(g.op("Squeeze", h, g.ints(0)), "h")
    g.output(g.op("Squeeze", y, g.ints(1)), "y", 3)
    return g.case()


def lens_then_plain():
    """A layer with lengths, and one behind it that runs over all steps."""
    g = Build("lens_then_plain")
    lens = g.input("lens", I32, ["batch"], np.array([4, 2, 1], np.int32))
    y = g.op("Squeeze", g.rnn("LSTM", sequence(g), 6, 5, lens=lens, outputs=1), g.ints(1))
    y, h = g.rnn("LSTM", y, 5, 4, "reverse")
    g.output(g.op("Squeeze", y, g.ints(1)), "y", 3)
    g.output(h, "h", 3)
    g.output(g.op("ReduceMean", g.op("Squeeze", y, g.ints(1)), axes=[0], keepdims=0), "mean")
    return g.case()


def normalized():
    g = Build("normalized")
    y = g.op("Squeeze", g.rnn("LSTM", sequence(g), 6, 5, outputs=1), g.ints(1))
    y = g.op("LayerNormalization", y, g.weight(5), g.weight(5), axis=-1, epsilon=1e-5)
    y = g.op("Dropout", g.op("Relu", y))
    g.output(g.op("ReduceMax", y, axes=[0], keepdims=0), "max")
    g.output(g.op("ReduceMean", y, axes=[0], keepdims=1), "mean", 3)
    return g.case()


def branches():
    """Sums, products and joints of two layers; arithmetic with constants."""
    g = Build("branches")
    x = sequence(g)
    a = g.op("Squeeze", g.rnn("LSTM", x, 6, 5, outputs=1), g.ints(1))
    b = g.op("Squeeze", g.rnn("GRU", x, 6, 5, "reverse", outputs=1), g.ints(1))
    s = g.op("Add", g.op("Mul", a, b), g.op("Sub", a, g.op("Mul", b, g.const(np.float32(0.5)))))
    s = g.op("Add", s, g.const(np.float32(0.25)))
    s = g.op("Div", g.op("Add", g.op("Mul", s, g.weight(5)), g.weight(5)), g.const(np.float32(2.0)))
    s = g.op("Sub", g.const(np.float32(1.0)), s)
    joint = g.op("Concat", s, g.op("Max", a, b), axis=2)
    left, right = g.op("Split", joint, g.ints(4, 6), axis=2, outputs=2)
    g.output(left, "left", 3)
    g.output(g.op("Sigmoid", right), "right", 3)
    return g.case()


def attention():
    g = Build("attention")
    y = g.op("Transpose", g.op("Squeeze", g.rnn("GRU", sequence(g, 4), 6, 5, outputs=1), g.ints(1)), perm=[1, 0, 2])
    scores = g.op("MatMul", y, g.op("Transpose", y, perm=[0, 2, 1]))
    scores = g.op("Div", scores, g.const(np.float32(5**0.5)))
    g.output(g.op("MatMul", g.op("Softmax", scores, axis=-1), y), "y", 3)
    return g.case()


def flattened():
    g = Build("flattened")
    y = g.op("Transpose", g.op("Squeeze", g.rnn("RNN", sequence(g, 4), 6, 5, outputs=1), g.ints(1)), perm=[1, 0, 2])
    flat = g.op("Reshape", y, g.ints(0, -1))
    g.output(g.op("Gemm", flat, g.weight(20, 3), g.weight(3)), "dense")
    g.output(g.op("Transpose", y, perm=[0, 2, 1]), "turned", 3)
    g.output(g.op("Reshape", flat, g.ints(-1, 2, 10)), "halves", 3)
    return g.case()


def merged_batch():
    """A product with steps and samples in one axis, as Keras's exporter writes Dense."""
    g = Build("merged_batch")
    y = g.op("Transpose", g.op("Squeeze", g.rnn("LSTM", sequence(g), 6, 5, outputs=1), g.ints(1)), perm=[1, 0, 2])
    shape = g.op("Concat", g.op("Slice", g.op("Shape", y), g.ints(0), g.ints(2)), g.ints(3), axis=0)
    y = g.op("MatMul", g.op("Reshape", y, g.ints(-1, 5)), g.weight(5, 3))
    g.output(g.op("Reshape", g.op("Relu", y), shape), "y", 3)
    return g.case()


def fixed_sizes():
    """Everything fixed, the batch too, with zeros of its size."""
    g = Build("fixed_sizes")
    x = sequence(g, 4, 3)
    zeros = g.const(np.zeros((2, 3, 5), np.float32))
    y, _ = g.rnn("RNN", x, 6, 5, "bidirectional", states=(zeros,))
    y = g.op("Reshape", g.op("Transpose", y, perm=[0, 2, 1, 3]), g.ints(4, 3, 10))
    g.output(g.op("Transpose", y, perm=[1, 0, 2]), "y", 3)
    return g.case()


def batch_of_one():
    g = Build("batch_of_one")
    g.input("x", F, [1, 4, 6], X[:1])
    y, _ = g.rnn("LSTM", g.op("Transpose", "x", perm=[1, 0, 2]), 6, 5, "bidirectional")
    y = g.op("Reshape", g.op("Transpose", y, perm=[0, 2, 1, 3]), g.ints(4, 1, 10))
    g.output(g.op("MatMul", y, g.weight(10, 2)), "y", 3)
    return g.case()


def opset_11():
    """Axes as attributes, as files before version 13 have them."""
    g = Build("opset_11", 11)
    y, h = g.rnn("LSTM", sequence(g), 6, 4)
    y = g.op("Squeeze", y, axes=[1])
    a, b = g.op("Split", y, axis=2, split=[1, 3], outputs=2)
    g.output(g.op("Unsqueeze", a, axes=[3]), "a", 4)
    g.output(g.op("Softmax", g.op("Squeeze", h, axes=[0]), axis=1), "h")
    g.output(b, "b", 3)
    return g.case()


def activations():
    g = Build("activations")
    y = g.op("Squeeze", g.rnn("LSTM", sequence(g), 6, 5, outputs=1), g.ints(1))
    kinds = [("Sigmoid", {}), ("Tanh", {}), ("Relu", {}), ("LeakyRelu", {"alpha": 0.2}), ("Elu", {"alpha": 0.7}),
             ("Selu", {}), ("Softplus", {}), ("Softsign", {}), ("HardSigmoid", {"alpha": 0.3, "beta": 0.4}),
             ("HardSwish", {}), ("Celu", {"alpha": 0.8}), ("ThresholdedRelu", {"alpha": 0.1}), ("LogSoftmax", {"axis": -1}),
             ("Exp", {}), ("Neg", {}), ("Shrink", {"lambd": 0.1, "bias": 0.1})]
    g.output(g.op("Clip", y, g.const(np.float32(-0.1)), g.const(np.float32(0.15))), "Clip", 3)
    g.output(g.op("Min", y, g.const(np.float32(0.05))), "Min", 3)
    for kind, options in kinds:
        g.output(g.op(kind, y, **options), kind, 3)
    return g.case()


def decomposed_normalization():
    """What Keras's exporter makes of a LayerNormalization."""
    g = Build("decomposed_normalization")
    _, h = g.rnn("LSTM", sequence(g), 6, 5)
    x = g.op("Squeeze", h, g.ints(0))
    mean = g.op("ReduceMean", x, axes=[-1], keepdims=1)
    centered = g.op("Sub", x, mean)
    variance = g.op("ReduceMean", g.op("Mul", centered, centered), axes=[-1], keepdims=1)
    root = g.op("Sqrt", g.op("Add", variance, g.const(np.float32(1e-3))))
    y = g.op("Add", g.op("Mul", g.op("Div", centered, root), g.weight(5)), g.weight(5))
    g.output(y)
    return g.case()


def layout_1():
    """Nodes with the batch first; ONNX Runtime has no such nodes, so the outputs are those of the same model without."""
    from .recurrent import arrays, node_model

    for op, direction in (("LSTM", "forward"), ("LSTM", "bidirectional"), ("GRU", "reverse"), ("RNN", "bidirectional")):
        states = ["h", "c"] if op == "LSTM" else ["h"]
        plain = node_model(op, direction=direction, states=states)
        given = arrays(plain)
        import onnxruntime

        session = onnxruntime.InferenceSession(plain.SerializeToString(), providers=["CPUExecutionProvider"])
        names = [o.name for o in session.get_outputs()]
        results = dict(zip(names, session.run(names, given), strict=True))
        turned = node_model(op, direction=direction, states=states, layout=1)
        for info in (*turned.graph.input, *turned.graph.output):
            dims = info.type.tensor_type.shape.dim
            order = [2, 0, 1, 3] if len(dims) == 4 else [1, 0, 2]
            copy = [type(d).FromString(d.SerializeToString()) for d in dims]
            for at, source in enumerate(order):
                dims[at].CopyFrom(copy[source])
        turn = lambda a: np.transpose(a, [2, 0, 1, 3] if a.ndim == 4 else [1, 0, 2])
        yield Case(f"layout_1_{op.lower()}_{direction}", turned, {k: turn(a) for k, a in given.items()}, [],
                   {k: turn(a) for k, a in results.items()})


def cases():
    for make in (stacked_bidirectional, last_step, middle_steps, open_last, zero_states, learned_states, encoder_decoder,
                 autoencoder, states_in_and_out, embedding_lens, lens_then_plain, normalized, branches, attention,
                 flattened, merged_batch, fixed_sizes, batch_of_one, opset_11, activations):
        yield make()
    yield from layout_1()
