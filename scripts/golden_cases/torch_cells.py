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
    """Adds every case. The initial state is given, so that its gradient is there too (single layers)."""
    for label, kind, options, depth, units, shape in CASES:
        name = f"torch_{label}"
        rng = random(name)
        config = dict(units=units, return_sequences=True, return_state=depth == 1, use_bias=options.get("bias", True))
        if kind == "RNN":
            config["activation"] = options.get("nonlinearity", "tanh")
        layer = spec({"RNN": "SimpleRNN"}.get(kind, kind), **config)
        put = family.case(name, source="torch", layers=[layer] * depth, calls=1, initial_state=depth == 1)

        net = getattr(torch.nn, kind)(shape[2], units, depth, batch_first=True, dtype=torch.float64, **options)
        for p in net.parameters():
            p.data = torch.from_numpy(normal(rng, tuple(p.shape), 0.8 / np.sqrt(p.shape[-1]) if p.dim() == 2 else 0.3))
        x = torch.from_numpy(normal(rng, shape)).requires_grad_()
        start = [torch.zeros(depth, shape[0], units, dtype=torch.float64) for _ in range(2 if kind == "LSTM" else 1)]
        if depth == 1:
            start = [torch.from_numpy(normal(rng, tuple(s.shape), 0.5)) for s in start]
        start = [s.requires_grad_() for s in start]
        y, finals = net(x, tuple(start) if kind == "LSTM" else start[0])
        finals = finals if kind == "LSTM" else (finals,)
        dy = torch.from_numpy(normal(rng, tuple(y.shape)))
        (y * dy).sum().backward()

        put("0/x", x.detach())
        put("0/y", y.detach())
        put("0/dy", dy)
        put("0/dx", x.grad)
        if depth == 1:
            for i, (s, last) in enumerate(zip(start, finals)):
                put(f"0/s0.{i}", s.detach()[0])
                put(f"0/s.{i}", last.detach()[0])
                put(f"0/ds0.{i}", s.grad[0])
        index = 0
        per_layer = 4 if options.get("bias", True) else 2
        parameters = list(net.parameters())
        for k in range(depth):
            mine = parameters[k * per_layer : (k + 1) * per_layer]
            values = keras_weights(kind, [p.detach().numpy() for p in mine])
            grads = keras_weights(kind, [p.grad.numpy() for p in mine])
            for value, grad in zip(values, grads):
                if isinstance(value, tuple):  # two biases that only ever appear as their sum
                    assert np.allclose(*grad), "both biases of a sum have one gradient"
                    value, grad = value[0] + value[1], grad[0]
                put(f"w.{index}", value)
                put(f"0/dw.{index}", grad)
                index += 1
