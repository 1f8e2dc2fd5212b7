"""Single recurrent operations: ONNX Runtime's LSTM, GRU and RNN with peepholes, a clip, coupled gates and three activations, and Keras's cells
with a given recurrent dropout mask. Weights are in the layout of the engine's operations (gate order i, f, c, o and z, r, h)."""

import keras
import numpy as np
import onnx
import onnxruntime
from keras import ops
from onnx import TensorProto, helper

from .stack import detach, gradients, variable
from .store import normal, random

SHAPE = dict(time=5, batch=3, input=4, units=6)
# Place of each of the engine's gates among ONNX's: LSTM i, o, f, c; GRU z, r, h.
GATES = {"LSTM": [0, 2, 3, 1], "GRU": [0, 1, 2], "RNN": [0]}
ONNX_CASES = [
    ("lstm", "LSTM", False, {}),
    ("lstm_peepholes", "LSTM", True, {}),
    ("lstm_clip", "LSTM", False, {"clip": 0.5}),
    ("lstm_coupled", "LSTM", False, {"input_forget": 1}),
    ("lstm_all", "LSTM", True, {"clip": 0.7, "input_forget": 1}),
    ("lstm_output", "LSTM", False, {"activations": ["Sigmoid", "Tanh", "Softsign"]}),
    ("lstm_three", "LSTM", True, {"activations": ["HardSigmoid", "Softsign", "Relu"], "clip": 0.6}),
    ("gru_clip", "GRU", False, {"clip": 0.5, "linear_before_reset": 1}),
    ("gru_before_clip", "GRU", False, {"clip": 0.5, "linear_before_reset": 0}),
    ("rnn_clip", "RNN", False, {"clip": 0.5}),
]
KERAS_CASES = [
    ("lstm", keras.layers.LSTMCell, 4, {}),
    ("gru", keras.layers.GRUCell, 3, {"reset_after": True}),
    ("gru_before", keras.layers.GRUCell, 3, {"reset_after": False}),
    ("rnn", keras.layers.SimpleRNNCell, 0, {}),
]


def fill(family):
    """Adds every case."""
    for case in ONNX_CASES:
        from_onnx(family, *case)
    for case in KERAS_CASES:
        from_keras(family, *case)


def draw(put, rng, op, reset_after=True):
    """Input, weights and start states of a case, stored and returned by name."""
    t, b, i, u = (SHAPE[k] for k in ("time", "batch", "input", "units"))
    gates = len(GATES[op])
    blocks = 6 if op == "GRU" and reset_after else gates
    values = {
        "x": normal(rng, (t, b, i)),
        "kernel": normal(rng, (i, gates * u), 0.8),
        "recurrent": normal(rng, (u, gates * u), 0.5),
        "bias": normal(rng, (blocks * u,), 0.3),
        "h0": normal(rng, (b, u), 0.5),
    }
    if op == "LSTM":
        values["c0"] = normal(rng, (b, u), 0.5)
    for name, value in values.items():
        put(name, value)
    return values


def from_onnx(family, label, op, peepholes, attributes):
    name = f"onnx_{label}"
    rng = random(name)
    reset_after = attributes.get("linear_before_reset", 1) == 1
    put = family.case(
        name,
        op=op,
        shape=SHAPE,
        reset_after=reset_after,
        clip=attributes.get("clip"),
        coupled=attributes.get("input_forget", 0) == 1,
        activations=attributes.get("activations"),
    )
    v = draw(put, rng, op, reset_after)
    u, gates = SHAPE["units"], len(GATES[op])

    def blocks(w):
        """The engine's columns as ONNX's rows."""
        parts = np.split(w.T, gates) if w.ndim == 2 else np.split(w, gates)
        out = [None] * gates
        for ours, theirs in enumerate(GATES[op]):
            out[theirs] = parts[ours]
        return np.concatenate(out)

    bias = np.split(v["bias"], 2) if len(v["bias"]) == 2 * gates * u else [v["bias"], np.zeros_like(v["bias"])]
    feeds = {
        "X": v["x"],
        "W": blocks(v["kernel"])[None],
        "R": blocks(v["recurrent"])[None],
        "B": np.concatenate([blocks(part) for part in bias])[None],
        "H": v["h0"][None],
    }
    inputs = ["X", "W", "R", "B", "", "H"]
    if op == "LSTM":
        feeds["C"] = v["c0"][None]
        inputs.append("C")
    if peepholes:
        weights = normal(rng, (3 * u,), 0.8)
        put("peepholes", weights)
        feeds["P"] = weights[None]
        inputs.append("P")
    feeds = {key: value.astype(np.float32) for key, value in feeds.items()}
    outputs = ["Y", "Y_h"] + (["Y_c"] if op == "LSTM" else [])
    node = helper.make_node(op, inputs, outputs, hidden_size=u, **attributes)
    info = [helper.make_tensor_value_info(key, TensorProto.FLOAT, value.shape) for key, value in feeds.items()]
    last = [1, SHAPE["batch"], u]
    made = [
        helper.make_tensor_value_info(key, TensorProto.FLOAT, [SHAPE["time"], *last] if key == "Y" else last)
        for key in outputs
    ]
    model = helper.make_model(helper.make_graph([node], label, info, made), opset_imports=[helper.make_opsetid("", 14)])
    model.ir_version = 8
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    got = dict(zip(outputs, session.run(outputs, feeds)))
    put("y", got["Y"][:, 0])
    if op == "LSTM":
        put("c_last", got["Y_c"][0])


def from_keras(family, label, cell_class, masks, options):
    """Keras draws a mask for each gate; the engine has one for all of them, which is what each is given here."""
    name = f"keras_dropout_{label}"
    rng = random(name)
    op = {"lstm": "LSTM", "rnn": "RNN"}.get(label, "GRU")
    reset_after = options.get("reset_after", True)
    put = family.case(name, op=op, shape=SHAPE, reset_after=reset_after, clip=None, coupled=False)
    v = draw(put, rng, op, reset_after)
    mask = np.where(rng.random((SHAPE["batch"], SHAPE["units"])) < 0.5, 0.0, 2.0)
    put("h_mask", mask)
    dy = normal(rng, (SHAPE["time"], SHAPE["batch"], SHAPE["units"]))
    put("dy", dy)

    cell = cell_class(SHAPE["units"], recurrent_dropout=0.5, **options)
    cell.build((SHAPE["batch"], SHAPE["input"]))
    weights = [v["kernel"], v["recurrent"], v["bias"].reshape(cell.trainable_variables[2].shape)]
    for weight, value in zip(cell.trainable_variables, weights):
        weight.assign(value)
    given = ops.convert_to_tensor(mask, dtype="float64")
    cell._recurrent_dropout_mask = [given] * masks if masks else given
    wanted = [variable(v[key]) for key in ("x", "h0") + (("c0",) if op == "LSTM" else ())]
    out = {}

    def loss():
        x, *states = [w.value for w in wanted]
        outputs = []
        for t in range(SHAPE["time"]):
            y, states = cell(x[t], states, training=True)
            outputs.append(y)
        out["y"] = ops.stack(outputs)
        return ops.sum(out["y"] * ops.convert_to_tensor(dy, dtype="float64"))

    _, grads = gradients(loss, cell.trainable_variables + wanted)
    put("y", ops.convert_to_numpy(detach(out["y"])))
    for key, grad in zip(["dkernel", "drecurrent", "dbias", "dx", "dh0", "dc0"], grads):
        put(key, grad.reshape(-1) if key == "dbias" else grad)
