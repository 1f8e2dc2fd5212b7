"""Files of weights that crates/rnn-interop/tests/keras.rs reads: of models that contain models, and in bfloat16.

    python scripts/interop_weights.py

writes crates/rnn-interop/tests/files/{nested,alike,masked}.weights.h5, nested.npz, masked.npz and bfloat16.keras. Needs Keras 3.
"""

import io
import os
import pathlib
import zipfile

os.environ.setdefault("KERAS_BACKEND", "torch")

import h5py
import keras
import ml_dtypes
import numpy as np
from keras import layers, ops

FILES = pathlib.Path(__file__).resolve().parent.parent / "crates/rnn-interop/tests/files"


def moved_away(model):
    """Keras starts biases from 0, which would hide those that are lost."""
    for weight in model.weights:
        weight.assign(weight + np.random.default_rng(weight.shape[0]).normal(size=weight.shape) * 0.2)


def masked():
    """Lengths, and the mask of another value, which are layers in the engine and none in Keras; its layers are alike, so that
    only their order tells them apart."""
    keras.utils.set_random_seed(2)
    x, lengths = layers.Input((4, 3), name="x"), layers.Input((1,), name="lengths")
    mask = ops.less(ops.arange(4, dtype="float32"), lengths)
    masking = layers.Masking()
    bare, other = layers.Reshape((4, 3))(masking(x)), masking.compute_mask(x)
    near = layers.LSTM(3)(layers.Dense(3)(bare), mask=mask)
    far = layers.LSTM(3, return_sequences=True)(layers.Dense(3)(bare), mask=other)
    far = layers.LSTM(3)(far)
    model = keras.Model([x, lengths], layers.Dense(1)(layers.concatenate([near, far])))
    moved_away(model)
    model.save_weights(FILES / "masked.weights.h5")
    rng = np.random.default_rng(6)
    arrays = {"x": rng.normal(size=(3, 4, 3)), "lengths": np.array([[2], [4], [3]])}
    arrays["x"][0, 1] = 0
    arrays = {name: array.astype("f4") for name, array in arrays.items()}
    expected = keras.ops.convert_to_numpy(model([arrays["x"], arrays["lengths"]]))
    np.savez(FILES / "masked.npz", expected=expected, **arrays)


def nested():
    """Functional and Sequential models within a model, one used twice, one within another, one at each step."""
    keras.utils.set_random_seed(1)
    steps = layers.Input((4, 3))
    encoder = keras.Model(steps, layers.LSTM(2, name="read")(layers.Masking()(steps)), name="encoder")
    deep = keras.Sequential([layers.Dense(3, name="inner"), layers.Dropout(0.2)], name="deep")
    decoder = keras.Sequential([layers.Dense(3, name="first"), deep], name="decoder")
    each = keras.Sequential([layers.Dense(2, name="d")], name="model_of_a_step")
    x, y = layers.Input((4, 3), name="x"), layers.Input((4, 3), name="y")
    code = layers.Dense(2, name="mix")(layers.concatenate([encoder(x), encoder(y)]))
    at_steps = layers.Flatten()(layers.TimeDistributed(each, name="steps")(x))
    model = keras.Model([x, y], layers.Dense(1, name="out")(layers.concatenate([decoder(code), at_steps])))
    moved_away(model)
    model.save_weights(FILES / "nested.weights.h5")
    rng = np.random.default_rng(5)
    arrays = {"x": rng.normal(size=(3, 4, 3)), "y": rng.normal(size=(3, 4, 3))}
    arrays["x"][0, 1] = 0  # a masked step in the middle
    arrays = {name: array.astype("f4") for name, array in arrays.items()}
    expected = keras.ops.convert_to_numpy(model([arrays["x"], arrays["y"]]))
    np.savez(FILES / "nested.npz", expected=expected, **arrays)


def alike():
    """Two layers of one class and shapes, which names alone tell apart."""
    inner = keras.Sequential([layers.Input((3,)), layers.Dense(3, name="one"), layers.Dense(3, name="two")], name="inner")
    model = keras.Sequential([layers.Input((3,)), inner])
    model.set_weights([np.full(weight.shape, i + 1, "f4") for i, weight in enumerate(model.weights)])
    model.save_weights(FILES / "alike.weights.h5")


def bfloat16():
    """Weights that bfloat16 holds exactly: eighths. Keras 3.15 writes the first weight of a layer alone and can not load its
    own file, so this one is put together as its code means it: the bits as h5py stores them, and what they are beside them."""
    model = keras.Sequential([layers.Input((4, 3)), layers.LSTM(2), layers.Dense(1)])
    count = 0
    for weight in model.weights:
        size = int(np.prod(weight.shape))
        weight.assign((np.arange(count, count + size).reshape(weight.shape) - 20) / 8)
        count += size
    model.save(FILES / "bfloat16.keras")
    with zipfile.ZipFile(FILES / "bfloat16.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    members["config.json"] = members["config.json"].replace(b'"float32"', b'"bfloat16"')
    buffer = io.BytesIO(members["model.weights.h5"])
    with h5py.File(buffer, "r+") as file:
        paths = []
        file.visititems(lambda path, found: paths.append(path) if isinstance(found, h5py.Dataset) else None)
        for path in paths:
            values = file[path][()].astype(ml_dtypes.bfloat16)
            del file[path]
            file.create_dataset(path, data=values.view("V2")).attrs["dtype"] = "bfloat16"
    members["model.weights.h5"] = buffer.getvalue()
    with zipfile.ZipFile(FILES / "bfloat16.keras", "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


if __name__ == "__main__":
    nested()
    alike()
    bfloat16()
    masked()
