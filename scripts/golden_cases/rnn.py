"""Cells over sequences: Keras's RNN with stacked cells and with a cell of one's own, masks too, and the layer-normalised
LSTM and GRU of Ba et al. 2016, whose reference is written here in torch operations."""

import keras
import numpy as np
import torch
from keras import ops

from .stack import gradients, make, spec, variable
from .store import normal, random

LAYER = dict(
    return_sequences=False,
    return_state=False,
    go_backwards=False,
    stateful=False,
    unroll=False,
    zero_output_for_mask=False,
)


def cell(class_name, units, **config):
    """A cell as the metadata has it."""
    return {"class_name": class_name, "config": dict(units=units, **config)}


class Minimal(keras.layers.Layer):
    """Minimal gated unit (Zhou et al. 2016), as Keras wants a cell."""

    def __init__(self, units, **kwargs):
        super().__init__(**kwargs)
        self.units = self.state_size = units

    def build(self, shape):
        self.kernel = self.add_weight(shape=(shape[-1], 2 * self.units), name="kernel")
        self.recurrent = self.add_weight(shape=(self.units, 2 * self.units), name="recurrent_kernel")
        self.bias = self.add_weight(shape=(2 * self.units,), name="bias")

    def call(self, x, states, training=False):
        (h,), u = states, self.units
        z = ops.matmul(x, self.kernel) + self.bias
        f = ops.sigmoid(z[:, :u] + ops.matmul(h, self.recurrent[:, :u]))
        new = ops.tanh(z[:, u:] + ops.matmul(f * h, self.recurrent[:, u:]))
        h = (1 - f) * h + f * new
        return h, [h]


def keras_cell(one):
    """The Keras cell of a spec."""
    name, config = one["class_name"], one["config"]
    if name == "MinimalGatedUnit":
        return Minimal(config["units"])
    if name == "StackedRNNCells":
        return keras.layers.StackedRNNCells([keras_cell(c) for c in config["cells"]])
    return getattr(keras.layers, name)(**config)


def stack(*cells):
    """Several cells as one."""
    return {"class_name": "StackedRNNCells", "config": {"cells": list(cells)}}


KERAS = [
    ("lstm", cell("LSTMCell", 4), {}, False),
    ("minimal", cell("MinimalGatedUnit", 4), {}, False),
    ("minimal_last_backwards", cell("MinimalGatedUnit", 4), dict(return_sequences=False, go_backwards=True), False),
    ("minimal_masked", cell("MinimalGatedUnit", 4), {}, True),
    ("minimal_masked_last", cell("MinimalGatedUnit", 4), dict(return_sequences=False), True),
    ("minimal_masked_zero", cell("MinimalGatedUnit", 4), dict(zero_output_for_mask=True), True),
    (
        "minimal_masked_zero_last",
        cell("MinimalGatedUnit", 4),
        dict(zero_output_for_mask=True, return_sequences=False),
        True,
    ),
    ("stack", stack(cell("LSTMCell", 4), cell("GRUCell", 3), cell("SimpleRNNCell", 2)), {}, False),
    ("stack_masked", stack(cell("MinimalGatedUnit", 4), cell("LSTMCell", 3, activation="silu")), {}, True),
]

# Steps that are there: right and left padding, a gap, a whole row that is not there.
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 0, 0, 0], [0, 0, 1, 1, 1], [1, 0, 1, 0, 1], [0, 0, 0, 0, 0]], dtype=bool)


def fill_keras(family):
    """Initial states are given, so that their gradients are there too."""
    for label, one, options, masked in KERAS:
        name = f"rnn_{label}"
        rng = random(name)
        config = LAYER | dict(return_sequences=True, return_state=True) | options
        layers = [{"class_name": "RNN", "config": dict(cell=one, **config)}]
        if masked:
            layers.insert(0, spec("Masking", mask_value=0.0))
        built = [
            make(s) if s["class_name"] != "RNN" else keras.layers.RNN(keras_cell(one), **config) for s in layers
        ]
        sizes = state_sizes(one)
        put = family.case(name, source="keras", layers=layers, calls=1, initial_state=True, states=sizes)
        x = normal(rng, (5, 5, 3))
        x = variable(np.where(MASK[..., None], x, 0.0) if masked else x)
        states = [variable(normal(rng, (5, n), 0.5)) for part in sizes for n in part]

        def forward():
            values, at = [], 0
            for part in sizes:
                values.append([s.value for s in states[at : at + len(part)]])
                at += len(part)
            value = x.value
            if masked:
                value = built[0](value)
            # A stack has a list of states for each cell, a cell has them alone.
            start = values[0] if len(values) == 1 else values
            y, *last = built[-1](value, initial_state=start, mask=ops.convert_to_tensor(MASK) if masked else None)
            flat = keras.tree.flatten(last)
            return y, flat

        forward()
        weights = list(built[-1].trainable_variables)
        for i, w in enumerate(weights):
            shape = tuple(w.shape)
            value = normal(rng, shape, 0.8 / np.sqrt(shape[0]) if len(shape) == 2 and shape[0] > 2 else 0.3)
            w.assign(value)
            put(f"w.{i}", value)
        out = {}

        def loss():
            y, last = forward()
            out["y"], out["last"] = y, last
            out.setdefault("dy", normal(rng, tuple(y.shape)))
            return ops.sum(y * ops.convert_to_tensor(out["dy"], dtype="float64"))

        _, grads = gradients(loss, weights + [x] + states)
        put("0/x", ops.convert_to_numpy(x))
        put("0/y", ops.convert_to_numpy(ops.stop_gradient(out["y"])))
        put("0/dy", out["dy"])
        put("0/dx", grads[len(weights)])
        for i, (s, last) in enumerate(zip(states, out["last"])):
            put(f"0/s0.{i}", ops.convert_to_numpy(s))
            put(f"0/s.{i}", ops.convert_to_numpy(ops.stop_gradient(last)))
            put(f"0/ds0.{i}", grads[len(weights) + 1 + i])
        for i, g in enumerate(grads[: len(weights)]):
            put(f"0/dw.{i}", g)


