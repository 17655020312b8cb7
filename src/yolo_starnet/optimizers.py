"""What the installed Ultralytics can train with, and what a StarNet learns most with."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

HAS_MUSGD = find_spec("ultralytics.optim") is not None
"""Whether it has the optimizer MuSGD, as 8.4 and later have. `ultralytics.optim` need not be imported yet."""

SHORT = 10_000
"""The most steps for which `optimizer=auto` chooses another optimizer than for long trainings."""
FROM_SCRATCH = {"optimizer": "MuSGD", "lr0": 0.01, "momentum": 0.9, "warmup_bias_lr": 0.0}
"""What `optimizer=auto` itself chooses for long trainings, as arguments of a training."""


def learns_from_scratch(args: Any, model_yaml: Any) -> bool:
    """Whether a training starts without weights, and not with the transformer of an RT-DETR, which needs AdamW.

    Args:
        args: The arguments of the training.
        model_yaml: The rows of the model, whose first row may ask for ImageNet weights.
    """
    options, head = model_yaml["backbone"][0][3], model_yaml["head"][-1][2]
    given = isinstance(options, dict) and options.get("pretrained")
    weights = given or str(args.model).endswith(".pt") or isinstance(args.pretrained, str) or args.resume
    return not weights and head != "RTDETRDecoder"


class InFloat32(TorchFunctionMode):
    """Computes in float32 what code inside would compute in bfloat16, which most CPUs can only emulate."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call `func`, or `Tensor.float` in place of `Tensor.bfloat16`."""
        return (torch.Tensor.float if func is torch.Tensor.bfloat16 else func)(*args, **(kwargs or {}))
