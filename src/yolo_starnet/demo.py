"""The built-in data set: shapes on textured backgrounds, drawn here, so that training needs no download."""

from __future__ import annotations

import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from ultralytics import settings

from .errors import ConfigError

CLASSES = ("circle", "square", "star")
SIZE = 256
"""Height and width of the images, in pixels."""
SPLITS = {"train": 256, "val": 64}
"""Images in each split."""
RECIPE = {
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
"""What to train with on this set where the user has not said."""
REASON = """Chosen to learn from scratch in under three minutes on two CPU cores: small images, a step of the optimizer
for every batch of 8 (nbs=8), the high learning rate that StarNet likes, more weight on telling classes apart (cls),
and no mosaic, which pays in long trainings only. Give any of them to change it."""
_FOLDER = "yolo-starnet-shapes-1"  # counts up when the drawing changes, so that no cached set mixes two
_NAMES = {"shapes", "shapes.yaml"}


@dataclass(frozen=True)
class Shape:
    """One drawn object: its index into `CLASSES` and its outline in pixels, N x 2 (x, y)."""

    label: int
    outline: np.ndarray

    @property
    def box(self) -> np.ndarray:
        """The part of its bounding box that lies in the image: x1, y1, x2, y2 in pixels."""
        return np.concatenate([self.outline.min(0), self.outline.max(0)]).clip(0, SIZE)


def find(name: str) -> Path | None:
    """The data YAML of the built-in set where `name` is `shapes` or `shapes.yaml`, else None."""
    return dataset() if name in _NAMES else None


def dataset() -> Path:
    """Draw the data set where Ultralytics keeps data sets, unless it is there, and return its YAML file.

    The same images and labels come out every time. Several processes may call it at once.

    Raises:
        ConfigError: Its folder exists without its YAML file, so something else lies there.
    """
    folder = Path(settings["datasets_dir"]) / _FOLDER
    file = folder / "shapes.yaml"
    if file.is_file():
        return file
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Drawn beside its place and renamed, so that nobody ever sees half a data set.
    part = Path(tempfile.mkdtemp(prefix=f"{_FOLDER}-", dir=folder.parent))
    try:
        _write(part)
        part.chmod(0o755)  # mkdtemp's are private, a data set is not
        os.rename(part, folder)
    except OSError as error:
        if not file.is_file():  # if it is, another process was faster
            raise ConfigError(f"the built-in data set cannot be put at {folder} ({error}); move that away") from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return file


def draw(rng: np.random.Generator) -> tuple[np.ndarray, list[Shape]]:
    """Draw one image.

    Returns:
        The image, `SIZE` x `SIZE` x 3 (BGR, uint8), and its shapes, those behind first.
    """
    image = _background(rng)
    shapes: list[Shape] = []
    for _ in range(rng.integers(3, 8)):
        shape = _shape(rng)
        if all(_overlap(shape.box, other.box) < 0.2 for other in shapes):
            shapes.append(shape)
            _paint(image, shape.outline, rng)
    return image, shapes


def _write(folder: Path) -> None:
    for seed, (split, count) in enumerate(SPLITS.items()):
        rng = np.random.default_rng(seed)
        images, labels = folder / "images" / split, folder / "labels" / split
        images.mkdir(parents=True)
        labels.mkdir(parents=True)
        for index in range(count):
            image, shapes = draw(rng)
            cv2.imwrite(str(images / f"{index:03}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 92])
            (labels / f"{index:03}.txt").write_text("".join(f"{s.label} {_yolo(s.box)}\n" for s in shapes))
    lines = ["# Shapes drawn by yolo-starnet; paths are relative to this file.", *(f"{s}: images/{s}" for s in SPLITS)]
    lines += ["names:", *(f"  {index}: {name}" for index, name in enumerate(CLASSES))]
    (folder / "shapes.yaml").write_text("\n".join(lines) + "\n")


def _yolo(box: np.ndarray) -> str:
    """A box as a label file holds it: centre x, centre y, width, height, as parts of the image."""
    (x1, y1, x2, y2) = box / SIZE
    return " ".join(f"{v:.6f}" for v in ((x1 + x2) / 2, (y1 + y2) / 2, x2 - x1, y2 - y1))


def _shape(rng: np.random.Generator) -> Shape:
    """A shape of any class, rotated, at least two thirds of it in the image."""
    label = int(rng.integers(len(CLASSES)))
    radius = SIZE * rng.uniform(0.13, 0.3)
    sides = {"circle": 48, "square": 4, "star": 10}[CLASSES[label]]
    radii = np.where(np.arange(sides) % 2, 0.4, 1.0) if CLASSES[label] == "star" else np.ones(sides)
    angles = 2 * np.pi * (np.arange(sides) / sides + rng.uniform())
    centre = rng.uniform(radius * 2 / 3, SIZE - radius * 2 / 3, 2)
    return Shape(label, centre + radius * radii[:, None] * np.stack([np.cos(angles), np.sin(angles)], 1))


def _background(rng: np.random.Generator) -> np.ndarray:
    """Colour noise at several scales, one over another."""
    image = np.full((SIZE, SIZE, 3), rng.uniform(60, 190, 3))
    for cells, strength in ((3, 20), (12, 12), (64, 8), (SIZE, 4)):
        noise = rng.normal(0, strength, (cells, cells, 3))
        image += cv2.resize(noise, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    return image.clip(0, 255).astype(np.uint8)


def _paint(image: np.ndarray, outline: np.ndarray, rng: np.random.Generator) -> None:
    """Fill an outline with a colour that differs from what is there, shaded from one side to the other."""
    mask = np.zeros((SIZE, SIZE), np.uint8)
    # OpenCV counts from the middle of the first pixel, labels from its corner.
    cv2.fillPoly(mask, [np.round((outline - 0.5) * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
    behind = cv2.mean(image, mask)[:3]
    colour = rng.uniform(0, 255, 3)
    while np.abs(colour - behind).max() < 80:
        colour = rng.uniform(0, 255, 3)
    shade = np.linspace(rng.uniform(0.75, 1.0), rng.uniform(1.0, 1.25), SIZE)[None, :, None]
    alpha = mask[:, :, None] / 255
    image[:] = (image * (1 - alpha) + (colour * shade).clip(0, 255) * alpha).astype(np.uint8)


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    inner = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0).prod()
    return float(inner / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - inner))
