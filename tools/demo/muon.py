"""Muon together with AdamW: matrices (also flattened convolutions) step along the orthogonalised momentum, other
parameters use AdamW.

On these small networks Muon reaches in minutes what AdamW reaches in an hour. If batches are small, orthogonalising is
a large part of a step. With turns = 2, each matrix is updated only in every second step, with nearly twice the step
length.
"""

import torch

import run


def orthogonal(g):
    """Returns g with all singular values brought near 1, by five Newton-Schulz steps with a quintic."""
    x = (g.T if g.shape[0] > g.shape[1] else g).to(torch.bfloat16 if run.BF16 else g.dtype)
    x = x / (x.norm() + 1e-7)
    for _ in range(5):
        s = x @ x.T
        x = 3.4445 * x + (-4.775 * s + 2.0315 * s @ s) @ x
    return (x.T if g.shape[0] > g.shape[1] else x).to(g.dtype)


class Optimiser:
    """matrices is a list of (parameter, row counts of the matrices that are fused in it, or None); others is a list of
    parameters for AdamW."""

    def __init__(self, matrices, others, muon=0.02, adam=2e-3, momentum=0.95, decay=0.01, turns=1):
        self.matrices, self.muon, self.adam, self.momentum, self.decay = matrices, muon, adam, momentum, decay
        self.others, self.turns, self.steps = others, turns, 0
        self.buffers = [torch.zeros_like(p) for p, _ in matrices]
        self.adamw = torch.optim.AdamW(others, lr=adam, betas=(0.9, 0.98), weight_decay=0.0)

    def zero_grad(self):
        for p in [p for p, _ in self.matrices] + self.others:
            p.grad = None

    @torch.no_grad()
    def step(self, rate):
        """Makes one step. rate is the factor of the learning rates."""
        torch.nn.utils.clip_grad_norm_(self.others, 1.0)
        for group in self.adamw.param_groups:
            group["lr"] = self.adam * rate
        self.adamw.step()
        self.steps += 1
        length = self.muon * rate * (1 if self.turns == 1 else 1.8)
        for i, ((p, rows), buffer) in enumerate(zip(self.matrices, self.buffers)):
            buffer.lerp_(p.grad, 1 - self.momentum)
            if (i + self.steps) % self.turns:
                continue
            g = p.grad.lerp(buffer, self.momentum).flatten(1)
            parts = g.split(rows) if rows else [g]
            update = torch.cat([orthogonal(x) * max(1, x.shape[0] / x.shape[1]) ** 0.5 for x in parts])
            p.mul_(1 - length * self.decay).add_(update.view_as(p), alpha=-length)

    def state(self):
        return {"buffers": self.buffers, "adamw": self.adamw.state_dict()}

    def restore(self, state):
        for mine, saved in zip(self.buffers, state["buffers"]):
            mine.copy_(saved)
        self.adamw.load_state_dict(state["adamw"])
