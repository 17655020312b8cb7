"""What the installed Ultralytics can train with."""

from __future__ import annotations

from importlib.util import find_spec
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

HAS_MUSGD = find_spec("ultralytics.optim") is not None
"""Whether it has the optimizer MuSGD, as 8.4 and later have. `ultralytics.optim` need not be imported yet."""


class InFloat32(TorchFunctionMode):
    """Computes in float32 what code inside would compute in bfloat16, which most CPUs can only emulate."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Call `func`, or `Tensor.float` in place of `Tensor.bfloat16`."""
        return (torch.Tensor.float if func is torch.Tensor.bfloat16 else func)(*args, **(kwargs or {}))
