"""Modulation by addition: GSM in the encoder, GCDM in the decoder.

Attention multiplies features by weights that depend on the picture. Modulation adds a bias that depends on it:
where the bias is positive a feature is lifted over the next nonlinearity, where it is negative it is pushed
under. One number a position and channel is enough, and every operator is one that a µNPU takes.

    x         features, the *value*          (B, C, H, W)
    prior     what steers the modulation     (B, P, ., .)
    dyn_bias  the bias made from the prior   (B, C, H, W)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


def adapt(x: Tensor, side: int) -> Tensor:
    """Adaptive average pooling to side x side, in the two cases that a µNPU takes.

    Parameters
    ----------
    x : (B, C, h, h) map.
    side : the wanted side. Either it divides h (plain average pooling), or h divides it (nearest enlarging, which
        is what adaptive pooling then does).

    Returns
    -------
    (B, C, side, side) map.

    Raises
    ------
    ValueError : neither side divides the other.
    """
    h = x.shape[-1]
    if h == side:
        return x
    if h % side == 0:
        return F.avg_pool2d(x, h // side)
    if side % h == 0:
        return F.interpolate(x, scale_factor=side // h, mode="nearest")
    raise ValueError(f"A map of side {h} cannot be pooled or enlarged to {side}: one must divide the other.")


class SignalGenerator(nn.Module):
    """Turns a context prior into a bias map: adaptive average pool, pointwise convolution, H-Swish.

    No sigmoid stands at the end: upwards the bias is unbounded, downwards H-Swish lets it reach -3/8. A stronger
    suppression comes from weights around it (chapter 2). The paper's AAP + PConv + H-Swish. Derived in chapter 2.

    Parameters
    ----------
    prior : channels P of the prior.
    channels : channels C of the features to be modulated.
    """

    def __init__(self, prior: int, channels: int) -> None:
        super().__init__()
        self.point = nn.Conv2d(prior, channels, 1)

    def forward(self, prior: Tensor, side: int) -> Tensor:
        """(B, P, h, h) -> (B, C, side, side). The convolution runs on the smaller of the two maps: it is
        pointwise, so pooling before it and enlarging after it change nothing but the work."""
        small = adapt(prior, min(side, prior.shape[-1]))  # (B, P, s, s)
        return adapt(F.hardswish(self.point(small)), side)  # (B, C, side, side)


class GSM(nn.Module):
    """Global Spatial Modulation: features plus a bias map made from the context prior.

    Derived in chapter 2; the paper's x~ = x_conv + dyn_bias.

    Parameters
    ----------
    prior : channels P of the context prior.
    channels : channels C of the features.
    """

    def __init__(self, prior: int, channels: int) -> None:
        super().__init__()
        self.signal = SignalGenerator(prior, channels)

    def forward(self, x: Tensor, prior: Tensor) -> Tensor:
        """(B, C, H, H) features and (B, P, h, h) prior -> (B, C, H, H)."""
        return x + self.signal(prior, x.shape[-1])


class GCDM(nn.Module):
    """Global Context Dynamic Modulation: the decoder's spatial and channel modulation, pooled to one vector.

    The prior is a query q joined with the picture at every position (h + x). Its pointwise convolution falls apart into
    W_q q + W_x x, and W_x x is computed once a picture (`prepare`). A second one makes a single map of it, one number a
    position for all channels: a bias that lifts a whole position over the others. A bias that is added before a mean
    cannot attend - the mean would see only the bias's own mean - so a maximum is pooled beside it, and there lifting is
    choosing: max(x + b) - max(b) is softmax attention with its sums become maxima and its products sums.

    The paper's x_spatial = x + signal(prior) and x_final = sigmoid(conv(GAP(prior))) * x_spatial. Chapter 5 compares
    the readings that it leaves open.

    Parameters
    ----------
    query : width Q of the query.
    channels : channels C of the features.
    """

    def __init__(self, query: int, channels: int) -> None:
        super().__init__()
        self.signal_x = nn.Conv2d(channels, channels, 1)
        self.signal_q = nn.Linear(query, channels, bias=False)
        self.point = nn.Conv2d(channels, 1, 1, bias=False)
        self.gate_x = nn.Linear(channels, channels)
        self.gate_q = nn.Linear(query, channels, bias=False)

    def prepare(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """What the picture alone decides: (B, C, h, w) and (B, C) parts of the bias and of the gate."""
        return self.signal_x(x), self.gate_x(x.mean((2, 3)))

    def bias(self, signal: Tensor, q: Tensor) -> Tensor:
        """The bias map of a step: (B, C, h, w) prepared signal and (B, Q) query -> (B, 1, h, w)."""
        return self.point(F.hardswish(signal + self.signal_q(q)[:, :, None, None]))

    def forward(self, x: Tensor, prepared: tuple[Tensor, Tensor], q: Tensor) -> Tensor:
        """(B, C, h, w) features, what `prepare` gave, and (B, Q) query -> (B, 2C) modulated and pooled."""
        signal, gate = prepared
        bias = self.bias(signal, q)  # (B, 1, h, w)
        spatial = x + bias  # (B, C, h, w)
        mean = F.hardswish(spatial).mean((2, 3))  # (B, C)
        most = spatial.amax((2, 3)) - bias.amax((2, 3))  # (B, C) the features where the bias is highest
        channel = torch.sigmoid(gate + self.gate_q(q))  # (B, C)
        return (torch.stack([mean, most], 1) * channel[:, None]).flatten(1)  # (B, 2C)
