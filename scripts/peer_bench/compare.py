"""Workers that stay alive between measurements, so that peers and `tidegate bench` can be timed in turn (A B A B)."""

import json
import os
import statistics
import subprocess
import sys
from types import SimpleNamespace

from . import rust_peers
from .timing import measure, once, summary
from .workloads import WORKLOADS

MODULES = {"torch": "torch_peer", "onnxruntime": "onnx_peer", "keras": "keras_peer"}


def load(name, options):
    """The peer's module is imported in the process that measures it only: its memory and threads are its own."""
    import importlib

    return importlib.import_module(f".{MODULES[name]}", __package__).Peer(options)


def time_one(peer, w, mode, seconds):
    """One measurement of a peer in this process."""
    if w.name == "airline":
        return summary(once(*peer.airline(w)), None)
    return summary(measure(getattr(peer, mode)(w), seconds), w.gflop(mode))


def serve(peer, seconds):
    """A worker: answers lines of `{workload, mode}` on stdin with a line of JSON; models are kept between asks."""
    import functools

    # Whatever a library prints must not end up between the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    prepared = functools.cache(lambda name, mode: getattr(peer, mode)(WORKLOADS[name]))
    print(json.dumps({"about": peer.describe()}), file=answers, flush=True)
    for line in sys.stdin:
        ask = json.loads(line)
        w, mode = WORKLOADS[ask["workload"]], ask["mode"]
        if w.name == "airline":
            answer = time_one(peer, w, mode, seconds)
        else:
            answer = summary(measure(prepared(w.name, mode), seconds), w.gflop(mode))
        print(json.dumps(answer), file=answers, flush=True)


class Worker:
    """A peer in a process of its own."""

    def __init__(self, name, options):
        command = [sys.executable, sys.argv[0], "--peer", name, "--serve", *forward(options)]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        self.name = name
        self.about = self.read()["about"]

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            sys.exit(f"{self.name} ended with status {self.process.wait()}")
        return json.loads(line)

    def ask(self, w, mode):
        self.process.stdin.write(json.dumps({"workload": w.name, "mode": mode}) + "\n")
        self.process.stdin.flush()
        return self.read()


class Tidegate:
    """`tidegate bench --json`, a fresh process for each measurement."""

    def __init__(self, options):
        self.options = options
        self.name, self.about = "tidegate", "tidegate"

    def command(self, w, mode):
        o = self.options
        command = [o.tidegate, "bench", "--json", "--workload", w.name, "--mode", mode, "--seconds", str(o.seconds)]
        command += ["--device", o.tidegate_device]
        return command + (["--threads", str(o.threads)] if o.threads else [])

    def ask(self, w, mode):
        done = subprocess.run(self.command(w, mode), capture_output=True, text=True)
        if done.returncode:
            return {"error": done.stderr.strip().splitlines()[-1:] or [f"status {done.returncode}"]}
        report = json.loads(done.stdout)
        self.about = f"tidegate on {report['device']}"
        found = [r for r in report["results"] if r["workload"] == w.name and r["mode"] == mode]
        return found[0] if found else {"error": ["not in its results"]}


def forward(options):
    """The options a worker needs, as arguments."""
    out = ["--seconds", str(options.seconds), "--device", options.device]
    if options.threads:
        out += ["--threads", str(options.threads)]
    return out + (["--tf32"] if options.tf32 else [])


def compare(options, jobs):
    """Measures everybody in turn, `--rounds` times each job; yields one record per job."""
    runners = [(rust_peers.Worker if name in rust_peers.NAMES else Worker)(name, options) for name in options.peer]
    if options.tidegate:
        runners.insert(0, Tidegate(options))
    for w, mode in jobs:
        able = [r for r in runners if r.name == "tidegate" or mode in MODES[r.name]]
        if w.name == "airline":
            able = [r for r in able if r.name not in WITHOUT_AIRLINE]
        rounds = {r.name: [] for r in able}
        for _ in range(options.rounds):
            for runner in able:
                rounds[runner.name].append(runner.ask(w, mode))
        results = {name: merge(answers) for name, answers in rounds.items()}
        yield {"workload": w.name, "mode": mode, "results": results, "about": {r.name: r.about for r in runners}}


