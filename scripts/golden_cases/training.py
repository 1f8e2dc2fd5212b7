"""Twenty training steps of small models: the loss of each step and the weights at the end."""

import keras
import numpy as np
from keras import ops

from .scores import binary, counts, index, one_hot, positive, probabilities, signs
from .stack import RECURRENT, gradients, make, random_weights, spec
from .store import normal, random

STEPS = 20
BATCHES = 5

# Keras class, its options, and Keras 2's `decay` where it is given
OPTIMIZERS = {
    "sgd": ("SGD", {"learning_rate": 0.1}),
    "sgd_default": ("SGD", {}),
    "sgd_momentum": ("SGD", {"learning_rate": 0.05, "momentum": 0.9}),
    "sgd_nesterov": ("SGD", {"learning_rate": 0.05, "momentum": 0.9, "nesterov": True}),
    "sgd_weight_decay": ("SGD", {"learning_rate": 0.1, "weight_decay": 0.02}),
    "rmsprop": ("RMSprop", {}),
    "rmsprop_momentum": ("RMSprop", {"learning_rate": 0.01, "momentum": 0.8, "rho": 0.8}),
    "rmsprop_centered": ("RMSprop", {"learning_rate": 0.01, "centered": True, "epsilon": 1e-4}),
    "rmsprop_centered_momentum": ("RMSprop", {"learning_rate": 0.01, "centered": True, "momentum": 0.5, "epsilon": 1e-3}),
    "adam": ("Adam", {}),
    "adam_fast": ("Adam", {"learning_rate": 0.05}),
    "adam_betas": ("Adam", {"learning_rate": 0.02, "beta_1": 0.7, "beta_2": 0.9}),
    "adam_amsgrad": ("Adam", {"learning_rate": 0.05, "beta_2": 0.7, "amsgrad": True}),
    "adam_epsilon": ("Adam", {"learning_rate": 0.05, "epsilon": 0.1}),
    "adamw": ("AdamW", {"learning_rate": 0.02}),
    "adamw_decay": ("AdamW", {"learning_rate": 0.02, "weight_decay": 0.5}),
    "sgd_clipnorm": ("SGD", {"learning_rate": 0.5, "clipnorm": 0.1}),
    "sgd_clipvalue": ("SGD", {"learning_rate": 0.5, "clipvalue": 0.02}),
    "sgd_global_clipnorm": ("SGD", {"learning_rate": 0.5, "global_clipnorm": 0.2}),
    "adam_clipnorm": ("Adam", {"learning_rate": 0.05, "clipnorm": 0.05}),
    "adam_clipvalue": ("Adam", {"learning_rate": 0.05, "clipvalue": 0.01}),
    "adam_global_clipnorm": ("Adam", {"learning_rate": 0.05, "global_clipnorm": 0.1}),
    "adamw_global_clipnorm": ("AdamW", {"learning_rate": 0.02, "weight_decay": 0.3, "global_clipnorm": 0.1}),
    "sgd_decay": ("SGD", {"learning_rate": 0.3, "momentum": 0.5, "decay": 0.2}),
    "rmsprop_decay": ("RMSprop", {"learning_rate": 0.02, "decay": 0.1}),
    "adam_decay": ("Adam", {"learning_rate": 0.05, "decay": 0.1}),
    "nadam": ("Nadam", {"learning_rate": 0.02}),
    "nadam_betas": ("Nadam", {"learning_rate": 0.02, "beta_1": 0.7, "beta_2": 0.9, "epsilon": 1e-3}),
    "adagrad": ("Adagrad", {"learning_rate": 0.1}),
    "adagrad_start": ("Adagrad", {"learning_rate": 0.1, "initial_accumulator_value": 0.01, "epsilon": 1e-4}),
    "adadelta": ("Adadelta", {"learning_rate": 20.0}),
    "adadelta_rho": ("Adadelta", {"learning_rate": 1.0, "rho": 0.8, "epsilon": 1e-3}),
    "adamax": ("Adamax", {"learning_rate": 0.02}),
    "adamax_betas": ("Adamax", {"learning_rate": 0.02, "beta_1": 0.7, "beta_2": 0.8, "epsilon": 1e-3}),
    "lion": ("Lion", {"learning_rate": 0.01}),
    "lion_decay": ("Lion", {"learning_rate": 0.01, "beta_1": 0.8, "beta_2": 0.9, "weight_decay": 0.1}),
    "lamb": ("Lamb", {"learning_rate": 0.02}),
    "lamb_decay": ("Lamb", {"learning_rate": 0.02, "beta_1": 0.8, "weight_decay": 0.1, "global_clipnorm": 0.5}),
    "ftrl": ("Ftrl", {"learning_rate": 0.2}),
    "ftrl_options": (
        "Ftrl",
        {
            "learning_rate": 0.2,
            "learning_rate_power": -0.6,
            "initial_accumulator_value": 0.2,
            "l1_regularization_strength": 0.01,
            "l2_regularization_strength": 0.02,
            "l2_shrinkage_regularization_strength": 0.03,
            "beta": 0.1,
        },
    ),
    "adafactor": ("Adafactor", {"learning_rate": 0.05}),
    "adafactor_options": (
        "Adafactor",
        {
            "learning_rate": 0.1,
            "beta_2_decay": -0.6,
            "epsilon_2": 0.01,
            "clip_threshold": 0.7,
            "weight_decay": 0.1,
            "clipvalue": 0.3,
        },
    ),
    "adam_average": ("Adam", {"learning_rate": 0.05, "use_ema": True, "ema_momentum": 0.8}),
    "adam_average_overwrite": (
        "Adam", {"learning_rate": 0.05, "use_ema": True, "ema_momentum": 0.7, "ema_overwrite_frequency": 6}
    ),
    "adam_gathered": ("Adam", {"learning_rate": 0.05, "gradient_accumulation_steps": 3, "clipnorm": 0.2}),
    "lamb_gathered": ("Lamb", {"learning_rate": 0.05, "gradient_accumulation_steps": 4, "weight_decay": 0.1}),
}

