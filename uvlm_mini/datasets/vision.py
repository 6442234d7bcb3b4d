"""torchvision, importable also beside a PyTorch that its compiled part does not fit.

PyPI's torchvision for Linux is compiled for CUDA. Beside the CPU build of PyTorch its compiled part does not load, and
then `import torchvision` fails with "operator torchvision::nms does not exist" (seen with torchvision 0.28.0 and
torch 2.13.0+cpu), though nothing that this package uses is compiled: transforms and ImageFolder are Python. It is
enough to declare the operators that are missed. torchvision from PyTorch's own CPU index needs none of this.
"""

from __future__ import annotations

import importlib

import torch

MISSED = (  # what `import torchvision` looks for, with the signatures that torchvision gives them
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
)
_declared: list[torch.library.Library] = []  # a declaration lasts as long as its library object


def need_torchvision() -> None:
    """Import torchvision, with the remedy if the import fails for want of its operators, and only then.

    Operators that were declared and not compiled still fail when they are called, as they would without this.

    Raises
    ------
    ModuleNotFoundError : torchvision is not installed.
    RuntimeError : torchvision fails for another reason.
    """
    try:
        importlib.import_module("torchvision")
    except RuntimeError as error:
        if "operator torchvision::" not in str(error) or _declared:
            raise
        library = torch.library.Library("torchvision", "FRAGMENT")
        for signature in MISSED:
            library.define(signature)
        _declared.append(library)
        importlib.import_module("torchvision")
