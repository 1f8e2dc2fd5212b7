"""Layers around the recurrent ones: ids and masks, merges of several inputs, normalisation, pooling, other orders of axes.

A case is a graph: each input goes through its branch of layers, `merge` (if there is one) makes one value of the branches'
outputs, and the layers `after` follow.
"""

import numpy as np
from keras import ops

from .stack import detach, gradients, make, random_weights, spec, variable
from .store import normal, random


def graph(family, name, inputs, branches, merge=None, after=(), scale=0.8):
    """Stores a case. `inputs` are functions of a generator that make the arrays."""
    rng = random(name)
    after = list(after)
    put = family.case(name, source="keras", branches=branches, merge=merge, after=after)
    arrays = [make_input(rng) for make_input in inputs]
    built = [[make(layer) for layer in branch] for branch in branches]
    merging = make(merge) if merge else None
    following = [make(layer) for layer in after]

    def forward(xs):
        values = []
        for x, branch in zip(xs, built):
            for layer in branch:
                x = layer(x)
            values.append(x)
        y = merging(values) if merging else values[0]
        for layer in following:
            y = layer(y)
        return y

    forward([ops.convert_to_tensor(a, dtype="float64") for a in arrays])
    every = [layer for branch in built for layer in branch] + ([merging] if merging else []) + following
    weights = [w for layer in every for w in layer.trainable_variables]
    for i, (w, value) in enumerate(zip(weights, random_weights(rng, [tuple(w.shape) for w in weights], scale))):
        w.assign(value)
        put(f"w.{i}", value)
    xs = [variable(a) for a in arrays]
    out = {}

    def loss():
        y = forward([x.value for x in xs])
        out["y"] = y
        if "dy" not in out:
            out["dy"] = normal(rng, tuple(y.shape))
        return ops.sum(y * ops.convert_to_tensor(out["dy"], dtype="float64"))

    _, grads = gradients(loss, weights + xs)
    put("y", ops.convert_to_numpy(detach(out["y"])))
    put("dy", out["dy"])
    for i, array in enumerate(arrays):
        put(f"x.{i}", array)
    for i, g in enumerate(grads):
        put(f"dw.{i}" if i < len(weights) else f"dx.{i - len(weights)}", g)


def values(*shape):
    """Normal numbers."""
    return lambda rng: normal(rng, shape)


def away(*shape):
    """Numbers of either sign, none near 0."""
    return lambda rng: np.sign(normal(rng, shape)) * rng.uniform(0.5, 2.0, shape).astype(np.float32).astype(np.float64)


def ids(*shape, below):
    """Whole numbers that repeat."""
    return lambda rng: rng.integers(0, below, shape).astype(np.float64)


def padded(batch, time, features, value=0.0):
    """Normal numbers with steps that are `value`: at the end, at the start, in the middle, everywhere but one, nowhere."""

    def array(rng):
        x = normal(rng, (batch, time, features))
        gone = [slice(time - 2, time), slice(0, 2), slice(1, 3), slice(1, time), slice(0, 0)]
        for b in range(batch):
            x[b, gone[b % len(gone)]] = value
        # One feature alone masks nothing.
        x[-1, -1, 0] = value
        return x

    return array


def embedding(vocabulary, width, mask=False):
    """An Embedding's spec."""
    return spec("Embedding", input_dim=vocabulary, output_dim=width, mask_zero=mask)


def recurrent(class_name, units, sequences=True, **options):
    """A recurrent layer's spec."""
    return spec(class_name, units=units, return_sequences=sequences, **options)


def masking(value=0.0):
    """A Masking's spec."""
    return spec("Masking", mask_value=value)


def normalization(**options):
    """A LayerNormalization's spec."""
    return spec("LayerNormalization", **(dict(epsilon=1e-3, center=True, scale=True, rms_scaling=False) | options))


AVERAGE = spec("GlobalAveragePooling1D", keepdims=False)
MAX = spec("GlobalMaxPooling1D", keepdims=False)
DENSE = spec("Dense", units=2, activation="tanh")


def fill(family):
    """Adds every case."""
    chains(family)
    merges(family)


