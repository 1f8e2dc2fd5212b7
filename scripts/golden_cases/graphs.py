"""Models that are no chain: several inputs and outputs, shared layers, states handed on, both directions, masks."""

import keras
import numpy as np
from keras import ops

from .stack import detach, gradients, make, random_weights, spec, variable
from .store import normal, random

CELLS = {"lstm": ("LSTM", {}), "gru": ("GRU", {}), "gru_before": ("GRU", {"reset_after": False}), "simple": ("SimpleRNN", {})}


class Plan:
    """A graph as the metadata has it: samples of inputs, layers, calls (a layer on edges), outputs.

    An edge is `[call, output]`; call -1 - i is input i.
    """

    def __init__(self, *samples, tokens=None):
        self.inputs = [list(s) for s in samples]
        self.tokens = tokens
        self.layers, self.calls, self.outputs = [], [], []

    def x(self, index=0):
        """The edge of an input."""
        return [-1 - index, 0]

    def layer(self, layer, name=None):
        """A layer that may be called several times."""
        self.layers.append(layer if name is None else layer | {"name": name})
        return len(self.layers) - 1

    def call(self, layer, *edges):
        """Applies a layer, given by its spec or its number; returns its first output's edge."""
        layer = layer if isinstance(layer, int) else self.layer(layer)
        self.calls.append({"layer": layer, "inputs": list(edges)})
        return [len(self.calls) - 1, 0]

    def config(self):
        """What the metadata holds."""
        return dict(inputs=self.inputs, layers=self.layers, calls=self.calls, outputs=self.outputs)


def output(edge, index):
    """Another output of the same call."""
    return [edge[0], index]


def build(plan):
    """The Keras functional model of a plan, and its layers."""
    inputs = [keras.Input(tuple(s), dtype="int32" if plan.tokens else "float64") for s in plan.inputs]
    layers = [make(layer) for layer in plan.layers]
    made = []
    at = lambda edge: inputs[-1 - edge[0]] if edge[0] < 0 else made[edge[0]][edge[1]]
    for call in plan.calls:
        args = [at(edge) for edge in call["inputs"]]
        layer, kind = layers[call["layer"]], plan.layers[call["layer"]]["class_name"]
        if kind in ("LSTM", "GRU", "SimpleRNN", "Bidirectional") and len(args) > 1:
            # Keras 3 forgets the mask of a sequence that comes with an initial state, so it is given by hand.
            y = layer(args[0], initial_state=args[1:], mask=getattr(args[0], "_keras_mask", None))
        else:
            y = layer(args if len(args) > 1 else args[0])
        made.append(list(y) if isinstance(y, (list, tuple)) else [y])
    model = keras.Model(inputs, [at(edge) for edge in plan.outputs])
    return model, layers


def run(family, name, plan, batch=3, data=None, scale=0.8):
    """Stores a case: weights in the order of the layers, inputs, outputs, gradients of sum(outputs * dy)."""
    rng = random(name)
    put = family.case(name, source="keras", graph=plan.config())
    model, layers = build(plan)
    weights = [w for layer in layers for w in layer.trainable_variables]
    for i, (w, value) in enumerate(zip(weights, random_weights(rng, [tuple(w.shape) for w in weights], scale))):
        w.assign(value)
        put(f"w.{i}", value)
    xs = []
    for i, sample in enumerate(plan.inputs):
        shape = (batch, *[5 if n is None else n for n in sample])
        if plan.tokens:
            x = rng.integers(0, plan.tokens, shape)
        else:
            x = normal(rng, shape)
        if data is not None:
            x = data(i, x)
        xs.append(x if plan.tokens else variable(x))
        put(f"x.{i}", x)
    out = {}

    def loss():
        ys = model([x if plan.tokens else x.value for x in xs], training=False)
        ys = ys if isinstance(ys, (list, tuple)) else [ys]
        if "dy" not in out:
            out["dy"] = [normal(rng, tuple(y.shape)) for y in ys]
        out["ys"] = ys
        return sum(ops.sum(y * ops.convert_to_tensor(dy, dtype="float64")) for y, dy in zip(ys, out["dy"]))

    by = weights + ([] if plan.tokens else xs)
    _, grads = gradients(loss, by)
    for i, (y, dy) in enumerate(zip(out["ys"], out["dy"])):
        put(f"y.{i}", ops.convert_to_numpy(detach(y)))
        put(f"dy.{i}", dy)
    for i, g in enumerate(grads[: len(weights)]):
        put(f"dw.{i}", g)
    for i, g in enumerate(grads[len(weights) :]):
        put(f"dx.{i}", g)


def masked(value=0.0, pattern=None):
    """Sets the steps of input 0 that `pattern` has a 0 at to `value`."""

    def change(index, x):
        if index == 0:
            x = x.copy()
            x[np.asarray(pattern) == 0] = value
        return x

    return change


#: right, left and middle padding; whole rows
PATTERN = [[1, 1, 1, 0, 0], [0, 0, 1, 1, 1], [1, 0, 0, 1, 1], [0, 0, 0, 0, 0], [1, 1, 1, 1, 1], [0, 1, 0, 1, 0]]


def fill(family):
    """Adds every case."""
    for cell, (kind, options) in CELLS.items():
        bidirectional(family, cell, kind, options)
        masks(family, cell, kind, options)
        states(family, cell, kind, options)
    shapes(family)


