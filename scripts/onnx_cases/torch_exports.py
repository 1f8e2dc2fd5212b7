"""Models of PyTorch's two exporters."""

import io
import logging
import warnings

import numpy as np
import onnx

from .case import Case, random


def modules():
    import torch
    from torch import nn

    class Plain(nn.Module):
        """A recurrent layer with a head, as people write them."""

        def __init__(self, kind, read="last", embedding=False, norm=False, **options):
            super().__init__()
            self.embedding = nn.Embedding(11, 3) if embedding else None
            self.recurrent = getattr(nn, kind)(3, 5, **options)
            self.batch_first, self.read = options.get("batch_first", False), read
            width = 5 * (2 if options.get("bidirectional") else 1)
            self.norm = nn.LayerNorm(width) if norm else nn.Identity()
            self.head = nn.Sequential(nn.Linear(width, 4), nn.ReLU(), nn.Dropout(0.3), nn.Linear(4, 2))

        def forward(self, x):
            if self.embedding is not None:
                x = self.embedding(x)
            y, states = self.recurrent(x)
            if self.read == "last":
                return self.head(self.norm(y[:, -1] if self.batch_first else y[-1]))
            if self.read == "state":
                h = states[0] if isinstance(states, tuple) else states
                last = torch.cat([h[-2], h[-1]], 1) if self.recurrent.bidirectional else h[-1]
                return self.head(self.norm(last))
            if self.read == "mean":
                return self.head(self.norm(y.mean(1 if self.batch_first else 0)))
            if self.read == "max":
                return torch.log_softmax(self.head(self.norm(y.max(1 if self.batch_first else 0).values)), -1)
            if self.read == "all":
                return (self.head(self.norm(y)), *(states if isinstance(states, tuple) else (states,)))
            return torch.softmax(self.head(self.norm(y)), -1)

    class Stateful(nn.Module):
        """States in and out."""

        def __init__(self, **options):
            super().__init__()
            self.recurrent = nn.LSTM(3, 5, batch_first=True, **options)
            self.head = nn.Linear(5, 2)

        def forward(self, x, h, c):
            y, (h, c) = self.recurrent(x, (h, c))
            return self.head(y), h, c

    class Learned(nn.Module):
        """A learned first state."""

        def __init__(self):
            super().__init__()
            self.h0 = nn.Parameter(torch.randn(1, 1, 5))
            self.recurrent = nn.GRU(3, 5, batch_first=True)
            self.head = nn.Linear(5, 2)

        def forward(self, x):
            y, _ = self.recurrent(x, self.h0.expand(1, x.shape[0], 5).contiguous())
            return self.head(y)

    class AutoEncoder(nn.Module):
        def __init__(self):
            super().__init__()
            self.encoder, self.decoder = nn.LSTM(3, 5, batch_first=True), nn.LSTM(5, 4, batch_first=True)
            self.head = nn.Linear(4, 3)

        def forward(self, x):
            _, (h, _) = self.encoder(x)
            y, _ = self.decoder(h[-1].unsqueeze(1).repeat(1, 4, 1))
            return self.head(y)

    class Packed(nn.Module):
        """Sequences of several lengths in any order, packed and padded again."""

        def __init__(self, kind, states=False, **options):
            super().__init__()
            self.recurrent = getattr(nn, kind)(3, 5, batch_first=True, **options)
            self.head, self.states = nn.Linear(5 * (2 if options.get("bidirectional") else 1), 2), states

        def forward(self, x, lens):
            packed = nn.utils.rnn.pack_padded_sequence(x, lens, batch_first=True, enforce_sorted=False)
            y, states = self.recurrent(packed)
            y, _ = nn.utils.rnn.pad_packed_sequence(y, batch_first=True, total_length=x.shape[1])
            return (self.head(y), *states) if self.states else self.head(y)

    class Sorted(nn.Module):
        """The same sorted by hand, with a mean over what was sorted by its sum."""

        def __init__(self):
            super().__init__()
            self.recurrent, self.head = nn.GRU(3, 5, batch_first=True), nn.Linear(5, 2)

        def forward(self, x, key):
            _, order = key.sort(descending=True)
            y, _ = self.recurrent(x[order])
            _, back = order.sort()
            return self.head(y.mean(1))[back]

    class Squeezed(nn.Module):
        """Axes of size 1 taken away, of which the exporter does not know that they are."""

        def __init__(self):
            super().__init__()
            self.recurrent, self.head = nn.LSTM(3, 5, batch_first=True), nn.Linear(5, 2)

        def forward(self, x):
            return self.head(self.recurrent(x)[0][:, -1:]).squeeze(1)

    for kind in ("LSTM", "GRU", "RNN"):
        name = kind.lower()
        yield f"{name}_last", Plain(kind, batch_first=True)
        yield f"{name}_time_first", Plain(kind, read="steps")
        yield f"{name}_bidirectional_state", Plain(kind, read="state", batch_first=True, bidirectional=True)
        yield f"{name}_stacked_all", Plain(kind, read="all", batch_first=True, num_layers=2, bidirectional=True)
        yield f"{name}_embedding", Plain(kind, embedding=True, batch_first=True, num_layers=2, dropout=0.1)
        yield f"{name}_mean_norm", Plain(kind, read="mean", batch_first=True, norm=True, bias=False)
    yield "rnn_relu", Plain("RNN", batch_first=True, nonlinearity="relu", read="max")
    yield "lstm_states", Stateful(num_layers=2)
    yield "gru_learned", Learned()
    yield "autoencoder", AutoEncoder()
    yield "lstm_packed", Packed("LSTM", states=True, num_layers=2, bidirectional=True)
    yield "gru_packed", Packed("GRU")
    yield "gru_sorted", Sorted()
    yield "lstm_squeezed", Squeezed()


