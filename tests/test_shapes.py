"""Drawing: boxes, keypoints, outlines and index maps agree with the painted pixels."""

from collections.abc import Iterator

import cv2
import numpy as np
import pytest

from yolo_starnet.demo import shapes
from yolo_starnet.demo.shapes import SIZE, Shape, Style

APART = Style(count=(8, 16), apart=True)


def painted(outline: np.ndarray) -> np.ndarray:
    """The pixels that painting an outline changes, SIZE x SIZE."""
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    shapes._paint(image, outline, np.random.default_rng(0))
    return image.max(2) > 40  # at least half covered: a colour is 80 away from the black, or more


def alone(style: Style = APART, count: int = 40) -> Iterator[Shape]:
    """Shapes of every class that lie whole in the image."""
    rng = np.random.default_rng(3)
    for _ in range(count):
        yield shapes._random_shape(rng, style)


def test_drawing_again_gives_the_same_image_and_shapes():
    style = Style(count=(8, 16), apart=True, stretch=0.5, needle=True)
    (first, drawn), (second, again) = (shapes.draw(np.random.default_rng(7), style) for _ in range(2))
    assert np.array_equal(first, second)
    assert [s.outline.tolist() for s in drawn] == [s.outline.tolist() for s in again]


def test_a_box_frames_what_was_painted():
    differences = []
    for shape in alone():
        ys, xs = np.nonzero(painted(shape.outline))
        differences.append(shape.box - [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
    assert np.abs(differences).max() <= 3  # the tip of a star is too thin to fill half a pixel
    assert np.abs(np.mean(differences, 0).reshape(2, 2).sum(0)).max() <= 0.6  # as far on either side


def test_a_rotated_box_frames_what_was_painted_along_the_shape():
    for shape in alone(Style(apart=True, stretch=0.5)):
        corners = shape.rotated_box
        pixels = np.argwhere(painted(shape.outline))[:, ::-1] + 0.5
        along, across = corners[1] - corners[0], corners[3] - corners[0]
        assert np.isclose(along @ across, 0)
        assert np.linalg.norm(along) > 1.5 * np.linalg.norm(across)
        for side in (along, across):
            places = (pixels - corners[0]) @ side / np.linalg.norm(side)
            assert -1.5 <= places.min() < 4
            assert -1.5 <= np.linalg.norm(side) - places.max() < 4  # OpenCV paints the pixels that an edge touches


def test_keypoints_are_corners_and_the_needle_points_to_the_head():
    for shape in alone(Style(apart=True, needle=True)):
        seen = painted(shape.outline)
        for point in shape.keypoints:
            inside, outside = (shape.centre + part * (point - shape.centre) for part in (0.7, 1.2))
            assert seen[tuple(inside.astype(int)[::-1])]
            assert not (outside.min() >= 0 and outside.max() < SIZE and seen[tuple(outside.astype(int)[::-1])])
        needle = np.argwhere(painted(shape.needle))[:, ::-1] + 0.5
        far = needle[np.linalg.norm(needle - shape.centre, axis=1).argmax()]
        distances = np.linalg.norm(shape.keypoints - far, axis=1)
        assert distances.argmin() == shapes.KEYPOINTS.index("head")
        assert distances.min() < np.linalg.norm(shape.keypoints[0] - shape.centre) / 4


def test_right_is_right_of_one_who_looks_to_the_head():
    for shape in alone():
        head, right, _, left = shape.keypoints - shape.centre
        clockwise = np.array([-head[1], head[0]])  # y points down in an image
        assert right @ clockwise > 0 > left @ clockwise


@pytest.fixture(scope="module")
def overlapping() -> list[tuple[list[Shape], np.ndarray]]:
    """The shapes of some images, and the index of the top one at each pixel, found by painting one after the other."""
    rng, found = np.random.default_rng(1), []
    for _ in range(40):
        _, drawn = shapes.draw(rng)
        top = np.full((SIZE, SIZE), -1)
        for index, shape in enumerate(drawn):
            top[painted(shape.outline)] = index
        found.append((drawn, top))
    return found


def test_the_index_map_names_the_shape_that_was_painted_last(overlapping: list[tuple[list[Shape], np.ndarray]]):
    for drawn, top in overlapping:
        assert (shapes.index_map(drawn) == top).mean() > 0.98


def test_visible_outlines_hold_the_pixels_that_no_other_shape_hides(
    overlapping: list[tuple[list[Shape], np.ndarray]],
):
    hidden = 0
    for drawn, top in overlapping:
        for index, outline in enumerate(shapes.visible_outlines(drawn)):
            expected, mask = top == index, np.zeros((SIZE, SIZE), np.uint8)
            if not len(outline):
                assert expected.sum() < 8
                continue
            cv2.fillPoly(mask, [np.round((outline - 0.5) * 16).astype(np.int32)], 1, shift=4)
            union = (mask.astype(bool) | expected).sum()
            assert (mask.astype(bool) & expected).sum() > 0.9 * union - 40  # fillPoly also fills the edge
            hidden += painted(drawn[index].outline).sum() > expected.sum() + 40
    assert hidden >= 10  # so that this has seen shapes that lie behind others


def test_a_shape_in_front_of_the_middle_of_another_leaves_a_hole():
    circle, dot = (
        Shape(0, np.array([128.0, 128.0]), 0.0, 128 + r * np.stack([np.cos(a), np.sin(a)], 1))
        for r, a in ((100, np.linspace(0, 6.28, 60)), (30, np.linspace(0, 6.28, 60)))
    )
    ring, disc = shapes.visible_outlines([circle, dot])
    area = [cv2.contourArea(p.astype(np.float32)) for p in (ring, disc)]
    assert area[1] == pytest.approx(np.pi * 30**2, rel=0.02)
    assert area[0] == pytest.approx(np.pi * (100**2 - 30**2), rel=0.02)


def test_a_shape_cut_in_two_is_one_outline_round_both_parts():
    bars = [
        np.array([[x1, y1], [x2, y1], [x2, y2], [x1, y2]], float)
        for x1, y1, x2, y2 in ((20, 100, 220, 140), (100, 40, 140, 220))
    ]
    cut, whole = shapes.visible_outlines([Shape(1, b.mean(0), 0.0, b) for b in bars])
    mask = np.zeros((SIZE, SIZE), np.uint8)
    cv2.fillPoly(mask, [np.round((cut - 0.5) * 16).astype(np.int32)], 1, shift=4)
    assert mask[120, 60]
    assert mask[120, 180]
    assert not mask[110, 120]
    assert cv2.contourArea(whole.astype(np.float32)) == pytest.approx(40 * 180, rel=0.02)


def test_the_visible_fraction_excludes_covered_parts_and_parts_outside_the_image():
    corners = np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    half_covered, front, half_outside = (
        Shape(1, np.array(centre), 0.0, centre + 20 * corners) for centre in ([60.0, 60], [80.0, 60], [0.0, 200])
    )
    assert shapes.visible_fractions([half_covered, front, half_outside]) == pytest.approx([0.5, 1, 0.5], abs=0.02)


def test_a_shape_that_is_hidden_has_no_outline():
    small, large = (
        Shape(0, np.array([128.0, 128.0]), 0.0, 128 + r * np.array([[-1.0, -1], [1, -1], [1, 1], [-1, 1]]))
        for r in (20, 60)
    )
    assert [len(p) > 0 for p in shapes.visible_outlines([small, large])] == [False, True]


def test_shapes_apart_lie_whole_in_the_image_and_touch_no_other():
    rng = np.random.default_rng(5)
    for _ in range(20):
        _, drawn = shapes.draw(rng, APART)
        assert all(s.outline.min() >= 0 and s.outline.max() <= SIZE for s in drawn)
        assert sum(painted(s.outline).astype(int) for s in drawn).max() == 1
