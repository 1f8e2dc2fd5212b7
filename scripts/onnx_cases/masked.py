"""Models of Keras with masks of any pattern, which are written as ONNX here: run in a process of its own.

Keras itself says what comes out: of the file that it saves, and of the ONNX model that Tidegate makes of it.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from .case import Case

STEPS = 6


def models():
    import keras
    from keras import Input, layers

    def chain(*parts, first=layers.Masking):
        return keras.Sequential([Input((STEPS, 3), name="x"), first(), *parts])

    def words(*parts):
        return keras.Sequential([Input((STEPS,), name="words", dtype="int32"), layers.Embedding(6, 3, mask_zero=True), *parts])

    for name, layer in (("lstm", layers.LSTM), ("gru", layers.GRU), ("rnn", layers.SimpleRNN)):
        yield f"{name}_last", chain(layer(5), layers.Dense(2))
        yield f"{name}_value", chain(layer(5, return_sequences=True), first=lambda: layers.Masking(0.5))
        yield f"{name}_sequences", chain(layer(5, return_sequences=True), layers.Dense(2))
        yield f"{name}_stacked", chain(layer(5, return_sequences=True), layers.Dense(4), layers.Dropout(0.2), layer(3, return_sequences=True), layer(2))
        yield f"{name}_open", keras.Sequential([Input((None, 3), name="x"), layers.Masking(), layer(5, return_sequences=True), layer(2)])
        yield f"{name}_zeros", chain(layer(5, return_sequences=True, zero_output_for_mask=True), layer(3, zero_output_for_mask=True))
        yield f"{name}_backwards", chain(layer(5, go_backwards=True))
        yield f"{name}_backwards_sequences", chain(layer(5, go_backwards=True, return_sequences=True), layers.Dense(2))
        yield f"{name}_backwards_zeros", chain(layer(5, go_backwards=True, return_sequences=True, zero_output_for_mask=True), layers.Dense(2))
        yield f"{name}_words", words(layer(5, return_sequences=True), layers.TimeDistributed(layers.Dense(4)), layer(3))
        yield f"{name}_mean", words(layer(5, return_sequences=True), layers.GlobalAveragePooling1D())
        yield f"{name}_largest", words(layer(5, return_sequences=True), layers.GlobalMaxPooling1D())
        for mode in ("concat", "sum", "mul", "ave"):
            yield f"{name}_both_{mode}", chain(layers.Bidirectional(layer(5, return_sequences=True), merge_mode=mode), layer(2))
        yield f"{name}_both_last", words(layers.Bidirectional(layer(5)))
        yield f"{name}_both_zeros", chain(layers.Bidirectional(layer(5, return_sequences=True, zero_output_for_mask=True)))
        x = Input((STEPS, 3), name="x")
        yield f"{name}_states", keras.Model(x, layer(5, return_sequences=True, return_state=True)(layers.Masking()(x)))
        x, first = Input((STEPS, 3), name="x"), [Input((5,), name=f"first_{i}") for i in range(2 if name == "lstm" else 1)]
        masked = layers.Masking()(x)
        started = layer(5, return_sequences=True, return_state=True)(masked, initial_state=first, mask=masked._keras_mask)
        yield f"{name}_first_states", keras.Model([x, *first], started)
        started = layer(5)(masked, initial_state=first, mask=masked._keras_mask)
        yield f"{name}_first_states_last", keras.Model([x, *first], started)
        for kind, merge in (
            ("sum", layers.Add()), ("product", layers.Multiply()), ("maximum", layers.Maximum()), ("minimum", layers.Minimum()),
            ("average", layers.Average()), ("beside", layers.Concatenate()), ("behind", layers.Concatenate(axis=1)),
        ):
            x, y = Input((STEPS, 3), name="x"), Input((STEPS, 3), name="y")
            yield f"{name}_{kind}", keras.Model([x, y], layer(4)(merge([layers.Masking()(x), layers.Masking(0.5)(y)])))
        x, y = Input((STEPS, 3), name="x"), Input((STEPS, 3), name="y")
        yield f"{name}_one_masked", keras.Model([x, y], layer(4)(layers.Concatenate(axis=1)([layers.Masking()(x), y])))
        x, y = Input((STEPS, 3), name="x"), Input((STEPS,), name="words", dtype="int32")
        other = layers.Embedding(6, 3, mask_zero=True)(y)
        by_hand = layer(4, return_sequences=True)(x, mask=other._keras_mask)
        yield f"{name}_mask_of_another", keras.Model([x, y], [by_hand, layers.Dense(2)(other)])
    x = Input((STEPS, 3), name="x")
    masking = layers.Masking(0.5)
    steps, mask = masking(x), masking.compute_mask(x)
    shares = layers.Softmax()(layers.Reshape((STEPS,))(layers.Dense(1)(steps)), mask=mask)
    yield "shares", keras.Model(x, layers.Dot(axes=1)([shares, layers.Dense(4)(steps)]))
    x, y = Input((STEPS, 3), name="x"), Input((STEPS, 1), name="y")
    masked = layers.Masking()(x)
    yield "joined", keras.Model([x, y], layers.LSTM(4)(layers.Concatenate()([masked, layers.Masking()(layers.Concatenate()([masked, y]))])))


def masked_numbers(rng, shape):
    """Numbers with gaps of 0 and of 0.5: a sample without a step, one with all, others at random."""
    x = rng.uniform(-1, 1, shape).astype(np.float32)
    if len(shape) == 3:
        gaps = rng.uniform(size=shape[:2])
        gaps[0], gaps[1] = 0, 1
        x[gaps < 0.3], x[(gaps >= 0.3) & (gaps < 0.5)] = 0, 0.5
    return x


def save(folder: Path):
    import zlib

    names = []
    for name, model in models():
        names.append(name)
        # Numbers of a name are the same whichever others there are.
        rng = np.random.default_rng(zlib.crc32(name.encode()))
        for variable in model.weights:
            if variable.dtype == "float32":
                variable.assign(rng.uniform(-0.8, 0.8, variable.shape).astype(np.float32))
        arrays = {}
        for given in model.inputs:
            shape = (5, *(n or STEPS for n in given.shape[1:]))
            if given.dtype == "int32":
                arrays[given.name] = rng.integers(0, 3, shape).astype(np.int32)
                # Keras's mean of no step is no number.
                arrays[given.name][0], arrays[given.name][1] = 0 if "mean" not in name else 5, 4
            else:
                arrays[given.name] = masked_numbers(rng, shape)
        made = model(list(arrays.values()) if len(arrays) > 1 else next(iter(arrays.values())))
        made = made if isinstance(made, (list, tuple)) else [made]
        model.save(folder / f"{name}.keras")
        np.savez(folder / f"{name}.in.npz", **arrays)
        np.savez(folder / f"{name}.out.npz", *[np.asarray(y) for y in made])
    (folder / "names.json").write_text(json.dumps(names))


def cases():
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "3"}
        command = [sys.executable, "-W", "ignore", "-m", "onnx_cases.masked", folder]
        subprocess.run(command, cwd=Path(__file__).parent.parent, env=environment, check=True, stderr=subprocess.DEVNULL)
        for name in json.loads((Path(folder) / "names.json").read_text()):
            inputs, outputs = (dict(np.load(Path(folder) / f"{name}.{side}.npz")) for side in ("in", "out"))
            yield Case(name, (Path(folder) / f"{name}.keras").read_bytes(), inputs, outputs=outputs)


if __name__ == "__main__":
    save(Path(sys.argv[1]))
