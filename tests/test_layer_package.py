"""Layers of an installed package, in every process that a user or Ultralytics starts, on every supported release."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from ultralytics.nn import tasks

from yolo_starnet.model_yaml import names

PACKAGE = Path(__file__).parent / "data" / "plugin_layers"
SMALL = "imgsz=64, batch=16, fraction=0.025, workers=0, plots=False, optimizer='AdamW', warmup_bias_lr=0.0"
SAFE = hasattr(tasks, "_SafeLoad") and hasattr(torch.serialization, "get_unsafe_globals_in_checkpoint")
FAMILIES = [f for f in ("yolov8", "yolo11", "yolo26") if names.stock_file(f"{f}.yaml")]
MODELS = [f"{family}{task}" for family in FAMILIES[-2:] for task in ("", "-seg")]
"""Detection and segmentation of the two newest families of the release: YOLO11 and YOLO26 where it has them."""
FAST = MODELS[-1]
"""The newest family with the head of two outputs; the others are marked slow."""

START = "import yolo_starnet\nfrom ultralytics import YOLO\n"


@pytest.fixture(scope="module")
def site(install: Callable[[Path], Path]) -> Path:
    """The folder that the package was installed into."""
    return install(PACKAGE)


def write_yaml(stock: str, folder: Path) -> Path:
    """A stock model of scale n with the three layers in place of its SPPF, of its attention and of each Concat."""
    text = names.stock_file(f"{stock}.yaml").read_text(encoding="utf-8")
    text = re.sub(r"SPPF, \[1024, 5[^]]*\]", "Wavelet, [1024]", text)
    text = re.sub(r"\d, C2PSA, \[1024\]", "1, Squeeze, []", text)
    for channels in (512, 256, 256, 512):
        text = text.replace("Concat, [1]", f"Merge, [{channels}]", 1)
    assert "Merge, [512]" in text
    file = folder / re.sub(r"(yolov?\d+)", r"my-\1n", f"{stock}.yaml")
    file.write_text(text, encoding="utf-8")
    return file


@pytest.fixture(scope="module", params=[m if m == FAST else pytest.param(m, marks=pytest.mark.slow) for m in MODELS])
def weights(request: pytest.FixtureRequest, site: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of two epochs: the process ends by force after the first, and another resumes."""
    folder = tmp_path_factory.mktemp("trained")
    file = write_yaml(request.param, folder)
    last = folder / "run" / "weights" / "last.pt"
    environment = {**os.environ, "PYTHONPATH": str(site)}
    data = "shapes-seg" if request.param.endswith("-seg") else "shapes"
    code = (
        f"{START}import os\nmodel = YOLO({str(file)!r})\n"
        "model.add_callback('on_model_save', lambda trainer: os._exit(0))\n"
        f"model.train({SMALL}, data={data!r}, epochs=2, project={str(folder)!r}, name='run')\n"
    )
    for script in (code, f"{START}YOLO({str(last)!r}).train(resume=True)\n"):
        done = subprocess.run(
            [sys.executable, "-c", script], cwd=folder, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
    epochs = [line.split(",")[0].strip() for line in (folder / "run" / "results.csv").read_text().splitlines()]
    assert epochs == ["epoch", "1", "2"]
    return last


def test_a_resumed_checkpoint_runs_and_exports_in_a_process_without_an_import(
    weights: Path, site: Path, python: Callable
):
    pytest.importorskip("onnxruntime")
    code = (
        "import onnxruntime, sys, torch\nfrom ultralytics import YOLO\n"
        "torch.manual_seed(0); image = torch.rand(1, 3, 64, 64)\n"
        f"yolo = YOLO({str(weights)!r})\n"
        "kinds = [type(layer).__name__ for layer in yolo.model.model]\n"
        "assert kinds.count('Merge') == 4 and 'Wavelet' in kinds, kinds\n"
        "def first(x):\n    return first(x[0]) if isinstance(x, (list, tuple)) else x\n"
        "expected = first(yolo.model.float().eval()(image))\n"
        f"file = YOLO({str(weights)!r}).export(format='onnx', imgsz=64, simplify=False)\n"
        "session = onnxruntime.InferenceSession(file, providers=['CPUExecutionProvider'])\n"
        "found = torch.from_numpy(session.run(None, {session.get_inputs()[0].name: image.numpy()})[0])\n"
        "assert found.shape == expected.shape\n"
        "if found.shape[1] == 300:  # an end-to-end head: the order of boxes of equal scores is free\n"
        "    found, expected = found[..., 4], expected[..., 4]\n"
        "assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()\n"
        "type(yolo.model)(yolo.model.yaml, verbose=False)  # as training from a checkpoint builds it again\n"
        "print('ran', tuple(found.shape))\n"
    )
    assert "ran (1," in python("-c", code, PYTHONPATH=str(site)).stdout


@pytest.mark.skipif(not SAFE, reason="this release has no restricted loading")
def test_restricted_loading_allows_registered_layers_and_no_others(weights: Path, site: Path, python: Callable):
    code = f"{START}YOLO({str(weights)!r})"
    python("-c", code, ULTRALYTICS_SAFE_LOAD="1", PYTHONPATH=str(site))
    disabled = {"ULTRALYTICS_SAFE_LOAD": "1", "PYTHONPATH": str(site), "YOLO_STARNET_DISABLE": "plugin_layers"}
    refused = python("-c", code, check=False, **disabled)
    assert refused.returncode != 0
    assert "plugin_layers." in refused.stderr


@pytest.mark.slow
def test_the_script_of_a_multi_gpu_worker_trains_it(site: Path, tmp_path: Path, python: Callable):
    file = write_yaml(MODELS[0], tmp_path)
    (tmp_path / "write.py").write_text(
        f"{START}from ultralytics.models.yolo.detect import DetectionTrainer\nfrom ultralytics.utils import dist\n"
        f"settings = dict({SMALL}, data='shapes', epochs=1, project='.', name='run')\n"
        f"trainer = DetectionTrainer(overrides=dict(settings, model={str(file)!r}))\n"
        "trainer.args.save_dir = 'worker'\n"
        f"trainer.model = YOLO({str(file)!r}).model if hasattr(dist, 'torch_save') else {str(file)!r}\n"
        "print('SCRIPT', dist.generate_ddp_file(trainer))\n"
    )
    script = python("write.py", PYTHONPATH=str(site)).stdout.split("SCRIPT ")[1].strip()
    python(script, PYTHONPATH=str(site))
    assert list(tmp_path.glob("*/weights/last.pt"))


def test_without_the_package_the_error_of_a_checkpoint_names_it(weights: Path, python: Callable):
    done = python("-c", f"{START}YOLO({str(weights)!r})", check=False)
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith("yolo_starnet.errors.PluginError: ")
    assert "needs the package 'plugin-layers', whose module 'plugin_layers' is not installed here" in last


@pytest.mark.parametrize("disabled", [True, False], ids=["disabled", "not installed"])
def test_without_the_package_its_layers_are_unknown(disabled: bool, site: Path, tmp_path: Path, python: Callable):
    file = write_yaml(MODELS[0], tmp_path)
    environment = {"PYTHONPATH": str(site), "YOLO_STARNET_DISABLE": "plugin_layers"} if disabled else {}
    done = python("-c", f"{START}YOLO({str(file)!r})", check=False, **environment)
    assert "unknown module 'Wavelet'" in done.stderr.strip().splitlines()[-1]


def test_a_broken_plugin_is_named_in_a_warning_and_its_layers_are_left_out(
    site: Path, tmp_path: Path, python: Callable
):
    broken = tmp_path / "broken"
    shutil.copytree(site, broken)
    file = broken / "plugin_layers.py"
    file.write_text(file.read_text().replace("    register(Squeeze)", "    register(Squeeze)\n    register(Squeeze)"))
    done = python("-c", f"{START}print(*yolo_starnet.layers())", PYTHONPATH=str(broken))
    assert "plugin 'plugin_layers' (plugin_layers) is left out" in done.stderr
    assert "Squeeze" not in done.stdout
    assert "StarFuse" in done.stdout
