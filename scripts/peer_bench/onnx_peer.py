"""ONNX Runtime: an LSTM or GRU node, MatMul, Add and Softmax. Inference only."""

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from . import workloads
from .workloads import reorder


class Peer:
    """A session per workload."""

    modes = ("infer",)

    def __init__(self, options):
        self.options = onnxruntime.SessionOptions()
        if options.threads:
            self.options.intra_op_num_threads = options.threads
            self.options.inter_op_num_threads = 1
        self.threads = options.threads

    def describe(self):
        return f"ONNX Runtime {onnxruntime.__version__}, {self.threads or 'default'} threads"

    def model(self, w):
        """The graph; gate order i,o,f,c and z,r,h, weights `[1, gates * units, inputs]`, time first."""
        kernel, recurrent, bias, *dense = workloads.weights(w)
        order = [0, 3, 1, 2] if w.cell == "LSTM" else [0, 1, 2]
        bias = np.stack([bias, np.zeros_like(bias)]) if w.cell == "LSTM" else bias
        tensors = {
            "W": reorder(kernel, len(order), order).T[None],
            "R": reorder(recurrent, len(order), order).T[None],
            "B": reorder(bias, len(order), order).reshape(1, -1),
        }
        float_input = lambda name, shape: helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        states = ["h0", "c0"] if w.output == "state" else []
        attributes = {"hidden_size": w.units} | ({"linear_before_reset": 1} if w.cell == "GRU" else {})
        names = ["Y", "Y_h"] + (["Y_c"] if w.cell == "LSTM" else [])
        nodes = [helper.make_node(w.cell, ["X", "W", "R", "B", "", *states], names, **attributes)]
        out = "Y" if w.output == "sequence" else "Y_h"
        tensors["axis"] = np.array([1 if out == "Y" else 0], dtype=np.int64)
        if w.output != "state":
            nodes.append(helper.make_node("Squeeze", [out, "axis"], ["sequence"]))
            out = "sequence"
        if dense:
            tensors |= {"dense": dense[0], "dense_bias": dense[1]}
            nodes.append(helper.make_node("MatMul", [out, "dense"], ["product"]))
            nodes.append(helper.make_node("Add", ["product", "dense_bias"], ["logits"]))
            out = "logits"
        if w.softmax:
            nodes.append(helper.make_node("Softmax", [out], ["probabilities"], axis=-1))
            out = "probabilities"
        inputs = [float_input("X", (w.time, w.batch, w.inputs))]
        inputs += [float_input(s, (1, w.batch, w.units)) for s in states]
        outputs = [out] + (["Y_c"] if states else [])
        graph = helper.make_graph(
            nodes,
            w.name,
            inputs,
            [float_input(o, None) for o in outputs],
            [numpy_helper.from_array(np.ascontiguousarray(t), name) for name, t in tensors.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        return model.SerializeToString(), outputs

    def infer(self, w):
        model, outputs = self.model(w)
        session = onnxruntime.InferenceSession(model, self.options, providers=["CPUExecutionProvider"])
        feed = {"X": np.ascontiguousarray(workloads.inputs(w).transpose(1, 0, 2))}
        if w.output == "state":
            feed |= {s: np.zeros((1, w.batch, w.units), np.float32) for s in ("h0", "c0")}

        def step():
            y, *rest = session.run(outputs, feed)
            if rest:
                feed["h0"], feed["c0"] = y, rest[0]
                return y[0]
            return y.transpose(1, 0, 2) if w.output == "sequence" else y

        return step