def chains(family):
    """Cases of one input."""

    def chain(name, array, *layers):
        graph(family, name, [array], [list(layers)])

    chain("embedding", ids(3, 5, below=7), embedding(7, 4))
    chain("embedding_repeated", ids(4, 6, below=2), embedding(2, 3))
    chain("embedding_wide", ids(5, 7, below=40), embedding(40, 33), recurrent("SimpleRNN", 4, False))
    for cell in ["LSTM", "GRU", "SimpleRNN"]:
        chain(f"embedding_masked_{cell.lower()}", ids(6, 7, below=3), embedding(3, 4, True), recurrent(cell, 5, False))
        sequences = [embedding(3, 4, True), recurrent(cell, 5), recurrent(cell, 3), DENSE]
        chain(f"embedding_masked_{cell.lower()}_sequences", ids(6, 7, below=3), *sequences)
        chain(f"masking_{cell.lower()}", padded(5, 6, 3), masking(), recurrent(cell, 4, False))
        chain(f"masking_{cell.lower()}_sequences", padded(5, 6, 3, -1.5), masking(-1.5), recurrent(cell, 4))
    chain("masking_gru_reset_before", padded(5, 6, 2), masking(), recurrent("GRU", 4, reset_after=False))
    chain("masking", padded(5, 6, 3), masking())
    chain("masking_value", padded(5, 6, 3, 2.0), masking(2.0))
    chain("masking_dense_average", padded(5, 6, 3), masking(), DENSE, AVERAGE)
    chain("masking_lstm_average", padded(5, 6, 3), masking(), recurrent("LSTM", 4), AVERAGE, DENSE)
    chain("masking_max", padded(5, 6, 3), masking(), MAX)
    chain("average", values(3, 5, 4), AVERAGE)
    chain("max", values(3, 5, 4), MAX)
    chain("average_keepdims", values(3, 5, 4), spec("GlobalAveragePooling1D", keepdims=True), recurrent("GRU", 3, False))
    chain("max_keepdims", values(3, 5, 4), spec("GlobalMaxPooling1D", keepdims=True), DENSE)
    chain("layer_normalization", values(4, 6), normalization())
    chain("layer_normalization_steps", values(3, 5, 33), normalization())
    chain("layer_normalization_plain", values(3, 5, 4), normalization(center=False, scale=False))
    chain("layer_normalization_beta", values(4, 6), normalization(scale=False, epsilon=0.1))
    chain("layer_normalization_gamma", values(4, 6), normalization(center=False))
    chain("layer_normalization_rms", values(3, 5, 7), normalization(rms_scaling=True, center=False))
    chain(
        "layer_normalization_stack",
        padded(5, 4, 2),
        masking(),
        recurrent("GRU", 5),
        normalization(),
        recurrent("LSTM", 3, False),
        DENSE,
    )
    chain("permute", values(3, 5, 4), spec("Permute", dims=[2, 1]))
    for order in [[1, 3, 2], [2, 1, 3], [2, 3, 1], [3, 1, 2], [3, 2, 1]]:
        # and back into a sequence, so that what follows depends on the order
        shown = [(4, 2, 3)[d - 1] for d in order]
        chain(
            "permute_" + "".join(map(str, order)),
            values(3, 4, 6),
            spec("Reshape", target_shape=[4, 2, 3]),
            spec("Permute", dims=order),
            spec("Reshape", target_shape=[shown[0], shown[1] * shown[2]]),
            recurrent("SimpleRNN", 3),
        )
    for axis in [1, 2, -2]:
        chain(f"softmax_axis_{axis}", values(3, 5, 4), spec("Softmax", axis=axis))
    cube = spec("Reshape", target_shape=[2, 5, 3])
    for axis in [1, 2, -1]:
        chain(f"softmax_cube_axis_{axis}", values(3, 30), cube, spec("Softmax", axis=axis), spec("Flatten"))
    chain("softmax_vector", values(3, 5), spec("Softmax", axis=1))
    for axis in [1, 2]:
        chain(f"softmax_masked_axis_{axis}", padded(5, 6, 3), masking(), spec("Softmax", axis=axis))
    # The weights of an attention over words that are there; a whole row of padding has none.
    words = embedding(7, 3, mask=True)
    shares = [spec("Dense", units=1, activation="linear"), spec("Softmax", axis=1)]
    chain("softmax_masked_words", ids(4, 6, below=3), words, *shares, recurrent("GRU", 3))
    chain("softmax_of_nothing", lambda rng: np.zeros((2, 4)), words, *shares)
    for axis in [1, 2, -1]:
        chain(f"glu_axis_{axis}", values(3, 4, 6), spec("GLU", axis=axis), recurrent("SimpleRNN", 3))
    chain("glu_vector", values(3, 8), spec("GLU", axis=-1))
    chain("glu_masked", padded(5, 6, 4), masking(), spec("Dense", units=6, activation="linear"), spec("GLU", axis=-1), recurrent("GRU", 3))
    chain("reciprocal", away(3, 5, 4), spec("Reciprocal", numerator=1.0), recurrent("GRU", 3))
    chain("reciprocal_masked", padded(5, 6, 4), masking(), spec("Dense", units=3, activation="sigmoid"), spec("Reciprocal", numerator=-1.5), recurrent("GRU", 3))
    chain("rescaling", values(3, 5, 4), spec("Rescaling", scale=-0.5, offset=0.25), recurrent("GRU", 3))
    chain("permute_gru", values(3, 5, 4), spec("Permute", dims=[2, 1]), recurrent("GRU", 3), spec("Permute", dims=[1, 2]))


