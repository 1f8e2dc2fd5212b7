"""Every activation alone at ordinary and extreme inputs, in Dense, and in each cell; the activations that are layers."""

import numpy as np
from keras import ops

from .stack import detach, gradients, make, run, spec, variable
from .store import normal, random


def numbers(class_name, **config):
    """An activation with numbers of its own, as the engine's files have it."""
    return {"class_name": class_name, "config": config}


NEW = [
    "celu", "hard_shrink", "hard_silu", "hard_tanh", "log_sigmoid", "mish", "soft_shrink", "sparse_plus",
    "sparse_sigmoid", "squareplus", "tanh_shrink",
]  # fmt: skip
OLD = [
    "linear", "tanh", "sigmoid", "relu", "hard_sigmoid", "softplus", "softsign", "elu", "selu", "exponential",
    "leaky_relu", "relu6", "silu", "gelu",
]  # fmt: skip
WITH_NUMBERS = {
    "gelu_tanh": numbers("gelu", approximate=True),
    "celu_2": numbers("celu", alpha=2.0),
    "elu_half": numbers("elu", alpha=0.5),
    "hard_shrink_1": numbers("hard_shrink", threshold=1.25),
    "leaky_relu_half": numbers("leaky_relu", negative_slope=0.5),
    "relu_all": numbers("relu", negative_slope=0.25, max_value=4.0, threshold=0.5),
    "relu_threshold": numbers("relu", negative_slope=0.0, max_value=None, threshold=1.0),
    "relu_max": numbers("relu", negative_slope=0.0, max_value=1.5, threshold=0.0),
    "soft_shrink_quarter": numbers("soft_shrink", threshold=0.25),
    "squareplus_1": numbers("squareplus", b=1.0),
    "threshold": numbers("threshold", threshold=0.75, default_value=2.0),
}
# Where a derivative jumps and Keras's backends, or a derivative from the output alone, take different sides.
KINKS = {
    "selu": [0.0], "celu": [0.0], "celu_2": [0.0], "elu_half": [0.0], "hard_tanh": [-1.0, 1.0], "hard_silu": [-3.0, 3.0],
    "relu_max": [1.5], "relu_all": [0.5, 4.0],
}  # fmt: skip
POINTS = [0.0, 100.0, -100.0, 88.0, -88.0, 30.0, -30.0, 1e-3, -1e-3, 0.5, -0.5, 1.0, -1.0, 3.0, -3.0, 6.0, -6.0, 1.5, 4.0]
# Not in f32's range there.
ONLY_BELOW_88 = ("exponential",)


def alone(family, name, activation):
    """A case of an Activation layer on one row: ordinary values, extremes and kinks; no gradient arrives at KINKS."""
    rng = random(f"alone_{name}")
    points = [p for p in POINTS if name not in ONLY_BELOW_88 or p < 88.0]
    x = np.concatenate([points, normal(rng, (11,), 2.0)])[None].astype(np.float32).astype(np.float64)
    dy = np.where(np.isin(x, KINKS.get(name, [])), 0.0, normal(rng, x.shape))
    layers = [spec("Activation", activation=activation)]
    put = family.case(f"alone_{name}", source="keras", layers=layers, calls=1, initial_state=False)
    layer, x = make(layers[0]), variable(x)
    out = {}

    def loss():
        out["y"] = layer(x.value)
        return ops.sum(out["y"] * ops.convert_to_tensor(dy, dtype="float64"))

    _, (dx,) = gradients(loss, [x])
    put("0/x", ops.convert_to_numpy(x))
    put("0/y", ops.convert_to_numpy(detach(out["y"])))
    put("0/dy", dy)
    put("0/dx", dx)


def fill(family):
    """Adds every case."""
    every = {name: name for name in OLD + NEW} | WITH_NUMBERS
    for name, activation in every.items():
        alone(family, name, activation)
    for name, activation in ({name: name for name in NEW} | WITH_NUMBERS).items():
        run(family, f"dense_{name}", [spec("Dense", units=4, activation=activation)], [(3, 3)], scale=1.5)
        run(family, f"rnn_{name}", [spec("SimpleRNN", units=3, activation=activation)], [(2, 3, 2)])
        run(family, f"lstm_{name}", [spec("LSTM", units=3, activation=activation)], [(2, 3, 2)])
        run(family, f"gru_{name}", [spec("GRU", units=3, activation=activation)], [(2, 3, 2)])
    # Not sparsemax: Keras 3 adds up all partial sums of the support in its threshold, so that its shares do not add up to 1.
    for name in ("log_softmax",):
        run(family, f"activation_{name}", [spec("Activation", activation=name)], [(5, 4)], scale=1.5)
        run(family, f"activation_wide_{name}", [spec("Activation", activation=name)], [(2, 37)])
        run(family, f"dense_{name}", [spec("Dense", units=4, activation=name)], [(3, 3)], scale=1.5)
        run(family, f"lstm_{name}", [spec("LSTM", units=3, activation=name)], [(2, 3, 2)])
    gates = ["hard_tanh", "log_sigmoid", "sparse_sigmoid", "squareplus", "mish"]
    for name in gates:
        run(family, f"lstm_gates_{name}", [spec("LSTM", units=3, recurrent_activation=name)], [(2, 3, 2)])
        for after in (True, False):
            cell = spec("GRU", units=3, recurrent_activation=name, activation="sparse_plus", reset_after=after)
            run(family, f"gru_gates_{name}_{after}".lower(), [cell], [(2, 3, 2)])

    run(family, "layer_leaky_relu", [spec("LeakyReLU", negative_slope=0.3)], [(3, 5)])
    run(family, "layer_elu", [spec("ELU", alpha=0.5)], [(3, 5)])
    run(family, "layer_relu", [spec("ReLU", max_value=1.0, negative_slope=0.25, threshold=0.5)], [(4, 6)])
    run(family, "layer_relu_leaky", [spec("ReLU", max_value=None, negative_slope=0.25, threshold=0.0)], [(3, 5)])
    run(family, "layer_softmax", [spec("Softmax", axis=-1)], [(2, 3, 4)])
    run(family, "layer_prelu", [spec("PReLU", shared_axes=None)], [(3, 5)])
    run(family, "layer_prelu_sequence", [spec("PReLU", shared_axes=None)], [(3, 4, 2)])
    run(family, "layer_prelu_shared_time", [spec("PReLU", shared_axes=[1])], [(3, 4, 2)])
    run(family, "layer_prelu_shared_all", [spec("PReLU", shared_axes=[1, 2])], [(3, 4, 2)])
