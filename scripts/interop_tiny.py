"""The smallest whole models of Keras, PyTorch and ONNX, which crates/rnn-interop/tests/mutations.rs damages.

    python scripts/interop_tiny.py

writes crates/rnn-interop/tests/files/tiny.*. Needs Keras 3, PyTorch, onnx and safetensors.
"""

import os
import pathlib

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import safetensors.torch
import torch

FILES = pathlib.Path(__file__).resolve().parent.parent / "crates/rnn-interop/tests/files"


def of_keras():
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [keras.Input((3, 2)), keras.layers.GRU(2, return_sequences=True), keras.layers.LSTM(2), keras.layers.Dense(1)]
    )
    model.compile(keras.optimizers.Adam(0.01), "mse", metrics=["mae"])
    x = np.linspace(-1, 1, 24).reshape(4, 3, 2)
    model.fit(x, x[:, -1, :1], epochs=1, verbose=0)
    model.save(FILES / "tiny.keras")
    model.save(FILES / "tiny.h5")
    model.save_weights(FILES / "tiny.weights.h5")


class Torch(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = torch.nn.LSTM(2, 2, batch_first=True)
        self.fc = torch.nn.Linear(2, 1)

    def forward(self, x):
        return self.fc(self.lstm(x)[0][:, -1])


def of_torch():
    torch.manual_seed(1)
    model = Torch().eval()
    safetensors.torch.save_file(model.state_dict(), FILES / "tiny.torch.safetensors")
    torch.onnx.export(model, (torch.zeros(1, 3, 2),), FILES / "tiny.onnx", dynamo=False, input_names=["x"],
                      output_names=["y"], dynamic_axes={"x": {0: "batch"}, "y": {0: "batch"}})
    torch.save(model.state_dict(), FILES.parent / "hostile" / "pickle.pt")


if __name__ == "__main__":
    of_keras()
    of_torch()