# Keras class and its options, as the learning rate of SGD
SCHEDULES = {
    "exponential": ("ExponentialDecay", {"initial_learning_rate": 0.3, "decay_steps": 7, "decay_rate": 0.5}),
    "exponential_stairs": (
        "ExponentialDecay", {"initial_learning_rate": 0.3, "decay_steps": 6, "decay_rate": 0.5, "staircase": True}
    ),
    "inverse_time": ("InverseTimeDecay", {"initial_learning_rate": 0.3, "decay_steps": 4, "decay_rate": 0.7}),
    "inverse_time_stairs": (
        "InverseTimeDecay", {"initial_learning_rate": 0.3, "decay_steps": 4, "decay_rate": 0.7, "staircase": True}
    ),
    "polynomial": (
        "PolynomialDecay",
        {"initial_learning_rate": 0.3, "decay_steps": 12, "end_learning_rate": 0.02, "power": 2.0},
    ),
    "polynomial_cycle": ("PolynomialDecay", {"initial_learning_rate": 0.3, "decay_steps": 8, "cycle": True}),
    "cosine": ("CosineDecay", {"initial_learning_rate": 0.3, "decay_steps": 15, "alpha": 0.1}),
    "cosine_warmup": (
        "CosineDecay", {"initial_learning_rate": 0.0, "decay_steps": 12, "warmup_target": 0.4, "warmup_steps": 5}
    ),
    "cosine_restarts": (
        "CosineDecayRestarts",
        {"initial_learning_rate": 0.3, "first_decay_steps": 3, "t_mul": 2.0, "m_mul": 0.8, "alpha": 0.05},
    ),
    "cosine_restarts_even": (
        "CosineDecayRestarts", {"initial_learning_rate": 0.3, "first_decay_steps": 6, "t_mul": 1.0}
    ),
    "piecewise": ("PiecewiseConstantDecay", {"boundaries": [4, 11], "values": [0.3, 0.1, 0.05]}),
}


def dense(units, activation="linear"):
    return spec("Dense", units=units, activation=activation)


