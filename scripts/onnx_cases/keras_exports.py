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
    import keras
    from keras import Input, layers

    def chain(shape, *parts, dtype="float32"):
        return keras.Sequential([Input(shape, dtype=dtype), *parts])

    yield "lstm", chain((4, 3), layers.LSTM(5), layers.Dense(2))
    yield "lstm_sequences", chain((4, 3), layers.LSTM(5, return_sequences=True), layers.Dense(2, activation="tanh"))
    yield "lstm_stacked", chain((4, 3), layers.LSTM(5, return_sequences=True), layers.LSTM(4), layers.Dense(2, activation="softmax"))
    yield "gru", chain((4, 3), layers.GRU(5, unroll=True), layers.Dense(2))
    yield "gru_before", chain((4, 3), layers.GRU(5, reset_after=False, unroll=True), layers.Dense(2))
    yield "simple_rnn", chain((4, 3), layers.SimpleRNN(5, unroll=True), layers.Dropout(0.2), layers.Dense(2))
    yield "bidirectional", chain((4, 3), layers.Bidirectional(layers.LSTM(5, return_sequences=True)),
                                 layers.GlobalAveragePooling1D(), layers.Dense(2, activation="softmax"))
    yield "embedding", chain((4,), layers.Embedding(11, 3), layers.LSTM(5), layers.Dense(2, activation="relu"), dtype="int32")
    yield "autoencoder", chain((4, 3), layers.LSTM(5), layers.RepeatVector(4), layers.LSTM(4, return_sequences=True),
                               layers.TimeDistributed(layers.Dense(3)))


def export(folder: Path):
    for name, model in models():
        shape = (2, *model.input_shape[1:])
        rng = np.random.default_rng(4)
        x = rng.integers(0, 11, shape).astype(np.int32) if name == "embedding" else rng.uniform(-1, 1, shape).astype(np.float32)
        try:
            model(x)
            model.export(folder / f"{name}.onnx", format="onnx", verbose=False)
            np.save(folder / f"{name}.npy", x)
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
                x = np.load(path.with_suffix(".npy"))
                yield Case(f"{path.stem}_{backend}", model, {model.graph.input[0].name: x})


if __name__ == "__main__":
    export(Path(sys.argv[1]))
