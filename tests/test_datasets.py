"""The built-in data sets: the same everywhere, found by name, and read by Ultralytics without a complaint."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from ultralytics import cfg
from ultralytics.data import ClassificationDataset, build_yolo_dataset
from ultralytics.data import utils as data_utils
from ultralytics.data.utils import check_det_dataset

from yolo_starnet.demo import datasets
from yolo_starnet.demo.shapes import CLASSES
from yolo_starnet.errors import ConfigError
from yolo_starnet.tasks import TASKS as TASK_TABLE

TASKS = [t for t in datasets.SETS if t in cfg.TASKS]
LABELLED = [t for t in TASKS if t != "classify"]


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty folder for data sets of four training images each, or a multiple, and two others."""
    monkeypatch.setattr(datasets, "settings", {"datasets_dir": str(tmp_path / "sets")})
    monkeypatch.setattr(datasets, "SPLITS", {"train": 4, "val": 2})
    return tmp_path / "sets"


def contents(folder: Path) -> dict[Path, bytes]:
    return {f.relative_to(folder): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


@pytest.mark.parametrize("task", datasets.SETS)
def test_drawing_again_gives_the_same_files(few: Path, task: str):
    first = datasets.prepare(task).parent.rename(few / "first")
    assert contents(datasets.prepare(task).parent) == contents(first)


@pytest.mark.parametrize("task", LABELLED)
@pytest.mark.parametrize("suffix", ["", ".yaml"])
def test_ultralytics_finds_it_by_name(few: Path, task: str, suffix: str):
    data = check_det_dataset(datasets.SETS[task].name + suffix)
    for split, count in datasets.SETS[task].splits.items():
        assert len(list(Path(data[split]).glob("*.jpg"))) == count
    assert [f.name for f in few.iterdir()] == [f"yolo-starnet-{datasets.SETS[task].name}-{datasets._VERSION}"], (
        "another set was drawn as well"
    )


@pytest.mark.parametrize("name", ["shapes-cls", "shapes-cls.yaml", "shapes.yml", "coco8.yaml", ""])
def test_other_names_stand_for_no_yaml_and_draw_nothing(few: Path, name: str):
    assert datasets.find_yaml(name) is None
    assert not few.exists()


def test_every_task_of_the_table_has_a_built_in_set_of_its_own():
    assert {task: entry.data for task, entry in TASK_TABLE.items()} == {
        task: data_set.name for task, data_set in datasets.SETS.items() if task != "detect-hard"
    }
    assert len({data_set.name for data_set in datasets.SETS.values()}) == len(datasets.SETS)


def test_ultralytics_finds_that_for_classification_by_name(few: Path):
    data = data_utils.check_cls_dataset("shapes-cls")
    assert data["names"] == dict(enumerate(CLASSES))
    assert Path(data["val"]).parent.parent == few


def test_a_users_own_shapes_yaml_wins(tmp_path: Path):
    (tmp_path / "shapes.yaml").write_text("train: .\nval: .\nnames: [mine]\n")
    assert check_det_dataset("shapes.yaml")["names"] == {0: "mine"}


def test_a_users_own_folder_for_classification_wins(few: Path, tmp_path: Path):
    for split in ("train", "val"):
        (tmp_path / "shapes-cls" / split / "mine").mkdir(parents=True)
        cv2.imwrite(str(tmp_path / "shapes-cls" / split / "mine" / "0.jpg"), np.zeros((8, 8, 3), np.uint8))
    assert data_utils.check_cls_dataset("shapes-cls")["names"] == {0: "mine"}
    assert not few.exists()


@pytest.mark.parametrize("task", LABELLED)
def test_ultralytics_reads_every_label_and_finds_none_corrupt(task: str):
    data = check_det_dataset(datasets.SETS[task].name)
    dataset = build_yolo_dataset(cfg.get_cfg(overrides={"task": task, "imgsz": 64}), data["val"], 2, data, mode="val")
    assert len(dataset.labels) == datasets.SPLITS["val"]
    kind = {"semantic": "masks", "depth": "depth"}.get(task, "labels")
    files = sorted((datasets.prepare(task).parent / kind / "val").iterdir())
    cache = data_utils.load_dataset_cache_file(files[0].parent.with_suffix(".cache"))
    found, missing, empty, corrupt = cache["results"][:4]
    assert (found, missing, empty, corrupt, cache["msgs"]) == (datasets.SPLITS["val"], 0, 0, 0, [])
    if kind == "labels":
        assert sum(len(label["cls"]) for label in dataset.labels) == sum(len(f.read_text().splitlines()) for f in files)
    batch = dataset.collate_fn([dataset[i] for i in range(2)])
    target = {"segment": "masks", "pose": "keypoints", "semantic": "semantic_mask", "depth": "depth"}.get(
        task, "bboxes"
    )
    assert batch[target].shape[0] > 0
    assert batch[target].isfinite().all()


def test_ultralytics_reads_every_image_for_classification(few: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(datasets, "SPLITS", {"train": 1, "val": 16})
    folder = datasets.prepare("classify").parent / "val"
    dataset = ClassificationDataset(str(folder), cfg.get_cfg(overrides={"task": "classify", "imgsz": 64}))
    assert len(dataset.samples) == datasets.SPLITS["val"]
    assert {Path(f).parent.name for f, *_ in dataset.samples} == set(CLASSES)


@pytest.mark.parametrize("task", ["detect", "obb"])
def test_every_class_and_many_sizes_occur(task: str):
    folder = datasets.prepare(task).parent / "labels" / "train"
    labels = np.concatenate([np.loadtxt(file, ndmin=2) for file in sorted(folder.iterdir())])
    assert set(labels[:, 0].astype(int)) == set(range(len(CLASSES)))
    assert labels[:, 1:].min() >= -1e-6
    assert labels[:, 1:].max() <= 1 + 1e-6
    if task == "detect":
        assert (labels[:, 1:3] + labels[:, 3:] / 2).max() <= 1 + 1e-6
        assert labels[:, 3].max() > 3 * labels[:, 3].min()


def test_the_sets_for_segmentation_and_semantic_segmentation_show_the_first_images_of_that_for_detection(few: Path):
    detect, *others = (contents(datasets.prepare(t).parent / "images") for t in ("detect", "segment", "semantic"))
    assert len(others[0]) == sum(datasets.SETS["segment"].splits.values()) < len(detect)
    assert all(other == {file: detect[file] for file in other} for other in others)


def test_the_hard_set_is_small_crowded_and_occluded(few: Path):
    folder = Path(check_det_dataset("shapes-hard")["train"].replace("images", "labels"))
    images = [np.loadtxt(file, ndmin=2)[:, 1:] for file in folder.iterdir()]
    every = np.concatenate(images)
    assert len(every) / len(images) >= 10
    assert np.median(every[:, 2:]) < 0.15  # of the side of the image
    covered = 0
    for boxes in images:
        low, high = boxes[:, :2] - boxes[:, 2:] / 2, boxes[:, :2] + boxes[:, 2:] / 2
        meet = (np.maximum(low[:, None], low) < np.minimum(high[:, None], high)).all(2)
        covered += (meet.sum(1) > 1).sum()
    assert covered > len(every) / 2


def test_distances_are_those_of_shapes_of_one_size_before_a_wall(few: Path):
    file = datasets.prepare("depth").parent / "depth" / "val" / "000.npy"
    metres = np.load(file)
    assert metres.shape == (256, 256)
    assert metres.max() == 4
    for distance in np.unique(metres[metres < 4]):
        ys, xs = np.nonzero(metres == distance)
        across = max(np.ptp(ys), np.ptp(xs)) + 1  # 1.7 to 2 radii, by its class and turn
        assert 1.3 < across * distance / (0.3 * 256) < 2.1


def test_train_and_val_share_no_image():
    folder = datasets.prepare().parent / "images"
    train, val = ({cv2.imread(str(f)).tobytes() for f in (folder / s).iterdir()} for s in ("train", "val"))
    assert not train & val


def test_several_that_ask_at_once_get_one_whole_set(few: Path):
    with ThreadPoolExecutor(4) as pool:
        files = list(pool.map(datasets.prepare, ["segment"] * 4))
    assert len(set(files)) == 1
    assert len(list(files[0].parent.rglob("*.txt"))) == sum(datasets.SPLITS.values())
    assert list(few.iterdir()) == [files[0].parent]


@pytest.mark.parametrize("task", ["detect", "classify"])
def test_a_folder_that_holds_something_else_is_named_and_left_alone(few: Path, task: str):
    folder = few / f"yolo-starnet-{datasets.SETS[task].name}-{datasets._VERSION}"
    folder.mkdir(parents=True)
    (folder / "mine.txt").write_text("keep")
    with pytest.raises(ConfigError, match="cannot be written to"):
        datasets.prepare(task)
    assert [p.name for p in few.rglob("*")] == [folder.name, "mine.txt"]


def test_its_yaml_holds_no_path_of_this_machine(few: Path):
    for task in datasets.SETS:
        said = yaml.safe_load(datasets.prepare(task).read_text())
        assert said["train"] == ("train" if task == "classify" else "images/train")
        assert "path" not in said


@pytest.mark.parametrize("task", ["detect", "semantic", "depth", "classify"])
@pytest.mark.parametrize("limit", [0, 3000])
def test_a_full_disk_leaves_no_half_drawn_set(task: str, limit: int, tmp_path: Path, python):
    pytest.importorskip("resource", reason="no limits for files on this system")
    code = (
        "import resource, signal, sys\nfrom yolo_starnet.demo import datasets\n"
        "datasets.settings = {'datasets_dir': 'sets'}\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n"
        f"datasets.prepare({task!r})\n"
    )
    done = python("-c", code, check=False)
    last = done.stderr.splitlines()[-1]
    assert f"ConfigError: the built-in data set '{datasets.SETS[task].name}' cannot be written to" in last
    assert "yolo settings datasets_dir=FOLDER" in last
    assert not list((tmp_path / "sets").iterdir())


@pytest.mark.parametrize("place", ["sets", "sets/inner"])
def test_a_data_sets_folder_that_is_a_file_is_named(place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "sets").write_text("mine")
    monkeypatch.setattr(datasets, "settings", {"datasets_dir": str(tmp_path / place)})
    with pytest.raises(ConfigError, match=f"cannot be written to {tmp_path / place}"):
        datasets.prepare()
    assert (tmp_path / "sets").read_text() == "mine"


def test_what_a_killed_drawing_left_behind_goes_with_the_next(few: Path, python):
    code = (
        "import os, signal, sys\nfrom yolo_starnet.demo import datasets\n"
        f"datasets.settings = {{'datasets_dir': {str(few)!r}}}\n"
        "write = datasets._write_label\n"
        "def kill(*arguments):\n    write(*arguments)\n    os.kill(os.getpid(), signal.SIGKILL)\n"
        "datasets._write_label = kill\ndatasets.prepare()\n"
    )
    python("-c", code, check=False)
    (left,) = few.iterdir()
    assert list(left.rglob("*.jpg"))
    folder = few / f"yolo-starnet-shapes-{datasets._VERSION}"
    own = few / f"{datasets._drawn_by(folder)}{os.getpid()}-x"
    own.mkdir()  # of a process that is still drawing
    file = datasets.prepare()
    assert sorted(few.iterdir()) == sorted([file.parent, own])


@pytest.mark.parametrize(
    ("task", "pattern"),
    [(task, "*.jpg") for task in datasets.SETS]
    + [("pose", "labels/val/*"), ("semantic", "masks/val/*"), ("depth", "*.npy")],
    ids=lambda value: value.replace("*", "").replace("/", " ").strip(),
)
def test_a_set_that_lost_a_part_is_not_trained_on(few: Path, task: str, pattern: str):
    folder = datasets.prepare(task).parent
    for file in [*folder.rglob(pattern)][::2]:
        file.unlink()
    (folder / "val.cache").write_text("")  # Ultralytics leaves such a file
    with pytest.raises(ConfigError, match=rf"\d images or labels of .* are missing in {folder}; delete that folder"):
        datasets.prepare(task)
    shutil.rmtree(folder)
    assert datasets.prepare(task).is_file()


def test_a_set_that_was_used_is_still_whole(few: Path):
    folder = datasets.prepare().parent
    (folder / "labels" / "train.cache").write_text("")
    (folder / "images" / "train" / "000.npy").write_text("")  # of cache=disk
    assert datasets.prepare().parent == folder