# loss, its options, last layer, target
LOSSES = {
    "mae": ("MeanAbsoluteError", {}, dense(2), normal),
    "huber": ("Huber", {"delta": 0.7}, dense(2), normal),
    "binary": ("BinaryCrossentropy", {"from_logits": False}, dense(2, "sigmoid"), binary),
    "binary_logits": ("BinaryCrossentropy", {"from_logits": True}, dense(2), binary),
    "categorical": ("CategoricalCrossentropy", {"from_logits": False}, dense(3, "softmax"), one_hot),
    "categorical_logits": ("CategoricalCrossentropy", {"from_logits": True}, dense(3), one_hot),
    "sparse": ("SparseCategoricalCrossentropy", {"from_logits": False}, dense(3, "softmax"), index),
    "sparse_logits": ("SparseCategoricalCrossentropy", {"from_logits": True}, dense(3), index),
    "kld": ("KLDivergence", {}, dense(3, "softmax"), probabilities),
    "mape": ("MeanAbsolutePercentageError", {}, dense(2), positive),
    "msle": ("MeanSquaredLogarithmicError", {}, dense(2, "softplus"), counts),
    "log_cosh": ("LogCosh", {}, dense(2), normal),
    "poisson": ("Poisson", {}, dense(2, "softplus"), counts),
    "cosine": ("CosineSimilarity", {}, dense(3), normal),
    "hinge": ("Hinge", {}, dense(2), signs),
    "squared_hinge": ("SquaredHinge", {}, dense(2), signs),
    "categorical_hinge": ("CategoricalHinge", {}, dense(3), one_hot),
    "binary_focal": ("BinaryFocalCrossentropy", {"from_logits": False}, dense(2, "sigmoid"), binary),
    "categorical_focal": ("CategoricalFocalCrossentropy", {"from_logits": False}, dense(3, "softmax"), one_hot),
    "categorical_smooth": (
        "CategoricalCrossentropy", {"from_logits": False, "label_smoothing": 0.2}, dense(3, "softmax"), one_hot
    ),
}
MSE = ("MeanSquaredError", {})


def fill(family):
    """Adds every case."""
    model = [spec("LSTM", units=5), dense(1)]
    for label, (class_name, config) in OPTIMIZERS.items():
        run(family, f"optimizer_{label}", model, (4, 6, 2), (1,), MSE, normal, class_name, config)
    for label, (class_name, config) in SCHEDULES.items():
        config = getattr(keras.optimizers.schedules, class_name)(**config).get_config()
        rate = {"learning_rate": {"class_name": class_name, "config": config}}
        run(family, f"schedule_{label}", model, (4, 6, 2), (1,), MSE, normal, "SGD", rate)
    for label, (loss, config, last, aim) in LOSSES.items():
        layers = [spec("LSTM", units=4), last]
        shape = (last["config"]["units"],)
        run(family, f"loss_{label}", layers, (4, 5, 2), shape, (loss, config), aim, "Adam", {"learning_rate": 0.03})
    adam = ("Adam", {"learning_rate": 0.02})
    run(family, "model_gru", [spec("GRU", units=5), dense(1)], (4, 6, 2), (1,), MSE, normal, *adam)
    before = spec("GRU", units=5, reset_after=False)
    run(family, "model_gru_before", [before, dense(1)], (4, 6, 2), (1,), MSE, normal, *adam)
    run(family, "model_rnn", [spec("SimpleRNN", units=5), dense(1)], (4, 6, 2), (1,), MSE, normal, *adam)
    stacked = [spec("LSTM", units=5, return_sequences=True), spec("LSTM", units=4, return_sequences=True)]
    steps = [*stacked, spec("TimeDistributed", layer=dense(3, "softmax"))]
    cce = ("CategoricalCrossentropy", {"from_logits": False})
    run(family, "model_steps", steps, (3, 4, 2), (4, 3), cce, one_hot, *adam)
    run(family, "model_weighted", [spec("LSTM", units=4), dense(2)], (4, 5, 2), (2,), MSE, normal, *adam, weighted=True)
    small = ((4, 5, 2), (2,), MSE, normal, *adam)
    for cell in RECURRENT:
        held = spec(
            cell,
            units=4,
            kernel_regularizer=l1_l2(0.02, 0.0),
            recurrent_regularizer=l1_l2(0.0, 0.05),
            bias_regularizer=l1_l2(0.01, 0.03),
        )
        last = spec("Dense", units=2, kernel_regularizer=l1_l2(0.03, 0.04), bias_regularizer=l1_l2(0.0, 0.1))
        run(family, f"model_regularized_{cell.lower()}", [held, last], *small)
        bound = spec(
            cell,
            units=4,
            kernel_constraint=constraint("MaxNorm", max_value=0.5),
            recurrent_constraint=constraint("UnitNorm"),
            bias_constraint=constraint("NonNeg"),
        )
        last = spec("Dense", units=2, kernel_constraint=constraint("MinMaxNorm", min_value=0.3, max_value=0.6, rate=0.7))
        run(family, f"model_constrained_{cell.lower()}", [bound, last], *small)
        active = [spec(cell, units=4), spec("ActivityRegularization", l1=0.05, l2=0.1), dense(2)]
        run(family, f"model_activity_{cell.lower()}", active, *small)
        masked = [spec("Masking", mask_value=0.0), spec(cell, units=4, return_sequences=True), dense(2)]
        for weighted in [False, True]:
            label = f"model_masked_{'weighted_' if weighted else ''}{cell.lower()}"
            run(family, label, masked, (4, 5, 2), (5, 2), MSE, normal, *adam, weighted=weighted, masked=True)
    carried = [spec("LSTM", units=4, stateful=True), dense(1)]
    run(family, "model_stateful", carried, (1, 3, 1), (1,), MSE, normal, *adam)


