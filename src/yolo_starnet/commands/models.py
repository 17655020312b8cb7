"""The table of backbones and scales, with what each comes to."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

import yaml

from ..backbone import Backbone
from ..errors import ConfigError
from ..measuring import figures
from ..model_yaml import graft, strides
from ..model_yaml import names as config_names

SUFFIXES = {
    "detect": "",
    "segment": "-seg",
    "pose": "-pose",
    "obb": "-obb",
    "classify": "-cls",
    "semantic": "-sem",
    "depth": "-depth",
}
"""How the stock names of each task end."""


def table(
    backbones: Mapping[str, Backbone], family: str = "11", task: str = "detect", scale: str = "", backbone: str = ""
) -> Iterator[str]:
    """Build every model that the arguments leave and count, a line for each backbone as soon as it is known.

    Args:
        backbones: The registered backbones by name.
        family: Such as `11`, `yolo11`, `v8`.
        task: A task of Ultralytics'.
        scale: Scales with commas between; all of the family's unless given.
        backbone: Backbones with commas between; all that need no option unless given.

    Raises:
        ConfigError: There is no such family, task, scale or backbone.
    """
    base = _base(family, task)
    model = yaml.safe_load(base.read_text(encoding="utf-8"))
    scales = _choose("scale", scale, list(model.get("scales") or [""]))
    ready = [name for name, b in backbones.items() if not b.required]
    names = _choose("backbone", backbone, ready) if backbone else ready
    yield f"{base.name}, parameters in millions / GFLOPs at 640 pixels"
    yield "".join([f"{'backbone':<16}", *(f"{s:>16}" for s in scales), "   pretrained"])
    model = {**model, **({"scales": {s: model["scales"][s] for s in scales}} if model.get("scales") else {})}
    for name in ("", *names):
        on = graft.graft(model, strides.of_rows(model), name).model if name else model
        cells = [f"{f.parameters / 1e6:.2f} / {f.gflops:.1f}" for f in figures.by_scale(on, base.name).values()]
        weights = _pretrained(backbones[name]) if name else ""
        yield "".join([f"{name or '(stock)':<16}", *(f"{cell:>16}" for cell in cells), f"   {weights}"]).rstrip()


def _pretrained(backbone: Backbone) -> str:
    """What ImageNet weights there are for a backbone, as it says itself when asked for them; none are fetched."""
    if backbone.load_weights is None:
        return ""
    try:
        backbone.build(3, width=1.0, pretrained=True)
    except ValueError:
        return "no"
    return "{width: 1.0, pretrained: true}"


def _base(family: str, task: str) -> Path:
    """The stock YAML of a family and a task."""
    if task not in SUFFIXES:
        raise ConfigError(f"no task '{task}'; there are {', '.join(SUFFIXES)}")
    number = family.removeprefix("yolo")
    for name in (f"yolo{number}{SUFFIXES[task]}.yaml", f"yolov{number}{SUFFIXES[task]}.yaml"):
        if file := config_names.stock_file(name):
            return file
    raise ConfigError(
        f"no '{task}' in family '{family}': {config_names.missing(f'yolo{number}{SUFFIXES[task]}.yaml', 'starnet')}"
    )


def _choose(what: str, given: str, known: list[str]) -> list[str]:
    chosen = given.split(",") if given else known
    if unknown := [name for name in chosen if name not in known]:
        raise ConfigError(f"no {what} '{unknown[0]}'; there are {', '.join(known)}")
    return chosen
