"""Files of Keras 2 (by way of tf_keras) for crates/rnn-interop/tests/keras.rs and examples/keras_check.rs.

    python scripts/interop_keras2.py FOLDER            all of them, .h5 and .keras
    python scripts/interop_keras2.py FOLDER --goldens  the few that are committed

`keras_check FOLDER` runs the engine over them; case.json has the losses of ten further steps, numbers.npz the predictions. Of
optimizers from before TensorFlow 2.11, a .keras file holds nothing. Needs tensorflow and tf_keras.
"""

import json
import os
import pathlib
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tf_keras as keras
from tf_keras import layers as L
from tf_keras import optimizers as O


def chain(*layers, shape=(4, 2)):
    return lambda: keras.Sequential([L.Input(shape), *[layer() for layer in layers]])


def functional():
    x = L.Input((4, 2))
    y, h, c = L.LSTM(3, return_state=True, name="encoder")(L.Masking(0.5)(x))
    z = L.Bidirectional(L.GRU(3))(L.LSTM(3, return_sequences=True)(x, initial_state=[h, c]))
    i = L.Input((6,))
    inner = keras.Model(i, L.Dense(6, "relu")(i), name="inner")
    head = keras.Sequential([L.Input((6,)), L.Dense(6)], name="head")
    first = head(inner(inner(z)))
    second = L.TimeDistributed(L.Dense(2))(L.RepeatVector(3)(L.Concatenate()([first, y])))
    return keras.Model([x], [first, second])


CASES = {
    "functional": (functional, ["mse", "mae"], lambda: O.Adam(0.01, clipnorm=1.0)),
    "hard_sigmoid": (chain(lambda: L.LSTM(3, recurrent_activation="hard_sigmoid"), lambda: L.Dense(2)), "mse",
                     lambda: O.SGD(0.1, momentum=0.9)),
    "first_shape": (lambda: keras.Sequential([L.GRU(3, batch_input_shape=(None, 4, 2), reset_after=False), L.Dense(1)]), "mse",
                    lambda: O.legacy.Adam(0.01)),
    "legacy_rms": (chain(lambda: L.Bidirectional(L.LSTM(3, return_sequences=True)), lambda: L.SimpleRNN(2)), "mae",
                   lambda: O.legacy.RMSprop(0.01, momentum=0.5, centered=True)),
    "legacy_decay": (chain(lambda: L.GRU(3), lambda: L.LeakyReLU(0.2), lambda: L.Dense(2, "softmax")), "mse",
                     lambda: O.legacy.SGD(0.1, decay=0.1, momentum=0.9)),
    "cells": (chain(lambda: L.RNN([L.LSTMCell(3), L.GRUCell(2)]), lambda: L.Dense(2)), "mse", lambda: O.RMSprop(0.01)),
    "embedding": (chain(lambda: L.Embedding(7, 3, mask_zero=True, input_length=4), lambda: L.LSTM(3), L.LayerNormalization,
                        lambda: L.Dense(1, "sigmoid"), shape=(4,)), "binary_crossentropy", lambda: O.AdamW(0.01, weight_decay=0.01)),
    "frozen": (lambda: keras.Sequential([L.Input((4, 2)), L.LSTM(3, return_sequences=True, trainable=False), L.GRU(2)]), "mse",
               lambda: O.Adagrad(0.1)),
}
GOLDENS = ["functional", "first_shape", "legacy_rms", "frozen"]


def several(value):
    return value if isinstance(value, list) else [value]


def generate(root, names, formats):
    for name, (build, loss, optimizer) in CASES.items():
        for extension in formats if name in names else []:
            keras.utils.set_random_seed(1)
            rng = np.random.default_rng(0)
            model = build()
            shape = (4, *model.inputs[0].shape[1:])
            x = (rng.integers(0, 7, shape) if name == "embedding" else rng.uniform(-1, 1, shape)).astype("float32")
            if name == "functional":
                x[0, 2:] = 0.5
            y = [rng.uniform(0.1, 0.9, o.shape).astype("float32") for o in several(model(x))]
            target = y if len(y) > 1 else y[0]
            model.compile(optimizer(), loss, metrics=["mae"], run_eagerly=True)
            for _ in range(3):
                model.train_on_batch(x, target)
            folder = root / f"keras_2_{name}{'' if len(formats) == 1 else '_' + extension}"
            folder.mkdir(parents=True)
            model.save(folder / f"model.{extension}")
            expected = [np.asarray(o) for o in several(model(x))]
            losses = [float(several(model.train_on_batch(x, target, reset_metrics=True))[0]) for _ in range(10)]
            numbers = {"x0": x} | {f"y{i}": a for i, a in enumerate(y)} | {f"expected{i}": a for i, a in enumerate(expected)}
            np.savez_compressed(folder / "numbers.npz", **numbers)
            settings = {"model": f"model.{extension}", "steps": 10, "losses": losses, "export": False}
            (folder / "case.json").write_text(json.dumps(settings))


if __name__ == "__main__":
    goldens = "--goldens" in sys.argv
    generate(pathlib.Path(sys.argv[1]), GOLDENS if goldens else list(CASES), ["h5"] if goldens else ["h5", "keras"])
