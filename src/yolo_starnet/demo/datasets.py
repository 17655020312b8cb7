"""The built-in data sets, one for each task and a harder one for detection; drawn, so they need no download."""

from __future__ import annotations

import os
import platform
import re
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
from ..tasks import TASKS
from . import labels
from .shapes import CLASSES, KEYPOINTS, Shape, Style, draw

SPLITS = {"train": 256, "val": 64}
"""The number of images in each split; see `DataSet.times`."""
REASON = """The recipe learns from scratch in two to four minutes on two CPU cores. The images are small, the optimizer
steps after every batch (nbs), and the learning rate suits StarNet. Mosaic is off, and for detection and classification
most of the augmentation, because it helps in long trainings only. Each of these arguments can be overridden."""
"""Why the recipes are what they are, for the log."""
_VERSION = 5  # increase when the drawing changes, so that a cached set never mixes two versions
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
_SGD = {"optimizer": "SGD", "lr0": 0.04, "momentum": 0.9, "cos_lr": True, "warmup_epochs": 0, "warmup_bias_lr": 0.0}
_SAME_LOOK = {"scale": 0.0, "hsv_h": 0.0, "hsv_s": 0.0, "hsv_v": 0.0}
_DETECT = {**_RECIPE, **_SGD, **_SAME_LOOK, "epochs": 5, "imgsz": 128, "batch": 16, "nbs": 16}
"""SGD, as a step of MuSGD would take twice as long on a CPU. Many drawings, each seen a few times, teach more than few
that augmentation varies. Shifts stay: they show the grey border that a validation puts around its images. A warm-up
would last for 100 steps, a third of the training, however few epochs it is asked for."""
_FLIPS_ONLY = {**_SAME_LOOK, "auto_augment": None, "erasing": 0.0, "flipud": 0.5}
_SMALL = {"epochs": 6, "imgsz": 64, "batch": 16, "nbs": 16, "lr0": 0.001, "cos_lr": True, "warmup_epochs": 0}
_CLASSIFY = {**_RECIPE, **_FLIPS_ONLY, **_SMALL}
"""At the rate of `_RECIPE`, and with Ultralytics' augmentation, the loss of a classifier stays that of a guess."""


@dataclass(frozen=True)
class DataSet:
    """A built-in data set.

    Attributes:
        name: The name that `data=` takes, with or without `.yaml`.
        recipe: The training arguments that fit it. Arguments of the user override them.
        label: Returns the content of an image's label file from its shapes: text for a .txt file, an array of uint8
            with the class of each pixel for a .png file, or an array of float16 with the distance of each pixel in
            metres for a .npy file. None for classification, where the folder of an image is its label.
        style: How its images are drawn.
        keys: Further keys of its YAML file.
        times: It has so many times the training images of `SPLITS`. With more images, each is seen less often, and a
            training of as many steps has fewer epochs, after each of which it validates.
    """

    name: str
    recipe: dict[str, Any]
    label: Callable[[list[Shape]], str | np.ndarray] | None
    style: Style = field(default_factory=Style)
    keys: dict[str, Any] = field(default_factory=dict)
    times: int = 1

    @property
    def splits(self) -> dict[str, int]:
        """The number of images in each split."""
        return {**SPLITS, "train": self.times * SPLITS["train"]}


def find_yaml(name: str) -> Path | None:
    """Find the YAML file of the built-in data set of that name, with or without `.yaml`, and draw the set if needed.

    Returns:
        The YAML file, or None if no set has that name or the set is for classification, where Ultralytics takes a
        folder instead (see `find_folder`).
    """
    tasks = {data_set.name: task for task, data_set in SETS.items() if data_set.label}
    task = tasks.get(name.removesuffix(".yaml"))
    return prepare(task) if task else None


def find_folder(name: str) -> Path | None:
    """Find the folder of the built-in set for classification, and draw the set if needed.

    Returns:
        The folder, or None if `name` is another name or the user has a folder of that name.
    """
    users = (Path(name), Path(settings["datasets_dir"]) / name)
    if name != TASKS["classify"].data or any(folder.is_dir() for folder in users):
        return None
    return prepare("classify").parent


def prepare(task: str = "detect") -> Path:
    """Draw a data set of `SETS` into the data sets folder of Ultralytics, unless it is there already.

    The images and labels are the same every time. Several processes may call this at once.

    Args:
        task: A key of `SETS`.

    Returns:
        The YAML file of the data set.

    Raises:
        ConfigError: The set cannot be written, or a part of it was deleted.
    """
    data_set = SETS[task]
    folder = Path(settings["datasets_dir"]) / f"yolo-starnet-{data_set.name}-{_VERSION}"
    file = folder / f"{data_set.name}.yaml"
    _remove_left_behind(folder)
    if file.is_file():
        if missing := _missing(data_set, folder):
            raise ConfigError(
                f"{missing} images or labels of the built-in data set '{data_set.name}' are missing in {folder}; "
                "delete that folder, and the set is drawn again"
            )
        return file
    try:
        _draw(data_set, folder)
    except OSError as error:
        if not file.is_file():  # otherwise another process was faster
            raise ConfigError(
                f"the built-in data set '{data_set.name}' cannot be written to {folder} ({error}); free that place, or "
                "choose another folder with: yolo settings datasets_dir=FOLDER"
            ) from error
    return file


