"""The built-in data sets, one for each task and a harder one: drawn here, so that training needs no download."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from ultralytics import settings

from ..errors import ConfigError
from .shapes import CLASSES, KEYPOINTS, SIZE, Shape, Style, cover, draw, shares, visible

SPLITS = {"train": 256, "val": 64}
"""Images in each split."""
REASON = """Chosen to learn from scratch in about three minutes on two CPU cores: small images, a step of the optimizer
for every batch of 8 (nbs=8), the high learning rate that StarNet likes, and no mosaic, which pays in long trainings
only. Give any of them to change it."""
_VERSION = 1  # counts up when the drawing changes, so that no cached set mixes two
_RECIPE = {
    "epochs": 18,
    "imgsz": 160,
    "batch": 8,
    "nbs": 8,
    "optimizer": "AdamW",
    "lr0": 0.004,
    "warmup_epochs": 1,
    "cls": 2.0,
    "mosaic": 0.0,
}


@dataclass(frozen=True)
class DataSet:
    """A built-in data set.

    Attributes:
        name: What `data=` takes, with or without `.yaml`.
        recipe: What to train with on it where the user has not said.
        label: From the shapes of an image to what its label file holds: the text of a .txt, the class of each pixel
            (uint8, a .png), or their distances in metres (float16, a .npy). None where the folder is the label.
        style: How its images are drawn.
        keys: What its YAML tells besides where the images are.
    """

    name: str
    recipe: dict[str, Any]
    label: Callable[[list[Shape]], str | np.ndarray] | None
    style: Style = field(default_factory=Style)
    keys: dict[str, Any] = field(default_factory=dict)


def find_yaml(name: str) -> Path | None:
    """The YAML of the built-in set that `name` stands for; None where it is none, or that for classification.

    Ultralytics takes a folder there, see `find_folder`.
    """
    task = next((t for t, s in SETS.items() if name in {s.name, f"{s.name}.yaml"}), "classify")
    return None if task == "classify" else prepare(task)


def find_folder(name: str) -> Path | None:
    """The folder of the built-in set for classification where `name` means it and no folder of the user's."""
    if name != SETS["classify"].name or Path(name).is_dir() or (Path(settings["datasets_dir"]) / name).is_dir():
        return None
    return prepare("classify").parent


def prepare(task: str = "detect") -> Path:
    """Draw a set of `SETS` where Ultralytics keeps data sets, unless it is there, and return its YAML file.

    The same images and labels come out every time. Several processes may call it at once.

    Raises:
        ConfigError: Its folder exists without its YAML file, so something else lies there.
    """
    ours = SETS[task]
    folder = Path(settings["datasets_dir"]) / f"yolo-starnet-{ours.name}-{_VERSION}"
    file = folder / f"{ours.name}.yaml"
    if file.is_file():
        return file
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Drawn beside its place and renamed, so that nobody ever sees half a data set.
    part = Path(tempfile.mkdtemp(prefix=f"{folder.name}-", dir=folder.parent))
    try:
        _write(ours, part)
        part.chmod(0o755)  # mkdtemp's are private, a data set is not
        os.rename(part, folder)
    except OSError as error:
        if not file.is_file():  # if it is, another process was faster
            raise ConfigError(f"the built-in data set cannot be put at {folder} ({error}); move that away") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return file


def validation_images(task: str) -> Path:
    """A folder of images that the set of a task keeps for validation."""
    folder = prepare(task).parent
    return folder / "val" / CLASSES[-1] if task == "classify" else folder / "images" / "val"


def _write(ours: DataSet, folder: Path) -> None:
    images = "images/" if ours.label else ""
    for seed, (split, count) in enumerate(SPLITS.items()):
        rng = np.random.default_rng(seed)
        for index in range(count):
            image, shapes = draw(rng, ours.style)
            place = f"{split}/{index:03}" if ours.label else f"{split}/{CLASSES[shapes[0].label]}/{index:03}"
            file = _new(folder / f"{images}{place}.jpg")
            cv2.imwrite(str(file), image, [cv2.IMWRITE_JPEG_QUALITY, 92])
            if ours.label:
                _write_label(ours.label(shapes), folder, place)
    keys = {**{split: f"{images}{split}" for split in SPLITS}, "names": dict(enumerate(CLASSES)), **ours.keys}
    text = yaml.safe_dump(keys, sort_keys=False, default_flow_style=None)
    (folder / f"{ours.name}.yaml").write_text(
        f"# Shapes drawn by yolo-starnet; paths are relative to this file.\n{text}"
    )