def state_sizes(one):
    """Sizes of the states of each cell."""
    if one["class_name"] == "StackedRNNCells":
        return [part for c in one["config"]["cells"] for part in state_sizes(c)]
    units = one["config"]["units"]
    return [[units, units] if one["class_name"] in ("LSTMCell", "LayerNormLSTMCell") else [units]]


def lstm_step(x, states, w, epsilon):
    """Ba et al. 2016, equations 20 to 22, gates i, f, c, o."""
    (h, c), u = states, states[0].shape[1]
    kernel, recurrent, bias, gain_x, gain_h, gain_c, bias_c = w
    normed = torch.nn.functional.layer_norm
    z = normed(x @ kernel, (4 * u,), gain_x, bias, epsilon) + normed(h @ recurrent, (4 * u,), gain_h, None, epsilon)
    i, f, g, o = z.split(u, dim=1)
    c = f.sigmoid() * c + i.sigmoid() * g.tanh()
    h = o.sigmoid() * normed(c, (u,), gain_c, bias_c, epsilon).tanh()
    return h, (h, c)


def gru_step(x, states, w, epsilon):
    """Ba et al. 2016, the supplement's GRU, gates z, r, h; z keeps."""
    (h,), u = states, states[0].shape[1]
    kernel, recurrent, bias, gain_x, gain_h = w
    normed = torch.nn.functional.layer_norm
    both, own = slice(0, 2 * u), slice(2 * u, 3 * u)

    def part(value, matrix, gain, shift, columns):
        n = columns.stop - columns.start
        return normed(value @ matrix[:, columns], (n,), gain[columns], None if shift is None else shift[columns], epsilon)

    gates = part(x, kernel, gain_x, bias, both) + part(h, recurrent, gain_h, None, both)
    z, r = gates.sigmoid().split(u, dim=1)
    new = (part(x, kernel, gain_x, bias, own) + r * part(h, recurrent, gain_h, None, own)).tanh()
    h = z * h + (1 - z) * new
    return h, (h,)


def fill_normed(family):
    """The layer-normalised cells."""
    u, shape = 5, (3, 4, 2)
    for label, class_name, step, count, shapes in [
        ("lstm", "LayerNormLSTMCell", lstm_step, 2, [(2, 4 * u), (u, 4 * u), (4 * u,), (4 * u,), (4 * u,), (u,), (u,)]),
        ("gru", "LayerNormGRUCell", gru_step, 1, [(2, 3 * u), (u, 3 * u), (3 * u,), (3 * u,), (3 * u,)]),
    ]:
        for epsilon in (1e-3, 1e-5):
            name = f"rnn_layer_norm_{label}_{epsilon:g}"
            rng = random(name)
            one = cell(class_name, u, epsilon=epsilon)
            config = LAYER | dict(return_sequences=True, return_state=True)
            layers = [{"class_name": "RNN", "config": dict(cell=one, **config)}]
            put = family.case(
                name, source="torch", layers=layers, calls=1, initial_state=True, states=state_sizes(one)
            )
            leaf = lambda a: torch.from_numpy(a).requires_grad_()
            weights = [leaf(normal(rng, s, 0.8 / np.sqrt(s[0]) if len(s) == 2 else 0.7)) for s in shapes]
            x = leaf(normal(rng, shape))
            start = [leaf(normal(rng, (shape[0], u), 0.5)) for _ in range(count)]
            states, outputs = tuple(start), []
            for t in range(shape[1]):
                y, states = step(x[:, t], states, weights, epsilon)
                outputs.append(y)
            y = torch.stack(outputs, dim=1)
            dy = torch.from_numpy(normal(rng, tuple(y.shape)))
            (y * dy).sum().backward()
            for field, value in {"x": x, "y": y, "dy": dy, "dx": x.grad}.items():
                put(f"0/{field}", value.detach())
            for i, (s, last) in enumerate(zip(start, states)):
                put(f"0/s0.{i}", s.detach())
                put(f"0/s.{i}", last.detach())
                put(f"0/ds0.{i}", s.grad)
            for i, w in enumerate(weights):
                put(f"w.{i}", w.detach())
                put(f"0/dw.{i}", w.grad)


def fill(family):
    """Adds every case."""
    fill_keras(family)
    fill_normed(family)
