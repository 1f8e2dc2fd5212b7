"""ONNX models read, run and written by Tidegate, held against ONNX Runtime.

    python scripts/interop_onnx.py check [--device cpu|gpu] [--family NAME ...]   all families, both directions
    python scripts/interop_onnx.py goldens                                        writes crates/rnn-interop/tests/goldens/onnx_*.safetensors

`check` builds the example `onnx_run` with cargo, runs every case on the device, compares each output with that of ONNX
Runtime (or of the case itself), and runs the model that was written again in ONNX Runtime. Of the family `masked`, models of
Keras, the ONNX model is held against Keras too.
"""

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from safetensors.numpy import load_file, save_file

from onnx_cases.case import Case

ROOT = Path(__file__).resolve().parent.parent
FAMILIES = ["node_tests", "recurrent", "graphs", "torch_exports", "keras_exports", "scans", "masked", "streams"]
# Models with masks that are made of several, or that count in a merge.
UNREAD = ("_maximum", "_minimum", "_behind", "_one_masked")
# Relative to the largest magnitude of the output, which counts as at least 1.
TOLERANCE = 1e-5


def run_onnx(model: onnx.ModelProto | bytes, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    data = model if isinstance(model, bytes) else model.SerializeToString()
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    types = {"tensor(float)": np.float32, "tensor(int64)": np.int64, "tensor(int32)": np.int32}
    given = {i.name: inputs[i.name].astype(types[i.type]) for i in session.get_inputs()}
    names = [o.name for o in session.get_outputs()]
    return dict(zip(names, session.run(names, given), strict=True))


def expected(case: Case) -> dict[str, np.ndarray]:
    return case.outputs if case.outputs is not None else run_onnx(case.model, case.inputs)


def as_floats(arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in arrays.items()}


def difference(got: dict[str, np.ndarray], want: dict[str, np.ndarray]) -> float:
    worst = 0.0
    for name, array in want.items():
        if name not in got:
            raise ValueError(f"no output {name}, there are {sorted(got)}")
        if got[name].shape != array.shape:
            raise ValueError(f"{name}: shape {got[name].shape}, expected {array.shape}")
        if not np.isfinite(array).all():
            raise ValueError(f"{name}: the expected output is not finite")
        scale = max(1.0, float(np.abs(array).max(initial=0)))
        apart = float(np.abs(got[name].astype(np.float64) - array).max(initial=0)) / scale
        worst = max(worst, apart if np.isfinite(apart) else np.inf)
    return worst


def named(case: Case, made: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What was made by the names of what is expected: of a .keras file the outputs are numbered."""
    if not isinstance(case.model, bytes):
        return made
    return {f"arr_{name.removeprefix('output_')}": array for name, array in made.items()}


def family(name: str) -> list[Case]:
    return list(importlib.import_module(f"onnx_cases.{name}").cases())


def check(device: str, families: list[str]) -> int:
    with tempfile.TemporaryDirectory() as folder:
        failed = streams(Path(folder)) if "streams" in families else 0
        return failed + check_in(Path(folder), device, [name for name in families if name != "streams"])


def check_in(folder: Path, device: str, families: list[str]) -> int:
    cases, listed, wanted = [], [], {}
    for name in families:
        for case in family(name):
            key = f"{name}/{case.name}"
            path = folder / f"{len(cases)}"
            try:
                wanted[key] = expected(case)
            except Exception as error:
                print(f"{key}: ONNX Runtime: {str(error)[:200]}")
                continue
            model = f"{path}.keras" if isinstance(case.model, bytes) else f"{path}.onnx"
            if isinstance(case.model, bytes):
                Path(model).write_bytes(case.model)
            else:
                onnx.save(case.model, model)
            save_file(as_floats(case.inputs), f"{path}.inputs")
            cases.append((key, case, path))
            listed.append({
                "name": key, "model": model, "inputs": f"{path}.inputs", "outputs": f"{path}.outputs",
                "export": f"{path}.again.onnx", "bind": case.bind,
            })
    run_cases(folder, listed, device)
    failed, worst, exported, worst_export = 0, 0.0, 0, 0.0
    for key, case, path in cases:
        if not os.path.exists(f"{path}.outputs"):
            failed += 1
            continue
        try:
            apart = difference(named(case, load_file(f"{path}.outputs")), wanted[key])
        except ValueError as error:
            apart = np.inf
            print(f"{key}: {error}")
        worst = max(worst, apart)
        if not apart <= TOLERANCE:
            print(f"{key}: read: off by {apart:.2e}")
            failed += 1
        if not os.path.exists(f"{path}.again.onnx.outputs"):
            continue
        try:
            again = run_onnx(Path(f"{path}.again.onnx").read_bytes(), load_file(f"{path}.again.onnx.inputs"))
            apart = difference(again, load_file(f"{path}.again.onnx.outputs"))
        except Exception as error:
            apart = np.inf
            print(f"{key}: written: {str(error)[:300]}")
        exported += 1
        worst_export = max(worst_export, apart)
        if not apart <= TOLERANCE:
            print(f"{key}: written: off by {apart:.2e}")
            failed += 1
    failed += read_back(folder, [(key, path) for key, _, path in cases if os.path.exists(f"{path}.again.onnx.outputs")], device)
    print(f"{device}: {len(cases)} models read, largest difference {worst:.2e}; "
          f"{exported} written again, largest difference {worst_export:.2e}; {failed} failures")
    return failed


def goldens():
    """Models, inputs and outputs for the tests in Rust."""
    for name in ("node_tests", "models"):
        tensors, listed = {}, []
        chosen = family("node_tests") if name == "node_tests" else small()
        for case in chosen:
            model = np.frombuffer(bare(case.model).SerializeToString(), np.uint8)
            tensors[f"{case.name}/model"] = model
            tensors |= {f"{case.name}/in/{k}": v for k, v in as_floats(case.inputs).items()}
            tensors |= {f"{case.name}/out/{k}": v for k, v in as_floats(expected(case)).items()}
            listed.append({"name": case.name, "bind": case.bind})
        path = ROOT / "crates/rnn-interop/tests/goldens" / f"onnx_{name}.safetensors"
        save_file(tensors, path, {"cases": json.dumps(listed)})
        print(f"{path.relative_to(ROOT)}: {len(listed)} cases, {path.stat().st_size} bytes")


def written(names: set[str]) -> list[Case]:
    """ONNX models that Tidegate makes of models of Keras, with what ONNX Runtime makes of them."""
    chosen = [case for case in family("masked") if case.name in names]
    with tempfile.TemporaryDirectory() as folder:
        listed = []
        for case in chosen:
            path = f"{folder}/{case.name}"
            Path(f"{path}.keras").write_bytes(case.model)
            save_file(as_floats(case.inputs), f"{path}.inputs")
            listed.append({
                "name": case.name, "model": f"{path}.keras", "inputs": f"{path}.inputs", "outputs": f"{path}.outputs",
                "export": f"{path}.onnx",
            })
        run_cases(Path(folder), listed, "cpu")
        return [Case(f"{case.name}_written", onnx.load(f"{folder}/{case.name}.onnx"), case.inputs) for case in chosen]


def read_back(folder: Path, written: list[tuple[str, Path]], device: str) -> int:
    """Reads what was written, and compares; of the masks that UNREAD names no layer can be told."""
    listed = [{"name": f"{key}, written", "model": f"{path}.again.onnx", "inputs": f"{path}.again.onnx.inputs",
               "outputs": f"{path}.back"} for key, path in written]
    run_cases(folder, listed, device)
    failed, worst, unread = 0, 0.0, 0
    for key, path in written:
        if not os.path.exists(f"{path}.back"):
            known = key.startswith("masked/") and key.endswith(UNREAD)
            unread, failed = unread + known, failed + (not known)
            continue
        apart = difference(load_file(f"{path}.back"), load_file(f"{path}.again.onnx.outputs"))
        worst = max(worst, apart)
        if not apart <= TOLERANCE:
            print(f"{key}: written and read again: off by {apart:.2e}")
            failed += 1
    print(f"{device}: {len(written) - unread} written models read again, largest difference {worst:.2e}; {unread} can not be read")
    return failed


def streams(folder: Path) -> int:
    """Stateful models of Keras, written as ONNX: with the states that come out given back, ONNX Runtime makes of the parts of a
    sequence what Keras, which keeps the states itself, makes of all of it. Read again, the states are inputs and outputs too."""
    module = importlib.import_module("onnx_cases.streams")
    failed, worst, count = 0, 0.0, 0
    for name, model, x, expected in module.cases():
        path = folder / f"stream_{name}"
        Path(f"{path}.keras").write_bytes(model)
        save_file(as_floats({"x": x[:, :module.PART]}), f"{path}.inputs")
        first = {"name": name, "model": f"{path}.keras", "inputs": f"{path}.inputs", "outputs": f"{path}.outputs", "export": f"{path}.onnx"}
        run_cases(folder, [first], "cpu")
        session = onnxruntime.InferenceSession(f"{path}.onnx", providers=["CPUExecutionProvider"])
        kept = [i.name for i in session.get_inputs()][1:]
        outputs = [o.name for o in session.get_outputs()]
        states = {state: np.zeros((len(x), i.shape[1]), np.float32) for state, i in zip(kept, session.get_inputs()[1:], strict=True)}
        for part, want in zip(np.split(x, x.shape[1] // module.PART, axis=1), expected, strict=True):
            given = {session.get_inputs()[0].name: part, **states}
            made = dict(zip(outputs, session.run(outputs, given), strict=True))
            again = {"name": name, "model": f"{path}.onnx", "inputs": f"{path}.part", "outputs": f"{path}.made", "bind": []}
            save_file(as_floats(given), f"{path}.part")
            run_cases(folder, [again], "cpu")
            apart = max(difference({"y": made[outputs[0]]}, {"y": want}), difference(load_file(f"{path}.made"), made))
            worst = max(worst, apart)
            if not apart <= TOLERANCE:
                print(f"streams/{name}: off by {apart:.2e}")
                failed += 1
            states = {state: made[f"{state}_out"] for state in kept}
        count += 1
    print(f"{count} streams carried on, largest difference {worst:.2e}; {failed} failures")
    return failed


def run_cases(folder: Path, listed: list[dict], device: str):
    """Runs the example `onnx_run`, or the program that ONNX_RUN names."""
    (folder / "cases.json").write_text(json.dumps(listed))
    program = os.environ.get("ONNX_RUN")
    command = [program] if program else ["cargo", "run", "--release", "-q", "-p", "rnn-interop", "--example", "onnx_run", "--"]
    subprocess.run([*command, str(folder / "cases.json"), device], cwd=ROOT, check=True)


def bare(model: onnx.ModelProto) -> onnx.ModelProto:
    """Without what exporters note of the machine that they ran on."""
    model = onnx.ModelProto.FromString(model.SerializeToString())
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    for part in (*model.graph.node, *model.graph.initializer, *model.graph.input, *model.graph.output):
        del part.metadata_props[:]
        part.ClearField("doc_string")
    model.graph.ClearField("doc_string")
    model.ClearField("doc_string")
    shorten(model.graph, {})
    return model


def shorten(graph: onnx.GraphProto, names: dict[str, str]):
    """Names of values as long as paths become numbers; those of inputs and outputs of the model stay."""
    kept = {v.name for v in (*graph.input, *graph.output)} if not names else set()
    names |= {name: name for name in kept}

    def short(name: str) -> str:
        return names.setdefault(name, f"v{len(names)}") if len(name) > 16 else name

    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = short(value.name)
    for node in graph.node:
        node.input[:], node.output[:] = [short(name) for name in node.input], [short(name) for name in node.output]
        if len(node.name) > 16:
            node.name = f"{node.op_type}_{len(names)}"
        for attribute in node.attribute:
            if attribute.HasField("g"):
                shorten(attribute.g, names)


def small() -> list[Case]:
    """Cases that stand for the families."""
    small = importlib.import_module("onnx_cases.small")
    exported = [c for name in FAMILIES[1:-2] for c in family(name) if c.name in small.NAMES]
    return exported + written(small.WRITTEN)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    commands = parser.add_subparsers(dest="command", required=True)
    checking = commands.add_parser("check")
    checking.add_argument("--device", default="cpu")
    checking.add_argument("--family", nargs="*", default=FAMILIES)
    commands.add_parser("goldens")
    options = parser.parse_args()
    if options.command == "goldens":
        goldens()
        return 0
    return int(check(options.device, options.family) > 0)


if __name__ == "__main__":
    sys.exit(main())
