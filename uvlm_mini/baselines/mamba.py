"""A whole Mamba block: the selective SSM of chapter 4 with what the paper's count leaves out, a gate and a convolution.

    x, z             input of the SSM's path and of the gate, both from in_proj       (B, I)
    past             the last K - 1 inputs of the convolution, the oldest first       (B, I, K - 1)
    u_t              SiLU of the causal depthwise convolution of x                    (B, I)
    h_t, y_t         the recurrence of SelectiveSSM                                   (B, I, N), (B, I)
    out              out_proj(y_t SiLU(z_t))                                          (B, H)

After Gu and Dao, "Mamba: Linear-Time Sequence Modeling with Selective State Spaces", 2023. Without the norm and the
addition around it, which belong to the network that the block stands in. Chapter 4 counts it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..ssm import decay_logs, discretise, spread_steps


class MambaState(NamedTuple):
    """What a step hands to the next."""

    past: Tensor  # (B, I, K - 1) inputs that the convolution still needs
    h: Tensor  # (B, I, N) state of the SSM


class MambaBlock(nn.Module):
    """A Mamba block of width H with I = r H channels of N states each.

    Parameters
    ----------
    hidden : width H, in and out.
    expand : r.
    states : N.
    dt_rank : rank of the projection that makes the step size; a sixteenth of H, rounded up, if not given.
    kernel : taps K of the causal convolution, 2 or more.
    """

    def __init__(
        self, hidden: int, expand: int = 2, states: int = 16, dt_rank: int | None = None, kernel: int = 4
    ) -> None:
        super().__init__()
        if kernel < 2:
            raise ValueError(f"A kernel of {kernel} taps sees no past; give 2 or more, or use SelectiveSSM.")
        self.inner, self.states, self.kernel = expand * hidden, states, kernel
        self.rank = dt_rank or math.ceil(hidden / 16)
        self.in_proj = nn.Linear(hidden, 2 * self.inner, bias=False)
        self.conv = nn.Conv1d(self.inner, self.inner, kernel, groups=self.inner)
        self.x_proj = nn.Linear(self.inner, self.rank + 2 * states, bias=False)
        self.dt_proj = nn.Linear(self.rank, self.inner)
        self.A_log = nn.Parameter(decay_logs(self.inner, states))
        self.D = nn.Parameter(torch.ones(self.inner))
        self.out_proj = nn.Linear(self.inner, hidden, bias=False)
        spread_steps(self.dt_proj)

    def start(self, batch: int) -> MambaState:
        """Nothing seen, nothing kept."""
        past = self.D.new_zeros(batch, self.inner, self.kernel - 1)
        return MambaState(past, self.D.new_zeros(batch, self.inner, self.states))

    def step(self, x: Tensor, state: MambaState) -> tuple[Tensor, MambaState]:
        """One step: (B, H) input and the state -> (B, H) output and the next state."""
        x, z = self.in_proj(x).chunk(2, -1)  # (B, I) each
        seen = torch.cat([state.past, x[..., None]], -1)  # (B, I, K)
        u = F.silu((seen * self.conv.weight[:, 0]).sum(-1) + self.conv.bias)  # type: ignore[operator]  # (B, I)
        y, h = self._recur(u, state.h)
        return self.out_proj(y * F.silu(z)), MambaState(seen[..., 1:], h)

    def forward(self, x: Tensor, state: MambaState | None = None) -> tuple[Tensor, MambaState]:
        """A whole sequence, convolved at once and then recurred: (B, T, H) -> (B, T, H) and the last state."""
        past, h = self.start(x.shape[0]) if state is None else state
        x, z = self.in_proj(x).chunk(2, -1)  # (B, T, I) each
        seen = torch.cat([past, x.mT], -1)  # (B, I, K - 1 + T)
        u = F.silu(self.conv(seen)).mT  # (B, T, I)
        outputs = []
        for t in range(u.shape[1]):
            y, h = self._recur(u[:, t], h)
            outputs.append(y)
        return self.out_proj(torch.stack(outputs, 1) * F.silu(z)), MambaState(seen[..., -(self.kernel - 1) :], h)

    def _recur(self, u: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        dt, b, c = self.x_proj(u).split([self.rank, self.states, self.states], -1)  # (B, R), (B, N), (B, N)
        decay, write = discretise(F.softplus(self.dt_proj(dt)), self.A_log, b, u)  # (B, I, N) each
        h = decay * h + write
        return torch.einsum("bin,bn->bi", h, c) + self.D * u, h
