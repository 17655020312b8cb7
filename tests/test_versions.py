"""What must hold on every supported release of Ultralytics, tested on the one that is installed."""

import json
import platform
from pathlib import Path

import pytest
import torch
import ultralytics
from ultralytics import YOLO
from ultralytics.nn import tasks

import yolo_starnet
from conftest import REFERENCE, graph_of, train
from yolo_starnet.demo import datasets

VERSION = tuple(int(n) for n in ultralytics.__version__.split(".")[:2])
HAS_YOLO11 = VERSION >= (8, 3)
READS_REG_MAX = VERSION >= (8, 4)
MODEL = "yolo11n-starnet.yaml" if HAS_YOLO11 else "yolov8n-starnet.yaml"
FIGURES = (1_826_058, 4.4) if HAS_YOLO11 else (2_094_250, 5.9)


@pytest.fixture(scope="module", autouse=True)
def _report(record_testsuite_property):
    """Record the versions that docs/compatibility.md shows beside the results."""
    record_testsuite_property("ultralytics", ultralytics.__version__)
    record_testsuite_property("torch", torch.__version__)
    record_testsuite_property("python", platform.python_version())


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run folder of one epoch on the built-in data set."""
    return train(MODEL, tmp_path_factory.mktemp("versions"), epochs=1)


def test_activates():
    assert yolo_starnet.is_active()
    assert "StarStage" in vars(tasks)


def test_stock_unchanged():
    active = graph_of("yolov8n.yaml")
    yolo_starnet.deactivate()
    stock = graph_of("yolov8n.yaml")
    assert len(active) == len(stock) > 10
    assert all(torch.equal(a, s) for a, s in zip(active, stock))


def test_figures(tmp_path: Path):
    if HAS_YOLO11:
        file = tmp_path / "my-yolo11n.yaml"
        file.write_text(REFERENCE.replace("nc: 80", "nc: 6"))
        model = YOLO(file).model
    else:
        model = tasks.DetectionModel(MODEL, nc=6, verbose=False)
    _, parameters, _, gflops = model.info()
    assert (parameters, round(gflops, 1)) == FIGURES


@pytest.mark.parametrize("name", [MODEL, MODEL.replace("starnet", "starnet_fit")])
def test_forward(name: str):
    model = YOLO(name).model
    assert model.stride.tolist() == [8, 16, 32]
    assert model.model[-1].reg_max == (1 if READS_REG_MAX and "starnet_fit" in name else 16)
    cells = 12 * 8 + 6 * 4 + 3 * 2  # at the strides 8, 16 and 32
    assert model.eval()(torch.zeros(2, 3, 96, 64))[0].shape == (2, 4 + 80, cells)


def test_fuse():
    model = YOLO(MODEL).model.eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = model(image)[0]
        after = model.fuse(verbose=False)(image)[0]
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in model.model[:5].modules())
    assert (after - before).abs().max() <= 1e-5 * before.abs().max()


def test_train(run: Path):
    assert (run / "weights" / "last.pt").is_file()
    assert len((run / "results.csv").read_text().splitlines()) == 2
    assert YOLO(run / "weights" / "last.pt").model.nc == len(datasets.CLASSES)


def test_reload(run: Path, python):
    weights = str(run / "weights" / "last.pt")
    code = "from ultralytics import YOLO; import json, torch; torch.manual_seed(0)\n"
    code += f"m = YOLO({weights!r}).model.float().eval()\n"
    code += "print('SUM', json.dumps(float(m(torch.ones(1, 3, 64, 64))[0].double().sum())))"
    found = json.loads(python("-c", code).stdout.split("SUM ")[-1])
    with torch.no_grad():
        expected = YOLO(weights).model.float().eval()(torch.ones(1, 3, 64, 64))[0].double().sum()
    assert found == pytest.approx(float(expected), rel=1e-5)


def test_resume(tmp_path: Path):
    def stop(trainer) -> None:
        if trainer.epoch == 0:
            raise KeyboardInterrupt

    yolo = YOLO(MODEL)
    yolo.add_callback("on_model_save", stop)
    options = {"data": "shapes", "imgsz": 64, "fraction": 0.025, "workers": 0, "plots": False, "project": str(tmp_path)}
    with pytest.raises(KeyboardInterrupt):
        yolo.train(epochs=2, name="run", **options)
    assert len((tmp_path / "run" / "results.csv").read_text().splitlines()) == 2
    YOLO(tmp_path / "run" / "weights" / "last.pt").train(resume=True)
    assert len((tmp_path / "run" / "results.csv").read_text().splitlines()) == 3


def test_onnx(run: Path):
    onnxruntime = pytest.importorskip("onnxruntime")
    weights = run / "weights" / "last.pt"
    file = YOLO(weights).export(format="onnx", imgsz=64, simplify=False)
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = YOLO(weights).model.float().eval()(image)[0]
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    found = torch.from_numpy(session.run(None, {session.get_inputs()[0].name: image.numpy()})[0])
    assert (found - expected).abs().max() <= 1e-4 * expected.abs().max()


@pytest.mark.parametrize("scale", "nsmlx")
def test_names(scale: str):
    name = MODEL.replace("n-", f"{scale}-")
    assert YOLO(name).model.yaml["scale"] == scale
    assert YOLO(name.replace("starnet", "starnet_s050")).model.yaml["backbone"][0][2] == "starnet_s050"


def test_deactivates():
    yolo_starnet.deactivate()
    assert not hasattr(tasks, "StarStage")
    assert not hasattr(tasks.parse_model, "__wrapped__")
    with pytest.raises(FileNotFoundError):
        YOLO(MODEL)
