"""Fills fuzz/corpus with the committed models and hostile files, a folder for each target.

    python3 fuzz/seeds.py [PROGRAM]      PROGRAM: the `tidegate` that makes files of this engine, for its own reader
"""

import json
import struct
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "crates/rnn-interop/tests"
# Larger files slow the fuzzer down.
LARGEST = 1 << 16
TARGETS = {
    ".keras": ["keras"],
    ".h5": ["h5", "weights_h5"],
    ".onnx": ["onnx"],
    ".safetensors": ["safetensors", "tidegate"],
    ".npz": ["npz"],
    ".npy": ["npy"],
}
OWN = ["lstm_plain", "gru_masked", "graph_seq2seq", "cells_held"]


def put(name: str, ending: str, content: bytes):
    for target in [*TARGETS.get(ending, []), "decode"]:
        folder = ROOT / "fuzz/corpus" / target
        folder.mkdir(parents=True, exist_ok=True)
        if len(content) <= LARGEST:
            (folder / name).write_bytes(content)


def models(path: Path):
    """The ONNX models in a file of goldens."""
    content = path.read_bytes()
    size = struct.unpack("<Q", content[:8])[0]
    for name, tensor in json.loads(content[8 : 8 + size]).items():
        if name.endswith("/model"):
            start, end = tensor["data_offsets"]
            yield name.replace("/", "_"), content[8 + size + start : 8 + size + end]


def main():
    files = [path for folder in ("files", "hostile", "goldens/keras", "goldens/torch") for path in (TESTS / folder).rglob("*")]
    for path in sorted(path for path in files if path.is_file() and path.suffix != ".json"):
        put("_".join(path.relative_to(TESTS).parts), path.suffix, path.read_bytes())
    for path in sorted((TESTS / "goldens").glob("onnx_*.safetensors")):
        for name, content in models(path):
            put(name, ".onnx", content)
    for name in OWN if len(sys.argv) > 1 else []:
        made = ROOT / "fuzz/corpus" / f"{name}.safetensors"
        subprocess.run([sys.argv[1], "convert", TESTS / f"goldens/keras/{name}/model.keras", made], check=True)
        put(made.name, made.suffix, made.read_bytes())
        made.unlink()


if __name__ == "__main__":
    main()
