"""Real trainings: every step of a user from a YAML to boxes on a photograph."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from ultralytics import YOLO, cfg
from ultralytics.cfg import CFG_BOOL_KEYS
from ultralytics.engine.trainer import BaseTrainer

from conftest import train
from yolo_starnet import cli
from yolo_starnet.demo import datasets

PART_OF_THE_SIZE = "multi_scale" not in CFG_BOOL_KEYS
"""Later releases take for `multi_scale` a part of the image size, earlier ones yes or no."""


def test_training_writes_weights_and_metrics_that_say_what_was_trained(trained: Path):
    assert (trained / "weights" / "best.pt").is_file()
    assert len((trained / "results.csv").read_text().splitlines()) == 3
    model = YOLO(trained / "weights" / "best.pt").model
    assert model.yaml["backbone"][0] == [-1, 1, "starnet_s1", []]
    assert model.nc == len(datasets.CLASSES)


def test_a_checkpoint_validates_and_predicts_on_a_photograph(trained: Path, photograph: Path):
    yolo = YOLO(trained / "weights" / "best.pt")
    metrics = yolo.val(data="shapes", imgsz=64, workers=0, plots=False, verbose=False)
    labels = (datasets.prepare().parent / "labels" / "val").glob("*.txt")
    classes = [int(line.split()[0]) for file in labels for line in file.read_text().splitlines()]
    assert metrics.nt_per_class.tolist() == np.bincount(classes).tolist()
    boxes = yolo.predict(photograph, conf=0.0, verbose=False)[0].boxes
    assert len(boxes) > 0
    assert boxes.orig_shape == (1080, 810)
    assert bool((boxes.xyxy >= 0).all())
    assert bool((boxes.xyxy <= torch.tensor([810, 1080, 810, 1080])).all())
    assert {int(c) for c in boxes.cls} <= set(range(len(datasets.CLASSES)))
    assert bool(((boxes.conf > 0) & (boxes.conf <= 1)).all())


def test_a_checkpoint_predicts_in_a_process_that_never_imported_the_package(trained: Path, photograph: Path, python):
    weights = trained / "weights" / "best.pt"
    predict = f"YOLO({str(weights)!r}).predict({str(photograph)!r}, conf=0.0)[0].boxes.data.tolist()"
    found = python("-c", f"from ultralytics import YOLO; print('BOXES', {predict})").stdout.split("BOXES ")[-1]
    expected = YOLO(weights).predict(photograph, conf=0.0, verbose=False)[0].boxes.data
    assert len(expected) > 0
    assert torch.allclose(torch.tensor(json.loads(found)), expected, atol=1e-2)


def test_onnx_gives_the_same_boxes_on_a_photograph(trained: Path, photograph: Path):
    yolo = YOLO(trained / "weights" / "best.pt")
    file = yolo.export(format="onnx", imgsz=320, simplify=True, verbose=False)
    raw: list[np.ndarray] = []  # before suppression, which may prefer either of two boxes that score the same
    for model in (yolo, YOLO(file, task="detect")):
        # rect=False: an ONNX file takes square images only, so both must be given the same
        model.predict(photograph, imgsz=320, rect=False, conf=0.0, verbose=False)
        network, (image,) = model.predictor.model, model.predictor.dataset.__iter__().__next__()[1]
        found = network(model.predictor.preprocess([image]))
        raw.append((found[0] if isinstance(found, (list, tuple)) else found)[0].detach().numpy())
    expected, found = raw
    assert found.shape == expected.shape == (4 + len(datasets.CLASSES), 2100)
    assert np.abs(found[:4] - expected[:4]).max() <= 1e-3
    assert np.abs(found[4:] - expected[4:]).max() <= 1e-4


def test_fine_tuning_from_a_checkpoint_keeps_its_weights(trained: Path, tmp_path: Path):
    weights = trained / "weights" / "best.pt"
    run = train(weights, tmp_path, epochs=1, lr0=0.0, warmup_epochs=0, optimizer="SGD", fraction=0.025)
    before, after = (YOLO(f).model.state_dict() for f in (weights, run / "weights" / "last.pt"))
    convolutions = [k for k in before if k.endswith("conv.weight")]
    assert all(torch.allclose(before[k], after[k], atol=1e-3) for k in convolutions)


def test_freeze_5_freezes_exactly_the_backbone(tmp_path: Path):
    frozen: dict[str, bool] = {}
    yolo = YOLO("yolo11n-starnet.yaml")

    def note(trainer: BaseTrainer) -> None:
        frozen.update({name: not p.requires_grad for name, p in trainer.model.named_parameters()})

    yolo.add_callback("on_train_start", note)
    options = {"data": "shapes", "imgsz": 64, "fraction": 0.025, "workers": 0, "plots": False, "project": str(tmp_path)}
    yolo.train(epochs=1, freeze=5, val=False, **options)
    assert len({k.split(".")[1] for k in frozen}) > 10
    assert all(is_frozen == (int(k.split(".")[1]) < 5 or ".dfl" in k) for k, is_frozen in frozen.items())


def test_multi_scale_training_takes_batches_of_several_sizes(tmp_path: Path):
    sizes: set[tuple[int, int]] = set()
    yolo = YOLO("yolo11n-starnet.yaml")

    def watch(trainer: BaseTrainer) -> None:
        trainer.model.model[0].register_forward_pre_hook(
            lambda layer, inputs: sizes.add(tuple(inputs[0].shape[2:])) if layer.training else None
        )

    yolo.add_callback("on_train_start", watch)
    options = {"data": "shapes", "imgsz": 128, "fraction": 0.06, "workers": 0, "plots": False, "project": str(tmp_path)}
    yolo.train(epochs=1, batch=4, multi_scale=0.5 if PART_OF_THE_SIZE else True, val=False, **options)
    assert len(sizes) >= 3
    assert all(64 <= side <= 192 and side % 32 == 0 for size in sizes for side in size)


@pytest.mark.parametrize("nc", [1, 80])
def test_the_reference_yaml_trains_on_any_number_of_classes(nc: int, reference: Path, tmp_path: Path):
    data = datasets.prepare().parent
    names = "".join(f"  {i}: c{i}\n" for i in range(max(nc, 3)))
    Path("data.yaml").write_text(f"path: {data}\ntrain: images/train\nval: images/val\nnames:\n{names}")
    run = train(reference, tmp_path, epochs=1, data="data.yaml", fraction=0.025, single_cls=nc == 1)
    assert YOLO(run / "weights" / "last.pt").model.nc == nc


FREEZES_STATISTICS = hasattr(BaseTrainer, "_model_train")
"""Later releases also keep the BatchNorm statistics of frozen layers, earlier ones only their weights."""


@pytest.mark.parametrize("model", ["yolo11n-starnet.yaml", "yolo11n-timm_lcnet_050.yaml"])
def test_freeze_5_is_the_backbone_and_its_statistics_stay(model: str, tmp_path: Path):
    first = train(model, tmp_path, epochs=1, fraction=0.025) / "weights" / "last.pt"
    again = train(first, tmp_path / "again", epochs=1, fraction=0.025, freeze=5) / "weights" / "last.pt"
    before, after = (YOLO(file).model.state_dict() for file in (first, again))
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    backbone = {key for key in moved if key.startswith(tuple(f"model.{i}." for i in range(5)))}
    assert moved - backbone
    statistics = () if FREEZES_STATISTICS else ("running_mean", "running_var", "num_batches_tracked")
    assert not {key for key in backbone if not key.endswith(statistics)}


FIELDS = {
    "segment": "masks",
    "pose": "keypoints",
    "obb": "obb",
    "classify": "probs",
    "semantic": "semantic_mask",
    "depth": "depth",
}
"""The attribute of a result that holds the predictions of each task."""


TASKS = [
    pytest.param(task, marks=[pytest.mark.ci] if task == "depth" else [])
    for task in cli.MODELS
    if task in cfg.TASKS and task != "detect"
]


@pytest.mark.slow
@pytest.mark.parametrize("task", TASKS)
def test_every_task_trains_validates_predicts_and_exports_by_the_command_line(task: str, tmp_path: Path):
    small = ["epochs=1", "imgsz=64", "fraction=0.1", "workers=0", "plots=False", "warmup_bias_lr=0", "lr0=0.001"]
    assert cli.main([task, "train", *small, f"project={tmp_path}", "name=run"]) == 0
    best = tmp_path / "run" / "weights" / "best.pt"
    assert len((tmp_path / "run" / "results.csv").read_text().splitlines()) == 2  # validated once
    picture = next(datasets.validation_images(task).glob("*.jpg"))
    assert cli.main([task, "predict", f"model={best}", f"source={picture}", "imgsz=64", f"project={tmp_path}"]) == 0
    assert list(tmp_path.glob(f"predict*/{picture.name}"))
    file = YOLO(best).export(format="onnx", imgsz=64, simplify=False)
    yolo = YOLO(best).predict(picture, imgsz=64, rect=False, conf=0.0, verbose=False)[0]
    onnx = YOLO(file, task=task).predict(picture, imgsz=64, conf=0.0, verbose=False)[0]
    field = FIELDS[task]
    expected, found = (torch.as_tensor(getattr(result, field).data).float() for result in (yolo, onnx))
    assert expected.numel() > 0
    assert found.shape[1:] == expected.shape[1:]
    # The others select by confidence, which one epoch does not train.
    if task in {"classify", "semantic", "depth"}:
        assert (found - expected).abs().mean() <= 1e-3 * expected.abs().max().clamp(min=1)


@pytest.mark.slow
def test_a_training_killed_in_its_second_epoch_resumes(tmp_path: Path):
    arguments = ["model=yolo11n-starnet.yaml", "data=shapes", "epochs=3", "imgsz=64", "batch=16", "fraction=0.0625"]
    places = [f"project={tmp_path}", "name=run", "workers=0", "plots=False"]
    command = [sys.executable, "-m", "yolo_starnet", "train", *arguments, *places]
    with open(tmp_path / "log", "w") as log:
        victim = subprocess.Popen(command, cwd=tmp_path, stdout=log, stderr=log, env=dict(os.environ))
        last = tmp_path / "run" / "weights" / "last.pt"
        deadline = time.monotonic() + 300
        while not last.is_file() or "2/3" not in (tmp_path / "log").read_text():
            assert victim.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline, (tmp_path / "log").read_text()
            time.sleep(0.05)
        victim.send_signal(signal.SIGKILL)
        victim.wait()
    assert len((tmp_path / "run" / "results.csv").read_text().splitlines()) == 2
    assert cli.main(["train", "resume", f"model={last}"]) == 0
    epochs = [line.split(",")[0].strip() for line in (tmp_path / "run" / "results.csv").read_text().splitlines()]
    assert epochs == ["epoch", "1", "2", "3"]


@pytest.mark.slow
def test_train_with_no_arguments_learns_and_says_what_to_run_next(python):
    done = python("-m", "yolo_starnet", "train")
    assert "data= is not given" in done.stdout
    run = Path(done.stdout.split("Results saved to ")[-1].split("\n")[0].replace("\x1b[1m", "").replace("\x1b[0m", ""))
    assert f"yolo-starnet predict model={run / 'weights' / 'best.pt'}" in done.stdout
    rows = [line.split(",") for line in (run / "results.csv").read_text().splitlines()]
    column = [c.strip() for c in rows[0]].index("metrics/mAP50(B)")
    assert max(float(row[column]) for row in rows[1:]) >= 0.5
    assert (run / "results.png").is_file()
    best = run / "weights" / "best.pt"
    recorded = torch.load(best, weights_only=False)["train_metrics"]["metrics/mAP50(B)"]
    metrics = YOLO(best).val(data="shapes", imgsz=128, workers=0, plots=False, verbose=False)
    assert metrics.box.map50 == pytest.approx(recorded, abs=0.01)


@pytest.mark.slow
def test_a_classifier_learns_from_the_built_in_images(tmp_path: Path):
    assert cli.main(["classify", "train", "plots=False", f"project={tmp_path}", "name=run"]) == 0
    rows = csv.DictReader((tmp_path / "run" / "results.csv").read_text().splitlines(), skipinitialspace=True)
    assert max(float(row["metrics/accuracy_top1"]) for row in rows) >= 0.6  # a guess has a third
