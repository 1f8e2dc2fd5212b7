"""The recurrent node tests of the `onnx` package: W, R and B are inputs of the graph."""

import re
import warnings

from .case import Case


def cases():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from onnx.backend.test.loader import load_model_tests

        tests = load_model_tests(kind="node")
    for test in tests:
        if re.match(r"test_(lstm|gru|rnn|simple_rnn)_", test.name):
            ((arrays, results),) = test.data_sets
            names = [i.name for i in test.model.graph.input]
            outputs = [o.name for o in test.model.graph.output]
            inputs = dict(zip(names, arrays, strict=True))
            bind = [n for n in names if n in ("W", "R", "B", "P")]
            yield Case(test.name, test.model, inputs, bind, dict(zip(outputs, results, strict=True)))
