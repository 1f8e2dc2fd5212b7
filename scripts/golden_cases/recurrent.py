"""LSTM, GRU (both `reset_after`) and SimpleRNN alone: sizes, options, activations, states."""

from .stack import run, spec

CELLS = [
    ("lstm", "LSTM", {}),
    ("gru", "GRU", {"reset_after": True}),
    ("gru_before", "GRU", {"reset_after": False}),
    ("rnn", "SimpleRNN", {}),
]
# units, [batch, time, features]: 1, odd numbers, and one that does not fit a vector register or a workgroup row
SIZES = [(1, (1, 1, 1)), (3, (2, 7, 2)), (5, (3, 4, 1)), (17, (5, 6, 4)), (40, (11, 5, 9))]
PAIRS = [
    ("sigmoid", "tanh"),
    ("relu", "hard_sigmoid"),
    ("hard_sigmoid", "softsign"),
    ("linear", "sigmoid"),
    ("softsign", "relu"),
    ("softplus", "elu"),
    ("elu", "linear"),
    ("selu", "softplus"),
    ("leaky_relu", "relu6"),
    ("exponential", "sigmoid"),
    ("silu", "gelu"),
    ("gelu", "silu"),
    ("softmax", "sigmoid"),
    ("tanh", "softmax"),
]
OPTIONS = {
    "last": {},
    "no_bias": dict(use_bias=False, return_sequences=True),
    "return_state": dict(return_state=True),
    "return_state_sequences": dict(return_state=True, return_sequences=True),
    "backwards": dict(go_backwards=True, return_state=True),
    "backwards_sequences": dict(go_backwards=True, return_sequences=True),
}


def fill(family):
    """Adds every case."""
    for label, class_name, base in CELLS:
        for units, shape in SIZES:
            run(family, f"{label}_u{units}", [spec(class_name, units=units, return_sequences=True, **base)], [shape])
        for activation, recurrent in PAIRS:
            if class_name == "SimpleRNN" and activation == "tanh":
                continue
            pair = dict(activation=activation)
            if class_name != "SimpleRNN":
                pair["recurrent_activation"] = recurrent
            layer = spec(class_name, units=5, return_sequences=True, **pair, **base)
            # exp(exp(..)) leaves every range within a few steps unless the weights are small
            scale = 0.2 if activation == "exponential" else 0.8
            run(family, f"{label}_{activation}_{recurrent}", [layer], [(3, 4, 2)], scale=scale)
        for option, config in OPTIONS.items():
            run(family, f"{label}_{option}", [spec(class_name, units=3, **config, **base)], [(2, 5, 2)])
        if class_name == "LSTM":
            run(family, "lstm_no_forget_bias", [spec(class_name, units=3, unit_forget_bias=False)], [(2, 5, 2)])
        given = spec(class_name, units=4, return_sequences=True, return_state=True, **base)
        run(family, f"{label}_initial_state", [given], [(3, 5, 2)], initial_state=True)
        stateful = spec(class_name, units=4, return_sequences=True, stateful=True, **base)
        run(family, f"{label}_stateful", [stateful], [(3, 5, 2), (3, 2, 2)])
        last = spec(class_name, units=3, stateful=True, **base)
        run(family, f"{label}_stateful_last", [last], [(2, 4, 1), (2, 4, 1)])
