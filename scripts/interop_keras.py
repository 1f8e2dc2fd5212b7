"""Models of Keras in and out of this engine, held against Keras itself.

    python scripts/interop_keras.py FOLDER            makes the models, runs the engine over them, compares
        --only=PREFIX                                 those whose names begin so
    python scripts/interop_keras.py FOLDER --goldens  makes the few small ones that crates/rnn-interop/tests/keras.rs reads

For each model: predictions within 1e-5; ten further training steps, losses within 1e-4 of themselves; what the engine writes
(.keras, .h5, .weights.h5) loads in Keras and predicts within 1e-5, and after the ten steps the optimizer's variables are those
of Keras. Needs keras (any backend), numpy, and cargo.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import zipfile

os.environ.setdefault("KERAS_BACKEND", "torch")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from keras import layers as L
from keras import ops
from keras import optimizers as O

CASES = {}
STEPS = 10


def case(name, build, steps=STEPS, before=0, fmt="keras", optimizer="adam", loss="mse", tokens=0, targets=None, **more):
    """`build` gives a model; `before` steps are done before it is saved, so that slots are not zero. `refused` is why we do not write it."""
    assert name not in CASES, name
    CASES[name] = dict(build=build, steps=steps, before=before, fmt=fmt, optimizer=optimizer, loss=loss, tokens=tokens,
                       targets=targets, **more)


def chain(*layers, shape=(5, 3), **batch):
    return lambda: keras.Sequential([L.Input(shape, **batch), *[layer() for layer in layers]])


def dense(units=2, **options):
    return lambda: L.Dense(units, **options)


RECURRENT = {"lstm": L.LSTM, "gru": L.GRU, "simple_rnn": L.SimpleRNN}


def recurrent_cases():
    for at, (name, cls) in enumerate(RECURRENT.items()):
        fmt = ["keras", "h5"]
        options = {
            "plain": {},
            "sequences": dict(return_sequences=True),
            "backwards": dict(go_backwards=True, return_sequences=True),
            "no_bias": dict(use_bias=False),
            "relu": dict(activation="relu"),
            "softsign": dict(activation="softsign"),
            "unrolled": dict(unroll=True),
            "regularized": dict(kernel_regularizer="l2", recurrent_regularizer=keras.regularizers.L1L2(0.01, 0.02)),
            "constrained": dict(kernel_constraint=keras.constraints.MaxNorm(0.5), bias_constraint="non_neg"),
            "activity": dict(activity_regularizer=keras.regularizers.L2(0.05)),
            "started": dict(kernel_initializer=keras.initializers.RandomNormal(stddev=0.3, seed=3),
                            bias_initializer="ones", recurrent_initializer="glorot_normal"),
        }
        if name != "simple_rnn":
            options["gates"] = dict(recurrent_activation="hard_sigmoid", activation="elu")
        if name == "gru":
            options["reset_before"] = dict(reset_after=False)
        if name == "lstm":
            options["no_forget_bias"] = dict(unit_forget_bias=False)
        for i, (label, option) in enumerate(options.items()):
            layer = lambda cls=cls, option=option: cls(4, **option)
            case(f"{name}_{label}", chain(layer, dense()), fmt=fmt[(at + i) % 2], before=2)
        case(f"{name}_dropout", chain(lambda cls=cls: cls(4, dropout=0.3, recurrent_dropout=0.2), dense()), steps=0)
        stateful = lambda cls=cls: cls(3, stateful=True)
        case(f"{name}_stateful", chain(stateful, dense(), batch_size=4), steps=0)
        masked = lambda cls=cls: cls(4, return_sequences=True, zero_output_for_mask=True)
        case(f"{name}_masked", chain(lambda: L.Masking(0.5), masked, lambda cls=cls: cls(3), dense()), masked=0.5)
        case(f"{name}_two_way", chain(lambda cls=cls: L.Bidirectional(cls(3, return_sequences=True)), dense()),
             before=1, fmt=fmt[at % 2])
    for mode in ["sum", "mul", "ave", "concat"]:
        layer = lambda mode=mode: L.Bidirectional(L.LSTM(3), merge_mode=mode)
        case(f"two_way_{mode}", chain(layer, dense()), fmt="h5" if mode == "sum" else "keras")
    own = lambda: L.Bidirectional(L.GRU(3, return_sequences=True),
                                  backward_layer=L.LSTM(3, activation="relu", return_sequences=True, go_backwards=True))
    case("two_way_own_backward", chain(own, dense()))
    case("two_way_masked", chain(lambda: L.Masking(0.5), lambda: L.Bidirectional(L.GRU(3, return_sequences=True)),
                                 lambda: L.Bidirectional(L.LSTM(2)), dense()), masked=0.5)
    for name, cell in {"lstm": L.LSTMCell, "gru": L.GRUCell, "simple": L.SimpleRNNCell}.items():
        case(f"cell_{name}", chain(lambda cell=cell: L.RNN(cell(3), return_sequences=True), dense()), before=1,
             fmt="h5" if name == "gru" else "keras")
    stack = lambda: L.RNN([L.LSTMCell(3), L.GRUCell(4), L.LSTMCell(2, use_bias=False)])
    case("cells_stacked", chain(stack, dense()), before=1)
    case("cells_both_ways", chain(lambda: L.Bidirectional(L.RNN(L.GRUCell(3), return_sequences=True)), dense()))


def layer_cases():
    for name in ["relu", "leaky_relu", "relu6", "celu", "elu", "selu", "softplus", "softsign", "squareplus", "soft_shrink",
                 "sparse_plus", "silu", "gelu", "tanh", "tanh_shrink", "sigmoid", "sparse_sigmoid", "exponential",
                 "hard_sigmoid", "hard_silu", "hard_tanh", "hard_shrink", "mish", "log_softmax", "log_sigmoid", "sparsemax",
                 "softmax"]:
        # On torch, what Keras 3.15 gives does not add up to 1.
        if name == "sparsemax" and keras.backend.backend() == "torch":
            continue
        case(f"activation_{name}", chain(dense(3, activation=name), lambda: L.GRU(2), lambda name=name: L.Activation(name)))
    case("activation_layer_leaky", chain(dense(3, activation=L.LeakyReLU(negative_slope=0.1)), lambda: L.GRU(2)))
    flat = {
        "leaky_re_lu": lambda: L.LeakyReLU(negative_slope=0.2),
        "elu": lambda: L.ELU(0.5),
        "re_lu": lambda: L.ReLU(max_value=0.6, negative_slope=0.1, threshold=0.05),
        "p_re_lu": lambda: L.PReLU(alpha_initializer="glorot_uniform"),
        "p_re_lu_shared": lambda: L.PReLU(shared_axes=[1]),
        "softmax": lambda: L.Softmax(),
        "layer_normalization": lambda: L.LayerNormalization(epsilon=1e-2),
        "layer_normalization_bare": lambda: L.LayerNormalization(center=False, scale=False),
        "rescaling": lambda: L.Rescaling(0.5, offset=-0.1),
        "permute": lambda: L.Permute((2, 1)),
        "activity": lambda: L.ActivityRegularization(l1=0.01, l2=0.02),
        "distributed": lambda: L.TimeDistributed(L.Dense(3, activation="tanh")),
    }
    for i, (name, layer) in enumerate(flat.items()):
        case(f"layer_{name}", chain(dense(3), layer, lambda: L.LSTM(3), dense()), fmt=["keras", "h5"][i % 2], before=1)
    case("layer_flatten", chain(dense(3), L.Flatten, dense()))
    case("layer_reshape", chain(lambda: L.Reshape((3, -1)), lambda: L.GRU(3), dense()))
    case("layer_repeat", chain(lambda: L.GRU(3), lambda: L.RepeatVector(4), lambda: L.LSTM(2, return_sequences=True)))
    case("layer_average", chain(lambda: L.Masking(0.5), L.GlobalAveragePooling1D, dense()), masked=0.5)
    case("layer_maximum", chain(lambda: L.GRU(3, return_sequences=True), lambda: L.GlobalMaxPooling1D(keepdims=True), dense()))
    case("layer_distributed_recurrent", chain(lambda: L.TimeDistributed(L.GRU(3)), lambda: L.LSTM(2), shape=(3, 4, 2)))
    for name, layer in {"dropout": lambda: L.Dropout(0.3), "spatial": lambda: L.SpatialDropout1D(0.3),
                        "noise": lambda: L.GaussianNoise(0.3), "gaussian": lambda: L.GaussianDropout(0.3),
                        "alpha": lambda: L.AlphaDropout(0.3), "steps": lambda: L.Dropout(0.2, noise_shape=(None, 1, None))}.items():
        case(f"noise_{name}", chain(dense(3), layer, lambda: L.LSTM(3), dense()), steps=0)
    embedded = lambda **options: lambda: L.Embedding(7, 3, **options)
    case("embedding", chain(embedded(), lambda: L.LSTM(3), dense(), shape=(5,)), tokens=7, before=1)
    case("embedding_masked", chain(embedded(mask_zero=True), lambda: L.GRU(3, return_sequences=True), lambda: L.LSTM(2),
                                   shape=(5,)), tokens=7, fmt="h5", before=1)
    case("embedding_held", chain(embedded(embeddings_regularizer="l2", embeddings_constraint="unit_norm"), lambda: L.GRU(3),
                                 shape=(5,)), tokens=7)
    case("open_length", chain(lambda: L.LSTM(3), dense(), shape=(None, 3)))
    case("fixed", lambda: fixed_layers())
    case("legacy_built", lambda: built_late())
    case("dense_held", chain(dense(3, kernel_regularizer="l1", bias_regularizer="l2", kernel_constraint=keras.constraints.MinMaxNorm(0.2, 0.9, rate=0.5)),
                             lambda: L.GRU(2)), before=2)


def held_cases():
    """Regularizers and constraints in cells, and of weights that are no kernels."""
    reg, con = keras.regularizers, keras.constraints
    cells = lambda: [
        L.LSTMCell(3, kernel_regularizer=reg.L1L2(0.01, 0.02), recurrent_constraint="unit_norm", bias_regularizer="l2"),
        L.GRUCell(2, recurrent_regularizer=reg.L2(0.03), kernel_constraint=con.MaxNorm(0.5), bias_constraint="non_neg"),
    ]
    both = lambda: L.Bidirectional(L.RNN(L.SimpleRNNCell(2, kernel_regularizer="l1")))
    case("cells_held", chain(lambda: L.RNN(cells(), return_sequences=True), both, dense()), before=1)
    normalized = lambda: L.LayerNormalization(
        gamma_regularizer="l2", beta_regularizer=reg.L1(0.02), gamma_constraint="unit_norm", beta_constraint="non_neg"
    )
    rectified = lambda: L.PReLU(alpha_initializer="ones", alpha_regularizer="l1", alpha_constraint=con.MaxNorm(0.7))
    case("layers_held", chain(dense(3), normalized, rectified, lambda: L.GRU(2), dense()), fmt="h5", before=1)


def fixed_layers():
    model = keras.Sequential([L.Input((5, 3)), L.LSTM(3, return_sequences=True, trainable=False), L.GRU(3), L.Dense(2)])
    return model


def built_late():
    model = keras.Sequential([L.LSTM(3), L.Dense(2)])
    model.build((None, 5, 3))
    return model


def merged(layer, two=(5, 3), **options):
    def build():
        a, b = L.Input((5, 3)), L.Input(two)
        y = layer(**options)([L.Dense(4)(a), L.Dense(4)(b)])
        return keras.Model([a, b], L.Dense(2)(L.GRU(3)(y) if len(y.shape) == 3 else y))
    return build


def graph_cases():
    for name, layer in {"add": L.Add, "subtract": L.Subtract, "multiply": L.Multiply, "average": L.Average,
                        "maximum": L.Maximum, "minimum": L.Minimum}.items():
        case(f"merge_{name}", merged(layer), fmt="h5" if name in ("add", "maximum") else "keras", before=1)
    case("merge_concatenate", merged(L.Concatenate))
    case("merge_concatenate_time", merged(L.Concatenate, two=(2, 3), axis=1))
    case("merge_dot", merged(L.Dot, two=(4, 3), axes=2))
    case("merge_dot_normalized", merged(L.Dot, axes=(1, 1), normalize=True))

    def seq2seq():
        source, target = L.Input((5, 3), name="source"), L.Input((4, 2), name="target")
        _, h, c = L.LSTM(3, return_state=True, name="encoder")(source)
        y = L.LSTM(3, return_sequences=True, name="decoder")(target, initial_state=[h, c])
        return keras.Model([source, target], L.TimeDistributed(L.Dense(2))(y))

    def seq2seq_masked():
        source, target = L.Input((5,), name="source"), L.Input((4,), name="target")
        _, h = L.GRU(3, return_state=True)(L.Embedding(7, 3, mask_zero=True)(source))
        y = L.GRU(3, return_sequences=True)(L.Embedding(7, 3, mask_zero=True)(target), initial_state=h)
        return keras.Model([source, target], L.Dense(2)(y))

    def states_in():
        x, h = L.Input((5, 3)), L.Input((4,))
        y, last = L.GRU(4, return_state=True)(x, initial_state=h)
        return keras.Model([x, h], [L.Dense(2)(y), last])

    def both_states():
        x = L.Input((5, 3))
        y, fh, fc, bh, bc = L.Bidirectional(L.LSTM(3, return_state=True))(x)
        z = L.Bidirectional(L.LSTM(3))(x, initial_state=[fh, fc, bh, bc])
        return keras.Model(x, L.Concatenate()([y, z, fh, bc]))

    def siamese():
        a, b = L.Input((5, 3)), L.Input((5, 3))
        read = L.LSTM(4, name="reader")
        return keras.Model([a, b], L.Dense(1)(L.Subtract()([read(a), read(b)])))

    def nested():
        i = L.Input((4,))
        inner = keras.Model(i, L.Dense(4, name="out")(L.Dense(3, activation="tanh")(i)), name="inner")
        head = keras.Sequential([L.Input((4,)), L.Dense(4, activation="relu"), L.Dense(2)], name="head")
        x = L.Input((5, 3))
        return keras.Model(x, head(inner(inner(L.GRU(4)(x)))))

    def nested_deep():
        i = L.Input((5, 3))
        encoder = keras.Model(i, L.Bidirectional(L.LSTM(2))(L.LSTM(3, return_sequences=True)(i)), name="encoder")
        j = L.Input((5, 3))
        middle = keras.Model(j, L.Dense(3)(encoder(j)), name="middle")
        k = L.Input((5, 3))
        return keras.Model(k, L.Add()([middle(k), L.Dense(3)(encoder(k))]))

    def nested_masked():
        i = L.Input((5, 3))
        inner = keras.Sequential([L.Input((5, 3)), L.LSTM(3, return_sequences=True), L.GRU(2)], name="inner")
        return keras.Model(i, L.Dense(2)(inner(L.Masking(0.5)(i))))

    def nested_several():
        a, b = L.Input((3,)), L.Input((3,))
        s = L.Add()([L.Dense(3)(a), b])
        inner = keras.Model([a, b], [s, L.Multiply()([s, a])], name="inner")
        x, y = L.Input((3,)), L.Input((3,))
        u, v = inner([x, y])
        return keras.Model([x, y], L.Dense(2)(L.Concatenate()([u, v])))

    def branches():
        x = L.Input((5, 3))
        short = L.LSTM(3)(x)
        long = L.LSTM(3)(L.LSTM(3, return_sequences=True)(L.LSTM(3, return_sequences=True)(x)))
        mid = L.Dense(3)(L.LSTM(3)(L.Dense(3)(x)))
        return keras.Model(x, L.Dense(2)(L.Add()([short, L.Dense(3)(long), mid])))

    def branches_masked():
        x, z = L.Input((5, 3)), L.Input((5, 3))
        left = L.LSTM(3)(L.Masking(0.5)(L.Dense(3, use_bias=False)(x)))
        right = L.LSTM(3)(L.Dense(3)(L.Dense(3)(z)))
        m = L.Masking(0.5)(x)
        more = L.GRU(3)(L.Add()([L.LSTM(3, return_sequences=True)(m), L.GRU(3, return_sequences=True)(m)]))
        joined = L.GRU(3)(L.Concatenate()([m, L.Dense(2)(z)]))
        return keras.Model([x, z], L.Dense(2)(L.Concatenate()([left, right, more, joined])))

    def two_outputs():
        x = L.Input((5, 3))
        y = L.LSTM(4, return_sequences=True)(x)
        return keras.Model(x, [L.Dense(2, name="each")(y), L.Dense(1, activation="sigmoid", name="whole")(L.GRU(3)(y))])

    def by_name():
        a, b = L.Input((5, 3), name="a"), L.Input((3,), name="b")
        y = L.Concatenate()([L.GRU(3)(a), b])
        return keras.Model({"z": a, "b": b}, {"second": L.Dense(2)(y), "first": L.Dense(3)(y)})

    def cells_with_states():
        x = L.Input((5, 3))
        y, a, b, c = L.RNN([L.LSTMCell(3), L.GRUCell(2)], return_state=True)(x)[:4] if False else flat(
            L.RNN([L.LSTMCell(3), L.GRUCell(2)], return_state=True)(x))
        return keras.Model(x, L.Concatenate()([y, a, b, c]))

    def flat(values):
        return [v for value in values for v in (value if isinstance(value, (list, tuple)) else [value])]

    def activity_shared():
        x = L.Input((5, 3))
        layer = L.Dense(3, activity_regularizer=keras.regularizers.L1(0.02))
        return keras.Model(x, L.GRU(2)(layer(layer(x))))

    def attention():
        x, q = L.Input((5, 3)), L.Input((4, 3))
        keys = L.GRU(3, return_sequences=True)(x)
        scores = L.Softmax()(L.Dot(axes=2)([L.Dense(3)(q), keys]))
        return keras.Model([x, q], L.Dense(2)(L.Dot(axes=(2, 1))([scores, keys])))

    for build, options in [
        (seq2seq, dict(before=1)), (seq2seq_masked, dict(tokens=7, steps=0)), (states_in, dict(loss=["mse", "mae"])), (both_states, {}), (siamese, dict(before=1)),
        (nested, dict(before=1)), (nested_deep, dict(before=1)), (nested_masked, dict(masked=0.5)), (nested_several, {}),
        (branches, dict(before=1)), (branches_masked, dict(masked=0.5, before=1)),
        (two_outputs, dict(loss={"each": "mse", "whole": "binary_crossentropy"}, loss_weights={"each": 0.5, "whole": 2.0},
                           metrics={"each": ["mae"], "whole": ["accuracy"]}, before=1)),
        (by_name, dict(loss={"first": "mse", "second": "mae"})), (cells_with_states, {}), (activity_shared, {}), (attention, {}),
    ]:
        case(f"graph_{build.__name__}", build, **options)
    for build in [seq2seq, nested, branches, two_outputs, both_states, nested_masked]:
        options = dict(loss=["mse", "binary_crossentropy"], loss_weights=[0.5, 2.0]) if build is two_outputs else {}
        case(f"graph_{build.__name__}_h5", build, fmt="h5", before=1, masked=0.5 if build is nested_masked else None, **options)


def operation_cases():
    """Operations on values, and models within TimeDistributed."""
    def operations_index():
        x = L.Input((5, 3))
        h = L.LSTM(4, return_sequences=True)(x)
        parts = [h[:, -1], h[:, 0, :], h[..., 1], h[:, 1:3, 0], h[:, ::2, 2], h[:, -3:, 1:][:, :, -1], ops.flip(h, axis=1)[:, 0]]
        return keras.Model(x, L.Dense(2)(L.Concatenate()(parts)))

    def operations_arithmetic():
        x, z = L.Input((5, 3)), L.Input((5, 4))
        h = L.GRU(4, return_sequences=True)(x)
        y = (h + 1.0) * 2.0 - h / 4.0 + 3 * z
        y = ops.maximum(y, 0) + ops.minimum(h, z) - (0.5 - z) * h + (-h) ** 2
        return keras.Model([x, z], L.Dense(2)(y))

    def operations_shape():
        x = L.Input((5, 3))
        h = L.SimpleRNN(4, return_sequences=True)(x)
        last = h[:, -1]
        stacked = ops.stack([last, ops.mean(h, axis=1), ops.max(h, axis=1), ops.sum(h, axis=1)], axis=1)
        wide = ops.concatenate([stacked, ops.expand_dims(last, 1), ops.flip(h, axis=1)], axis=1)
        swapped = ops.transpose(wide, (0, 2, 1))
        scores = ops.softmax(ops.matmul(wide, swapped))
        y = ops.matmul(scores, wide) + ops.mean(swapped, axis=1, keepdims=True)[:, :, :4]
        return keras.Model(x, L.Dense(2)(ops.reshape(y, (-1, 40))))

    def operations_activations():
        x = L.Input((5, 3))
        h = L.GRU(4)(x)
        kinds = [ops.relu, ops.relu6, ops.sigmoid, ops.hard_sigmoid, ops.tanh, ops.softplus, ops.softsign, ops.silu,
                 ops.selu, ops.elu, ops.leaky_relu, ops.gelu, ops.exp, ops.softmax, ops.log_softmax, ops.log_sigmoid]
        return keras.Model(x, L.Dense(2)(L.Concatenate()([kind(h) for kind in kinds])))

    def operations_masked():
        x = L.Input((5, 3))
        h = L.GRU(4, return_sequences=True)(L.Masking(0.5)(x))
        return keras.Model(x, L.Dense(2)(L.Concatenate()([h[:, -1], ops.mean(h, axis=1), L.LSTM(3)(h + 0.0)])))

    def operations_nested():
        i = L.Input((5, 3))
        inner = keras.Model(i, L.GRU(4, return_sequences=True)(i * 2.0)[:, -1] + 1.0, name="inner")
        x, z = L.Input((5, 3)), L.Input((5, 3))
        return keras.Model([x, z], L.Dense(2)(inner(x) * inner(z)))

    def distributed_sequential():
        inner = keras.Sequential([L.Input((4, 3)), L.GRU(4, return_sequences=True), L.Dropout(0.0), L.Flatten(), L.Dense(3)])
        x = L.Input((5, 4, 3))
        return keras.Model(x, L.LSTM(4)(L.TimeDistributed(inner)(x)))

    def distributed_functional():
        i = L.Input((4, 3))
        h = L.LSTM(4, return_sequences=True)(i)
        y = L.Concatenate()([L.GlobalMaxPooling1D()(h), L.GlobalAveragePooling1D()(h)])
        inner = keras.Model(i, L.Add()([L.Dense(3)(y), L.Dense(3, activation="tanh")(y)]), name="inner")
        x = L.Input((5, 4, 3))
        return keras.Model(x, L.Dense(2)(L.Bidirectional(L.GRU(3))(L.TimeDistributed(inner, name="each")(x))))

    for build, options in [
        (operations_index, dict(before=1)), (operations_arithmetic, dict(before=1)), (operations_shape, {}),
        (operations_activations, {}), (operations_masked, dict(masked=0.5)), (operations_nested, dict(before=1)),
        (distributed_sequential, dict(before=1)), (distributed_functional, dict(before=1)),
    ]:
        case(f"graph_{build.__name__}", build, **options)
    case("graph_operations_index_h5", operations_index, fmt="h5", before=1)
    case("graph_distributed_functional_h5", distributed_functional, fmt="h5", before=1)

    def operations_quotients():
        x, z = L.Input((5, 3)), L.Input((5, 4))
        h = L.GRU(4, return_sequences=True)(x)
        y = h / (1.5 + ops.sigmoid(z)) + ops.reciprocal(2.0 + h)
        y = y + 0.5 / (2.5 + h)
        return keras.Model([x, z], L.Dense(2)(keras.activations.glu(y)))

    def masks_by_hand():
        x = L.Input((5, 3))
        masking = L.Masking(0.5)
        h, mask = masking(x), masking.compute_mask(x)
        shares = L.Softmax()(L.Reshape((5,))(L.Dense(1)(h)), mask=mask)
        steps = L.Reshape((5, 4))(L.Dense(4)(h))
        last = L.GRU(3)(steps, mask=mask)
        return keras.Model(x, L.Dense(2)(L.Concatenate()([L.Dot(axes=1)([shares, steps]), last])))

    case("graph_operations_quotients", operations_quotients, before=1)
    case("graph_masks_by_hand", masks_by_hand, masked=0.5)
    mask_cases()


def mask_cases():
    """Masks that are passed by hand, which are layers of their own in the engine."""
    def masked(x):
        layer = L.Masking(0.5)
        return layer(x), layer.compute_mask(x)

    def from_states():
        x, h = L.Input((5, 3)), L.Input((4,))
        y, mask = masked(x)
        y = L.GRU(4, return_sequences=True)(y, initial_state=h, mask=mask)
        return keras.Model([x, h], L.Dense(2)(L.SimpleRNN(3)(y)))

    def both_from_states():
        x, h = L.Input((5, 3)), L.Input((4,))
        y, mask = masked(x)
        y = L.Bidirectional(L.GRU(2))(y, initial_state=[h[:, :2], h[:, 2:]], mask=mask)
        return keras.Model([x, h], L.Dense(2)(y))

    def attention():
        x = L.Input((5, 3))
        y, mask = masked(x)
        y = L.GRU(3, return_sequences=True)(y)
        shares = L.Softmax(axis=1)(L.Dense(1)(y), mask=ops.expand_dims(mask, -1))
        return keras.Model(x, L.Dense(2)(L.Dot(axes=1)([shares, L.Reshape((5, 3))(y)])))

    def attention_behind():
        x = L.Input((5, 3))
        y, mask = masked(x)
        shares = L.Softmax(axis=1)(L.Dense(4)(y), mask=ops.expand_dims(mask, -1))
        shares = L.TimeDistributed(L.Activation("linear"))(shares, mask=mask)
        y = L.Multiply()([shares, L.GRU(4, return_sequences=True)(y)])
        return keras.Model(x, L.Dense(2)(L.GlobalAveragePooling1D()(y)))

    def backwards():
        x = L.Input((5, 3))
        y, mask = masked(x)
        turned = L.LSTM(3)(ops.flip(L.Dense(3)(y), axis=1), mask=ops.flip(mask, axis=1))
        return keras.Model(x, L.Dense(2)(L.Concatenate()([turned, L.LSTM(3)(y)])))

    def of_lengths():
        x, lengths = L.Input((5, 3)), L.Input((1,))
        ones = ops.ones_like(x[:, :, 0])
        mask = ops.less(ops.cumsum(ones, axis=1) - ones, lengths)
        y = L.LSTM(3, return_sequences=True)(L.Dense(3)(x), mask=mask)
        pooled = L.GlobalAveragePooling1D()(L.Dense(2)(x), mask=mask)
        return keras.Model([x, lengths], L.Dense(2)(L.Concatenate()([L.GRU(3)(y), pooled])))

    def open_length():
        ids = L.Input((None,))
        embedding = L.Embedding(7, 3, mask_zero=True)
        y, mask = embedding(ids), embedding.compute_mask(ids)
        z = L.LSTM(3, return_sequences=True)(ops.tanh(L.Dense(3)(y)), mask=mask)
        return keras.Model(ids, L.Dense(2)(L.GRU(3)(z)))

    for build in (from_states, both_from_states, attention, attention_behind, backwards):
        case(f"masks_{build.__name__}", build, masked=0.5, before=1)
    case("masks_of_lengths", of_lengths, before=1, lengths=[1])
    case("masks_open_length", open_length, tokens=7, before=1)


def training_cases():
    small = chain(lambda: L.GRU(3), dense())
    S = O.schedules
    for name, make in {
        "sgd": lambda: O.SGD(0.05), "sgd_momentum": lambda: O.SGD(0.05, momentum=0.9),
        "sgd_nesterov": lambda: O.SGD(0.05, momentum=0.9, nesterov=True), "rmsprop": lambda: O.RMSprop(0.01),
        "rmsprop_centered": lambda: O.RMSprop(0.01, momentum=0.5, centered=True), "adam": lambda: O.Adam(0.01),
        "adam_amsgrad": lambda: O.Adam(0.01, amsgrad=True, beta_1=0.8, epsilon=1e-5), "adamw": lambda: O.AdamW(0.01, weight_decay=0.02),
        "nadam": lambda: O.Nadam(0.01), "adagrad": lambda: O.Adagrad(0.1), "adadelta": lambda: O.Adadelta(1.0),
        "adamax": lambda: O.Adamax(0.01), "lion": lambda: O.Lion(0.001), "lamb": lambda: O.Lamb(0.01),
        "ftrl": lambda: O.Ftrl(0.05, l1_regularization_strength=0.001, beta=0.1), "adafactor": lambda: O.Adafactor(0.05),
        "clipnorm": lambda: O.Adam(0.01, clipnorm=0.1), "clipvalue": lambda: O.SGD(0.1, clipvalue=0.05),
        "global_clipnorm": lambda: O.SGD(0.1, global_clipnorm=0.1), "ema": lambda: O.SGD(0.1, use_ema=True, ema_momentum=0.9),
        "ema_overwrite": lambda: O.Adam(0.01, use_ema=True, ema_momentum=0.8, ema_overwrite_frequency=3),
        "gathered": lambda: O.Adam(0.01, gradient_accumulation_steps=3),
        "schedule_exponential": lambda: O.Adam(S.ExponentialDecay(0.02, 4, 0.5, staircase=True)),
        "schedule_inverse": lambda: O.SGD(S.InverseTimeDecay(0.1, 4, 0.5), momentum=0.5),
        "schedule_polynomial": lambda: O.Adam(S.PolynomialDecay(0.02, 8, 0.001, power=2.0)),
        "schedule_cosine": lambda: O.Adam(S.CosineDecay(0.0, 10, warmup_target=0.02, warmup_steps=4)),
        "schedule_restarts": lambda: O.SGD(S.CosineDecayRestarts(0.1, 4)),
        "schedule_piecewise": lambda: O.SGD(S.PiecewiseConstantDecay([3, 8], [0.1, 0.05, 0.01])),
    }.items():
        fmt = "h5" if name in ("sgd_momentum", "adam", "rmsprop_centered", "adamax") else "keras"
        case(f"optimizer_{name}", small, optimizer=make, before=4, fmt=fmt)
    K = keras.losses
    last = lambda units, activation: chain(lambda: L.LSTM(3), dense(units, activation=activation))
    for name, (loss, units, activation, targets) in {
        "mae": ("mae", 2, None, None), "mape": ("mape", 2, None, "positive"), "msle": ("msle", 2, "softplus", "positive"),
        "huber": (K.Huber(), 2, None, None), "log_cosh": (K.LogCosh(), 2, None, None), "cosine": ("cosine_similarity", 2, None, None),
        "poisson": ("poisson", 2, "softplus", "positive"), "kl": (K.KLDivergence(), 3, "softmax", "distribution"),
        "hinge": ("hinge", 2, None, "binary"), "squared_hinge": ("squared_hinge", 2, None, "binary"),
        "categorical_hinge": ("categorical_hinge", 3, None, "one_hot"),
        "bce": (K.BinaryCrossentropy(label_smoothing=0.1), 2, "sigmoid", "binary"),
        "bce_logits": (K.BinaryCrossentropy(from_logits=True), 2, None, "binary"),
        "cce": ("categorical_crossentropy", 3, "softmax", "one_hot"),
        "cce_logits": (K.CategoricalCrossentropy(from_logits=True, label_smoothing=0.05), 3, None, "one_hot"),
        "scce": ("sparse_categorical_crossentropy", 3, "softmax", "index"),
        "focal": (K.BinaryFocalCrossentropy(gamma=1.5, apply_class_balancing=True), 2, "sigmoid", "binary"),
        "categorical_focal": (K.CategoricalFocalCrossentropy(alpha=0.4), 3, "softmax", "one_hot"),
    }.items():
        case(f"loss_{name}", last(units, activation), loss=loss, targets=targets, before=1, metrics=["mae"] if targets is None else None)


def values(rng, spec, tokens, masked):
    shape = (4, *[5 if n is None else n for n in spec[1:]])
    if tokens:
        return rng.integers(0, tokens, shape).astype("float32")
    x = rng.uniform(-1, 1, shape).astype("float32")
    if masked is not None and len(shape) == 3:
        x[0, 3:] = masked
        x[2, 1:2] = masked
    return x


def targets(rng, kind, shape):
    if kind == "positive":
        return rng.uniform(0.5, 2, shape).astype("float32")
    if kind == "binary":
        return rng.integers(0, 2, shape).astype("float32")
    if kind == "one_hot":
        return np.eye(shape[-1], dtype="float32")[rng.integers(0, shape[-1], shape[:-1])]
    if kind == "index":
        return rng.integers(0, shape[-1], (*shape[:-1], 1)).astype("float32")
    if kind == "distribution":
        x = rng.uniform(0.1, 1, shape).astype("float32")
        return x / x.sum(-1, keepdims=True)
    return rng.uniform(0, 1, shape).astype("float32")


def flat(value):
    return keras.tree.flatten(value)


def ends(model):
    """The structures of a model's inputs and outputs."""
    if isinstance(model, keras.Sequential):
        return model.inputs[0], model.outputs[0]
    return model._inputs_struct, model._outputs_struct