def merges(family):
    """Cases of several inputs."""

    def several(name, arrays, merge, *after, branches=None):
        graph(family, name, arrays, branches or [[] for _ in arrays], merge, after)

    def concatenate(axis=-1):
        return spec("Concatenate", axis=axis)

    several("concatenate", [values(3, 4), values(3, 1), values(3, 7)], concatenate(), DENSE)
    several("concatenate_features", [values(3, 5, 2), values(3, 5, 6)], concatenate(2), recurrent("LSTM", 3))
    several("concatenate_time", [values(3, 4, 2), values(3, 1, 2), values(3, 2, 2)], concatenate(1), recurrent("GRU", 3))
    masked = [[masking()], [masking()]]
    both = [padded(5, 6, 3), padded(5, 6, 2)]
    # The same steps of both inputs are padded, and then others.
    several("concatenate_masked", both, concatenate(), recurrent("LSTM", 4), branches=masked)
    other = [padded(5, 6, 3), lambda rng: padded(5, 6, 2)(rng)[::-1].copy()]
    several("concatenate_masked_differently", other, concatenate(), recurrent("GRU", 4), branches=masked)
    several("concatenate_half_masked", other, concatenate(), recurrent("GRU", 4), branches=[[masking()], []])
    parts = [padded(5, 6, 3), padded(5, 4, 3)]
    several("concatenate_masked_time", parts, concatenate(1), recurrent("GRU", 4), branches=masked)
    several("concatenate_half_masked_time", parts, concatenate(1), recurrent("LSTM", 4), branches=[[], [masking()]])
    for name in ["Add", "Multiply", "Average", "Maximum", "Minimum"]:
        several(name.lower() + "_three", [values(3, 4, 2)] * 3, spec(name))
    several("subtract", [values(3, 4, 2)] * 2, spec("Subtract"))

    several("divide", [values(3, 4, 2), away(3, 4, 2)], spec("Divide"))
    several("divide_vectors", [values(3, 5), away(3, 5)], spec("Divide"), DENSE)
    several("divide_steps", [values(3, 4, 2), away(3, 1, 2)], spec("Divide"), recurrent("GRU", 3))
    several("divide_features", [values(3, 4, 1), away(3, 4, 2)], spec("Divide"))
    several("divide_both", [values(3, 1, 2), away(3, 4, 1)], spec("Divide"))
    # A sequence that has lost its mask gets that of another.
    lost = [spec("Reshape", target_shape=[6, 3])]
    several("with_mask", [values(5, 6, 3), padded(5, 6, 2)], spec("WithMask"), recurrent("LSTM", 4), branches=[lost, [masking()]])
    several("with_mask_in_place", [padded(5, 6, 3), lambda rng: padded(5, 6, 2)(rng)[::-1].copy()], spec("WithMask"), recurrent("GRU", 4), branches=masked)

    shapes = {
        "steps": [values(3, 4, 2), values(3, 1, 2)],
        "features": [values(3, 4, 1), values(3, 4, 2)],
        "both": [values(3, 1, 2), values(3, 4, 1)],
        "one_value": [values(3, 1), values(3, 5)],
        "vector": [values(3, 4, 2), values(3, 2)],
        "vector_first": [values(3, 2), values(3, 4, 1)],
    }
    split = [[spec("Reshape", target_shape=[2, 3, 2])], []]
    for name in ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"]:
        for label, arrays in shapes.items():
            several(f"{name.lower()}_broadcast_{label}", arrays, spec(name))
        if name != "Subtract":
            arrays = [values(3, 1, 2), values(3, 4, 1), values(3, 4, 2)]
            several(f"{name.lower()}_broadcast_three", arrays, spec(name), recurrent("GRU", 3))
    several("add_broadcast_axes", [values(3, 12), values(3, 3, 2)], spec("Add"), branches=split)
    several("multiply_broadcast_axes", [values(3, 12), values(3, 3, 1)], spec("Multiply"), branches=split)

    same = [padded(5, 6, 3), padded(5, 6, 3)]
    turned = [padded(5, 6, 3), lambda rng: padded(5, 6, 3)(rng)[::-1].copy()]
    one_step = [padded(5, 6, 3), lambda rng: normal(rng, (5, 1, 3)) * np.array([1, 0, 1, 0, 1]).reshape(5, 1, 1)]
    for name in ["Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum"]:
        for label, arrays, branches in [
            ("masked", same, masked),
            ("masked_differently", turned, masked),
            ("half_masked", turned, [[masking()], []]),
            ("other_half_masked", turned, [[], [masking()]]),
            ("masked_one_step", one_step, masked),
            ("masked_vector", [padded(5, 6, 3), values(5, 3)], [[masking()], []]),
        ]:
            # Of the others only what differs from Add.
            if name in ["Add", "Multiply", "Maximum"] or label == "masked_differently":
                several(f"{name.lower()}_{label}", arrays, spec(name), branches=branches)
            if name == "Add" or label == "masked_differently":
                several(f"{name.lower()}_{label}_gru", arrays, spec(name), recurrent("GRU", 4, False), branches=branches)
        if name != "Subtract":
            arrays, branches = [*turned, values(5, 6, 1)], [[masking()], [masking()], []]
            several(f"{name.lower()}_third_not_masked", arrays, spec(name), recurrent("GRU", 4), branches=branches)

    def dot(name, axes, *arrays, normalize=False, branches=None):
        several(name, arrays, spec("Dot", axes=axes, normalize=normalize), branches=branches)

    dot("dot_vectors", [1, 1], values(3, 5), values(3, 5))
    dot("dot_last", [2, 2], values(3, 4, 5), values(3, 2, 5))
    dot("dot_first", [1, 1], values(3, 4, 5), values(3, 4, 2))
    dot("dot_inner", [2, 1], values(3, 4, 5), values(3, 5, 2))
    dot("dot_outer", [1, 2], values(3, 4, 5), values(3, 2, 4))
    dot("dot_vector_steps", [1, 2], values(3, 5), values(3, 4, 5))
    dot("dot_steps_vector", [2, 1], values(3, 4, 5), values(3, 5))
    dot("dot_negative", [-1, -1], values(3, 4, 5), values(3, 2, 5))
    dot("dot_cosine", [1, 1], values(3, 5), values(3, 5), normalize=True)
    dot("dot_cosine_steps", [2, 1], values(3, 4, 5), values(3, 5, 2), normalize=True)
    cube = [[spec("Reshape", target_shape=[2, 3, 4])], []]
    dot("dot_axes_last", [3, 1], values(3, 24), values(3, 4, 2), branches=cube)
    dot("dot_axes_middle", [2, 2], values(3, 24), values(3, 5, 3), branches=cube)
    dot("dot_axes_first_vector", [1, 1], values(3, 24), values(3, 2), branches=cube)
    dot("dot_vector_axes", [1, 2], values(3, 3), values(3, 24), branches=cube[::-1])
    dot("dot_cosine_axes", [2, -1], values(3, 24), values(3, 5, 3), normalize=True, branches=cube)
