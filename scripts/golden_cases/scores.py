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


def signs(rng, shape):
    return 2.0 * binary(rng, shape) - 1.0


def positive(rng, shape):
    return rng.uniform(0.3, 3.0, shape).astype(np.float32).astype(np.float64)


def counts(rng, shape):
    return rng.integers(0, 5, shape).astype(np.float64)


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
    "mean_absolute_percentage_error": ("MeanAbsolutePercentageError", {}, normal, positive),
    "mean_squared_logarithmic_error": ("MeanSquaredLogarithmicError", {}, positive, counts),
    "mean_squared_logarithmic_error_clipped": ("MeanSquaredLogarithmicError", {}, normal, normal),
    "log_cosh": ("LogCosh", {}, normal, normal),
    "poisson": ("Poisson", {}, positive, counts),
    "cosine_similarity": ("CosineSimilarity", {}, normal, normal),
    "hinge": ("Hinge", {}, normal, signs),
    "hinge_binary": ("Hinge", {}, normal, binary),
    "squared_hinge": ("SquaredHinge", {}, normal, signs),
    "categorical_hinge": ("CategoricalHinge", {}, normal, one_hot),
    "binary_focal": ("BinaryFocalCrossentropy", {"from_logits": False}, unit, binary),
    "binary_focal_balanced": (
        "BinaryFocalCrossentropy",
        {"from_logits": True, "apply_class_balancing": True, "alpha": 0.3, "gamma": 1.5, "label_smoothing": 0.1},
        normal,
        binary,
    ),
    "categorical_focal": ("CategoricalFocalCrossentropy", {"from_logits": False}, probabilities, one_hot),
    "categorical_focal_logits": (
        "CategoricalFocalCrossentropy",
        {"from_logits": True, "alpha": 0.4, "gamma": 1.5, "label_smoothing": 0.2},
        normal,
        one_hot,
    ),
    "binary_smooth": ("BinaryCrossentropy", {"from_logits": False, "label_smoothing": 0.1}, unit, binary),
    "binary_smooth_logits": ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.1}, normal, binary),
    "categorical_smooth": (
        "CategoricalCrossentropy", {"from_logits": False, "label_smoothing": 0.2}, probabilities, one_hot
    ),
    "categorical_smooth_logits": (
        "CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.2}, normal, one_hot
    ),
}
# The same formulas with other targets need no second shape.
PLAIN = ("_clipped", "_binary", "_focal", "_smooth", "_balanced")
# class, options, prediction, target
METRICS = {
    "mean_absolute_error": ("MeanAbsoluteError", {}, normal, normal),
    "mean_squared_error": ("MeanSquaredError", {}, normal, normal),
    "root_mean_squared_error": ("RootMeanSquaredError", {}, normal, normal),
    "binary_accuracy": ("BinaryAccuracy", {}, unit, binary),
    "categorical_accuracy": ("CategoricalAccuracy", {}, probabilities, one_hot),
    "sparse_categorical_accuracy": ("SparseCategoricalAccuracy", {}, probabilities, index),
    "top_k": ("TopKCategoricalAccuracy", {"k": 2}, probabilities, one_hot),
    "sparse_top_k": ("SparseTopKCategoricalAccuracy", {"k": 2}, probabilities, index),
    "mean_absolute_percentage_error": ("MeanAbsolutePercentageError", {}, normal, positive),
    "mean_squared_logarithmic_error": ("MeanSquaredLogarithmicError", {}, positive, counts),
    "log_cosh": ("LogCoshError", {}, normal, normal),
    "poisson": ("Poisson", {}, positive, counts),
    "cosine_similarity": ("CosineSimilarity", {}, normal, normal),
    "hinge": ("Hinge", {}, normal, signs),
    "squared_hinge": ("SquaredHinge", {}, normal, signs),
    "categorical_hinge": ("CategoricalHinge", {}, normal, one_hot),
    "kl_divergence": ("KLDivergence", {}, probabilities, probabilities),
    "binary_crossentropy": ("BinaryCrossentropy", {}, unit, binary),
    "categorical_crossentropy": ("CategoricalCrossentropy", {}, probabilities, one_hot),
    "sparse_categorical_crossentropy": ("SparseCategoricalCrossentropy", {}, probabilities, index),
    "precision": ("Precision", {}, unit, binary),
    "precision_threshold": ("Precision", {"thresholds": 0.8, "class_id": 2}, unit, binary),
    "precision_thresholds": ("Precision", {"thresholds": [0.3, 0.5, 0.9]}, unit, binary),
    "precision_top_k": ("Precision", {"top_k": 2}, unit, binary),
    "precision_top_k_threshold": ("Precision", {"top_k": 3, "thresholds": 0.6}, unit, binary),
    "precision_top_k_class": ("Precision", {"top_k": 2, "class_id": 1}, unit, binary),
    "recall": ("Recall", {}, unit, binary),
    "recall_thresholds": ("Recall", {"thresholds": [0.0, 0.25, 0.5, 0.75, 1.0], "class_id": 3}, unit, binary),
    "recall_top_k": ("Recall", {"top_k": 2}, unit, binary),
    "recall_top_k_thresholds": ("Recall", {"top_k": 2, "thresholds": [0.4, 0.8]}, unit, binary),
    "recall_top_k_logits": ("Recall", {"top_k": 1, "class_id": 0}, normal, binary),
    "recall_threshold": ("Recall", {"thresholds": 0.2, "class_id": 1}, unit, binary),
    "auc_roc": ("AUC", {}, unit, binary),
    "auc_pr": ("AUC", {"curve": "PR"}, unit, binary),
    "auc_logits": ("AUC", {"num_thresholds": 50, "from_logits": True}, normal, binary),
    "f1_macro": ("F1Score", {"average": "macro"}, probabilities, one_hot),
    "f1_micro": ("F1Score", {"average": "micro", "threshold": 0.3}, unit, binary),
    "f1_weighted": ("F1Score", {"average": "weighted", "threshold": 0.5}, unit, binary),
    "r2": ("R2Score", {}, normal, normal),
}
# Keras takes these for [samples, columns] alone.
FLAT = ("F1Score", "R2Score", "AUC", "Precision", "Recall")
# Columns; rows are samples, and with time the prediction is [samples, time, columns]
SHAPES = {"": (ROWS, 4), "_column": (ROWS, 1), "_time": (3, 5, 4)}


