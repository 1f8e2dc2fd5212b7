"""PyTorch's nn.LSTM, nn.GRU and nn.RNN, their weights brought into Keras's layout (gate order, transposed)."""

import numpy as np
import torch

from .stack import spec
from .store import normal, random

# Position of each Keras gate among PyTorch's: LSTM i,f,g,o is Keras's i,f,c,o; GRU r,z,n is Keras's z,r,h.
GATES = {"LSTM": [0, 1, 2, 3], "GRU": [1, 0, 2], "RNN": [0]}
CASES = [
    ("lstm", "LSTM", {}, 1, 5, (3, 4, 2)),
    ("lstm_u17", "LSTM", {}, 1, 17, (5, 6, 3)),
    ("lstm_two_layers", "LSTM", {}, 2, 4, (2, 5, 3)),
    ("lstm_no_bias", "LSTM", {"bias": False}, 1, 3, (2, 3, 2)),
    ("gru", "GRU", {}, 1, 5, (3, 4, 2)),
    ("gru_u17", "GRU", {}, 1, 17, (5, 6, 3)),
    ("gru_two_layers", "GRU", {}, 2, 4, (2, 5, 3)),
    ("rnn", "RNN", {}, 1, 5, (3, 4, 2)),
    ("rnn_relu", "RNN", {"nonlinearity": "relu"}, 1, 5, (3, 4, 2)),
    ("rnn_two_layers", "RNN", {}, 2, 4, (2, 5, 3)),
    ("rnn_relu_three_layers", "RNN", {"nonlinearity": "relu"}, 3, 4, (2, 5, 3)),
    ("gru_both_ways_two_layers", "GRU", {"bidirectional": True}, 2, 4, (3, 4, 2)),
    ("lstm_both_ways_two_layers", "LSTM", {"bidirectional": True}, 2, 3, (3, 4, 2)),
    ("lstm_projected", "LSTM", {"proj_size": 3}, 1, 5, (3, 4, 2)),
    ("lstm_projected_no_bias", "LSTM", {"proj_size": 2, "bias": False}, 1, 4, (2, 3, 2)),
    ("lstm_projected_two_layers", "LSTM", {"proj_size": 3}, 2, 5, (3, 4, 2)),
]


def keras_weights(kind, tensors):
    """`[w_ih, w_hh, b_ih, b_hh]` of a layer (or their gradients) as Keras's kernel, recurrent kernel and bias."""

    def blocks(w):
        parts = np.split(w, len(GATES[kind]))
        return np.concatenate([parts[g] for g in GATES[kind]])

    w_ih, w_hh, *biases = [blocks(t) for t in tensors]
    out = [w_ih.T, w_hh.T]
    if biases:
        out.append(np.stack(biases) if kind == "GRU" else tuple(biases))
    return out


def fill(family):
    """Adds every case. Initial states are given, so that their gradients are there too: of one layer after the other."""
    for label, kind, options, depth, units, shape in CASES:
        name = f"torch_{label}"
        rng = random(name)
        shown = options.get("proj_size", units)
        sizes = [shown, units] if kind == "LSTM" else [units]
        config = dict(units=units, return_sequences=True, return_state=True, use_bias=options.get("bias", True))
        if kind == "RNN":
            config["activation"] = options.get("nonlinearity", "tanh")
        layer = spec({"RNN": "SimpleRNN"}.get(kind, kind), **config)
        if "proj_size" in options:
            cell = dict(units=units, projection=shown, use_bias=config["use_bias"])
            cell = dict(class_name="ProjectedLSTMCell", config=cell)
            layer = dict(class_name="RNN", config=dict(cell=cell, return_sequences=True, return_state=True))
        runs = depth
        if options.get("bidirectional"):
            runs = 2 * depth
            layer = dict(class_name="Bidirectional", config=dict(layer=layer, merge_mode="concat"))
        put = family.case(
            name, source="torch", layers=[layer] * depth, calls=1, initial_state=True, states=[sizes] * runs
        )

        net = getattr(torch.nn, kind)(shape[2], units, depth, batch_first=True, dtype=torch.float64, **options)
        for p in net.parameters():
            p.data = torch.from_numpy(normal(rng, tuple(p.shape), 0.8 / np.sqrt(p.shape[-1]) if p.dim() == 2 else 0.3))
        x = torch.from_numpy(normal(rng, shape)).requires_grad_()
        start = [torch.from_numpy(normal(rng, (runs, shape[0], n), 0.5)).requires_grad_() for n in sizes]
        y, finals = net(x, tuple(start) if kind == "LSTM" else start[0])
        finals = finals if kind == "LSTM" else (finals,)
        dy = torch.from_numpy(normal(rng, tuple(y.shape)))
        (y * dy).sum().backward()

        put("0/x", x.detach())
        put("0/y", y.detach())
        put("0/dy", dy)
        put("0/dx", x.grad)
        for k in range(runs):
            for i, (s, last) in enumerate(zip(start, finals)):
                at = k * len(sizes) + i
                put(f"0/s0.{at}", s.detach()[k])
                put(f"0/s.{at}", last.detach()[k])
                put(f"0/ds0.{at}", s.grad[k])
        index = 0
        per_layer = len(list(net.parameters())) // runs
        parameters = list(net.parameters())
        for k in range(runs):
            mine = parameters[k * per_layer : (k + 1) * per_layer]
            projection = [mine.pop()] if "proj_size" in options else []
            values = keras_weights(kind, [p.detach().numpy() for p in mine])
            values += [p.detach().numpy().T for p in projection]
            grads = keras_weights(kind, [p.grad.numpy() for p in mine])
            grads += [p.grad.numpy().T for p in projection]
            for value, grad in zip(values, grads):
                if isinstance(value, tuple):  # two biases that only ever appear as their sum
                    assert np.allclose(*grad), "both biases of a sum have one gradient"
                    value, grad = value[0] + value[1], grad[0]
                put(f"w.{index}", value)
                put(f"0/dw.{index}", grad)
                index += 1
