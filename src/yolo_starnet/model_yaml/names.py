"""Config name to YAML file: yolo11n-starnet.yaml to configs/yolo11-starnet.yaml or to a graft of a stock model."""

from __future__ import annotations

import functools
import re
import reprlib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
import ultralytics
import yaml
from ultralytics.nn import tasks
from ultralytics.utils import ROOT, USER_CONFIG_DIR
from ultralytics.utils.checks import parse_version

from ..backbone import Backbone
from ..errors import BackboneError, ConfigError, brief, nearest
from ..version import __version__
from . import expand, graft, keeping, strides

_PACKAGE = Path(__file__).parents[1]
# In a wheel the folder lies in the package; in a checkout and an editable install, at the top of the repository.
CONFIGS = next((p for p in (_PACKAGE / "configs", _PACKAGE.parents[1] / "configs") if p.is_dir()), _PACKAGE / "configs")
DEFAULT_BACKBONE = "starnet_s1"
NPU = "_npu"
"""The end of a StarNet's name in a config name that stands for `NPU_FORM`: `yolo11n-starnet_fit_npu.yaml`."""
NPU_FORM = {"act": "relu", "kernel": 3}
"""The options of a StarNet whose operators every NPU computes well in integers."""
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
"""The first release of Ultralytics with a model, by the start of the model's name; 8.1.0 has all others."""


class ConfigName(NamedTuple):
    """A config name, split: `yolo11n-starnet-seg.yaml` is `yolo11n-seg.yaml` on `starnet`.

    Attributes:
        name: The whole name.
        stock: The stock name.
        token: The backbone as it is written in the name.
    """

    name: str
    stock: str
    token: str


def find(name: str, backbones: Collection[str]) -> Path | None:
    """Find the YAML file that a config name stands for.

    Args:
        name: A stock name with a backbone in it, `<family><scale>-<backbone>[-<suffix>].yaml`, as a user gives it to
            `YOLO(...)`: `yolo26n-starnet_s050-seg.yaml` is `yolo26n-seg.yaml` on `starnet_s050`. `starnet` alone means
            `starnet_s1`, `timm_NAME` the model NAME of timm, and `_npu` after a StarNet its form for NPUs. A path with
            a folder in it is never a config name.
        backbones: The registered backbone names.

    Returns:
        The YAML file, see `file_of`; None where `name` is no config name.

    Raises:
        ConfigError: There is no such family, task or backbone.
        BackboneError: The stock model has nothing that a backbone could replace.
    """
    config = split(name, backbones)
    return file_of(config, backbones) if config else None


def file_of(config: ConfigName, backbones: Collection[str]) -> Path:
    """The YAML file of a config name that was split.

    Args:
        config: The parts of the name.
        backbones: The registered backbone names.

    Returns:
        A file in `configs/`, or a graft of the installed Ultralytics' YAML, kept in the user's config folder.

    Raises:
        ConfigError: There is no such family, task or backbone, or the graft cannot be written.
        BackboneError: The stock model has nothing that a backbone could replace, or the backbone cannot be built.
    """
    base = stock_file(config.stock)
    try:
        backbone, arguments = parse_backbone(config.token, backbones)
        if base is None:
            raise ConfigError(missing(config.stock, config.token))
    except ConfigError as error:
        raise ConfigError(f"no config '{config.name}': {error}") from error
    shipped = CONFIGS / name_of(
        base.stem, "starnet" if (backbone, arguments) == (DEFAULT_BACKBONE, []) else config.token
    )
    if shipped.is_file():
        return shipped
    releases = f"{ultralytics.__version__}-{__version__}"  # a graft depends on both
    kept = USER_CONFIG_DIR / "yolo_starnet" / releases / shipped.name
    if not keeping.is_whole(kept):
        text = grafted_yaml(base, backbone, arguments)
        if isinstance(backbones, Mapping):
            _check_backbone(text, config, backbones)
        keeping.keep(kept, text)
    return kept


def split(name: str, backbones: Collection[str]) -> ConfigName | None:
    """Split a config name into the stock name and the backbone, None where it holds no backbone."""
    match = re.fullmatch(r"([^/\\\0]+)\.ya?ml", name)  # no file name has a null byte
    words = match[1].split("-") if match else []
    for index, word in enumerate(words):
        if index and (word.startswith(("starnet", "timm_")) or word in backbones):
            return ConfigName(name, "-".join(words[:index] + words[index + 1 :]) + ".yaml", word)
    return None