def array(tensor):
    return keras.ops.convert_to_numpy(tensor)


def predict(model, x):
    return [array(y) for y in flat(model(keras.tree.pack_sequence_as(ends(model)[0], x), training=False))]


def train(model, x, y, steps):
    """The losses of steps; a structure like the model's outputs and inputs."""
    x, y = keras.tree.pack_sequence_as(ends(model)[0], x), keras.tree.pack_sequence_as(ends(model)[1], y)
    losses = []
    for _ in range(steps):
        model.reset_metrics()
        losses.append(float(flat(model.train_on_batch(x, y))[0]))
    return losses


def numbered(key, arrays):
    return {f"{key}{i}": np.ascontiguousarray(a, dtype="float32") for i, a in enumerate(arrays)}


def reset(model):
    for layer in model.layers:
        if getattr(layer, "stateful", False):
            layer.reset_states()


def slots(model):
    return [np.asarray(array(v), dtype="float64") for v in model.optimizer.variables]


def generate(root, names=None, fmt=None):
    for at, (name, c) in enumerate(CASES.items()):
        if names is not None and name not in names:
            continue
        folder = root / name
        folder.mkdir(parents=True)
        keras.utils.set_random_seed(at)
        rng = np.random.default_rng(at)
        model = c["build"]()
        x = [values(rng, t.shape, c["tokens"], c.get("masked")) for t in flat(ends(model)[0])]
        for i in c.get("lengths", ()):
            x[i] = rng.integers(1, 6, size=x[i].shape).astype("float32")
        y = [targets(rng, c["targets"], array(t).shape) for t in flat(model(keras.tree.pack_sequence_as(ends(model)[0], x)))]
        reset(model)
        if c["steps"] or c["before"]:
            optimizer = c["optimizer"]() if callable(c["optimizer"]) else c["optimizer"]
            model.compile(optimizer, c["loss"], loss_weights=c.get("loss_weights"), metrics=c.get("metrics"), run_eagerly=True)
            train(model, x, y, c["before"])
        extension = fmt or c["fmt"]
        model.save(folder / f"model.{extension}")
        # Weights alone go by the order of the layers, which is another one where models within models are one graph in the
        # engine, or where a mask that Keras drops has a layer of its own there.
        is_nested = any(isinstance(getattr(layer, "layer", layer), keras.Model) for layer in model.layers)
        if name != "graph_seq2seq_masked" and not is_nested and not c.get("refused"):
            model.save_weights(folder / "weights.weights.h5")
        expected = predict(model, x)
        reset(model)
        losses = train(model, x, y, c["steps"])
        numbers = {**numbered("x", x), **numbered("y", y), **numbered("expected", expected)}
        if c["steps"]:
            numbers |= numbered("after", predict(model, x))
            np.savez(folder / "slots.npz", *slots(model))
        np.savez_compressed(folder / "numbers.npz", **numbers)
        (folder / "case.json").write_text(json.dumps({"model": f"model.{extension}", "steps": c["steps"], "losses": losses,
                                                      "refused": c.get("refused")}))


