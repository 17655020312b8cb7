"""Callbacks in every training that starts while a command runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from ultralytics.utils.callbacks.base import default_callbacks


@contextmanager
def in_every_training(**callbacks: Callable[[Any], None]) -> Iterator[None]:
    """Give callbacks to every trainer that is made meanwhile; restore the defaults and torch's thread count afterwards.

    The stock command line makes the model itself, so there is no model to call `add_callback` on.

    Args:
        callbacks: Event, such as `on_train_start`, to a function of the trainer.
    """
    threads = torch.get_num_threads()
    for event, callback in callbacks.items():
        default_callbacks[event].append(callback)
    try:
        yield
    finally:
        for event, callback in callbacks.items():
            default_callbacks[event].remove(callback)
        torch.set_num_threads(threads)
