"""Models of Keras's own exporter, from each of its backends: run in a process of its own."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx

from .case import Case


def models():
    """Names and models. TensorFlow's exporter writes loops but for most LSTM layers, PyTorch's unrolls all steps."""
    import keras
    from keras import Input, layers

    def chain(shape, *parts, dtype="float32"):
        return keras.Sequential([Input(shape, dtype=dtype), *parts])

    yield "lstm", chain((4, 3), layers.LSTM(5), layers.Dense(2))
    yield "lstm_stacked", chain((4, 3), layers.LSTM(5, return_sequences=True), layers.LSTM(4), layers.Dense(2, activation="softmax"))
    yield "gru_unrolled", chain((4, 3), layers.GRU(5, unroll=True), layers.Dense(2))
    yield "gru_before_unrolled", chain((4, 3), layers.GRU(5, reset_after=False, unroll=True), layers.Dense(2))
    yield "rnn_unrolled", chain((4, 3), layers.SimpleRNN(5, unroll=True), layers.Dropout(0.2), layers.Dense(2))
    yield "bidirectional", chain((4, 3), layers.Bidirectional(layers.LSTM(5, return_sequences=True)),
                                 layers.GlobalAveragePooling1D(), layers.Dense(2, activation="softmax"))
    yield "embedding", chain((4,), layers.Embedding(11, 3), layers.LSTM(5), layers.Dense(2, activation="relu"), dtype="int32")
    yield "autoencoder", chain((4, 3), layers.LSTM(5), layers.RepeatVector(4), layers.LSTM(4, return_sequences=True),
                               layers.TimeDistributed(layers.Dense(3)))
    for name, layer in (("lstm", layers.LSTM), ("gru", layers.GRU), ("rnn", layers.SimpleRNN)):
        yield f"{name}_sequences", chain((4, 3), layer(5, return_sequences=True), layers.Dense(2, activation="tanh"))
        yield f"{name}_no_bias", chain((4, 3), layer(5, use_bias=False))
        yield f"{name}_backwards", chain((4, 3), layer(5, go_backwards=True, return_sequences=True))
        yield f"{name}_bidirectional", chain((4, 3), layers.Bidirectional(layer(5)), layers.Dense(2))
        x = Input((4, 3))
        yield f"{name}_states", keras.Model(x, layer(5, return_state=True, return_sequences=True)(x))
        x, first = Input((4, 3)), [Input((5,)) for _ in range(2 if name == "lstm" else 1)]
        yield f"{name}_first_states", keras.Model([x, *first], layer(5)(x, initial_state=first))
        yield f"{name}_relu", chain((4, 3), layer(5, activation="relu"), layers.Dense(2, activation="elu"))
        if keras.backend.backend() == "torch":
            continue  # masks are written as values that are compared at each step, an open number of steps as a fixed one
        yield f"{name}_open", chain((None, 3), layer(5, return_sequences=True), layer(4))
        yield f"{name}_masked", chain((4, 3), layers.Masking(), layer(5), layers.Dense(2))
        yield f"{name}_masked_sequences", chain((4, 3), layers.Masking(), layer(5, return_sequences=True), layers.Dense(4), layer(3))
        yield f"{name}_masked_bidirectional", chain((4, 3), layers.Masking(), layers.Bidirectional(layer(5, return_sequences=True)))
        yield f"{name}_masked_embedding", chain((4,), layers.Embedding(11, 3, mask_zero=True), layer(5), dtype="int32")
    if keras.backend.backend() == "torch":
        return
    yield "gru", chain((4, 3), layers.GRU(5), layers.Dense(2))
    yield "gru_before", chain((4, 3), layers.GRU(5, reset_after=False, return_sequences=True), layers.GRU(4, reset_after=False, use_bias=False))
    yield "gru_hard", chain((4, 3), layers.GRU(5, activation="relu", recurrent_activation="hard_sigmoid"))
    yield "gru_silu", chain((4, 3), layers.GRU(5, activation="silu"), layers.Dense(2, activation="silu"))
    yield "gru_linear", chain((4, 3), layers.GRU(5, activation="linear"))
    yield "lstm_hard", chain((4, 3), layers.LSTM(5, activation="relu", recurrent_activation="hard_sigmoid", return_sequences=True))
    yield "lstm_linear", chain((4, 3), layers.LSTM(5, activation="linear", recurrent_activation="hard_sigmoid"))
    yield "rnn_linear", chain((4, 3), layers.SimpleRNN(5, activation="linear"))
    yield "cells", chain((4, 3), layers.RNN([layers.LSTMCell(5), layers.GRUCell(4), layers.SimpleRNNCell(3)]))
    yield "dropped", chain((4, 3), layers.GRU(5, dropout=0.2, recurrent_dropout=0.2, return_sequences=True), layers.GlobalMaxPooling1D())
    yield "prelu", chain((4, 3), layers.GRU(5), layers.Dense(4), layers.PReLU(), layers.Dense(2))
    yield "normalized", chain((4, 3), layers.LayerNormalization(), layers.GRU(5, return_sequences=True), layers.LayerNormalization(), layers.Dense(2))


def export(folder: Path):
    for name, model in models():
        rng = np.random.default_rng(4)
        # Biases too, which are 0 in a new model and would not be there in the file.
        for variable in model.weights:
            if variable.dtype == "float32":
                variable.assign(rng.uniform(-0.8, 0.8, variable.shape).astype(np.float32))
        arrays = []
        for given in model.inputs:
            shape = (3, *(n or 4 for n in given.shape[1:]))
            x = rng.integers(0, 4, shape).astype(np.int32) if given.dtype == "int32" else rng.uniform(-1, 1, shape).astype(np.float32)
            if "masked" in name and x.ndim == 3:
                x[0, 2:], x[1, 0], x[1, 2] = 0, 0, 0
            arrays.append(x)
        try:
            model(arrays if len(arrays) > 1 else arrays[0])
            model.export(folder / f"{name}.onnx", format="onnx", verbose=False)
            np.savez(folder / f"{name}.npz", *arrays)
        except Exception as error:
            print(f"{name}: Keras does not export it: {str(error).splitlines()[0][:120]}")


def cases():
    for backend in ("tensorflow", "torch"):
        with tempfile.TemporaryDirectory() as folder:
            environment = os.environ | {"KERAS_BACKEND": backend, "TF_CPP_MIN_LOG_LEVEL": "3"}
            command = [sys.executable, "-W", "ignore", "-m", "onnx_cases.keras_exports", folder]
            scripts = Path(__file__).parent.parent
            subprocess.run(command, cwd=scripts, env=environment, check=True, stderr=subprocess.DEVNULL)
            for path in sorted(Path(folder).glob("*.onnx")):
                model = onnx.load(path)
                arrays = np.load(path.with_suffix(".npz"))
                inputs = {given.name: arrays[f"arr_{i}"] for i, given in enumerate(model.graph.input)}
                yield Case(f"{path.stem}_{backend}", model, inputs)


if __name__ == "__main__":
    export(Path(sys.argv[1]))
