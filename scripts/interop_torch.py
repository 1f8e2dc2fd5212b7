#!/usr/bin/env python3
"""State dicts of PyTorch against this engine, both ways. See scripts/README.md.

    pip install -r scripts/requirements.txt
    python scripts/interop_torch.py --goldens                            # write the committed cases
    python scripts/interop_torch.py --tidegate target/release/tidegate   # all cases there and back
"""

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

FOLDER = Path(__file__).resolve().parent.parent / "crates" / "rnn-interop" / "tests" / "goldens" / "torch"
TOLERANCE = 1e-5


class Chain(nn.Module):
    """Modules by name, one after the other; `last` hands the last state on, `relu` stands between linear ones."""

    def __init__(self, parts, last=False, relu=False):
        super().__init__()
        for name, part in parts.items():
            self.add_module(name, part)
        self.names, self.last, self.relu = list(parts), last, relu

    def forward(self, x):
        recurrent = [n for n in self.names if isinstance(getattr(self, n), (nn.RNNBase, nn.RNNCellBase))]
        for i, name in enumerate(self.names):
            part = getattr(self, name)
            if isinstance(part, nn.RNNBase):
                x, states = part(x)
                h = states[0] if isinstance(states, tuple) else states
                if self.last and name == recurrent[-1]:
                    x = torch.cat([h[-2], h[-1]], dim=-1) if part.bidirectional else h[-1]
            elif isinstance(part, nn.LSTMCell):
                state, steps = None, []
                for t in range(x.shape[1]):
                    state = part(x[:, t], state)
                    steps.append(state[0])
                x = torch.stack(steps, dim=1)
            else:
                x = part(x)
                if self.relu and isinstance(part, nn.Linear) and i + 1 < len(self.names):
                    x = torch.relu(x)
        return x


class Alone(nn.Module):
    """A recurrent module whose state dict has no prefix."""

    def __init__(self, part):
        super().__init__()
        self.part = part

    def forward(self, x):
        return self.part(x)[0]


def recurrent(kind, *sizes, **options):
    return getattr(nn, kind)(*sizes, batch_first=True, **options)


def every_option():
    """nn.LSTM, nn.GRU and nn.RNN with every combination of their options that decides a number."""
    for kind, layers, both, bias in itertools.product(["LSTM", "GRU", "RNN"], [1, 2, 3], [False, True], [True, False]):
        extras = {"LSTM": [{}, {"proj_size": 3}], "GRU": [{}], "RNN": [{}, {"nonlinearity": "relu"}]}[kind]
        for extra in extras:
            label = [kind.lower(), f"{layers}l"] + ["both"] * both + ["nobias"] * (not bias)
            label += [f"{k}_{v}" for k, v in extra.items()]
            names = [kind.lower()] + [f"{kind.lower()}_l{k}" for k in range(1, layers)]
            words = ["map=:" + "+".join(names)]
            if kind == "RNN":
                words.append("nonlinearity=" + extra.get("nonlinearity", "tanh"))
            part = recurrent(kind, 4, 5, layers, bidirectional=both, bias=bias, **extra)
            yield "_".join(label), Alone(part), words, (3, 6, 4)


def networks():
    """Chains as people build them."""
    lstm, gru, rnn = (lambda *s, k=k, **o: recurrent(k, *s, **o) for k in ["LSTM", "GRU", "RNN"])
    last, every = "output=last", "output=all"
    yield "forecaster", Chain({"lstm": lstm(1, 8), "fc": nn.Linear(8, 1)}, last=True), [last], (3, 6, 1)
    yield "tagger", Chain({"lstm": lstm(4, 5, 2, bidirectional=True), "out": nn.Linear(10, 3)}), [every], (3, 6, 4)
    text = {"embed": nn.Embedding(11, 6), "gru": gru(6, 5, 2, bidirectional=True), "norm": nn.LayerNorm(10), "fc": nn.Linear(10, 3)}
    yield "text", Chain(text, last=True), [last], (3, 6)
    head = {"rnn": rnn(4, 5, nonlinearity="relu"), "fc1": nn.Linear(5, 5), "fc2": nn.Linear(5, 5), "fc10": nn.Linear(5, 5)}
    yield "head", Chain(head, last=True, relu=True), [last, "activation=relu", "nonlinearity=relu"], (3, 6, 4)
    yield "apart", Chain({"rnn1": gru(4, 4), "rnn2": gru(4, 4), "fc": nn.Linear(4, 2)}), [every], (3, 6, 4)
    between = {"a": lstm(4, 4), "norm": nn.LayerNorm(4), "b": lstm(4, 4)}
    yield "ordered", Chain(between), ["order=a,norm,b"], (3, 6, 4)
    plain = {"table": nn.Embedding(9, 4), "lstm": lstm(4, 5), "norm": nn.LayerNorm(5, bias=False), "fc": nn.Linear(5, 2, bias=False)}
    yield "no_biases", Chain(plain, last=True), [last], (3, 6)
    yield "before", Chain({"fc": nn.Linear(4, 6), "gru": gru(6, 3)}), [], (3, 6, 4)
    yield "cell", Chain({"cell": nn.LSTMCell(4, 5), "fc": nn.Linear(5, 2)}), [every], (3, 6, 4)
    projected = {"lstm": lstm(4, 6, 2, proj_size=3, bidirectional=True), "fc": nn.Linear(6, 2)}
    yield "projected", Chain(projected, last=True), [last], (3, 6, 4)
    yield "dense", nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2)), ["activation=tanh"], (3, 4)
    for dtype in [torch.float16, torch.bfloat16, torch.float64]:
        net = Chain({"lstm": lstm(4, 5), "fc": nn.Linear(5, 2)}, last=True).to(dtype)
        yield str(dtype).removeprefix("torch."), net, [last], (3, 6, 4)


