#!/usr/bin/env python3
"""How the settings of `tidegate demo` were chosen: on the first 96 months of the airline series alone.

    pip install -r scripts/requirements.txt
    python scripts/airline_settings.py             # validation errors of each candidate (minutes)
    python scripts/airline_settings.py --held-back # the chosen one, once, on the 48 months held back

Three folds: train on 60, 72 and 84 months, validate on the next 12. Each candidate is trained from many seeds at once
(one batch axis more) in PyTorch, with Keras's initial weights and Adam. Errors are RMSE in thousands of passengers, one
step ahead and twelve (outputs fed back); printed are the mean over folds and seeds and, in brackets, the worst seed of
any fold.
"""

import argparse
import math
from pathlib import Path

import torch

SERIES = torch.tensor(
    [float(line.split(",")[1]) for line in (Path(__file__).parent / "../data/airline-passengers.csv").read_text().split()[1:]],
    dtype=torch.float64,
)
FOLDS = [(60, 72), (72, 84), (84, 96)]
CHOSEN = dict(kind="year", look_back=3, units=16, cell="lstm", rate=0.01, decay=0.02, epochs=60)


class Net:
    """`seeds` recurrent networks side by side: [seed, batch, time, 1] to [seed, batch]."""

    def __init__(self, seeds, units, cell):
        draw, gates = torch.Generator().manual_seed(0), {"lstm": 4, "gru": 3}[cell]
        glorot = lambda i, o: (torch.rand(seeds, i, o, generator=draw) * 2 - 1) * math.sqrt(6 / (i + o))
        q, r = torch.linalg.qr(torch.randn(seeds, gates * units, units, generator=draw))
        orthogonal = (q * torch.sign(torch.diagonal(r, dim1=-2, dim2=-1))[:, None, :]).transpose(1, 2).contiguous()
        bias = torch.zeros(seeds, 1, gates * units)
        if cell == "lstm":
            bias[:, :, units : 2 * units] = 1  # unit_forget_bias
        self.cell, self.units = cell, units
        self.weights = [glorot(1, gates * units), orthogonal, bias, torch.zeros_like(bias), glorot(units, 1), torch.zeros(seeds, 1, 1)]
        for weight in self.weights:
            weight.requires_grad_(True)

    def __call__(self, x):
        kernel, recurrent, bias, recurrent_bias, dense, dense_bias = self.weights
        h = c = torch.zeros(len(kernel), x.shape[1], self.units)
        for t in range(x.shape[2]):
            a, r = torch.bmm(x[:, :, t, None], kernel) + bias, torch.bmm(h, recurrent)
            if self.cell == "lstm":
                i, f, g, o = (a + r).split(self.units, 2)
                c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
                h = torch.sigmoid(o) * torch.tanh(c)
            else:
                (az, ar, ah), (rz, rr, rh) = a.split(self.units, 2), (r + recurrent_bias).split(self.units, 2)
                z = torch.sigmoid(az + rz)
                h = z * h + (1 - z) * torch.tanh(ah + torch.sigmoid(ar + rr) * rh)
        return (torch.bmm(h, dense) + dense_bias)[:, :, 0]


def difference(kind):
    """Logarithms to what is learnt, rows lost, and the next logarithm from what was learnt and the logarithms so far."""
    if kind == "year":
        return lambda y: y[12:] - y[:-12], 12, lambda y, d: y[..., -12] + d
    if kind == "month":
        return lambda y: y[1:] - y[:-1], 1, lambda y, d: y[..., -1] + d
    if kind == "both":
        return lambda y: (y[12:] - y[:-12]).diff(), 13, lambda y, d: y[..., -1] + y[..., -12] - y[..., -13] + d
    raise ValueError(kind)


