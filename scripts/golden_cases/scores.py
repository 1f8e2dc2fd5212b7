"""Losses with their gradient by the prediction, and metrics, with and without sample weights."""

import keras
import numpy as np
from keras import ops

from .stack import detach, gradients, variable
from .store import normal, random

ROWS = 6


def probabilities(rng, shape):
    """Rows that sum to one in f32, none close to the clipping at 1e-7."""
    z = np.exp(rng.standard_normal(shape))
    return (z / z.sum(-1, keepdims=True)).astype(np.float32).astype(np.float64)


def one_hot(rng, shape):
    return np.eye(shape[-1])[rng.integers(0, shape[-1], shape[:-1])]


def index(rng, shape):
    return rng.integers(0, shape[-1], shape[:-1]).astype(np.float64)


def binary(rng, shape):
    return rng.integers(0, 2, shape).astype(np.float64)


def unit(rng, shape):
    return rng.uniform(0.02, 0.98, shape).astype(np.float32).astype(np.float64)


# class, options, prediction, target
LOSSES = {
    "mean_squared_error": ("MeanSquaredError", {}, normal, normal),
    "mean_absolute_error": ("MeanAbsoluteError", {}, normal, normal),
    "huber": ("Huber", {"delta": 1.0}, normal, normal),
    "huber_delta": ("Huber", {"delta": 0.4}, normal, normal),
    "binary_crossentropy": ("BinaryCrossentropy", {"from_logits": False}, unit, binary),
    "binary_crossentropy_logits": ("BinaryCrossentropy", {"from_logits": True}, normal, binary),
    "categorical_crossentropy": ("CategoricalCrossentropy", {"from_logits": False}, probabilities, one_hot),
    "categorical_crossentropy_soft": ("CategoricalCrossentropy", {"from_logits": False}, probabilities, probabilities),
    "categorical_crossentropy_unnormalised": ("CategoricalCrossentropy", {"from_logits": False}, unit, one_hot),
    "categorical_crossentropy_logits": ("CategoricalCrossentropy", {"from_logits": True}, normal, one_hot),
    "sparse_categorical_crossentropy": ("SparseCategoricalCrossentropy", {"from_logits": False}, probabilities, index),
    "sparse_categorical_crossentropy_logits": ("SparseCategoricalCrossentropy", {"from_logits": True}, normal, index),
    "kl_divergence": ("KLDivergence", {}, probabilities, probabilities),
}
METRICS = {
    "mean_absolute_error": ("MeanAbsoluteError", normal, normal),
    "mean_squared_error": ("MeanSquaredError", normal, normal),
    "root_mean_squared_error": ("RootMeanSquaredError", normal, normal),
    "binary_accuracy": ("BinaryAccuracy", unit, binary),
    "categorical_accuracy": ("CategoricalAccuracy", probabilities, one_hot),
    "sparse_categorical_accuracy": ("SparseCategoricalAccuracy", probabilities, index),
}
# Columns; rows are samples, and with time the prediction is [samples, time, columns]
SHAPES = {"": (ROWS, 4), "_column": (ROWS, 1), "_time": (3, 5, 4)}


def fill(family):
    """Adds every case. `sample_weight` has one number per sample."""
    for label, (class_name, config, predict, aim) in LOSSES.items():
        for suffix, shape in SHAPES.items():
            if suffix == "_column" and not label.startswith(("mean", "huber", "binary")):
                continue
            for weighted in (False, True) if suffix != "_column" else (False,):
                name = f"loss_{label}{suffix}{'_weighted' if weighted else ''}"
                add_loss(family, name, class_name, config, predict, aim, shape, weighted)
    for label, (class_name, predict, aim) in METRICS.items():
        for suffix, shape in SHAPES.items():
            if suffix == "_column" and "categorical" in label:
                continue
            for weighted in (False, True) if suffix == "" else (False,):
                name = f"metric_{label}{suffix}{'_weighted' if weighted else ''}"
                add_metric(family, name, class_name, predict, aim, shape, weighted)


def add_loss(family, name, class_name, config, predict, aim, shape, weighted):
    rng = random(name)
    put = family.case(name, source="keras", kind="loss", class_name=class_name, config=config, weighted=weighted)
    pred, target = variable(predict(rng, shape)), aim(rng, shape)
    weight = rng.uniform(0.1, 2.0, shape[0]).astype(np.float32).astype(np.float64) if weighted else None
    loss = getattr(keras.losses, class_name)(**config)
    # Keras broadcasts a weight per sample over the steps of [samples, time] values only when it has their rank.
    spread = weight if weight is None or len(shape) == 2 else np.repeat(weight[:, None], shape[1], 1)
    value, (grad,) = gradients(lambda: loss(target, pred.value, sample_weight=spread), [pred])
    put("prediction", ops.convert_to_numpy(pred))
    put("target", target)
    put("rows", ops.convert_to_numpy(detach(loss.call(ops.convert_to_tensor(target), pred.value))))
    put("value", ops.convert_to_numpy(detach(value)))
    put("dprediction", grad)
    if weighted:
        put("sample_weight", weight)


def add_metric(family, name, class_name, predict, aim, shape, weighted):
    rng = random(name)
    put = family.case(name, source="keras", kind="metric", class_name=class_name, config={}, weighted=weighted)
    # Two batches of unequal size: a metric is the mean over all rows, not the mean of the batches' means.
    pred, target = predict(rng, shape), aim(rng, shape)
    if "accuracy" in name:  # half of the answers right
        pred = sharpen(pred, target, rng)
    weight = rng.uniform(0.1, 2.0, shape[0]).astype(np.float32).astype(np.float64) if weighted else None
    metric = getattr(keras.metrics, class_name)(dtype="float64")
    cut = shape[0] // 3
    for part in (slice(0, cut), slice(cut, None)):
        metric.update_state(target[part], pred[part], sample_weight=None if weight is None else weight[part])
    put("prediction", pred)
    put("target", target)
    put("value", ops.convert_to_numpy(metric.result()))
    if weighted:
        put("sample_weight", weight)


def sharpen(pred, target, rng):
    """Moves half of the predictions to the right answer."""
    if target.ndim < pred.ndim:
        target = np.eye(pred.shape[-1])[target.astype(int)]
    pull = (rng.random(pred.shape[:-1] + (1,)) < 0.5) * 0.9
    return ((1 - pull) * pred + pull * target).astype(np.float32).astype(np.float64)
