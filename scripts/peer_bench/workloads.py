"""The workloads of docs/PERFORMANCE.md, and weights and data that every peer is given."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Workload:
    """One recurrent layer and what follows it. f32; `output` is what inference returns."""

    name: str
    cell: str  # LSTM or GRU (reset_after)
    batch: int
    time: int
    inputs: int
    units: int
    output: str  # last: last output; sequence: all outputs; state: last h and c, given back in the next call
    dense: int = 0  # units of a Dense on top, 0 for none
    softmax: bool = False  # the Dense ends in a softmax; training then minimises the cross-entropy at each step

    def gflop(self, mode):
        """Multiply-adds of the matrix products, times two; a train step is three forward passes' worth."""
        gates = 4 if self.cell == "LSTM" else 3
        recurrent = 2 * self.batch * self.time * gates * self.units * (self.inputs + self.units)
        rows = self.batch * (self.time if self.output == "sequence" else 1)
        forward = recurrent + 2 * rows * self.units * self.dense
        return forward * (3 if mode == "train" else 1) / 1e9


# Without a loss of its own (W2, W4, W6, W7) a train step minimises the mean square between output and a target.
WORKLOADS = {
    w.name: w
    for w in [
        Workload("W1", "LSTM", 32, 40, 1, 100, "last", dense=1),
        Workload("W2", "LSTM", 400, 1, 8, 64, "state"),
        Workload("W3", "LSTM", 32, 64, 128, 256, "sequence", dense=128, softmax=True),
        Workload("W4", "LSTM", 64, 50, 512, 512, "sequence"),
        Workload("W5", "GRU", 32, 64, 128, 256, "sequence", dense=128, softmax=True),
        Workload("W6", "LSTM", 1, 100, 32, 128, "sequence"),
        Workload("W7", "LSTM", 16, 25, 1024, 1024, "sequence"),
        # the tutorial's training loop: batch 1, state carried over 92 samples and reset after each of 100 epochs
        Workload("airline", "LSTM", 1, 3, 1, 4, "last", dense=1),
    ]
}
AIRLINE_SAMPLES, AIRLINE_EPOCHS = 92, 100


def weights(w):
    """Kernel, recurrent kernel, bias (GRU: `[2, 3u]`) and Dense in Keras's layout, the same for every peer."""
    import numpy as np

    rng = np.random.default_rng(7)
    gates = 4 if w.cell == "LSTM" else 3

    def uniform(shape, limit):
        return rng.uniform(-limit, limit, shape).astype(np.float32)

    limit = w.units**-0.5
    bias = (4 * w.units,) if w.cell == "LSTM" else (2, 3 * w.units)
    out = [uniform((w.inputs, gates * w.units), limit), uniform((w.units, gates * w.units), limit), uniform(bias, limit)]
    if w.dense:
        out += [uniform((w.units, w.dense), limit), uniform((w.dense,), limit)]
    return out


def reorder(array, gates, order):
    """Takes the gate blocks of the last axis in another order."""
    import numpy as np

    parts = np.split(array, gates, axis=-1)
    return np.concatenate([parts[g] for g in order], axis=-1)


def inputs(w):
    """`[batch, time, features]`, values like a scaled series'."""
    import numpy as np

    return np.random.default_rng(8).standard_normal((w.batch, w.time, w.inputs)).astype(np.float32)


def targets(w):
    """Class indices `[batch, time]` for a softmax, else values of the output's shape."""
    import numpy as np

    rng = np.random.default_rng(9)
    if w.softmax:
        return rng.integers(0, w.dense, (w.batch, w.time))
    shape = (w.batch, w.time) if w.output == "sequence" else (w.batch,)
    return rng.standard_normal((*shape, w.dense or w.units)).astype(np.float32)


def airline():
    """Windows `[92, 1, 3, 1]` and next values `[92, 1, 1]` of a series with trend and season (times, not errors, matter)."""
    import numpy as np

    month = np.arange(96)
    series = (0.1 + month / 120 + 0.1 * np.sin(month * np.pi / 6)).astype(np.float32)
    x = np.stack([series[i : i + 3] for i in range(AIRLINE_SAMPLES)]).reshape(AIRLINE_SAMPLES, 1, 3, 1)
    y = series[3 : 3 + AIRLINE_SAMPLES].reshape(AIRLINE_SAMPLES, 1, 1)
    return x, y