def difference(a, b):
    return float(np.max(np.abs(np.asarray(a, "float64") - np.asarray(b, "float64")), initial=0.0))


def check(root):
    """Compares what the engine has written; gives the number of failures."""
    failures, worst = [], {}

    def note(name, what, value, limit):
        worst[what] = max(worst.get(what, (0.0, "")), (value, name))
        if not value <= limit:
            failures.append(f"{name}: {what} {value:.2e}, more than {limit:.0e}")

    count = 0
    for folder in sorted(root.iterdir()):
        if not (folder / "case.json").exists():
            continue
        count += 1
        name, settings = folder.name, json.loads((folder / "case.json").read_text())
        ours = json.loads((folder / "ours.json").read_text())
        if "error" in ours:
            failures.append(f"{name}: {ours['error']}")
            continue
        if ours["notes"]:
            print(f"{name}: {ours['notes']}")
        if ours["weights_agree"] is False:
            failures.append(f"{name}: weights.weights.h5: other weights than those of the model")
        numbers, got = np.load(folder / "numbers.npz"), np.load(folder / "ours.npz")
        several = lambda arrays, key: [arrays[f"{key}{i}"] for i in range(len(arrays)) if f"{key}{i}" in arrays]
        x, expected = several(numbers, "x"), several(numbers, "expected")
        for e, g in zip(expected, several(got, "expected"), strict=True):
            note(name, "prediction", difference(e, g), 1e-5)
        for ours_loss, loss in zip(ours["losses"], settings["losses"]):
            note(name, "loss", abs(flat_loss(ours_loss) - loss) / max(abs(loss), 1e-3), 1e-4)
        exports = [] if settings["refused"] else [("ours.keras", expected), ("ours.h5", expected)]
        # Keras reads Lamb from no .h5 file, its own neither.
        if name == "optimizer_lamb":
            exports.pop()
        if settings["steps"]:
            after = several(got, "after")
            exports += [(file.replace("ours", "ours_trained"), after) for file, _ in exports]
        for file, wanted in exports:
            try:
                model = keras.models.load_model(folder / file)
                reset(model)
                for e, g in zip(wanted, predict(model, x)):
                    note(name, file, difference(e, g), 1e-5)
                # Of an .h5 file Keras 3 takes no optimizer variables, its own neither.
                if file == "ours_trained.keras":
                    for i, (a, b) in enumerate(zip(np.load(folder / "slots.npz").values(), slots(model), strict=True)):
                        scale = max(float(np.max(np.abs(a), initial=0.0)), 1e-3)
                        note(name, f"optimizer variables in {file}", difference(a, b) / scale, 2e-3)
                if file == "ours.keras":
                    model.load_weights(folder / "ours.weights.h5")
                    reset(model)
                    for e, g in zip(wanted, predict(model, x)):
                        note(name, "ours.weights.h5", difference(e, g), 1e-5)
            except Exception as error:
                failures.append(f"{name}: {file}: {type(error).__name__}: {str(error)[:600]}")
    for what, (value, name) in worst.items():
        print(f"largest difference, {what}: {value:.2e} ({name})")
    print("\n".join(failures))
    print(f"{count} models, {len(failures)} failures")
    return len(failures)


