"""Processes that Ultralytics starts, and restricted loading of checkpoints: both work without further code."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import ultralytics
from torch import nn
from ultralytics import YOLO
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.nn import tasks
from ultralytics.utils import dist
from ultralytics.utils.checks import parse_version

from conftest import train
from yolo_starnet.model_yaml import names

HAS_YOLO11 = parse_version(ultralytics.__version__) >= parse_version("8.3.0")
MODEL = "yolo11n-starnet.yaml" if HAS_YOLO11 else "yolov8n-starnet.yaml"
SMALL = {"data": "shapes", "imgsz": 64, "batch": 16, "fraction": 0.025, "workers": 0, "plots": False, "epochs": 1}
SAFE = hasattr(tasks, "_SafeLoad") and hasattr(torch.serialization, "get_unsafe_globals_in_checkpoint")


def test_the_script_of_a_multi_gpu_worker_trains_in_a_clean_process(tmp_path: Path, python):
    trainer = DetectionTrainer(overrides={**SMALL, "model": MODEL, "project": str(tmp_path), "name": "run"})
    trainer.args.save_dir = str(tmp_path / "worker")
    trainer.model = YOLO(MODEL).model if hasattr(dist, "torch_save") else MODEL
    script = Path(dist.generate_ddp_file(trainer))
    text = script.read_text()
    assert text.count("import yolo_starnet") == 1
    python(str(script))
    (weights,) = tmp_path.glob("*/weights/last.pt")
    assert YOLO(weights).model.yaml["backbone"][0][2] == "starnet_s1"
    dist.ddp_cleanup(trainer, str(script))
    assert not script.exists()


@pytest.mark.slow
def test_a_script_of_the_users_own_trains_under_torchrun(tmp_path: Path):
    (tmp_path / "mine.py").write_text(
        "import torch, yolo_starnet\nfrom ultralytics import YOLO\n"
        "torch.distributed.init_process_group('gloo')\n"  # some releases do so for GPUs only
        f"YOLO({MODEL!r}).train(**{SMALL!r}, project={str(tmp_path)!r}, name='run', device='cpu')\n"
    )
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=1", "mine.py"]
    done = subprocess.run(command, cwd=tmp_path, env=dict(os.environ), capture_output=True, text=True, check=False)
    # Some releases then validate on a GPU, whatever the device; the epoch has been trained by then.
    assert (tmp_path / "run" / "weights" / "last.pt").is_file(), done.stderr


def test_data_loader_workers_may_be_spawned(tmp_path: Path, python):
    (tmp_path / "mine.py").write_text(
        "import torch, yolo_starnet\nfrom ultralytics import YOLO\n"
        "if __name__ == '__main__':\n"
        "    torch.multiprocessing.set_start_method('spawn')\n"
        f"    YOLO({MODEL!r}).train(**{ {**SMALL, 'workers': 1}!r}, project={str(tmp_path)!r}, name='run')\n"
    )
    python("mine.py")
    assert (tmp_path / "run" / "weights" / "last.pt").is_file()


@pytest.mark.slow
def test_tune_trains_every_trial(tmp_path: Path, log: list[str]):
    YOLO(MODEL).tune(**SMALL, iterations=2, val=True, save=False, project=str(tmp_path), name="t")
    started = [re.search(r"Starting iteration (\d)/2 ", line) for line in log]
    assert [match[1] for match in started if match] == ["1", "2"]
    (results,) = (f for f in tmp_path.glob("**/tune_results.*") if f.suffix in {".csv", ".ndjson"})
    lines = results.read_text().splitlines()
    if results.suffix == ".csv":  # says nothing of a failed trial, whose fitness is 0, as that of an untrained model
        assert len(lines) == 1 + 2
        assert not [line for line in log if "training failure" in line]
    else:
        trials = [json.loads(line)["datasets"] for line in lines]
        assert [list(trial) for trial in trials] == [["shapes"]] * 2
        assert all("val/box_loss" in trial["shapes"] for trial in trials)  # a failed one has a fitness alone


@pytest.mark.slow
def test_ray_tune_trains_two_trials(tmp_path: Path):
    pytest.importorskip("ray", reason="ray is not installed")
    options = {k: v for k, v in SMALL.items() if k != "plots"}
    found = YOLO(MODEL).tune(**options, use_ray=True, iterations=2, grace_period=1, gpu_per_trial=0, plots=False)
    assert len(found) == 2
    assert not found.errors


@pytest.mark.slow
def test_ray_tune_trains_the_layers_of_a_package(install: Callable[[Path], Path], tmp_path: Path, python: Callable):
    pytest.importorskip("ray", reason="ray is not installed")
    site = install(Path(__file__).parent / "data" / "plugin_layers")
    text = names.stock_file("yolov8.yaml").read_text(encoding="utf-8")
    file = tmp_path / "my-yolov8n.yaml"
    file.write_text(text.replace("SPPF, [1024, 5]", "Wavelet, [1024]"), encoding="utf-8")
    options = {k: v for k, v in SMALL.items() if k != "plots"}
    code = (
        "import yolo_starnet\nfrom ultralytics import YOLO\n"
        f"found = YOLO({str(file)!r}).tune(**{options!r}, use_ray=True, iterations=1, grace_period=1, "
        "gpu_per_trial=0, plots=False)\n"
        "assert len(found) == 1 and not found.errors, found.errors\n"
    )
    python("-c", code, PYTHONPATH=str(site))


@pytest.mark.skipif(not SAFE, reason="this release has no restricted loading")
@pytest.mark.parametrize(
    "backbone",
    [
        "starnet",
        pytest.param("starnet_s050", marks=pytest.mark.slow),
        pytest.param("timm_mobilenetv4_conv_small", marks=pytest.mark.slow),
        pytest.param("timm_convnext_atto", marks=pytest.mark.slow),
    ],
)
def test_restricted_loading_trains_validates_predicts_resumes_and_exports(backbone: str, tmp_path: Path, python):
    (tmp_path / "mine.py").write_text(
        "import sys, yolo_starnet\nfrom ultralytics import YOLO, ASSETS\n"
        "from ultralytics.nn import tasks\nassert tasks._SafeLoad.restricted()\n"
        f"name, small = sys.argv[1], {SMALL!r}\n"
        "def stop(trainer):\n    raise KeyboardInterrupt\n"
        "yolo = YOLO(name)\nyolo.add_callback('on_model_save', stop)\n"
        f"try:\n    yolo.train(**{{**small, 'epochs': 2}}, project={str(tmp_path)!r}, name='run')\n"
        "except KeyboardInterrupt:\n    pass\n"
        f"last = {str(tmp_path / 'run/weights/last.pt')!r}\n"
        "YOLO(last).train(resume=True)\n"
        "YOLO(last).val(data='shapes', imgsz=64, workers=0, plots=False)\n"
        "YOLO(last).predict(ASSETS / 'bus.jpg', imgsz=64)\n"
        "YOLO(last).export(format='torchscript', imgsz=64)\n"
    )
    python("mine.py", MODEL.replace("starnet", backbone), ULTRALYTICS_SAFE_LOAD="1")


class Foreign(nn.Conv2d):
    """A class that no allow-list holds."""


@pytest.mark.skipif(not SAFE, reason="this release has no restricted loading")
def test_restricted_loading_still_refuses_a_foreign_class(trained: Path, tmp_path: Path, python):
    checkpoint = torch.load(trained / "weights" / "last.pt", weights_only=False)
    model = checkpoint["ema"] or checkpoint["model"]
    model.model[0].conv.__class__ = Foreign
    torch.save(checkpoint, tmp_path / "foreign.pt")
    code = "import yolo_starnet; from ultralytics import YOLO; YOLO('foreign.pt')"
    done = python("-c", code, check=False, ULTRALYTICS_SAFE_LOAD="1", PYTHONPATH=str(Path(__file__).parent))
    assert done.returncode != 0
    assert "Unsupported global: GLOBAL test_workers.Foreign" in done.stderr


def test_drop_path_survives_a_checkpoint(tmp_path: Path):
    file = tmp_path / MODEL.replace("starnet", "mine")
    text = (names.CONFIGS / MODEL.replace("n-", "-")).read_text(encoding="utf-8")
    file.write_text(text.replace("starnet_s1, []", "starnet_s1, {width: 0.25, drop_path_rate: 0.1}"), encoding="utf-8")
    run = train(file, tmp_path, epochs=1, fraction=0.025)
    assert YOLO(run / "weights" / "last.pt").model.model[4][3].drop_path.p == pytest.approx(0.1)
