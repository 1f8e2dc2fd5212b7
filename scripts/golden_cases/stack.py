"""Runs a stack of Keras layers in f64 and stores inputs, weights, outputs, states and gradients."""

import keras
import numpy as np
from keras import ops

from .store import normal, random

RECURRENT = ("LSTM", "GRU", "SimpleRNN")
DEFAULTS = {
    "LSTM": dict(activation="tanh", recurrent_activation="sigmoid", use_bias=True, unit_forget_bias=True),
    "GRU": dict(activation="tanh", recurrent_activation="sigmoid", use_bias=True, reset_after=True),
    "SimpleRNN": dict(activation="tanh", use_bias=True),
    "Dense": dict(activation="linear", use_bias=True),
}
SEQUENCE_DEFAULTS = dict(return_sequences=False, return_state=False, go_backwards=False, stateful=False)


def spec(class_name, **config):
    """A layer as the metadata has it: Keras's class name and every option, defaults filled in."""
    full = dict(DEFAULTS.get(class_name, {}))
    if class_name in RECURRENT:
        full |= SEQUENCE_DEFAULTS
    return {"class_name": class_name, "config": full | config}


class Divide(keras.layers.Layer):
    """`ops.divide` of two inputs."""

    def call(self, values):
        return ops.divide(*values)


class GLU(keras.layers.Layer):
    """`ops.glu`."""

    def __init__(self, axis=-1):
        super().__init__()
        self.axis, self.supports_masking = axis, True

    def call(self, x):
        return ops.glu(x, axis=self.axis)


class Reciprocal(keras.layers.Layer):
    """`ops.divide` of a number by the input."""

    def __init__(self, numerator):
        super().__init__()
        self.numerator, self.supports_masking = numerator, True

    def call(self, x):
        return ops.divide(self.numerator, x)


class WithMask(keras.layers.Layer):
    """The first input with the mask of the second."""

    def call(self, values, mask=None):
        return ops.copy(values[0])

    def compute_mask(self, values, previous_mask):
        return previous_mask[1]


class Softmax(keras.layers.Softmax):
    """Keras's with a mask of steps that goes over all features: alone it refuses one that has not all axes of its input."""

    def call(self, inputs, mask=None):
        return super().call(inputs, None if mask is None else ops.expand_dims(mask, -1))


OWN = dict(Divide=Divide, GLU=GLU, Reciprocal=Reciprocal, WithMask=WithMask, Softmax=Softmax)


def make(layer):
    """The Keras layer of a spec."""
    config = dict(layer["config"])
    for inner in ("layer", "backward_layer"):
        if inner in config:
            config[inner] = make(config[inner])
    for key in ("activation", "recurrent_activation"):
        if isinstance(config.get(key), dict):
            config[key] = with_numbers(**config[key])
    layer_class = OWN.get(layer["class_name"]) or getattr(keras.layers, layer["class_name"])
    return layer_class(**config)


def with_numbers(class_name, config):
    """Keras's activation function of this name with these arguments; it has no such thing in its own configurations."""
    function = getattr(keras.activations, class_name)
    return lambda x: function(x, **config)


def random_weights(rng, shapes, scale):
    """Weights that keep a recurrence bounded for activations that are not: matrices of norm about `scale`."""
    return [normal(rng, s, scale / np.sqrt(s[0]) if len(s) == 2 and s[0] > 2 else 0.3 * scale) for s in shapes]


def gradients(loss_of, variables):
    """The value of `loss_of()` and its gradient by each of `variables` (Keras variables), on either backend."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        raw = [v.value for v in variables]
        with tf.GradientTape() as tape:
            tape.watch(raw)
            loss = loss_of()
        got = tape.gradient(loss, raw, unconnected_gradients="zero")
    else:
        import torch

        raw = [v.value for v in variables]
        # A stateful layer overwrites the state that its own gradient was to be taken with.
        with torch.autograd.graph.allow_mutation_on_saved_tensors():
            loss = loss_of()
            got = torch.autograd.grad(loss, raw, allow_unused=True)
        got = [torch.zeros_like(r) if g is None else g for g, r in zip(got, raw)]
    return loss, [ops.convert_to_numpy(g) for g in got]


def variable(array):
    """A trainable f64 variable."""
    return keras.Variable(array, dtype="float64", trainable=True)


def run(family, name, layers, shapes, initial_state=False, scale=0.8):
    """Stores a case of `layers` called once for each of `shapes`, state carried from call to call where stateful."""
    rng = random(name)
    put = family.case(name, source="keras", layers=layers, calls=len(shapes), initial_state=initial_state)
    built = [make(layer) for layer in layers]
    recurrent = [i for i, layer in enumerate(layers) if layer["class_name"] in RECURRENT]

    def forward(x, states):
        finals = []
        for i, layer in enumerate(built):
            x = layer(x, initial_state=states) if i == 0 and states else layer(x)
            if layers[i]["config"].get("return_state"):
                x, *finals = x
        return x, finals

    forward(ops.zeros(shapes[0], dtype="float64"), None)
    weights = [w for layer in built for w in layer.trainable_variables]
    if layers[0]["class_name"] == "LSTM" and layers[0]["config"]["use_bias"]:
        put("initial_bias", ops.convert_to_numpy(weights[2]))
    for i, (w, value) in enumerate(zip(weights, random_weights(rng, [tuple(w.shape) for w in weights], scale))):
        w.assign(value)
        put(f"w.{i}", value)
    for i in recurrent:
        if layers[i]["config"]["stateful"]:
            built[i].reset_state()

    for call, shape in enumerate(shapes):
        x = variable(normal(rng, shape))
        states = []
        if initial_state:
            count = 2 if layers[0]["class_name"] == "LSTM" else 1
            states = [variable(normal(rng, (shape[0], layers[0]["config"]["units"]), 0.5)) for _ in range(count)]
        # The upstream gradient is drawn inside the one forward pass: a second one would advance a stateful layer.
        out = {}

        def loss():
            y, finals = forward(x.value, [s.value for s in states])
            if "dy" not in out:
                out["dy"] = normal(rng, tuple(y.shape))
            out["y"], out["finals"] = y, finals
            return ops.sum(y * ops.convert_to_tensor(out["dy"], dtype="float64"))

        _, grads = gradients(loss, weights + [x] + states)
        put(f"{call}/x", ops.convert_to_numpy(x))
        put(f"{call}/y", ops.convert_to_numpy(detach(out["y"])))
        put(f"{call}/dy", out["dy"])
        finals = out["finals"]
        if len(recurrent) == 1 and layers[recurrent[0]]["config"]["stateful"]:
            finals = built[recurrent[0]].states
        for i, s in enumerate(finals):
            put(f"{call}/s.{i}", ops.convert_to_numpy(detach(s)))
        for i, s in enumerate(states):
            put(f"{call}/s0.{i}", ops.convert_to_numpy(s))
        for i, g in enumerate(grads[: len(weights)]):
            put(f"{call}/dw.{i}", g)
        put(f"{call}/dx", grads[len(weights)])
        for i, g in enumerate(grads[len(weights) + 1 :]):
            put(f"{call}/ds0.{i}", g)


def detach(tensor):
    """The tensor without its gradient graph."""
    return ops.stop_gradient(tensor)