def errors(begin, end, seeds, kind, look_back, units, cell, rate, decay, epochs, batch=16):
    """RMSE of each seed over months begin..end, one and twelve ahead, after training on the months before."""
    change, lost, restore = difference(kind)
    logs = SERIES.log()
    z = change(logs)
    mean, std = z[: begin - lost].mean(), z[: begin - lost].std(correction=0)
    z = ((z - mean) / std).float()
    windows = z[: begin - lost].unfold(0, look_back + 1, 1)
    x, y = windows[:, :-1], windows[:, -1]
    net, draw, step = Net(seeds, units, cell), torch.Generator().manual_seed(1), 0
    m = [torch.zeros_like(w) for w in net.weights]
    v = [torch.zeros_like(w) for w in net.weights]
    for _ in range(epochs):
        order = torch.rand(seeds, len(x), generator=draw).argsort(1)
        for first in range(0, len(x), batch):
            pick = order[:, first : first + batch]
            ((net(x[pick]) - y[pick]) ** 2).mean(1).sum().backward()
            lr, step = rate / (1 + decay * step), step + 1
            alpha = lr * math.sqrt(1 - 0.999**step) / (1 - 0.9**step)
            with torch.no_grad():
                for w, m_, v_ in zip(net.weights, m, v):
                    g = torch.zeros_like(w) if w.grad is None else w.grad
                    m_.mul_(0.9).add_(g, alpha=0.1)
                    v_.mul_(0.999).addcmul_(g, g, value=0.001)
                    w.sub_(alpha * m_ / (v_.sqrt() + 1e-7))
                    w.grad = None
    with torch.no_grad():
        origins = range(begin - 11, end)
        window = torch.stack([z[o - lost - look_back : o - lost] for o in origins]).expand(seeds, -1, -1)
        past = torch.stack([logs[o - 13 : o] for o in origins]).expand(seeds, -1, -1)
        ahead = []
        for _ in range(12):
            out = net(window)
            nxt = restore(past, out.double() * std + mean)
            ahead.append(nxt.exp())
            window = torch.cat([window[:, :, 1:], out[..., None]], 2)
            past = torch.cat([past[:, :, 1:], nxt[..., None]], 2)
        truth = SERIES[begin:end]
        rmse = lambda p: ((p - truth) ** 2).mean(1).sqrt()
        return rmse(ahead[0][:, 11:]), rmse(ahead[11][:, : end - begin])


def validate(**candidate):
    results = [errors(*fold, seeds=16, **candidate) for fold in FOLDS]
    one, twelve = (torch.stack(r) for r in zip(*results))
    shown = " ".join(f"{k}={v}" for k, v in candidate.items())
    print(f"{shown:95} one {one.mean():5.1f} ({one.max():5.1f})  twelve {twelve.mean():5.1f} ({twelve.max():5.1f})", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--held-back", action="store_true", help="the chosen settings on the last 48 months, 60 seeds")
    torch.set_num_threads(1)
    if parser.parse_args().held_back:
        for name, e in zip(("one", "twelve"), errors(96, 144, seeds=60, **CHOSEN)):
            print(f"{name} ahead: mean {e.mean():.1f}, best seed {e.min():.1f}, worst {e.max():.1f}")
        return
    for kind, look_backs in [("year", (1, 2, 3, 4, 6, 8, 12, 24)), ("month", (12, 13, 24)), ("both", (12, 13, 24))]:
        for look_back in look_backs:
            for cell, units in [("lstm", 16), ("lstm", 32), ("gru", 16)]:
                validate(**CHOSEN | dict(kind=kind, look_back=look_back, cell=cell, units=units))
    for units in (4, 8):
        validate(**CHOSEN | dict(units=units))
    for rate, decay, epochs in [(0.003, 0, 60), (0.005, 0, 60), (0.01, 0, 20), (0.01, 0, 60), (0.01, 0, 160), (0.02, 0.05, 60), (0.01, 0.02, 160)]:
        validate(**CHOSEN | dict(rate=rate, decay=decay, epochs=epochs))


if __name__ == "__main__":
    main()
