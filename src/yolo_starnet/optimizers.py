"""What the installed Ultralytics can train with."""

from __future__ import annotations

from importlib.util import find_spec

HAS_MUSGD = find_spec("ultralytics.optim") is not None
"""Whether it has the optimizer MuSGD, as 8.4 and later have. `ultralytics.optim` need not be imported yet."""
