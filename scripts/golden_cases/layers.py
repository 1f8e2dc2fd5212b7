"""Layers without a state, and stacks of layers."""

from .stack import run, spec

ACTIVATIONS = [
    "linear", "tanh", "sigmoid", "relu", "hard_sigmoid", "softplus", "softsign", "elu", "selu", "exponential",
    "leaky_relu", "relu6", "silu", "gelu", "softmax",
]  # fmt: skip


def fill(family):
    """Adds every case."""
    for activation in ACTIVATIONS:
        run(family, f"dense_{activation}", [spec("Dense", units=5, activation=activation)], [(4, 3)], scale=1.5)
        run(family, f"activation_{activation}", [spec("Activation", activation=activation)], [(3, 7)])
    run(family, "dense_no_bias", [spec("Dense", units=4, use_bias=False, activation="tanh")], [(3, 6)])
    run(family, "dense_u1", [spec("Dense", units=1)], [(1, 1)])
    run(family, "dense_wide", [spec("Dense", units=33, activation="softmax")], [(9, 17)])
    run(family, "dense_each_step", [spec("Dense", units=3, activation="sigmoid")], [(2, 4, 3)])
    inner = spec("Dense", units=3, activation="relu")
    run(family, "time_distributed", [spec("TimeDistributed", layer=inner)], [(3, 4, 2)])
    inner = spec("Dense", units=4, activation="softmax")
    run(family, "time_distributed_softmax", [spec("TimeDistributed", layer=inner)], [(2, 5, 3)])
    run(family, "repeat_vector", [spec("RepeatVector", n=4)], [(3, 5)])
    run(family, "flatten", [spec("Flatten")], [(2, 3, 4)])
    run(family, "reshape", [spec("Reshape", target_shape=[4, 3])], [(2, 12)])
    run(family, "reshape_flatten", [spec("Reshape", target_shape=[6, 2]), spec("Flatten")], [(2, 3, 4)])

    run(family, "flatten_dense", [spec("LSTM", units=3, return_sequences=True), spec("Flatten"), spec("Dense", units=2)], [(3, 4, 2)])
    run(family, "reshape_lstm", [spec("Reshape", target_shape=[4, 3]), spec("LSTM", units=3), spec("Dense", units=1)], [(2, 12)])
    run(
        family,
        "stacked_lstm",
        [
            spec("LSTM", units=6, return_sequences=True),
            spec("LSTM", units=5, return_sequences=True),
            spec("LSTM", units=3),
            spec("Dense", units=2),
        ],
        [(4, 6, 3)],
    )
    run(
        family,
        "stacked_mixed",
        [
            spec("GRU", units=4, return_sequences=True, go_backwards=True),
            spec("Activation", activation="relu"),
            spec("SimpleRNN", units=5, return_sequences=True),
            spec("GRU", units=3, reset_after=False, return_sequences=True),
            spec("TimeDistributed", layer=spec("Dense", units=2, activation="tanh")),
        ],
        [(3, 5, 2)],
    )
    run(
        family,
        "encoder_decoder",
        [
            spec("LSTM", units=6),
            spec("RepeatVector", n=5),
            spec("LSTM", units=4, return_sequences=True),
            spec("TimeDistributed", layer=spec("Dense", units=1)),
        ],
        [(3, 7, 2)],
    )
    run(
        family,
        "stacked_stateful",
        [
            spec("LSTM", units=4, return_sequences=True, stateful=True),
            spec("GRU", units=3, return_sequences=True, stateful=True),
            spec("Dense", units=1),
        ],
        [(2, 3, 2), (2, 5, 2)],
    )
