"""candle and Burn: the program of `benches/peers`, told what to run by lines of JSON (`src/main.rs` there says how)."""

import dataclasses
import json
import os
import pathlib
import subprocess
import tempfile

from . import workloads
from .timing import summary

NAMES = ("candle", "burn", "burn-wgpu")
DATA = tempfile.TemporaryDirectory(prefix="tidegate-peers-")


def data_of(w):
    """Weights, inputs and targets as a file; made once."""
    import numpy as np
    from safetensors.numpy import save_file

    path = pathlib.Path(DATA.name, f"{w.name}.safetensors")
    if not path.exists():
        names = ("kernel", "recurrent", "bias", "dense_kernel", "dense_bias")
        arrays = dict(zip(names, workloads.weights(w)))
        arrays["x"], arrays["y"] = workloads.airline() if w.name == "airline" else (workloads.inputs(w), workloads.targets(w))
        save_file({name: np.ascontiguousarray(a, dtype=np.float32) for name, a in arrays.items()}, path)
    return str(path)


class Worker:
    """One of them in a process of its own, with the face of `compare.Worker`."""

    def __init__(self, name, options):
        environment = dict(os.environ)
        if options.threads:
            environment["RAYON_NUM_THREADS"] = str(options.threads)
        self.name, self.seconds = name, options.seconds
        self.process = subprocess.Popen(
            [options.rust_peers, name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=environment,
        )
        self.about = self.read()["about"]

    def read(self):
        line = self.process.stdout.readline()
        return json.loads(line) if line else {"error": [f"ended with status {self.process.wait()}"]}

    def send(self, w, mode, **how):
        ask = {"workload": dataclasses.asdict(w), "mode": mode, "data": data_of(w), **how}
        try:
            self.process.stdin.write(json.dumps(ask) + "\n")
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # `read` says how it ended
        return self.read()

    def ask(self, w, mode):
        if w.name != "airline":
            answer = self.send(w, mode, seconds=self.seconds)
            return answer if "error" in answer else summary(answer["times"], w.gflop(mode))
        answer = self.send(w, "epoch", calls=workloads.AIRLINE_EPOCHS)
        return answer if "error" in answer else summary([sum(answer["times"])], None)

    def answer(self, w, mode):
        """What one call gives: outputs of a prediction, the loss of a train step."""
        import numpy as np

        path = pathlib.Path(DATA.name, "answer")
        done = self.send(w, mode, answer=str(path))
        if "error" in done:
            raise RuntimeError(f"{self.name}, {w.name} {mode}: {done['error'][0]}")
        return np.fromfile(path, dtype="<f4")