def flat_loss(logs):
    if isinstance(logs, dict):
        return float(logs.get("loss", next(iter(logs.values()))))
    return float(logs[0] if isinstance(logs, list) else logs)


def deflate(path):
    """The same archive, compressed and without times."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, contents in members.items():
            archive.writestr(zipfile.ZipInfo(name), contents, zipfile.ZIP_DEFLATED)


# Small ones of each kind for the tests without Python.
GOLDENS = ["lstm_plain", "gru_reset_before", "lstm_regularized", "gru_masked", "two_way_own_backward", "cells_stacked", "cells_held",
           "layers_held", "embedding_masked", "layer_layer_normalization", "layer_p_re_lu", "graph_seq2seq", "graph_nested", "graph_nested_deep",
           "graph_branches_masked", "graph_two_outputs", "graph_by_name", "graph_two_outputs_h5", "graph_nested_h5",
           "optimizer_adam", "optimizer_adafactor", "optimizer_rmsprop_centered", "optimizer_nadam", "optimizer_gathered",
           "optimizer_ema", "loss_cce", "simple_rnn_activity", "graph_operations_index", "graph_operations_arithmetic",
           "graph_operations_masked", "graph_distributed_functional", "graph_operations_quotients", "graph_masks_by_hand", "masks_from_states",
           "masks_attention_behind", "masks_of_lengths"]


def main():
    root = pathlib.Path(sys.argv[1])
    recurrent_cases()
    layer_cases()
    graph_cases()
    training_cases()
    # Cases are drawn by their place: new ones stand behind the others.
    held_cases()
    operation_cases()
    if "--goldens" in sys.argv:
        shutil.rmtree(root, ignore_errors=True)
        generate(root, GOLDENS)
        for path in [*root.glob("*/slots.npz"), *root.glob("*/weights.weights.h5")]:
            path.unlink()
        for path in root.glob("*/model.keras"):
            deflate(path)
        return 0
    if "--check" not in sys.argv:
        shutil.rmtree(root, ignore_errors=True)
        only = [arg.removeprefix("--only=") for arg in sys.argv if arg.startswith("--only=")]
        generate(root, [name for name in CASES if name.startswith(tuple(only))] if only else None)
        if "--generate" in sys.argv:
            return 0
        subprocess.run(["cargo", "run", "--release", "-p", "rnn-interop", "--example", "keras_check", "--", str(root)], check=True)
    return min(check(root), 1)


if __name__ == "__main__":
    sys.exit(main())
