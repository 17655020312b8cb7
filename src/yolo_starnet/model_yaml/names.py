"""A config name, such as yolo11n-starnet.yaml, to a YAML file."""

from __future__ import annotations

import difflib
import functools
import os
import re
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any

import ultralytics
import yaml
from ultralytics.utils import ROOT, USER_CONFIG_DIR
from ultralytics.utils.checks import parse_version

from ..errors import BackboneError, ConfigError
from ..measuring import figures as measuring
from . import graft, strides

_PACKAGE = Path(__file__).parents[1]
# In a wheel the folder lies in the package; in a checkout and an editable install, at the top of the repository.
CONFIGS = next((p for p in (_PACKAGE / "configs", _PACKAGE.parents[1] / "configs") if p.is_dir()), _PACKAGE / "configs")
DEFAULT_BACKBONE = "starnet_s1"
FAMILY = re.compile(r"yolo(?:e-)?v?\d+")
FIRST_RELEASES = {
    "yolov8-world": "8.1.14",
    "yolov9": "8.1.23",
    "yolov10": "8.2.38",
    "yolo11": "8.3.0",
    "yolo12": "8.3.78",
    "yoloe-": "8.3.99",
    "yolo26": "8.4.0",
    "yoloe-26": "8.4.0",
    "yolo26-sem": "8.4.52",
    "yolo26-depth": "8.4.104",
}
"""The release of Ultralytics that was the first to have a model, by how its name begins; 8.1.0 has the others."""


def find(name: str, backbones: Collection[str]) -> Path | None:
    """Find the YAML file that a config name stands for.

    Args:
        name: A stock name with a backbone in it, `<family><scale>-<backbone>[-<suffix>].yaml`, as a user gives it to
            `YOLO(...)`: `yolo26n-starnet_s050-seg.yaml` is `yolo26n-seg.yaml` on `starnet_s050`. `starnet` alone means
            `starnet_s1`, `timm_NAME` the model NAME of timm. A path with a folder in it is never a config name.
        backbones: The registered backbone names.

    Returns:
        A file in `configs/`, or one grafted from the installed Ultralytics, kept in the user's config folder; None
        where `name` is no name of ours.

    Raises:
        ConfigError: `name` asks for a family, task or variant that there is no config for.
        BackboneError: The stock model has nothing that a backbone could replace.
    """
    stock, token = split(name, backbones)
    if not token:
        return None
    base = stock_file(stock)
    try:
        backbone, arguments = parse_backbone(token, backbones)
        if base is None:
            raise ConfigError(missing(stock, token))
    except ConfigError as error:
        raise ConfigError(f"no config '{name}': {error}") from error
    shipped = CONFIGS / name_of(base.stem, "starnet" if backbone == DEFAULT_BACKBONE else token)
    if shipped.is_file():
        return shipped
    releases = f"{ultralytics.__version__}-{_version()}"  # either may change what a graft comes to
    kept = USER_CONFIG_DIR / "yolo_starnet" / releases / shipped.name
    if not kept.is_file():
        _write(kept, grafted_yaml(base, backbone, arguments))
    return kept


def split(name: str, backbones: Collection[str]) -> tuple[str, str]:
    """Take the backbone out of a config name.

    Returns:
        The stock name, and the backbone as it is written there; '' where there is none.
    """
    match = re.fullmatch(r"([^/\\]+)\.ya?ml", name)
    words = match[1].split("-") if match else []
    for index, word in enumerate(words):
        if index and (word.startswith(("starnet", "timm_")) or word in backbones):
            return "-".join(words[:index] + words[index + 1 :]) + ".yaml", word
    return name, ""


def parse_backbone(token: str, backbones: Collection[str]) -> tuple[str, Any]:
    """What a backbone in a config name stands for: the name of a registered one and the arguments of its row.

    Raises:
        ConfigError: It stands for none.
    """
    if token.startswith("timm_") and "timm" in backbones:
        return "timm", {"model": token.removeprefix("timm_")}
    name = DEFAULT_BACKBONE if token == "starnet" else token
    if name not in backbones:
        near = difflib.get_close_matches(name, backbones, n=3, cutoff=0)
        raise ConfigError(f"no backbone '{token}'; the nearest are {', '.join(near)}")
    return name, []


def stock_file(name: str) -> Path | None:
    """The YAML of the installed Ultralytics that a stock name, with or without a scale, stands for."""
    files = _stock_files()
    return files.get(name) or files.get(unscaled(name))


def stock_names() -> list[str]:
    """The names of every model YAML of the installed Ultralytics."""
    return sorted(_stock_files())


def name_of(stem: str, token: str) -> str:
    """The config name of a stock model on a backbone: `yolo26-seg` on `starnet_s3` is `yolo26-starnet_s3-seg.yaml`."""
    family = re.match(rf"{FAMILY.pattern}[a-z]?(?=-|$)|rtdetr-[^-]+|[^-]+", stem)
    end = family.end() if family else len(stem)
    return f"{stem[:end]}-{token}{stem[end:]}.yaml"


def unscaled(name: str) -> str:
    """A name without the letter of its scale, as Ultralytics takes it off."""
    return re.sub(r"(\d+)([nslmx])(.+)?$", r"\1\3", name)


def grafted_yaml(base: Path, backbone: str, arguments: Any = (), figures: bool = False) -> str:
    """The YAML text of a model on a backbone.

    Args:
        base: A YAML of the installed Ultralytics, or of the user's own.
        backbone: The name of a registered backbone.
        arguments: The arguments of its row.
        figures: Whether to build each scale and write down its parameters and GFLOPs, which takes a second for each.

    Raises:
        BackboneError: The model has nothing that a backbone could replace.
    """
    text = base.read_text(encoding="utf-8")
    model = yaml.safe_load(text)
    try:
        result = graft.graft(model, strides.of_rows(model), backbone, arguments)
    except BackboneError as error:
        raise BackboneError(f"{base} cannot be put on '{backbone}': {error}") from error
    origin = f"{base.name} of Ultralytics {ultralytics.__version__} on {backbone}, by yolo-starnet graft"
    found = measuring.by_scale(result.model, unscaled(base.name)) if figures else {}
    return graft.write(text, result, origin, {scale: str(figure) for scale, figure in found.items()})


def missing(stock: str, token: str) -> str:
    """Why the installed Ultralytics has no YAML of the name `stock`, and what there is, named with `token`."""
    installed = f"the installed Ultralytics is {ultralytics.__version__}"
    starts = [start for start in FIRST_RELEASES if re.match(rf"{start}(?!\d)", unscaled(stock))]
    first = FIRST_RELEASES[max(starts, key=len)] if starts else "8.1.0"
    if parse_version(first) > parse_version(ultralytics.__version__):
        return f"{max(starts, key=len).strip('-')} exists from Ultralytics {first} on, {installed}"
    near = difflib.get_close_matches(unscaled(stock), stock_names(), n=4, cutoff=0)
    return f"{installed} and has no {stock}; there are {', '.join(name_of(n[:-5], token) for n in near)}"


@functools.cache
def _stock_files() -> dict[str, Path]:
    return {file.name: file for file in (ROOT / "cfg" / "models").rglob("*.yaml")}


def _version() -> str:
    from .. import __version__

    return __version__


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    # Written beside it and renamed: another process never reads half a file.
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=file.parent, suffix=".tmp", delete=False) as part:
        part.write(text)
    os.replace(part.name, file)