def parse_backbone(token: str, backbones: Collection[str]) -> tuple[str, Any]:
    """The registered backbone that a config name means by `token`, and the arguments of its row.

    Raises:
        ConfigError: There is no such backbone.
    """
    if token.startswith("timm_") and "timm" in backbones:
        return "timm", {"model": token.removeprefix("timm_")}
    if token.startswith("starnet") and token.endswith(NPU) and token not in backbones:
        return parse_backbone(token.removesuffix(NPU), backbones)[0], dict(NPU_FORM)
    name = DEFAULT_BACKBONE if token == "starnet" else token
    if name not in backbones:
        suggestion = nearest(name, backbones) or f"; there are {', '.join(backbones)}"
        raise ConfigError(f"no backbone '{token}'{suggestion}")
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


def grafted_yaml(
    base: Path,
    backbone: str,
    arguments: Any = (),
    figures: Callable[[Mapping[str, Any], str], Mapping[str, object]] | None = None,
) -> str:
    """The YAML text of a model on a backbone.

    Args:
        base: A YAML of the installed Ultralytics, or of the user's own.
        backbone: The name of a registered backbone.
        arguments: The arguments of its row.
        figures: `figures(model, name)` gives the figures of each scale, for the comments of the YAML, such as
            `yolo_starnet.measuring.figures.by_scale`. The YAML has none without it.

    Raises:
        ConfigError: The file is no model.
        BackboneError: The model has nothing that a backbone could replace.
    """
    text, model = read_model(base)
    try:
        result = graft.graft(model, strides.of_rows(model), backbone, arguments)
    except BackboneError as error:
        raise BackboneError(f"{base} cannot be put on '{backbone}': {error}") from error
    origin = f"{base.name} of Ultralytics {ultralytics.__version__} on {backbone}, by yolo-starnet graft"
    by_scale = figures(result.model, unscaled(base.name)) if figures else {}
    return graft.write(text, result, origin, {scale: str(figure) for scale, figure in by_scale.items()})


def read_model(file: Path) -> tuple[str, dict[str, Any]]:
    """The text of a model YAML, and the model dict in it.

    Raises:
        ConfigError: The file cannot be read, or does not hold the rows of a model.
    """
    try:
        text = file.read_text(encoding="utf-8")
        model = yaml.safe_load(text)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{file} cannot be read as YAML: {brief(error)}") from error
    sections = model if isinstance(model, dict) else {}
    for section in ("backbone", "head"):
        rows = sections.get(section)
        if not (isinstance(rows, list) and rows and all(isinstance(row, list) and len(row) == 4 for row in rows)):
            raise ConfigError(
                f"{file} is no model: expected rows such as [-1, 1, Conv, [64, 3, 2]] under '{section}:', found "
                f"{reprlib.repr(rows)}; begin with a copy of a stock YAML"
            )
    return text, sections


def missing(stock: str, token: str) -> str:
    """The reason that the installed Ultralytics has no YAML `stock`: too old, or an unknown name.

    Args:
        stock: The stock name.
        token: The backbone for the config names that the message suggests.
    """
    installed = f"the installed Ultralytics is {ultralytics.__version__}"
    starts = [start for start in FIRST_RELEASES if re.match(rf"{start}(?!\d)", unscaled(stock))]
    first = FIRST_RELEASES[max(starts, key=len)] if starts else "8.1.0"
    if parse_version(first) > parse_version(ultralytics.__version__):
        return f"{max(starts, key=len).strip('-')} exists from Ultralytics {first} on, {installed}"
    known = [name_of(Path(name).stem, token) for name in stock_names()]
    return f"{installed} and has no {stock}{nearest(name_of(Path(unscaled(stock)).stem, token), known, 4)}"


@functools.cache
def _stock_files() -> dict[str, Path]:
    return {file.name: file for file in (ROOT / "cfg" / "models").rglob("*.yaml")}


def _check_backbone(text: str, config: ConfigName, backbones: Mapping[str, Backbone]) -> None:
    """Raise the error of a backbone row that cannot be built, before its YAML is kept: `timm_NAME` takes any name."""
    model = {**yaml.safe_load(text), "yaml_file": config.name}
    model["scale"] = next(iter(model.get("scales") or ()), "")
    with torch.random.fork_rng(devices=[]):
        expand.expand(model, 3, backbones, vars(tasks))
