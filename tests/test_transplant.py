"""`yolo-starnet transplant` and `yolo_starnet.transplant`."""

import csv
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import numpy as np
import onnxruntime
import pytest
import timm
import torch
import yaml
from ultralytics import YOLO

import yolo_starnet
from conftest import train
from yolo_starnet import cli, plugins
from yolo_starnet.demo import datasets
from yolo_starnet.errors import BackboneError, ConfigError
from yolo_starnet.model_yaml import names
from yolo_starnet.transplanting import run
from yolo_starnet.transplanting.adapter import AdaptedConv2d


def quick(**changes: Any) -> dict[str, Any]:
    """Settings of a training that takes seconds, in the current folder."""
    settings = {"epochs": 2, "imgsz": 64, "batch": 16, "fraction": 0.0625, "workers": 0}
    return {**settings, "project": str(Path("runs").resolve()), **changes}


@pytest.fixture(scope="module")
def trained_yolo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A YOLO11n trained for two short epochs on the built-in set."""
    return train("yolo11n.yaml", tmp_path_factory.mktemp("stock"), epochs=2) / "weights" / "last.pt"


def images(name: str = "photographs") -> Path:
    """A folder of images without labels."""
    folder = Path(name)
    folder.mkdir(parents=True)
    for file in sorted(datasets.validation_images("detect").iterdir())[:16]:
        shutil.copy(file, folder)
    return folder


def few_classified() -> Path:
    """A folder for classification with a few images of each class."""
    for folder in ("train/circle", "train/star", "val/circle", "val/star"):
        images(f"classified/{folder}")
    return Path("classified")


def small_set() -> Path:
    """A data set with labels: the built-in one, of which it trains on the few images for validation, too."""
    data = yaml.safe_load((built_in := datasets.prepare()).read_text())
    file = Path("small.yaml").resolve()
    file.write_text(yaml.safe_dump({**data, "path": str(built_in.parent), "train": data["val"]}))
    return file


def losses(level: str) -> list[float]:
    (file,) = Path().rglob("results.csv")
    return [float(row[f"train/{level}"]) for row in csv.DictReader(file.read_text().splitlines())]


def test_the_command_writes_a_checkpoint_that_predicts_trains_on_and_exports(
    trained_yolo: Path, capsys: pytest.CaptureFixture[str]
):
    words = [f"{key}={value}" for key, value in quick().items() if key != "fraction"]
    assert cli.main(["transplant", f"model={trained_yolo}", f"data={small_set()}", *words]) == 0
    printed = capsys.readouterr().out
    assert "Written to last-starnet_fit.pt; train it on with: yolo-starnet train model=last-starnet_fit.pt" in printed
    rows = [line.split("|") for line in printed.splitlines() if line.startswith("| ")]
    assert [Path(row[1].strip()).name for row in rows] == [
        "model",
        "---",
        "last.pt",
        "before its training",
        "last-starnet_fit.pt",
    ]
    assert rows[0][-2].strip() == "mAP50-95(B)"
    assert all(float(row[-2]) >= 0 for row in rows[2:])
    assert losses("P3")[-1] < losses("P3")[0]

    student = YOLO("last-starnet_fit.pt")
    assert not [m for m in student.model.modules() if isinstance(m, AdaptedConv2d)]
    assert type(student.model.model[3]).__name__ == "FitStage"
    assert student.names == YOLO(trained_yolo).names
    image = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    assert student.predict(image, imgsz=64, verbose=False, save=False)
    expected = student.model.eval()(torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)))[0]
    file = YOLO("last-starnet_fit.pt").export(format="onnx", imgsz=64)
    session = onnxruntime.InferenceSession(file)
    given = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)).numpy()
    np.testing.assert_allclose(
        session.run(None, {session.get_inputs()[0].name: given})[0], expected.detach().numpy(), rtol=1e-3, atol=1e-3
    )
    assert train("last-starnet_fit.pt", Path("more"), epochs=1).is_dir()


@pytest.mark.slow
def test_a_folder_of_images_without_labels_will_do(trained_yolo: Path, capsys: pytest.CaptureFixture[str]):
    words = [f"{key}={value}" for key, value in quick().items() if key != "fraction"]
    assert cli.main(["transplant", f"model={trained_yolo}", f"data={images()}", *words]) == 0
    assert "Written to last-starnet_fit.pt" in (printed := capsys.readouterr().out)
    assert "train model=last-starnet_fit.pt data=your.yaml" in printed  # the folder has no labels to train on
    assert len(losses("P5")) == 2


def test_the_classes_are_those_of_the_model_and_not_of_the_data(trained_yolo: Path):
    folder = images()
    Path("other.yaml").write_text(f"path: {folder.resolve()}\ntrain: .\nval: .\nnames: [cat, dog]\n")
    new = YOLO(yolo_starnet.transplant(trained_yolo, data="other.yaml", **quick(epochs=1)))
    assert new.names == YOLO(trained_yolo).names


def test_without_data_only_neck_and_head_are_carried_over(trained_yolo: Path):
    new = YOLO(yolo_starnet.transplant(trained_yolo, "starnet_s050", out="new.pt")).model
    old = YOLO(trained_yolo).model
    torch.testing.assert_close(new.model[-1].state_dict(), old.model[-1].state_dict())
    assert not list(Path().glob("runs/**/*.pt"))


@pytest.mark.slow
def test_the_new_backbone_can_start_from_imagenet_weights(trained_yolo: Path, capsys: pytest.CaptureFixture[str]):
    torch.save(timm.create_model("starnet_s1").state_dict(), "imagenet.pth")
    words = ["transplant", f"model={trained_yolo}", "pretrained=imagenet.pth", "backbone=starnet", "out=new.pt"]
    assert cli.main(words) == 0
    published = yaml.safe_load(names.find("yolo11-starnet.yaml", plugins.table()).read_text())
    published["backbone"][0][3] = {"width": 1.0, "pretrained": "imagenet.pth"}
    Path("published-yolo11n.yaml").write_text(yaml.safe_dump(published))
    expected = YOLO("published-yolo11n.yaml").model.half().float().model[:5].state_dict()
    Path("imagenet.pth").unlink()  # the checkpoint has the weights
    new = YOLO("new.pt")
    torch.testing.assert_close(new.model.model[:5].state_dict(), expected)
    new.train(data="shapes", **quick(epochs=1))


@pytest.mark.slow
def test_pretrained_false_is_no_file(trained_yolo: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["transplant", f"model={trained_yolo}", "pretrained=False", "out=new.pt"]) == 0, capsys.readouterr()


def test_weights_that_do_not_fit_the_new_backbone_are_refused(trained_yolo: Path, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["transplant", f"model={trained_yolo}", "pretrained=true", "out=new.pt"]) == 1
    assert "pretrained" in capsys.readouterr().err
    assert not Path("new.pt").exists()


@pytest.mark.parametrize("name", ["yolo26n.yaml", "yolo11n-seg.yaml", "yolo11n-cls.yaml"], ids=["26", "seg", "cls"])
def test_other_models_and_tasks(name: str):
    model = YOLO(name)
    data = str(few_classified() if model.task == "classify" else images())
    torch.save({"model": model.model, "train_args": {"task": model.task, "imgsz": 64}}, "old.pt")
    new = YOLO(yolo_starnet.transplant("old.pt", data=data, **quick(epochs=1, fraction=1.0)))
    assert new.task == model.task
    assert new.predict(np.zeros((64, 64, 3), np.uint8), imgsz=64, verbose=False, save=False)


@pytest.mark.slow
def test_a_killed_transplant_resumes(trained_yolo: Path):
    command = [sys.executable, "-m", "yolo_starnet", "transplant"]
    settings = ["data=shapes", "epochs=4", "imgsz=64", "workers=0", f"project={Path('runs').resolve()}"]
    process = subprocess.Popen([*command, f"model={trained_yolo}", *settings])
    while not (last := next(Path().rglob("transplant/weights/last.pt"), None)):
        time.sleep(0.1)
        assert process.poll() is None, "it ended before it wrote a checkpoint"
    process.kill()
    process.wait()
    assert not Path("last-starnet_fit.pt").exists()
    done = subprocess.run([*command, f"resume={last}"], capture_output=True, text=True, check=True)
    assert "Resuming training" in done.stdout + done.stderr
    assert len(losses("P3")) == 4
    assert not [m for m in YOLO("last-starnet_fit.pt").model.modules() if isinstance(m, AdaptedConv2d)]


def test_a_checkpoint_loads_where_only_known_classes_may(
    trained_yolo: Path, python: Callable[..., CompletedProcess[str]]
):
    file = yolo_starnet.transplant(trained_yolo, out="new.pt")
    code = f"import yolo_starnet, ultralytics; ultralytics.YOLO({str(file.resolve())!r})"
    python("-c", code, ULTRALYTICS_SAFE_LOAD="1")


def test_what_cannot_be_done_is_refused_and_nothing_is_written(trained_yolo: Path):
    Path("empty").mkdir()
    Path("no.yaml").write_text("path: empty\ntrain: images\nval: images\nnames: [a]\n")
    Path("there.pt").touch()
    before = sorted(Path().rglob("*"))
    for expected, message, arguments in [
        (ConfigError, "is no trained checkpoint", ["yolo11n.yaml"]),
        (FileNotFoundError, "absent.pt", ["absent.pt"]),
        (ConfigError, "has no images", [trained_yolo, "starnet_fit", "empty"]),
        (FileNotFoundError, "images not found", [trained_yolo, "starnet_fit", "no.yaml"]),
        (ConfigError, "exists and is not overwritten", [trained_yolo, "starnet_fit", "", "there.pt"]),
        (ConfigError, "cannot be written", [trained_yolo, "starnet_fit", "", "absent/new.pt"]),
        (ConfigError, "no backbone 'starnot'", [trained_yolo, "starnot"]),
    ]:
        with pytest.raises(expected, match=message):
            yolo_starnet.transplant(*arguments)  # type: ignore[arg-type]
    assert sorted(Path().rglob("*")) == before


def test_a_starnet_is_refused_by_name(trained: Path):
    with pytest.raises(BackboneError, match=r"last.pt cannot be put on 'starnet_fit'.*no module 'starnet_s1'"):
        yolo_starnet.transplant(trained / "weights" / "last.pt")


def test_only_the_checkpoint_of_a_transplant_resumes(trained_yolo: Path):
    with pytest.raises(ConfigError, match="was not written by a transplant"):
        run.resume(trained_yolo)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "needs model="),
        (["model=a.pt", "epochs=ten"], "epochs= must be a whole number, found 'ten'"),
        (["model=a.pt", "epochs=--5"], "epochs= must be a whole number, found '--5'"),
        (["model=a.pt", "resume=b.pt"], "leave out model="),
    ],
    ids=["no model", "no number", "two signs", "model and resume"],
)
def test_a_wrong_command_line_gets_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["transplant", *words]) == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert os.listdir() == []
