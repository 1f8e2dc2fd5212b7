"""PyTorch: nn.LSTM and nn.GRU (oneDNN or cuDNN underneath), Adam."""

import torch

from . import workloads
from .workloads import reorder


class Peer:
    """A model per workload on one device."""

    modes = ("infer", "train")

    def __init__(self, options):
        self.device = torch.device(options.device)
        if options.threads:
            torch.set_num_threads(options.threads)
        # f32 means f32: cuDNN's recurrent layers would use TF32 by default.
        torch.backends.cudnn.allow_tf32 = options.tf32
        torch.backends.cuda.matmul.allow_tf32 = options.tf32

    def describe(self):
        where = torch.cuda.get_device_name() if self.device.type == "cuda" else f"{torch.get_num_threads()} threads"
        return f"PyTorch {torch.__version__}, {where}"

    def net(self, w):
        """The recurrent layer and the Dense, with the shared weights in PyTorch's gate order (LSTM i,f,g,o; GRU r,z,n)."""
        kernel, recurrent, bias, *dense = workloads.weights(w)
        order = [0, 1, 2, 3] if w.cell == "LSTM" else [1, 0, 2]
        rnn = getattr(torch.nn, w.cell)(w.inputs, w.units, batch_first=True)
        head = torch.nn.Linear(w.units, w.dense) if w.dense else None
        with torch.no_grad():
            rnn.weight_ih_l0.copy_(torch.from_numpy(reorder(kernel, len(order), order).T.copy()))
            rnn.weight_hh_l0.copy_(torch.from_numpy(reorder(recurrent, len(order), order).T.copy()))
            bias = torch.from_numpy(reorder(bias, len(order), order))
            rnn.bias_ih_l0.copy_(bias if w.cell == "LSTM" else bias[0])
            rnn.bias_hh_l0.copy_(torch.zeros_like(bias) if w.cell == "LSTM" else bias[1])
            if head:
                head.weight.copy_(torch.from_numpy(dense[0].T.copy()))
                head.bias.copy_(torch.from_numpy(dense[1]))
        return rnn.to(self.device), head.to(self.device) if head else None

    def wait(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def infer(self, w):
        """One call of the model; returns what it answers (`output` of the workload)."""
        rnn, head = self.net(w)
        x = torch.from_numpy(workloads.inputs(w)).to(self.device)
        state = None

        def step():
            nonlocal state
            with torch.inference_mode():
                y, final = rnn(x, state)
                if w.output == "state":
                    state = final
                if w.output != "sequence":
                    y = y[:, -1]
                if head:
                    y = head(y)
                if w.softmax:
                    y = torch.softmax(y, -1)
            self.wait()
            return y

        return step

    def trainer(self, w):
        """Forward, loss, backward, Adam; `step(x, y, state) -> (loss, state)`."""
        rnn, head = self.net(w)
        parameters = [*rnn.parameters(), *(head.parameters() if head else [])]
        adam = torch.optim.Adam(parameters, lr=1e-3, fused=True)

        def step(x, target, state):
            adam.zero_grad(set_to_none=True)
            y, final = rnn(x, state)
            if w.output != "sequence":
                y = y[:, -1]
            if head:
                y = head(y)
            if w.softmax:
                loss = torch.nn.functional.cross_entropy(y.flatten(0, 1), target.flatten())
            else:
                loss = torch.nn.functional.mse_loss(y, target)
            loss.backward()
            adam.step()
            return loss.detach(), final

        return step

    def train(self, w):
        step = self.trainer(w)
        x = torch.from_numpy(workloads.inputs(w)).to(self.device)
        target = torch.from_numpy(workloads.targets(w)).to(self.device)

        def run():
            loss, _ = step(x, target, None)
            self.wait()
            return loss

        return run

    def airline(self, w):
        """The training loop and one epoch of it."""
        step = self.trainer(w)
        xs, ys = (torch.from_numpy(a).to(self.device) for a in workloads.airline())

        def epoch():
            state = None
            for x, y in zip(xs, ys):
                state = tuple(s.detach() for s in step(x, y, state)[1])
            self.wait()

        return lambda: [epoch() for _ in range(workloads.AIRLINE_EPOCHS)], epoch
