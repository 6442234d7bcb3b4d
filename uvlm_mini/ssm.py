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
        self.A_log = nn.Parameter(torch.log(torch.arange(1.0, states + 1)).repeat(self.inner, 1))
        self.D = nn.Parameter(torch.ones(self.inner))
        self.out_proj = nn.Linear(self.inner, hidden, bias=False)
        self.reset_dt()

    @torch.no_grad()
    def reset_dt(self, low: float = 1e-3, high: float = 1e-1) -> None:
        """Start with step sizes spread evenly, by their logarithm, between low and high."""
        dt = torch.exp(torch.rand(self.inner) * (math.log(high) - math.log(low)) + math.log(low))
        self.dt_proj.bias.copy_(dt + torch.log(-torch.expm1(-dt)))  # the inverse of softplus
        nn.init.uniform_(self.dt_proj.weight, -(self.rank**-0.5), self.rank**-0.5)

    def start(self, batch: int) -> Tensor:
        """The empty state, (B, I, N) float32."""
        return self.D.new_zeros(batch, self.inner, self.states, dtype=torch.float32)

    def step(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        """One step: (B, H) input and (B, I, N) state -> (B, H) output and (B, I, N) next state."""
        u = self.in_proj(x)  # (B, I)
        dt, b, c = self.x_proj(u).split([self.rank, self.states, self.states], -1)  # (B, R), (B, N), (B, N)
        delta = F.softplus(self.dt_proj(dt))  # (B, I)
        decay = torch.exp(delta[..., None] * -torch.exp(self.A_log))  # (B, I, N)
        h = decay * h + (delta * u)[..., None] * b[:, None, :]  # (B, I, N)
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