def l1_l2(l1, l2):
    return {"class_name": "L1L2", "config": {"l1": l1, "l2": l2}}


def constraint(class_name, **config):
    return {"class_name": class_name, "config": config}


def make_optimizer(class_name, config):
    """The optimiser; Keras 2's `decay` is lr / (1 + decay * iteration)."""
    config = dict(config)
    if "decay" in config:
        config["learning_rate"] = keras.optimizers.schedules.InverseTimeDecay(
            config["learning_rate"], decay_steps=1, decay_rate=config.pop("decay")
        )
    if isinstance(config.get("learning_rate"), dict):
        config["learning_rate"] = keras.optimizers.schedules.deserialize(config["learning_rate"])
    return getattr(keras.optimizers, class_name)(**config)


def run(family, name, layers, batch, row, loss, aim, optimizer, config, weighted=False, masked=False):
    """Stores a case: batches of `[BATCHES, batch, time, features]` in order, again and again; a stateful model is
    reset after each pass over them."""
    rng = random(name)
    put = family.case(
        name,
        source="keras",
        layers=layers,
        loss={"class_name": loss[0], "config": loss[1]},
        optimizer={"class_name": optimizer, "config": config},
        steps=STEPS,
        batches=BATCHES,
        weighted=weighted,
    )
    x = normal(rng, (BATCHES, *batch))
    y = aim(rng, (BATCHES, batch[0], *row))
    if masked:
        # steps that are not there, and a row without any
        x[rng.random(x.shape[:3]) < 0.3] = 0.0
        x[1, 2] = 0.0
    sample_weight = None
    if weighted:
        # beside a mask [batch, time] Keras takes weights of that shape only
        shape = (BATCHES, *batch[:2]) if masked else (BATCHES, batch[0])
        sample_weight = np.float64(np.float32(rng.uniform(0.1, 2.0, shape)))
    model = keras.Sequential([make(layer) for layer in layers])
    model(ops.zeros(batch, dtype="float64"))
    variables = model.trainable_variables
    for i, (w, value) in enumerate(zip(variables, random_weights(rng, [tuple(w.shape) for w in variables], 0.8))):
        w.assign(value)
        put(f"w.{i}", value)
    loss_fn = getattr(keras.losses, loss[0])(**loss[1])
    rule = make_optimizer(optimizer, config)
    stateful = [l for l, s in zip(model.layers, layers) if s["class_name"] in RECURRENT and s["config"]["stateful"]]

    losses = []
    for step in range(STEPS):
        at = step % BATCHES
        if at == 0:
            for layer in stateful:
                layer.reset_state()
        inputs = ops.convert_to_tensor(x[at])
        weight = None if sample_weight is None else sample_weight[at]

        def total():
            own = loss_fn(y[at], model(inputs), sample_weight=weight)
            return sum(model.losses, own)

        value, grads = gradients(total, variables)
        rule.apply([ops.convert_to_tensor(g) for g in grads], variables)
        losses.append(float(ops.convert_to_numpy(value)))
    put("x", x)
    put("y", y)
    put("losses", losses)
    if weighted:
        put("sample_weight", sample_weight)
    for i, w in enumerate(variables):
        put(f"final.{i}", ops.convert_to_numpy(w))
    if config.get("use_ema"):
        rule.finalize_variable_values(variables)
        for i, w in enumerate(variables):
            put(f"average.{i}", ops.convert_to_numpy(w))