GOLDENS = {
    "lstm_3l_both", "lstm_2l_both_proj_size_3", "lstm_1l_nobias", "gru_2l_both", "gru_1l", "gru_1l_nobias", "rnn_2l_both",
    "rnn_3l_nonlinearity_relu", "forecaster", "text", "head", "apart", "ordered", "no_biases", "before", "cell", "projected",
    "dense", "float16", "bfloat16", "float64",
}


def make(name, net, shape):
    """Weights and inputs that depend on the name alone; the outputs in f64."""
    rng = np.random.default_rng(zlib.crc32(name.encode()))
    relu = any(getattr(m, "nonlinearity", "") == "relu" for m in net.modules())
    with torch.no_grad():
        for p in net.parameters():
            # Larger than PyTorch's own start, to drive gates out of their linear part; of a relu, which has no bounds, not.
            scale = 0.4 if relu or p.dim() == 1 else 0.8
            p.copy_(torch.from_numpy(rng.standard_normal(tuple(p.shape)) * scale))
        x = rng.integers(0, 9, shape) if len(shape) == 2 and name != "dense" else rng.standard_normal(shape)
        x = x.astype(np.float32)
        return x, answer(net, x)


def answer(net, x):
    """What the network says in f64."""
    wide = {k: v.double() for k, v in net.state_dict().items()}
    kept, dtype = net.state_dict(), next(net.parameters()).dtype
    net.double().load_state_dict(wide)
    embeds = any(isinstance(m, nn.Embedding) for m in net.modules())
    given = torch.from_numpy(x)
    y = net(given.long() if embeds else given.double()).detach().numpy()
    net.to(dtype).load_state_dict(kept)
    return y


def saved(net):
    """The state dict as a person saves it."""
    part = net.part if isinstance(net, Alone) else net
    return {k: v.contiguous() for k, v in part.state_dict().items()}


def write_goldens():
    FOLDER.mkdir(parents=True, exist_ok=True)
    tensors, cases = {}, []
    for name, net, words, shape in itertools.chain(every_option(), networks()):
        if name not in GOLDENS:
            continue
        x, y = make(name, net, shape)
        save_file(saved(net), FOLDER / f"{name}.safetensors", metadata={"format": "pt"})
        tensors[f"{name}/x"], tensors[f"{name}/y"] = torch.from_numpy(x), torch.from_numpy(np.ascontiguousarray(y, dtype=np.float32))
        cases.append({"name": name, "options": words})
    assert {c["name"] for c in cases} == GOLDENS
    config = json.dumps({"format": 1, "cases": cases}, separators=(",", ":"))
    save_file(dict(sorted(tensors.items())), FOLDER / "cases.safetensors", metadata={"config": config})
    print(f"{len(cases)} cases in {FOLDER}")


def run(program, *words):
    done = subprocess.run([program, *map(str, words), "--device", "cpu", "--quiet"], capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(map(str, words))}: code {done.returncode}: {done.stderr.strip()}")


def there_and_back(program):
    worst, failures, count = {"there": 0.0, "back": 0.0, "by our file": 0.0}, [], 0
    for name, net, words, shape in itertools.chain(every_option(), networks()):
        count += 1
        x, y = make(name, net, shape)
        flags = [w for word in words for w in ("--torch", word)]
        with tempfile.TemporaryDirectory() as folder:
            place = Path(folder)
            np.save(place / "x.npy", x)
            save_file(saved(net), place / "m.safetensors")

            def off(answer):
                return float(np.abs(answer - y).max()) if answer.shape == y.shape else float("inf")

            def load(path):
                part = (net.part if isinstance(net, Alone) else net).float()
                state = load_file(path)
                if name == "cell":
                    # What comes back is an nn.LSTM: the same tensors under the names of its one layer.
                    state = {k.removesuffix("_l0"): v for k, v in state.items()}
                part.load_state_dict(state, strict=True)
                return off(answer(net, x))

            try:
                run(program, "predict", "--model", place / "m.safetensors", *flags, "--input", place / "x.npy", "--output", place / "y.npy")
                there = off(np.load(place / "y.npy"))
                run(program, "convert", place / "m.safetensors", place / "b.safetensors", "--to", "torch", *flags)
                back = load(place / "b.safetensors")
                run(program, "convert", place / "m.safetensors", place / "t.safetensors", "--to", "tidegate", *flags)
                maps = [w for word in words if word.startswith("map=") for w in ("--torch", word)]
                run(program, "convert", place / "t.safetensors", place / "c.safetensors", "--to", "torch", *maps)
                ours = load(place / "c.safetensors")
            except RuntimeError as error:
                failures.append(f"{name}: {error}")
                continue
        for key, value in zip(worst, (there, back, ours)):
            worst[key] = max(worst[key], value)
            # A NaN is no success.
            if not value <= TOLERANCE:
                failures.append(f"{name}: {key}: off by {value}")
    print(f"{count} state dicts; largest difference " + ", ".join(f"{k} {v:.2e}" for k, v in worst.items()))
    for failure in failures:
        print(f"FAILED {failure}")
    return not failures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--goldens", action="store_true", help="write the cases that the Rust tests read")
    parser.add_argument("--tidegate", type=Path, help="run every case there and back through this program")
    args = parser.parse_args()
    if not args.goldens and not args.tidegate:
        parser.error("give --goldens or --tidegate PATH")
    if args.goldens:
        write_goldens()
    if args.tidegate and not there_and_back(args.tidegate):
        sys.exit(1)


if __name__ == "__main__":
    main()
