"""How many bytes a network takes in int8, by rules, before anything is exported.

    matrices, kernels, embedding   1 byte a weight, and 4 for the scale of every row (output channel)
    biases                         4 bytes, int32
    all else                       2 bytes, int16: norms, A, D, Layer Scale, GRN, the map of places

Activations, code and what a tool adds to a file are not in it. Chapter 5 uses it for the presets.
"""

from __future__ import annotations

from torch import nn

NORMS = (nn.LayerNorm, nn.RMSNorm, nn.modules.batchnorm._BatchNorm)


def int8_bytes(module: nn.Module) -> int:
    """Bytes of the parameters of a module; what is tied is counted once.

    Parameters
    ----------
    module : in the form in which it will run; fuse an encoder first.
    """
    total = 0
    for name, p in module.named_parameters():
        owner, _, own = name.rpartition(".")
        if p.ndim >= 2 and own.startswith(("weight", "kernels")):
            total += p.numel() + 4 * p.shape[0]
        elif own.startswith("bias") and not isinstance(module.get_submodule(owner), NORMS):
            total += 4 * p.numel()
        else:
            total += 2 * p.numel()
    return total
