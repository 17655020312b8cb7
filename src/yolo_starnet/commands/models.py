"""Lists backbones and scales, with parameters and GFLOPs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from ..backbone import Backbone
from ..errors import ConfigError, nearest
from ..measuring import figures
from ..model_yaml import graft, strides
from ..model_yaml import names as config_names
from ..tasks import TASKS


def table(
    backbones: Mapping[str, Backbone], family: str = "11", task: str = "detect", scale: str = "", backbone: str = ""
) -> Iterator[str]:
    """Build a model on each backbone at each scale and count it.

    Args:
        backbones: The registered backbones by name.
        family: A model family, such as `11`, `yolo11`, `v8`.
        task: A task of Ultralytics.
        scale: Scales, separated by commas. The default is all of the family.
        backbone: Backbones, separated by commas. The default is all that need no option.

    Yields:
        The lines of the table, each as soon as it is known.

    Raises:
        ConfigError: The family, task, scale or backbone does not exist.
    """
    base = _stock_yaml(family, task)
    model = yaml.safe_load(base.read_text(encoding="utf-8"))
    scales = _choose("scale", scale, list(model.get("scales") or [""]))
    ready = [name for name, entry in backbones.items() if not entry.required]
    names = _choose("backbone", backbone, ready)
    if model.get("scales"):
        model["scales"] = {s: model["scales"][s] for s in scales}
    yield f"{base.name}, parameters in millions / GFLOPs at 640 pixels"
    yield "".join([f"{'backbone':<16}", *(f"{s:>16}" for s in scales), "   pretrained"])
    yield _line("(stock)", model, base.name)
    stock_strides = strides.of_rows(model)
    for name in names:
        yield _line(name, graft.graft(model, stock_strides, name).model, base.name, _pretrained(backbones[name]))


def _line(title: str, model: Mapping[str, Any], file_name: str, pretrained: str = "") -> str:
    """Line of the table: parameters and GFLOPs of a model at each of its scales."""
    cells = [f"{f.parameters / 1e6:.2f} / {f.gflops:.1f}" for f in figures.by_scale(model, file_name).values()]
    return "".join([f"{title:<16}", *(f"{cell:>16}" for cell in cells), f"   {pretrained}"]).rstrip()


def _pretrained(backbone: Backbone) -> str:
    """The options that give a backbone ImageNet weights, 'no' if there are none, '' if it takes none.

    The backbone is asked, by building it with `pretrained`. Nothing is downloaded.
    """
    if backbone.load_weights is None:
        return ""
    try:
        backbone.build(3, width=1.0, pretrained=True)
    except ValueError:
        return "no"
    return "{width: 1.0, pretrained: true}"


def _stock_yaml(family: str, task: str) -> Path:
    """Find the stock YAML of a family and a task."""
    if task not in TASKS:
        raise _unknown("task", task, TASKS)
    number, suffix = family.removeprefix("yolo"), TASKS[task].suffix
    for name in (f"yolo{number}{suffix}.yaml", f"yolov{number}{suffix}.yaml"):
        if file := config_names.stock_file(name):
            return file
    reason = config_names.missing(f"yolo{number}{suffix}.yaml", "starnet")
    raise ConfigError(f"no model for task '{task}' in family '{family}': {reason}")


def _choose(kind: str, given: str, known: list[str]) -> list[str]:
    """Split names at commas; all of `known` if none are given."""
    chosen = given.split(",") if given else known
    for name in chosen:
        if name not in known:
            raise _unknown(kind, name, known)
    return chosen


def _unknown(kind: str, name: str, known: Iterable[str]) -> ConfigError:
    return ConfigError(f"no {kind} '{name}' among {', '.join(known)}{nearest(name, known)}")