def export(module, arguments, names, dynamo, dynamic):
    import torch

    options = {}
    time_first = not getattr(module, "batch_first", True)
    if dynamic and dynamo:
        # By that exporter the number of steps stays fixed: a recurrent layer of PyTorch's is unrolled in its graph.
        batch = torch.export.Dim("batch")
        axis = [1 if x.dim() > 1 and (time_first or i > 0) else 0 for i, x in enumerate(arguments)]
        options["dynamic_shapes"] = tuple({a: batch} for a in axis)
    elif dynamic:
        axes = {0: "time", 1: "batch"} if time_first else {0: "batch", 1: "time"}
        of_states = {1: "batch"} if arguments[-1].dim() > 1 else {0: "batch"}
        options["dynamic_axes"] = {n: axes if i == 0 else of_states for i, n in enumerate(names)}
    file = io.BytesIO()
    if dynamo:
        program = torch.onnx.export(module, arguments, dynamo=True, input_names=names, verbose=False, **options)
        program.save(file)
    else:
        torch.onnx.export(module, arguments, file, dynamo=False, input_names=names, **options)
    return onnx.load_from_string(file.getvalue())


def cases():
    import torch

    logging.disable(logging.WARNING)
    warnings.simplefilter("ignore")
    torch.manual_seed(5)
    for name, module in modules():
        module = module.eval()
        x = random(21, 3, 4, 3)
        if getattr(module, "embedding", None) is not None:
            x = np.random.default_rng(3).integers(0, 11, (3, 4))
        if not getattr(module, "batch_first", True):
            x = random(21, 4, 3, 3)
        inputs = {"x": x}
        if name == "lstm_states":
            inputs |= {"h": random(22, 2, 3, 5), "c": random(23, 2, 3, 5)}
        if name.endswith("_packed"):
            inputs["lens"] = np.array([2, 4, 3])
        if name == "gru_sorted":
            inputs["key"] = np.array([0.3, 1.2, -0.7], np.float32)
        arguments = tuple(torch.from_numpy(a) for a in inputs.values())
        for dynamo in (False, True):
            for dynamic in (False, True):
                if dynamic and name == "autoencoder" and not dynamo:
                    continue
                label = f"{name}_{'dynamo' if dynamo else 'script'}{'_dynamic' if dynamic else ''}"
                try:
                    model = export(module, arguments, list(inputs), dynamo, dynamic)
                except Exception as error:
                    print(f"{label}: PyTorch does not export it: {str(error).splitlines()[0][:120]}")
                    continue
                yield Case(label, model, inputs)
