"""Labels of drawn shapes, in the formats of Ultralytics' data sets. Pure."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from .shapes import CLASSES, SIZE, Shape, index_map, visible_fractions, visible_outlines


def boxes(shapes: list[Shape]) -> str:
    """Labels for detection."""
    return _label_lines(shapes, _box)


def recognisable_boxes(shapes: list[Shape]) -> str:
    """Labels for detection, without the shapes that are hidden by more than 70 percent."""
    return boxes([shape for shape, fraction in zip(shapes, visible_fractions(shapes)) if fraction >= 0.3])


def polygons(shapes: list[Shape]) -> str:
    """Labels for segmentation: the visible outlines."""
    outlines = {id(s): outline / SIZE for s, outline in zip(shapes, visible_outlines(shapes)) if len(outline)}
    return _label_lines([s for s in shapes if id(s) in outlines], lambda s: outlines[id(s)])


def keypoints(shapes: list[Shape]) -> str:
    """Labels for pose: the box, then x, y and the visibility 2 of each keypoint."""
    return _label_lines(shapes, lambda s: np.append(_box(s), np.insert(s.keypoints / SIZE, 2, 2, axis=1)))


def rotated_boxes(shapes: list[Shape]) -> str:
    """Labels for oriented boxes: four corners."""
    return _label_lines(shapes, lambda s: s.rotated_box / SIZE)


def classes(shapes: list[Shape]) -> np.ndarray:
    """Labels for semantic segmentation: the class of each pixel; the background is the last class."""
    return np.array([*(s.label for s in shapes), len(CLASSES)], np.uint8)[index_map(shapes)]


def distances(shapes: list[Shape]) -> np.ndarray:
    """Labels for depth: the distance of each pixel in metres, as if all shapes were equally large in reality.

    A shape with a radius of 0.3 image sizes is 1 m away, one of half that radius 2 m. The background is a wall at 4 m.
    """
    radii = [float(np.linalg.norm(s.outline[0] - s.centre)) for s in shapes]
    return np.array([*(0.3 * SIZE / r for r in radii), 4.0], np.float16)[index_map(shapes)]


def _label_lines(shapes: list[Shape], numbers: Callable[[Shape], np.ndarray]) -> str:
    """Text of a label file: on each line the class of a shape and its numbers."""
    return "".join(f"{s.label} {' '.join(f'{v:.6f}' for v in np.ravel(numbers(s)))}\n" for s in shapes)


def _box(shape: Shape) -> np.ndarray:
    """Centre x, centre y, width and height of the bounding box, as fractions of the image."""
    low, high = shape.box.reshape(2, 2) / SIZE
    return np.concatenate([(low + high) / 2, high - low])