def bidirectional(family, cell, kind, options):
    """Both directions: every way of merging, states, initial states."""
    for mode in ["concat", "sum", "mul", "ave", None]:
        for sequences in [True, False]:
            plan = Plan((4, 3))
            layer = spec(kind, units=2, return_sequences=sequences, **options)
            y = plan.call(spec("Bidirectional", layer=layer, merge_mode=mode), plan.x())
            plan.outputs = [y] if mode else [y, output(y, 1)]
            run(family, f"bidirectional_{cell}_{mode}_{'all' if sequences else 'last'}".lower(), plan)
    count = 2 if kind == "LSTM" else 1
    plan = Plan((4, 3), *[(2,)] * (2 * count))
    layer = spec(kind, units=2, return_sequences=True, return_state=True, **options)
    y = plan.call(spec("Bidirectional", layer=layer, merge_mode="concat"), *[plan.x(i) for i in range(2 * count + 1)])
    plan.outputs = [output(y, i) for i in range(2 * count + 1)]
    run(family, f"bidirectional_{cell}_states", plan)
    plan = Plan((4, 3))
    forward = spec(kind, units=2, return_sequences=True, **options)
    backward = spec(kind, units=4, return_sequences=True, go_backwards=True, use_bias=False, **options)
    plan.outputs = [plan.call(spec("Bidirectional", layer=forward, backward_layer=backward, merge_mode="concat"), plan.x())]
    run(family, f"bidirectional_{cell}_own_backward", plan)


def masks(family, cell, kind, options):
    """Masked steps anywhere."""
    data = masked(0.5, PATTERN)
    count = 2 if kind == "LSTM" else 1
    for sequences in [True, False]:
        for zero in [True, False]:
            for start in [True, False]:
                plan = Plan((5, 3), *([(4,)] * count if start else []))
                x = plan.call(spec("Masking", mask_value=0.5), plan.x())
                layer = spec(kind, units=4, return_sequences=sequences, return_state=True, zero_output_for_mask=zero, **options)
                y = plan.call(layer, x, *([plan.x(i + 1) for i in range(count)] if start else []))
                plan.outputs = [output(y, i) for i in range(count + 1)]
                what = f"{'all' if sequences else 'last'}_{'zero' if zero else 'repeat'}_{'start' if start else 'none'}"
                run(family, f"masked_{cell}_{what}", plan, batch=6, data=data)
    plan = Plan((5, 3))
    x = plan.call(spec("Masking", mask_value=0.5), plan.x())
    y = plan.call(spec(kind, units=4, return_sequences=True, **options), x)
    y = plan.call(spec("Dense", units=3, activation="tanh"), y)
    y = plan.call(spec("Bidirectional", layer=spec(kind, units=2, return_sequences=True, **options), merge_mode="concat"), y)
    plan.outputs = [plan.call(spec(kind, units=3, **options), y)]
    run(family, f"masked_{cell}_stacked", plan, batch=6, data=data)


def states(family, cell, kind, options):
    """An encoder's last states start the decoder."""
    plan = Plan((5, 3), (4, 2))
    encoder = plan.call(spec(kind, units=3, return_state=True, **options), plan.x(0))
    count = 2 if kind == "LSTM" else 1
    handed = [output(encoder, 1 + i) for i in range(count)]
    decoder = plan.call(spec(kind, units=3, return_sequences=True, return_state=True, **options), plan.x(1), *handed)
    y = plan.call(spec("Dense", units=2, activation="softmax"), decoder)
    plan.outputs = [y, output(decoder, 1)]
    run(family, f"encoder_decoder_{cell}", plan)


def shapes(family):
    """Shared layers, merges, several outputs, layers over time."""
    plan = Plan((4, 3), (4, 3))
    reader = plan.layer(spec("LSTM", units=3), name="reader")
    a, b = plan.call(reader, plan.x(0)), plan.call(reader, plan.x(1))
    difference = plan.call(spec("Subtract"), a, b)
    product = plan.call(spec("Multiply"), a, b)
    both = plan.call(spec("Add"), difference, product, a)
    plan.outputs = [plan.call(spec("Dense", units=2), both), plan.call(spec("Average"), a, b)]
    run(family, "siamese", plan)

    plan = Plan((4, 3))
    x = plan.call(spec("GRU", units=3, return_sequences=True), plan.x())
    plan.outputs = [plan.call(spec("Add"), x, plan.x()), plan.call(spec("Dense", units=1), x), x]
    run(family, "residual", plan)

    plan = Plan((3, 4, 2))
    inner = spec("LSTM", units=3, return_sequences=True)
    x = plan.call(spec("TimeDistributed", layer=inner), plan.x())
    x = plan.call(spec("TimeDistributed", layer=spec("Flatten")), x)
    plan.outputs = [plan.call(spec("GRU", units=2), x)]
    run(family, "time_distributed_lstm", plan)

    plan = Plan((3, 4, 2))
    x = plan.call(spec("TimeDistributed", layer=spec("GRU", units=3)), plan.x())
    plan.outputs = [plan.call(spec("Bidirectional", layer=spec("LSTM", units=2), merge_mode="concat"), x)]
    run(family, "hierarchy", plan)

    plan = Plan((12,))
    x = plan.call(spec("Reshape", target_shape=[2, 3, 2]), plan.x())
    x = plan.call(spec("TimeDistributed", layer=spec("Dense", units=3, activation="relu")), x)
    x = plan.call(spec("Reshape", target_shape=[-1, 3]), x)
    plan.outputs = [plan.call(spec("SimpleRNN", units=2), x)]
    run(family, "reshape_deep", plan)
