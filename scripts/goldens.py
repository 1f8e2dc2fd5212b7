#!/usr/bin/env python3
"""Makes the golden files of crates/rnn-model/tests/goldens from Keras 3, PyTorch and ONNX Runtime. See scripts/README.md.

    pip install -r scripts/requirements.txt
    python scripts/goldens.py                     # write them
    python scripts/goldens.py --check             # make them again, compare with those on disk
    python scripts/goldens.py --check --backend tensorflow   # the same from Keras's other backend
"""

import argparse
import os
import sys
import tempfile
from pathlib import Path

# Where Keras's backends disagree, tensors by backend, with the reason; `--check` reports them and goes on.
DISAGREE = {
    "tensorflow": {
        # Feature 0 of the last step of both inputs is 0 and no padding: of equal inputs of a maximum the first gets the
        # whole gradient here, on torch and JAX each its share.
        f"maximum_{label}/dx": "the gradient of a maximum of equal inputs"
        for label in ("masked", "half_masked", "other_half_masked")
    }
}
FOLDER = Path(__file__).resolve().parent.parent / "crates" / "rnn-model" / "tests" / "goldens"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=FOLDER, help="folder of the golden files")
    parser.add_argument("--backend", choices=["torch", "tensorflow"], default="torch", help="Keras's backend")
    parser.add_argument("--family", action="append", help="only these files")
    parser.add_argument("--check", action="store_true", help="compare with the files in the folder, write nothing")
    args = parser.parse_args()
    os.environ["KERAS_BACKEND"] = args.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["CUDA_VISIBLE_DEVICES"] = ""

    import keras
    import torch

    torch.set_num_threads(1)
    # f64 throughout: what the goldens are off by is then f32's rounding of the stored numbers alone.
    keras.config.set_floatx("float64")
    from golden_cases import (
        activations,
        cells,
        graphs,
        layers,
        masks_and_merges,
        recurrent,
        rnn,
        scores,
        torch_cells,
        training,
    )
    from golden_cases.store import Family

    modules = dict(
        recurrent=recurrent,
        cells=cells,
        torch=torch_cells,
        layers=layers,
        activations=activations,
        graphs=graphs,
        rnn=rnn,
        masks_and_merges=masks_and_merges,
        scores=scores,
        training=training,
    )
    args.out.mkdir(parents=True, exist_ok=True)
    off = False
    for name in args.family or modules:
        family = Family(name)
        modules[name].fill(family)
        if args.check:
            with tempfile.TemporaryDirectory() as temporary:
                stored = args.out / f"{name}.safetensors"
                worst = compare(family.save(Path(temporary)), stored, DISAGREE.get(args.backend, {}))
                # On TensorFlow Keras rounds Adam's betas to f32 in the bias corrections, whatever the float type:
                # 1 - 0.999 is off by 1.3e-5, and so is the first step.
                off |= not worst <= (5e-5 if name == "training" and args.backend == "tensorflow" else 1e-6)
        else:
            path = family.save(args.out)
            print(f"{path.name}: {len(family.cases)} cases, {path.stat().st_size} bytes")
    if off:
        sys.exit("the goldens differ from those on disk")


def compare(fresh, stored, disagree):
    """The largest difference between two files, each tensor's relative to its largest magnitude; those that `disagree` names are
    shown alone."""
    import numpy as np
    from safetensors import safe_open
    from safetensors.numpy import load_file

    metadata = [safe_open(path, "np").metadata() for path in (fresh, stored)]
    if metadata[0] != metadata[1]:
        sys.exit(f"{stored.name}: the cases differ")
    a, b = load_file(fresh), load_file(stored)
    if a.keys() != b.keys():
        sys.exit(f"{stored.name}: the tensors differ: {sorted(a.keys() ^ b.keys())[:8]}")
    worst, where = 0.0, "none"
    for name in sorted(a):
        scale = max(np.abs(b[name]).max(initial=0.0), 1e-6)
        off = np.abs(a[name] - b[name]).max(initial=0.0) / scale
        reason = next((why for start, why in disagree.items() if name.startswith(start)), None)
        if reason:
            print(f"{name} differs by {off:.2e}: {reason}")
        elif off > worst or np.isnan(off):
            worst, where = off, name
    print(f"{stored.name}: {len(a)} tensors, largest difference {worst:.2e} in {where}")
    return worst


if __name__ == "__main__":
    main()
