"""A case: an ONNX model with inputs, and how its outputs are obtained."""

from dataclasses import dataclass, field

import numpy as np
import onnx


@dataclass
class Case:
    name: str
    # An ONNX model, or the bytes of a .keras file.
    model: onnx.ModelProto | bytes
    inputs: dict[str, np.ndarray]
    # Inputs of the model that are bound to arrays when it is read.
    bind: list[str] = field(default_factory=list)
    # Outputs, where ONNX Runtime is not the judge; of a .keras file in their order, by any names.
    outputs: dict[str, np.ndarray] | None = None


def random(seed: int, *shape: int, scale: float = 1.0) -> np.ndarray:
    values = np.random.default_rng(seed).uniform(-1, 1, shape) * scale
    return values.astype(np.float32)
