"""Circles, squares and stars on textured backgrounds: what the built-in data sets show. Pure."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

CLASSES = ("circle", "square", "star")
KEYPOINTS = ("head", "right", "tail", "left")
"""The keypoints of a shape, clockwise. Its needle points to the head; right is that of one who looks there."""
SIZE = 256
"""Height and width of the images, in pixels."""
_FINE = 4  # of these along the side of a pixel, where it matters which shape covers what


@dataclass(frozen=True)
class Style:
    """What is drawn: the images for detection unless said otherwise.

    Attributes:
        count: The least number of shapes that are tried for an image, and one more than the most.
        apart: Whether shapes lie whole in the image and their boxes apart; otherwise they may reach out of it by a
            third of their radius, and overlap.
        overlap: How much of what two boxes cover together both may cover, where shapes need not lie apart.
        stretch: How wide a shape is across, its length along being 1, so that it has a direction where it is less.
        needle: Whether each shape bears a needle that points to its head.
        turns: Between which angles the head lies, clockwise from the right, in radians.
        radii: Between which sizes the radius lies, as parts of the image.
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
    """One drawn object: its index into `CLASSES`, centre (x, y) in pixels, turn in radians, outline N x 2 (x, y).

    The outline begins at the head and goes round clockwise.
    """

    label: int
    centre: np.ndarray
    turn: float
    outline: np.ndarray

    @property
    def box(self) -> np.ndarray:
        """The part of its bounding box that lies in the image: x1, y1, x2, y2 in pixels."""
        return np.concatenate([self.outline.min(0), self.outline.max(0)]).clip(0, SIZE)

    @property
    def rotated_box(self) -> np.ndarray:
        """The corners of the box along its own axes, 4 x 2 (x, y) in pixels."""
        turn = _rotation(self.turn)
        (x1, y1), (x2, y2) = (self.outline @ turn).min(0), (self.outline @ turn).max(0)
        return np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]]) @ turn.T

    @property
    def keypoints(self) -> np.ndarray:
        """The points of the outline that `KEYPOINTS` names, 4 x 2 (x, y) in pixels."""
        count = len(self.outline)
        return self.outline[[0, count // 4, count // 2, count - count // 4]]

    @property
    def needle(self) -> np.ndarray:
        """The outline of the needle, from the middle of the shape to its head, 3 x 2 (x, y) in pixels."""
        x, y = self.outline[0] - self.centre
        across = 0.2 * np.array([-y, x])
        return np.stack([self.centre + across, self.outline[0], self.centre - across])


def draw(rng: np.random.Generator, style: Style = Style()) -> tuple[np.ndarray, list[Shape]]:
    """Draw one image.

    Returns:
        The image, `SIZE` x `SIZE` x 3 (BGR, uint8), and its shapes, those behind first.
    """
    image = _background(rng)
    shapes: list[Shape] = []
    for _ in range(rng.integers(*style.count)):
        shape = _shape(rng, style)
        if all(_overlap(shape.box, other.box) < (1e-9 if style.apart else style.overlap) for other in shapes):
            shapes.append(shape)
            _paint(image, shape.outline, rng)
            if style.needle:
                _paint(image, shape.needle, rng)
    return image, shapes


def cover(shapes: list[Shape]) -> np.ndarray:
    """Which shape is seen at each pixel, `SIZE` x `SIZE`: its index into `shapes`, or -1 for the background."""
    return _cover(shapes)[_FINE // 2 :: _FINE, _FINE // 2 :: _FINE]


def shares(shapes: list[Shape]) -> np.ndarray:
    """Which part of each shape no other hides, from 0 to 1; what lies outside of the image counts as hidden."""
    fine = _cover(shapes)
    seen = np.bincount(fine[fine >= 0], minlength=len(shapes)) / _FINE**2
    return seen / [cv2.contourArea(s.outline.astype(np.float32)) for s in shapes]


def visible(shapes: list[Shape]) -> list[np.ndarray]:
    """The outline of what is seen of each shape, N x 2 (x, y) in pixels; N is 0 where that is less than 4 pixels.

    What is seen in several parts, or round a hole, is one outline that goes from one to the other and back.
    """
    fine, outlines = _cover(shapes), []
    for index in range(len(shapes)):
        mask = (fine == index).astype(np.uint8)
        found, _ = cv2.findContours(mask, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
        parts = [cv2.approxPolyDP(c, 1.0, True)[:, 0] for c in found if cv2.contourArea(c) >= 4 * _FINE**2]
        outlines.append((_joined(parts) + 0.5) / _FINE)
    return outlines


def _cover(shapes: list[Shape]) -> np.ndarray:
    fine = np.full((SIZE * _FINE, SIZE * _FINE), -1, np.int16)
    for index, shape in enumerate(shapes):
        cv2.fillPoly(fine, [np.round((shape.outline * _FINE - 0.5) * 16).astype(np.int32)], index, shift=4)
    return fine


def _joined(parts: list[np.ndarray]) -> np.ndarray:
    """Put outlines together, each at the point that lies nearest to what there is already."""
    whole = parts[0] if parts else np.zeros((0, 2))
    for part in parts[1:]:
        distances = np.linalg.norm(whole[:, None] - part[None], axis=2)
        here, there = np.unravel_index(distances.argmin(), distances.shape)
        detour = np.roll(part, -there, axis=0)
        whole = np.concatenate([whole[: here + 1], detour, detour[:1], whole[here:]])
    return whole


def _shape(rng: np.random.Generator, style: Style = Style()) -> Shape:
    """A shape of any class, rotated, at least two thirds of it in the image."""
    label = int(rng.integers(len(CLASSES)))
    radius = SIZE * rng.uniform(*style.radii)
    sides = {"circle": 48, "square": 4, "star": 10}[CLASSES[label]]
    radii = np.where(np.arange(sides) % 2, 0.4, 1.0) if CLASSES[label] == "star" else np.ones(sides)
    corner = np.pi / 4 if CLASSES[label] == "square" and style.stretch < 1 else 0  # a rectangle, not a rhombus
    angles = 2 * np.pi * np.arange(sides) / sides + corner
    turn = rng.uniform(*style.turns) - corner
    margin = radius * (np.hypot(1, 0.5) if style.apart else 2 / 3)  # corners of rotated boxes, too
    centre = rng.uniform(margin, SIZE - margin, 2)
    points = radius * radii[:, None] * np.stack([np.cos(angles), style.stretch * np.sin(angles)], 1)
    return Shape(label, centre, turn, centre + points @ _rotation(turn).T)


def _rotation(turn: float) -> np.ndarray:
    """The matrix that turns a column (x, y) clockwise, as one sees it in an image, by `turn` radians."""
    return np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])


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
    x, y, width, height = cv2.boundingRect(mask)
    inner = np.s_[y : y + height, x : x + width]
    alpha, colours = mask[inner][:, :, None] / 255, (colour * shade[:, inner[1]]).clip(0, 255)
    image[inner] = (image[inner] * (1 - alpha) + colours * alpha).astype(np.uint8)


def _overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    inner = np.maximum(np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2]), 0).prod()
    return float(inner / ((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod() - inner))
