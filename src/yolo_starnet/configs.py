"""A config name, such as yolo11n-starnet.yaml, to a YAML file."""

from __future__ import annotations

import difflib
import os
import re
import tempfile
from collections.abc import Collection
from pathlib import Path

from ultralytics.utils import USER_CONFIG_DIR

from .errors import ConfigError

_HERE = Path(__file__).parent
# In a wheel the folder lies in the package; in a checkout and an editable install, at the top of the repository.
CONFIGS = next((p for p in (_HERE / "configs", _HERE.parents[1] / "configs") if p.is_dir()), _HERE / "configs")
DEFAULT_BACKBONE = "starnet_s1"
_NAME = re.compile(r"(?P<family>yolov?\d+)(?P<scale>[nslmx]?)-(?P<backbone>[a-z][a-z0-9_]*)(?P<suffix>.*)\.ya?ml")


def find(name: str, backbones: Collection[str]) -> Path | None:
    """Find the YAML file that a config name stands for.

    Args:
        name: `<family><scale>-<backbone>[-<task>].yaml`, as a user gives it to `YOLO(...)`; `starnet` alone means
            `starnet_s1`. A path with a folder in it is never a config name.
        backbones: The registered backbone names.

    Returns:
        A file in `configs/`, or one made of it in the user's config folder; None where `name` is no name of ours.

    Raises:
        ConfigError: `name` asks for StarNet in a family, task or variant that there is no config for.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        return None
    backbone = DEFAULT_BACKBONE if match["backbone"] == "starnet" else match["backbone"]
    base = CONFIGS / f"{match['family']}-starnet{match['suffix']}.yaml"
    if backbone in backbones and base.is_file():
        return base if backbone == DEFAULT_BACKBONE else _with_backbone(base, backbone)
    if not match["backbone"].startswith("starnet") and backbone not in backbones:
        return None
    known = sorted(names(backbones))
    near = difflib.get_close_matches(_unscaled(name), known, n=4) or known
    raise ConfigError(
        f"no config '{name}'; there are {', '.join(near)}, each with a scale after the number (yolo11n-…)"
    )


def names(backbones: Collection[str]) -> list[str]:
    """Every config name, without a scale."""
    shipped = [p.name for p in CONFIGS.glob("*-starnet*.yaml")]
    return shipped + [n.replace("-starnet", f"-{b}") for n in shipped for b in backbones]


def _unscaled(name: str) -> str:
    return re.sub(r"^(yolov?\d+)[nslmx]-", r"\1-", name)


def _with_backbone(base: Path, backbone: str) -> Path:
    """A copy of `base` that names another backbone, in the user's config folder."""
    file = USER_CONFIG_DIR / "yolo_starnet" / base.name.replace("starnet", backbone)
    text = re.sub(rf"\b{DEFAULT_BACKBONE}\b", backbone, base.read_text(encoding="utf-8"))
    if not file.is_file() or file.read_text(encoding="utf-8") != text:
        file.parent.mkdir(parents=True, exist_ok=True)
        # Written beside it and renamed: another process never reads half a file.
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=file.parent, suffix=".tmp", delete=False) as part:
            part.write(text)
        os.replace(part.name, file)
    return file
