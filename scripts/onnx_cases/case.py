"""A case: an ONNX model with inputs, and how its outputs are obtained."""

from dataclasses import dataclass, field

import numpy as np
import onnx


@dataclass
class Case:
    name: str
    model: onnx.ModelProto
    inputs: dict[str, np.ndarray]
    # Inputs of the model that are bound to arrays when it is read.
    bind: list[str] = field(default_factory=list)
    # Outputs, where ONNX Runtime is not the judge.
    outputs: dict[str, np.ndarray] | None = None


def random(seed: int, *shape: int, scale: float = 1.0) -> np.ndarray:
    values = np.random.default_rng(seed).uniform(-1, 1, shape) * scale
    return values.astype(np.float32)
