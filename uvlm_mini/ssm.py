"""The selective state space model: a recurrence whose coefficients depend on its input.

    u_t              input of a channel, after in_proj                      (B, I)
    Delta_t          step size, softplus(dt_proj(...)) > 0                  (B, I)
    A                decay rates, -exp(A_log) < 0                           (I, N)
    B_t, C_t         what is written into the state, what is read from it   (B, N)
    h_t = exp(Delta_t A) h_{t-1} + Delta_t B_t u_t                          (B, I, N)
    y_t = C_t h_t + D u_t                                                   (B, I)

The state decays by zero-order hold, the input is added by Euler's rule. No gate and no convolution stand beside
it, which is the module that the paper's count 2 r H^2 + 3 H N describes. Chapter 4 builds it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def decay_logs(channels: int, states: int) -> Tensor:
    """First values of A_log: every channel has the rates 1, 2, ..., N, of which (I, N) logarithms are kept."""
    return torch.log(torch.arange(1.0, states + 1)).repeat(channels, 1)


@torch.no_grad()
def spread_steps(dt_proj: nn.Linear, low: float = 1e-3, high: float = 1e-1) -> None:
    """In place: let the layer start with step sizes spread evenly, by their logarithm, between low and high."""
    dt = torch.exp(torch.rand(dt_proj.out_features) * (math.log(high) - math.log(low)) + math.log(low))
    dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))  # the inverse of softplus
    nn.init.uniform_(dt_proj.weight, -(dt_proj.in_features**-0.5), dt_proj.in_features**-0.5)


def discretise(delta: Tensor, A_log: Tensor, b: Tensor, u: Tensor) -> tuple[Tensor, Tensor]:
    """What is left of the state after a step, and what the input adds to it.

    Parameters
    ----------
    delta, u : (..., I) step sizes and inputs.
    A_log : (I, N) logarithms of the decay rates.
    b : (..., N) what is written.

    Returns
    -------
    exp(Delta A) and Delta B u, (..., I, N) each.
    """
    decay = torch.exp(delta[..., None] * -torch.exp(A_log))
    return decay, (delta * u)[..., None] * b[..., None, :]


def scan(decay: Tensor, write: Tensor, h: Tensor) -> Tensor:
    """The recurrence alone, h_t = decay_t h_{t-1} + write_t: (B, T, I, N) twice and (B, I, N) -> (B, T, I, N)."""
    states = []
    for a, w in zip(decay.unbind(1), write.unbind(1), strict=True):
        h = a * h + w
        states.append(h)
    return torch.stack(states, 1)


class SelectiveSSM(nn.Module):
    """Selective SSM of width H with I = r H channels of N states each.

    Parameters
    ----------
    hidden : width H, in and out.
    expand : r.
    states : N.
    dt_rank : rank of the projection that makes the step size.
    """

    def __init__(self, hidden: int, expand: int = 2, states: int = 16, dt_rank: int | None = None) -> None:
        super().__init__()
        self.inner, self.states = expand * hidden, states
        self.rank = dt_rank or math.ceil(hidden / 16)
        self.in_proj = nn.Linear(hidden, self.inner, bias=False)
        self.x_proj = nn.Linear(self.inner, self.rank + 2 * states, bias=False)
        self.dt_proj = nn.Linear(self.rank, self.inner)
        self.A_log = nn.Parameter(decay_logs(self.inner, states))
        self.D = nn.Parameter(torch.ones(self.inner))
        self.out_proj = nn.Linear(self.inner, hidden, bias=False)
        spread_steps(self.dt_proj)

    def start(self, batch: int) -> Tensor:
        """The empty state, (B, I, N) float32."""
        return self.D.new_zeros(batch, self.inner, self.states, dtype=torch.float32)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """One step: (B, H) input and (B, I, N) state -> (B, H) output and (B, I, N) next state."""
        u = self.in_proj(x)  # (B, I)
        dt, b, c = self.x_proj(u).split([self.rank, self.states, self.states], -1)  # (B, R), (B, N), (B, N)
        decay, write = discretise(F.softplus(self.dt_proj(dt)), self.A_log, b, u)  # (B, I, N) each
        h = decay * h + write
        y = torch.einsum("bin,bn->bi", h, c) + self.D * u  # (B, I)
        return self.out_proj(y), h

    def forward(self, x: Tensor, h: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """A whole sequence, step by step: (B, T, H) -> (B, T, H) and the last state."""
        h = self.start(x.shape[0]) if h is None else h
        outputs = []
        for t in range(x.shape[1]):
            y, h = self.step(x[:, t], h)
            outputs.append(y)
        return torch.stack(outputs, 1), h