MODES = {"torch": ("infer", "train"), "keras": ("infer", "train"), "onnxruntime": ("infer",)}
MODES |= {name: ("infer", "train") for name in rust_peers.NAMES}
# The second would take ten minutes on a software adapter.
WITHOUT_AIRLINE = ("onnxruntime", "burn-wgpu")


def merge(answers):
    """Several rounds as one: the median of medians, the least and greatest of all."""
    bad = [a for a in answers if "error" in a]
    if bad:
        return bad[0]
    keep = {k: answers[0][k] for k in ("gflops", "max_abs_error") if answers[0].get(k) is not None}
    median = statistics.median(a["median_ms"] for a in answers)
    if "gflops" in keep:
        keep["gflops"] *= answers[0]["median_ms"] / median
    least, greatest = min(a["min_ms"] for a in answers), max(a["max_ms"] for a in answers)
    return {"median_ms": median, "min_ms": least, "max_ms": greatest, **keep}


def peak_memory(options):
    """Peak resident memory, in MB, of a fresh process that runs the W3 train step, for each."""
    w, out = WORKLOADS["W3"], {}
    commands = {}
    if options.tidegate:
        commands["tidegate"] = Tidegate(options).command(w, "train")
    for name in options.peer:
        if "train" in MODES[name] and name in MODULES:
            commands[name] = [sys.executable, sys.argv[0], "--peer", name, "--here", "--workload", "W3", "--mode", "train"]
            commands[name] += ["--json", *forward(options)]
    for name, command in commands.items():
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        out[name] = usage.ru_maxrss / 1024 if process.returncode == 0 else None
    return out


def check(options):
    """Every peer's answers to the same weights and inputs, against PyTorch's: outputs, and the losses of three train steps."""
    import numpy as np

    here = SimpleNamespace(threads=options.threads, device="cpu", tf32=False)
    # PyTorch's optimizers and TensorFlow bring an LLVM each and can not be in one process: Keras is left out here.
    peers = {name: load(name, here) for name in MODULES if name != "keras"}
    rust = [rust_peers.Worker(name, options) for name in options.peer if name in rust_peers.NAMES]
    offs = []
    for w in compared():
        answers = {name: np.asarray(peer.infer(w)()).ravel() for name, peer in peers.items()}
        answers |= {peer.name: peer.answer(w, "infer") for peer in rust}
        offs += differences(w, "outputs", answers)
        steps = {"torch": peers["torch"].train(w)}
        steps |= {peer.name: lambda peer=peer: peer.answer(w, "train")[0] for peer in rust}
        losses = {name: np.array([float(step()) for _ in range(3)]) for name, step in steps.items()}
        offs += differences(w, "losses", losses)
    if "keras" in options.peer:
        offs += check_keras(here, peers["torch"])
    if not all(off < 1e-4 for off in offs):
        sys.exit("the peers do not run the same model")


def compared():
    """All workloads but the tutorial, which is many batches."""
    return [w for w in WORKLOADS.values() if w.name != "airline"]


def check_keras(here, torch):
    """Keras's outputs against PyTorch's."""
    import numpy as np

    keras = load("keras", here)
    offs = []
    for w in compared():
        answers = {"torch": torch.infer(w)(), "keras": keras.infer(w)()}
        offs += differences(w, "outputs", {name: np.asarray(y).ravel() for name, y in answers.items()})
    return offs


def differences(w, what, answers):
    """How far each peer is from PyTorch; printed, too."""
    import numpy as np

    for name, answer in answers.items():
        off = float(np.abs(answer - answers["torch"]).max())
        print(f"{w.name} {what} of {name}: {answer.size}, differ from torch by {off:.1e}", flush=True)
        yield off
