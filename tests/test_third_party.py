"""The example package, installed as a user installs it, and what happens when it is missing."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from ultralytics.nn import tasks

from yolo_starnet.model_yaml import names

EXAMPLE = Path(__file__).parents[1] / "examples" / "third_party_backbone"
SMALL = "data='shapes', imgsz=64, batch=16, fraction=0.025, workers=0, plots=False, epochs=1, optimizer='AdamW'"
SAFE = hasattr(tasks, "_SafeLoad") and hasattr(torch.serialization, "get_unsafe_globals_in_checkpoint")


@pytest.fixture(scope="module")
def site(install: Callable[[Path], Path]) -> Path:
    """The folder that the example was installed into."""
    return install(EXAMPLE)


@pytest.fixture(scope="module")
def weights(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint trained by name in a process that knows the package."""
    folder = tmp_path_factory.mktemp("trained")
    code = (
        "import yolo_starnet; from ultralytics import YOLO\n"
        f"YOLO('yolo11n-tinynet.yaml').train({SMALL}, project={str(folder)!r}, name='run')"
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / "run" / "weights" / "last.pt"


def last_line(process: subprocess.CompletedProcess[str]) -> str:
    """The last line of the traceback that a process ended with: the error."""
    return process.stderr.strip().splitlines()[-1]


@pytest.mark.parametrize("file", ["tinynet_backbone.py", "tinynet_layer.py"])
def test_its_code_is_as_short_as_it_claims(file: str):
    lines = (EXAMPLE / file).read_text().splitlines()
    assert sum(bool(line.strip()) and not line.strip().startswith(('"""', "#")) for line in lines) <= 30


def test_a_checkpoint_is_reloaded_and_exported_by_name(weights: Path, site: Path, python: Callable):
    pytest.importorskip("onnxruntime")
    code = (
        "import torch, yolo_starnet, onnxruntime; from ultralytics import YOLO\n"
        f"path = {str(weights)!r}; image = torch.rand(1, 3, 64, 64)\n"
        "expected = YOLO(path).model.float().eval()(image)[0]\n"
        "file = YOLO(path).export(format='onnx', imgsz=64, simplify=False)\n"
        "session = onnxruntime.InferenceSession(file, providers=['CPUExecutionProvider'])\n"
        "found = torch.from_numpy(session.run(None, {session.get_inputs()[0].name: image.numpy()})[0])\n"
        "assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()\n"
        f"YOLO(path).train({SMALL}, project='again', name='run')\n"
    )
    python("-c", code, PYTHONPATH=str(site))


@pytest.mark.skipif(not SAFE, reason="this release has no restricted loading")
def test_restricted_loading_builds_its_classes_and_no_others(weights: Path, site: Path, python: Callable):
    code = f"import yolo_starnet; from ultralytics import YOLO; YOLO({str(weights)!r})"
    python("-c", code, ULTRALYTICS_SAFE_LOAD="1", PYTHONPATH=str(site))
    unregistered = python(
        "-c", code, check=False, ULTRALYTICS_SAFE_LOAD="1", PYTHONPATH=str(site), YOLO_STARNET_DISABLE="tinynet"
    )
    assert unregistered.returncode != 0
    assert "Unsupported global: GLOBAL tinynet_backbone.TinyNet" in unregistered.stderr


def test_without_the_package_the_error_names_it_and_nothing_is_installed(weights: Path, python: Callable):
    code = f"import yolo_starnet; from ultralytics import YOLO; YOLO({str(weights)!r})"
    done = python("-c", code, check=False, YOLO_AUTOINSTALL="true")
    last = last_line(done)
    assert last.startswith("yolo_starnet.errors.PluginError: ")
    assert "needs the package 'tinynet-backbone', whose module 'tinynet_backbone' is not installed here" in last
    assert "pip install tinynet-backbone" in last
    assert "AutoInstall" not in done.stdout + done.stderr


def test_its_layer_may_stand_in_any_row(site: Path, tmp_path: Path, python: Callable):
    text = names.stock_file("yolov8.yaml").read_text(encoding="utf-8")
    (tmp_path / "my-yolov8n.yaml").write_text(text.replace("SPPF, [1024, 5]", "ChannelGate, [8]"), encoding="utf-8")
    code = "import yolo_starnet; from ultralytics import YOLO; print(YOLO('my-yolov8n.yaml').model.model[9])"
    printed = python("-c", code, PYTHONPATH=str(site)).stdout
    assert "ChannelGate(" in printed
    assert "Conv2d(256, 32" in printed


def test_without_the_package_its_names_are_unknown(python: Callable):
    code = "import yolo_starnet; from ultralytics import YOLO; YOLO('yolo11n-tinynet.yaml')"
    done = python("-c", code, check=False)
    assert done.returncode != 0
    assert re.match(r"FileNotFoundError: .*yolo11n?-tinynet\.yaml", last_line(done))