def fill(family):
    """Adds every case. `sample_weight` has one number per sample."""
    for label, (class_name, config, predict, aim) in LOSSES.items():
        for suffix, shape in SHAPES.items():
            if suffix == "_column" and not label.startswith(("mean", "huber", "binary")):
                continue
            if suffix and any(word in label for word in PLAIN):
                continue
            for weighted in (False, True) if suffix != "_column" else (False,):
                name = f"loss_{label}{suffix}{'_weighted' if weighted else ''}"
                add_loss(family, name, class_name, config, predict, aim, shape, weighted)
    for label, (class_name, config, predict, aim) in METRICS.items():
        for suffix, shape in SHAPES.items():
            if suffix == "_column" and not label.endswith(("error", "binary_accuracy")):
                continue
            if suffix and class_name in FLAT:
                continue
            for weighted in (False, True) if suffix == "" else (False,):
                name = f"metric_{label}{suffix}{'_weighted' if weighted else ''}"
                add_metric(family, name, class_name, config, predict, aim, shape, weighted)


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


def add_metric(family, name, class_name, config, predict, aim, shape, weighted):
    rng = random(name)
    put = family.case(name, source="keras", kind="metric", class_name=class_name, config=config, weighted=weighted)
    # Two batches of unequal size: a metric is the mean over all rows, not the mean of the batches' means.
    pred, target = predict(rng, shape), aim(rng, shape)
    if "accuracy" in name:  # half of the answers right
        pred = sharpen(pred, target, rng)
    weight = rng.uniform(0.1, 2.0, shape[0]).astype(np.float32).astype(np.float64) if weighted else None
    metric = getattr(keras.metrics, class_name)(**config, dtype="float64")
    # TensorFlow ranks f32 alone, which holds these numbers exactly.
    ranked = pred.astype(np.float32) if "TopK" in class_name and keras.backend.backend() == "tensorflow" else pred
    cut = shape[0] // 3
    for part in (slice(0, cut), slice(cut, None)):
        metric.update_state(target[part], ranked[part], sample_weight=None if weight is None else weight[part])
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