def validation_images(task: str) -> Path:
    """Return a folder of validation images of the built-in set of a task."""
    folder = prepare(task).parent
    return folder / "val" / CLASSES[-1] if task == "classify" else folder / "images" / "val"


def _draw(data_set: DataSet, folder: Path) -> None:
    """Draw a data set into a temporary folder and rename it, so that no process ever sees half of it."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f"{_drawn_by(folder)}{os.getpid()}-", dir=folder.parent))
    try:
        _write(data_set, part)
        part.chmod(0o755)  # mkdtemp makes private folders; other users may read a data set
        os.rename(part, folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _drawn_by(folder: Path) -> str:
    """How the names of temporary folders of this machine begin. The number of the drawing process follows."""
    return f"{folder.name}-{platform.node()}-"


def _remove_left_behind(folder: Path) -> None:
    """Remove what drawings left behind that were killed."""
    import psutil  # late: it takes a fifth of the time that importing this package takes

    for part in folder.parent.glob(f"{folder.name}-*"):
        process = re.match(rf"{re.escape(_drawn_by(folder))}(\d+)-", part.name)
        if process and not psutil.pid_exists(int(process[1])):
            shutil.rmtree(part, ignore_errors=True)


def _missing(data_set: DataSet, folder: Path) -> int:
    """The number of images and labels that are no longer in the folder of a data set."""
    count = sum(data_set.splits.values())
    images = count - len([*folder.rglob("[0-9]*.jpg")])
    labels = [file for kind in ("labels", "masks", "depth") for file in (folder / kind).rglob("[0-9]*")]
    return max(images, count - len(labels) if data_set.label else 0, 0)


def _write(data_set: DataSet, folder: Path) -> None:
    """Write the images, the labels and the YAML file of a data set."""
    images = "images/" if data_set.label else ""
    for seed, (split, count) in enumerate(data_set.splits.items()):
        rng = np.random.default_rng(seed)
        for index in range(count):
            image, shapes = draw(rng, data_set.style)
            stem = f"{split}/{index:03}" if data_set.label else f"{split}/{CLASSES[shapes[0].label]}/{index:03}"
            file = _with_parents(folder / f"{images}{stem}.jpg")
            _write_image(file, image, cv2.IMWRITE_JPEG_QUALITY, 92)
            if data_set.label:
                _write_label(data_set.label(shapes), folder, stem)
    keys = {**{split: f"{images}{split}" for split in SPLITS}, "names": dict(enumerate(CLASSES)), **data_set.keys}
    text = yaml.safe_dump(keys, sort_keys=False, default_flow_style=None)
    header = "# Shapes drawn by yolo-starnet; paths are relative to this file.\n"
    (folder / f"{data_set.name}.yaml").write_text(header + text)


def _write_label(label: str | np.ndarray, folder: Path, stem: str) -> None:
    """Write a label as the kind of file that its type asks for (see `DataSet.label`)."""
    if isinstance(label, str):
        _with_parents(folder / "labels" / f"{stem}.txt").write_text(label)
    elif label.dtype == np.uint8:
        _write_image(_with_parents(folder / "masks" / f"{stem}.png"), label)
    else:
        np.save(_with_parents(folder / "depth" / f"{stem}.npy"), label)


def _write_image(file: Path, image: np.ndarray, *parameters: int) -> None:
    # cv2.imwrite does not raise where the disk is full.
    file.write_bytes(cv2.imencode(file.suffix, image, parameters)[1].tobytes())


def _with_parents(file: Path) -> Path:
    """Make the folder of a file and return the file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


SETS = {
    "detect": DataSet(TASKS["detect"].data, _DETECT, labels.boxes, times=4),
    "segment": DataSet(TASKS["segment"].data, _RECIPE, labels.polygons),
    "pose": DataSet(
        TASKS["pose"].data,
        {**_RECIPE, "epochs": 24, "scale": 0.2, "pose": 40.0},
        labels.keypoints,
        Style(count=(8, 16), apart=True, needle=True, turns=(-0.75 * np.pi, -0.25 * np.pi)),
        {"kpt_shape": [4, 3], "flip_idx": [0, 3, 2, 1], "kpt_names": {i: [*KEYPOINTS] for i in range(len(CLASSES))}},
    ),
    "obb": DataSet(TASKS["obb"].data, _RECIPE, labels.rotated_boxes, Style(count=(8, 16), apart=True, stretch=0.5)),
    "classify": DataSet(
        TASKS["classify"].data, _CLASSIFY, None, Style(count=(1, 2), apart=True, radii=(0.25, 0.4)), times=8
    ),
    "semantic": DataSet(
        TASKS["semantic"].data,
        _RECIPE,
        labels.classes,
        keys={"masks_dir": "masks", "names": dict(enumerate([*CLASSES, "background"]))},
    ),
    "depth": DataSet(
        TASKS["depth"].data, _RECIPE, labels.distances, Style(count=(8, 16), apart=True), {"names": {0: "depth"}}
    ),
    # Many small shapes that hide one another, on which models differ; for benchmarks only. More of them, as 40 in an
    # image, would cost a training on a CPU twice the time: it goes with the pairs of boxes and anchors.
    "detect-hard": DataSet(
        "shapes-hard", _RECIPE, labels.recognisable_boxes, Style(count=(8, 20), overlap=0.5, radii=(0.03, 0.1))
    ),
}
"""The built-in data set of each task, and a harder one for detection."""
