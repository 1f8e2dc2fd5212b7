"""Where cases collect their tensors, and the random numbers they are made of."""

import json
import zlib
from pathlib import Path

import numpy as np
from safetensors.numpy import save_file


def random(name):
    """A generator keyed by the case's name: adding a case changes no other one."""
    return np.random.default_rng(zlib.crc32(name.encode()))


def normal(rng, shape, scale=1.0):
    """Normal numbers that are exact in f32, held as f64: the reference rounds nothing that the engine is given."""
    return (rng.standard_normal(shape) * scale).astype(np.float32).astype(np.float64)


class Family:
    """One file of goldens: tensors named `<case>/<field>`, the cases' settings as JSON in the metadata."""

    def __init__(self, name):
        self.name = name
        self.cases = []
        self.tensors = {}

    def case(self, name, **config):
        """Opens a case; returns the function that stores a field of it."""
        assert all(c["name"] != name for c in self.cases), f"two cases named {name}"
        self.cases.append({"name": name, **config})

        def put(field, array):
            array = np.asarray(array, dtype=np.float64)
            assert np.isfinite(array).all(), f"{name}/{field} is not finite"
            self.tensors[f"{name}/{field}"] = np.ascontiguousarray(array.astype(np.float32))

        return put

    def save(self, folder: Path):
        """Writes `<family>.safetensors`; the bytes depend on the cases alone."""
        # safetensors' metadata is an unordered map of strings: one key keeps the file reproducible.
        config = json.dumps({"format": 1, "family": self.name, "cases": self.cases}, separators=(",", ":"))
        path = folder / f"{self.name}.safetensors"
        save_file(dict(sorted(self.tensors.items())), path, metadata={"config": config})
        return path
