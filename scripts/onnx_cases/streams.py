"""Stateful models of Keras, with what they make of the parts of a sequence one after the other."""

import os
import tempfile

import numpy as np

from .case import random

os.environ.setdefault("KERAS_BACKEND", "torch")

# Steps of a part, and of all.
PART, STEPS, BATCH = 3, 9, 4


def models():
    import keras
    from keras import Input, layers

    def chain(*parts):
        return keras.Sequential([Input(batch_shape=(BATCH, PART, 3), name="x"), *parts])

    for name, layer in (("lstm", layers.LSTM), ("gru", layers.GRU), ("rnn", layers.SimpleRNN)):
        yield name, chain(layer(5, stateful=True), layers.Dense(2))
        yield f"{name}_sequences", chain(layer(5, stateful=True, return_sequences=True), layer(4, stateful=True, return_sequences=True))
        yield f"{name}_masked", chain(layers.Masking(0.5), layer(5, stateful=True, return_sequences=True), layer(3))
        yield f"{name}_both", chain(layers.Bidirectional(layer(5, stateful=True, return_sequences=True)), layers.Dense(2))


def cases():
    import keras

    for at, (name, model) in enumerate(models()):
        keras.utils.set_random_seed(at)
        for weight in model.trainable_weights:
            weight.assign(random(at + weight.shape[0], *weight.shape, scale=0.7))
        x = random(at, BATCH, STEPS, 3)
        x[0, 2:5] = 0.5
        with tempfile.TemporaryDirectory() as folder:
            model.save(f"{folder}/model.keras")
            with open(f"{folder}/model.keras", "rb") as file:
                content = file.read()
        parts = np.split(x, STEPS // PART, axis=1)
        yield name, content, x, [np.asarray(keras.ops.convert_to_numpy(model(part))) for part in parts]