def _write_label(label: str | np.ndarray, folder: Path, place: str) -> None:
    if isinstance(label, str):
        _new(folder / "labels" / f"{place}.txt").write_text(label)
    elif label.dtype == np.uint8:
        cv2.imwrite(str(_new(folder / "masks" / f"{place}.png")), label)
    else:
        np.save(_new(folder / "depth" / f"{place}.npy"), label)


def _new(file: Path) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


def _lines(shapes: list[Shape], numbers: Callable[[Shape], np.ndarray]) -> str:
    """A label file: on each line the class of a shape and its numbers."""
    return "".join(f"{s.label} {' '.join(f'{v:.6f}' for v in np.ravel(numbers(s)))}\n" for s in shapes)


def _box(shape: Shape) -> np.ndarray:
    """Centre x, centre y, width, height, as parts of the image."""
    low, high = shape.box.reshape(2, 2) / SIZE
    return np.concatenate([(low + high) / 2, high - low])


def _well_seen(shapes: list[Shape]) -> list[Shape]:
    """Those that show enough of themselves to be told apart."""
    return [s for s, share in zip(shapes, shares(shapes)) if share >= 0.3]


def _polygons(shapes: list[Shape]) -> str:
    seen = {id(s): outline / SIZE for s, outline in zip(shapes, visible(shapes)) if len(outline)}
    return _lines([s for s in shapes if id(s) in seen], lambda s: seen[id(s)])


def _classes(shapes: list[Shape]) -> np.ndarray:
    """The class of each pixel; the background comes after those of the shapes."""
    return np.array([*(s.label for s in shapes), len(CLASSES)], np.uint8)[cover(shapes)]


def _distances(shapes: list[Shape]) -> np.ndarray:
    """Metres to each pixel, as if all shapes were of one size, the largest seen from 1 m, before a wall at 4 m."""
    radii = [float(np.linalg.norm(s.outline[0] - s.centre)) for s in shapes]
    return np.array([*(0.3 * SIZE / r for r in radii), 4.0], np.float16)[cover(shapes)]


SETS = {
    "detect": DataSet("shapes", _RECIPE, lambda shapes: _lines(shapes, _box)),
    "segment": DataSet("shapes-seg", _RECIPE, _polygons),
    "pose": DataSet(
        "shapes-pose",
        {**_RECIPE, "epochs": 24, "scale": 0.2, "pose": 40.0},
        lambda shapes: _lines(shapes, lambda s: np.append(_box(s), np.insert(s.keypoints / SIZE, 2, 2, axis=1))),
        Style(count=(8, 16), apart=True, needle=True, turns=(-0.75 * np.pi, -0.25 * np.pi)),
        {"kpt_shape": [4, 3], "flip_idx": [0, 3, 2, 1], "kpt_names": {i: [*KEYPOINTS] for i in range(len(CLASSES))}},
    ),
    "obb": DataSet(
        "shapes-obb",
        _RECIPE,
        lambda shapes: _lines(shapes, lambda s: s.rotated_box / SIZE),
        Style(count=(8, 16), apart=True, stretch=0.5),
    ),
    "classify": DataSet("shapes-cls", _RECIPE, None, Style(count=(1, 2), apart=True, radii=(0.25, 0.4))),
    "semantic": DataSet(
        "shapes-semantic",
        _RECIPE,
        _classes,
        keys={"masks_dir": "masks", "names": dict(enumerate([*CLASSES, "background"]))},
    ),
    "depth": DataSet("shapes-depth", _RECIPE, _distances, Style(count=(8, 16), apart=True), {"names": {0: "depth"}}),
    # Small, crowded and occluded: where models differ, and for benchmarks only.
    "detect-hard": DataSet(
        "shapes-hard",
        _RECIPE,
        lambda shapes: _lines(_well_seen(shapes), _box),
        Style(count=(30, 60), overlap=0.5, radii=(0.02, 0.08)),
    ),
}
"""The built-in data set of each task, and a harder one for detection."""
