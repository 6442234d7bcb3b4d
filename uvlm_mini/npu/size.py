"""How many bytes a network takes in int8, by rules, before anything is exported.

    matrices, kernels, embedding   1 byte a weight, and 4 for the scale of every row (output channel)
    biases                         4 bytes, int32
    all else                       2 bytes, int16: norms, A, D, Layer Scale, GRN, the map of places

Activations, code and what a tool adds to a file are not in it. Chapter 5 uses it for the presets.
"""

from __future__ import annotations

from torch import nn

INT16 = ("A_log", "place")  # have the shape of a matrix and are none


def int8_bytes(module: nn.Module) -> int:
    """Bytes of the parameters of a module; what is tied is counted once.

    Parameters
    ----------
    module : in the form in which it will run; fuse an encoder first.
    """
    total = 0
    for name, p in module.named_parameters():
        if p.ndim >= 2 and not any(word in name for word in INT16) and p.numel() > p.shape[0]:
            total += p.numel() + 4 * p.shape[0]
        elif name.endswith("bias") and not _of_norm(module, name):
            total += 4 * p.numel()
        else:
            total += 2 * p.numel()
    return total


def _of_norm(module: nn.Module, name: str) -> bool:
    owner = module.get_submodule(name.rpartition(".")[0])
    return isinstance(owner, (nn.LayerNorm, nn.RMSNorm, nn.modules.batchnorm._BatchNorm))
