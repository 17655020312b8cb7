"""Draws circles, squares and stars on textured backgrounds, the images of the built-in data sets. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

CLASSES = ("circle", "square", "star")
KEYPOINTS = ("head", "right", "tail", "left")
"""The keypoints of a shape, clockwise. Its needle points to the head; left and right are as seen facing the head."""
SIZE = 256
"""Height and width of the images in pixels."""
_SUBPIXELS = 4  # subpixels along the side of a pixel, for areas and outlines of visible parts


@dataclass(frozen=True)
class Style:
    """How images are drawn. The defaults are those of the images for detection.

    Attributes:
        count: The range of the number of shapes to try for an image: lower bound, and upper bound (exclusive).
        apart: Whether shapes lie completely in the image and their boxes do not overlap. Otherwise up to a third of
            the radius of a shape may lie outside the image.
        overlap: The maximum IoU of two boxes, where `apart` is false.
        stretch: The width of a shape across its axis, relative to its length. Less than 1 gives it a direction.
        needle: Whether each shape bears a needle that points to its head.
        turns: The range of the direction of the head, in radians clockwise from the right.
        radii: The range of the radius, as fractions of the image size.
    """

    count: tuple[int, int] = (3, 8)
    apart: bool = False
    overlap: float = 0.2
    stretch: float = 1.0
    needle: bool = False
    turns: tuple[float, float] = (0.0, 2 * np.pi)
    radii: tuple[float, float] = (0.13, 0.3)


@dataclass(frozen=True)
class Shape:
    """One drawn object.

    Attributes:
        label: Its index into `CLASSES`.
        centre: Its centre (x, y) in pixels.
        turn: Its rotation in radians, clockwise.
        outline: Its corners, N x 2 (x, y) in pixels, clockwise from the head.
    """

    label: int
    centre: np.ndarray
    turn: float
    outline: np.ndarray

    @property
    def box(self) -> np.ndarray:
        """Bounding box, clipped to the image: x1, y1, x2, y2 in pixels."""
        return np.concatenate([self.outline.min(0), self.outline.max(0)]).clip(0, SIZE)

    @property
    def rotated_box(self) -> np.ndarray:
        """Corners of the bounding box that is rotated with the shape, 4 x 2 (x, y) in pixels."""
        rotation = _rotation(self.turn)
        upright = self.outline @ rotation
        (x1, y1), (x2, y2) = upright.min(0), upright.max(0)
        return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]]) @ rotation.T

    @property
    def keypoints(self) -> np.ndarray:
        """Keypoints in the order of `KEYPOINTS`, 4 x 2 (x, y) in pixels; all lie on the outline."""
        count = len(self.outline)
        return self.outline[[0, count // 4, count // 2, count - count // 4]]

    @property
    def needle(self) -> np.ndarray:
        """Outline of the needle, a triangle from the centre of the shape to its head, 3 x 2 (x, y) in pixels."""
        x, y = self.outline[0] - self.centre
        across = 0.2 * np.array([-y, x])
        return np.stack([self.centre + across, self.outline[0], self.centre - across])


def draw(rng: np.random.Generator, style: Style = Style()) -> tuple[np.ndarray, list[Shape]]:
    """Draw one image.

    Returns:
        The image, `SIZE` x `SIZE` x 3 (BGR, uint8), and its shapes, from back to front.
    """
    image = _background(rng)
    shapes: list[Shape] = []
    max_iou = 1e-9 if style.apart else style.overlap
    for _ in range(rng.integers(*style.count)):
        shape = _random_shape(rng, style)
        if all(_iou(shape.box, other.box) < max_iou for other in shapes):
            shapes.append(shape)
            _paint(image, shape.outline, rng)
            if style.needle:
                _paint(image, shape.needle, rng)
    return image, shapes


def index_map(shapes: list[Shape]) -> np.ndarray:
    """Index of the shape that is visible at the centre of each pixel, `SIZE` x `SIZE`; -1 for the background."""
    return _subpixel_index_map(shapes)[_SUBPIXELS // 2 :: _SUBPIXELS, _SUBPIXELS // 2 :: _SUBPIXELS]


def visible_fractions(shapes: list[Shape]) -> np.ndarray:
    """Fraction of the area of each shape that is visible, from 0 to 1; the area outside the image is hidden."""
    subpixels = _subpixel_index_map(shapes)
    areas = np.bincount(subpixels[subpixels >= 0], minlength=len(shapes)) / _SUBPIXELS**2
    return areas / [cv2.contourArea(s.outline.astype(np.float32)) for s in shapes]


def visible_outlines(shapes: list[Shape]) -> list[np.ndarray]:
    """Outline of the visible part of each shape, N x 2 (x, y) in pixels; N is 0 if fewer than 4 pixels are visible.

    A visible part in several pieces, or with a hole, is one outline that runs from piece to piece and back.
    """
    subpixels, outlines = _subpixel_index_map(shapes), []
    for index in range(len(shapes)):
        mask = (subpixels == index).astype(np.uint8)
        contours, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        large = [c for c in contours if cv2.contourArea(c) >= 4 * _SUBPIXELS**2]
        outlines.append((_joined([cv2.approxPolyDP(c, 1.0, True)[:, 0] for c in large]) + 0.5) / _SUBPIXELS)
    return outlines


def _subpixel_index_map(shapes: list[Shape]) -> np.ndarray:
    """Index of the visible shape at each subpixel, -1 for the background."""
    indices = np.full((SIZE * _SUBPIXELS, SIZE * _SUBPIXELS), -1, np.int16)
    for index, shape in enumerate(shapes):
        cv2.fillPoly(indices, [np.round((shape.outline * _SUBPIXELS - 0.5) * 16).astype(np.int32)], index, shift=4)
    return indices


def _joined(outlines: list[np.ndarray]) -> np.ndarray:
    """Join outlines to one, each at its point that is nearest to the points before it."""
    joined = outlines[0] if outlines else np.zeros((0, 2))
    for outline in outlines[1:]:
        distances = np.linalg.norm(joined[:, None] - outline[None], axis=2)
        here, there = np.unravel_index(distances.argmin(), distances.shape)
        detour = np.roll(outline, -there, axis=0)
        joined = np.concatenate([joined[: here + 1], detour, detour[:1], joined[here:]])
    return joined


def _random_shape(rng: np.random.Generator, style: Style = Style()) -> Shape:
    """A rotated shape of a random class. At least two thirds of its radius lie in the image."""
    label = int(rng.integers(len(CLASSES)))
    radius = SIZE * rng.uniform(*style.radii)
    sides = {"circle": 48, "square": 4, "star": 10}[CLASSES[label]]
    radii = np.where(np.arange(sides) % 2, 0.4, 1.0) if CLASSES[label] == "star" else np.ones(sides)
    # A stretched square shall be a rectangle, not a rhombus.
    corner = np.pi / 4 if CLASSES[label] == "square" and style.stretch < 1 else 0
    angles = 2 * np.pi * np.arange(sides) / sides + corner
    turn = rng.uniform(*style.turns) - corner
    margin = radius * (np.hypot(1, 0.5) if style.apart else 2 / 3)  # a rotated box reaches further than the radius
    centre = rng.uniform(margin, SIZE - margin, 2)
    points = radius * radii[:, None] * np.stack([np.cos(angles), style.stretch * np.sin(angles)], 1)
    return Shape(label, centre, turn, centre + points @ _rotation(turn).T)


def _rotation(turn: float) -> np.ndarray:
    """Matrix that rotates a column (x, y) by `turn` radians, clockwise in an image, where y points down."""
    return np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])


def _background(rng: np.random.Generator) -> np.ndarray:
    """Sum of colour noise at several scales, `SIZE` x `SIZE` x 3 (uint8)."""
    image = np.full((SIZE, SIZE, 3), rng.uniform(60, 190, 3))
    for cells, strength in ((3, 20), (12, 12), (64, 8), (SIZE, 4)):
        noise = rng.normal(0, strength, (cells, cells, 3))
        image += cv2.resize(noise, (SIZE, SIZE), interpolation=cv2.INTER_CUBIC)
    return image.clip(0, 255).astype(np.uint8)


def _paint(image: np.ndarray, outline: np.ndarray, rng: np.random.Generator) -> None:
    """Fill an outline with a shaded colour that differs from the colours behind it."""
    mask = np.zeros((SIZE, SIZE), np.uint8)
    # OpenCV puts the origin at the centre of the first pixel, labels put it at the corner.
    cv2.fillPoly(mask, [np.round((outline - 0.5) * 16).astype(np.int32)], 255, cv2.LINE_AA, shift=4)
    behind = cv2.mean(image, mask)[:3]
    colour = rng.uniform(0, 255, 3)
    while np.abs(colour - behind).max() < 80:
        colour = rng.uniform(0, 255, 3)
    shade = np.linspace(rng.uniform(0.75, 1.0), rng.uniform(1.0, 1.25), SIZE)[None, :, None]
    x, y, width, height = cv2.boundingRect(mask)
    window = np.s_[y : y + height, x : x + width]
    alpha, colours = mask[window][:, :, None] / 255, (colour * shade[:, window[1]]).clip(0, 255)
    image[window] = (image[window] * (1 - alpha) + colours * alpha).astype(np.uint8)


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes (x1, y1, x2, y2)."""
    intersection = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0).prod()
    return float(intersection / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - intersection))
