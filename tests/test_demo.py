"""The built-in data set: the same everywhere, and labelled right."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from ultralytics.data.utils import check_det_dataset

from yolo_starnet import demo
from yolo_starnet.errors import ConfigError


def test_drawing_again_gives_the_same_image_and_shapes():
    (first, shapes), (second, again) = (demo.draw(np.random.default_rng(7)) for _ in range(2))
    assert np.array_equal(first, second)
    assert [s.label for s in shapes] == [s.label for s in again]


@pytest.mark.parametrize("name", ["shapes", "shapes.yaml"])
def test_ultralytics_finds_it_by_name(name: str):
    data = check_det_dataset(name)
    assert list(data["names"].values()) == list(demo.CLASSES)
    for split, count in demo.SPLITS.items():
        assert len(list(Path(data[split]).glob("*.jpg"))) == count


def test_a_users_own_shapes_yaml_wins(tmp_path: Path):
    (tmp_path / "shapes.yaml").write_text("train: .\nval: .\nnames: [mine]\n")
    assert check_det_dataset("shapes.yaml")["names"] == {0: "mine"}


def test_every_class_and_many_sizes_occur_and_boxes_hold_their_shapes():
    folder = demo.dataset().parent
    rows = [
        np.loadtxt(file, ndmin=2) for split in demo.SPLITS for file in sorted((folder / "labels" / split).glob("*.txt"))
    ]
    labels = np.concatenate(rows)
    assert set(labels[:, 0].astype(int)) == set(range(len(demo.CLASSES)))
    assert labels[:, 1:].min() >= 0
    assert (labels[:, 1:3] + labels[:, 3:] / 2).max() <= 1 + 1e-6
    assert labels[:, 3].max() > 3 * labels[:, 3].min()


def test_a_box_frames_what_was_painted():
    rng, differences = np.random.default_rng(3), []
    for _ in range(100):
        shape, image = demo._shape(rng), np.zeros((demo.SIZE, demo.SIZE, 3), np.uint8)
        if shape.outline.min() < 4 or shape.outline.max() > demo.SIZE - 4:
            continue
        demo._paint(image, shape.outline, rng)
        ys, xs = np.nonzero(image.max(2))
        differences.append(shape.box - [xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
    assert np.abs(differences).max() <= 3  # smooth edges reach into the next pixel
    assert np.abs(np.mean(differences, 0).reshape(2, 2).sum(0)).max() <= 0.6  # as far on either side


def test_train_and_val_share_no_image():
    folder = demo.dataset().parent / "images"
    train, val = ({cv2.imread(str(f)).tobytes() for f in (folder / s).iterdir()} for s in ("train", "val"))
    assert not train & val


def test_a_folder_that_holds_something_else_is_named_and_left_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(demo, "settings", {"datasets_dir": str(tmp_path)})
    (tmp_path / demo._FOLDER).mkdir()
    (tmp_path / demo._FOLDER / "mine.txt").write_text("keep")
    with pytest.raises(ConfigError, match="cannot be put at"):
        demo.dataset()
    assert [p.name for p in tmp_path.rglob("*")] == [demo._FOLDER, "mine.txt"]


def test_its_yaml_holds_no_path_of_this_machine():
    assert yaml.safe_load(demo.dataset().read_text())["train"] == "images/train"
