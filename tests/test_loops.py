"""The detection loops in examples/: without torch, they find the boxes that `predict` finds."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch import nn
from ultralytics import YOLO
from ultralytics.data.augment import LetterBox
from ultralytics.utils import ASSETS

EXAMPLES = Path(__file__).parents[1] / "examples"
PHOTOGRAPHS = ("bus.jpg", "zidane.jpg")
IMAGES = [ASSETS / name for name in PHOTOGRAPHS]
SIZE = 160
WITHOUT_TORCH = """
import runpy, sys
for name in ("torch", "ultralytics", "yolo_starnet"):
    sys.modules[name] = None  # an import of it fails
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Detectors that find boxes of all sizes and confidences: one that needs suppression, and one that does not."""
    folder = tmp_path_factory.mktemp("loops")
    return {name: detector(f"{name}n-starnet_fit.yaml", folder / f"{name}.pt") for name in ("yolo11", "yolo26")}


def detector(name: str, file: Path) -> Path:
    """A checkpoint of random weights whose outputs spread as those of a trained model do."""
    torch.manual_seed(0)
    yolo = YOLO(name)
    for norm in yolo.model.modules():
        if isinstance(norm, nn.BatchNorm2d):
            norm.momentum = 1.0
    images = np.stack([LetterBox((SIZE, SIZE))(image=cv2.imread(str(file))) for file in IMAGES])
    with torch.no_grad():  # sets the statistics of the BatchNorms
        yolo.model.train()(torch.from_numpy(images[..., ::-1].transpose(0, 3, 1, 2).copy()) / 255)
    head = yolo.model.model[-1]
    sides = 1.5 if head.reg_max > 1 else 0.75  # without DFL, a wider spread turns some boxes inside out
    for branch, bias, std in (("cv2", 5.0, sides), ("cv3", -5.0, 1.5)):
        for *_, last in (*getattr(head, branch), *(getattr(head, f"one2one_{branch}", None) or ())):
            nn.init.normal_(last.weight, std=std / last.in_channels**0.5)
            nn.init.constant_(last.bias, bias)
    yolo.save(file)
    return file


def threshold(checkpoint: Path, **arguments: object) -> float:
    """A confidence that some boxes of each photograph exceed, and that no box is near to."""
    found = [expected(checkpoint, str(image), 0.01, **arguments)[:, 4] for image in IMAGES]
    scores = np.sort(np.concatenate(found))[::-1]
    scores = scores[scores <= min(scores.max() for scores in found)][:60]
    widest = np.diff(scores).argmin()
    return float(scores[widest : widest + 2].mean())


def exported(checkpoint: Path, folder: Path, **arguments: object) -> str:
    """The file of an export, in `folder`."""
    return YOLO(shutil.copy(checkpoint, folder / "best.pt")).export(imgsz=SIZE, **arguments)


def expected(checkpoint: Path, file: str, conf: float, **arguments: object) -> np.ndarray:
    """The boxes of `predict` in PyTorch as rows x1, y1, x2, y2, confidence, class."""
    return (
        YOLO(checkpoint)
        .predict(file, imgsz=SIZE, rect=False, conf=conf, verbose=False, **arguments)[0]
        .boxes.data.numpy()
    )


def assert_same(found: np.ndarray, rows: np.ndarray, px: float = 1, conf: float = 0.01) -> None:
    """Each box of one set has its own in the other: same class, corners within `px`, confidence within `conf`."""
    assert len(found) == len(rows) > 0
    for row in rows:
        near = (np.abs(found[:, :4] - row[:4]).max(1) <= px) & (np.abs(found[:, 4] - row[4]) <= conf)
        (match, *_) = np.flatnonzero(near & (found[:, 5] == row[5]))
        found = np.delete(found, match, 0)


def detect(example: str, model: str, *arguments: object, folder: Path) -> list[str]:
    """The lines that a loop in Python prints where there is no torch."""
    command = [sys.executable, "-c", WITHOUT_TORCH, EXAMPLES / example / "detect.py", model, *arguments]
    done = subprocess.run([*map(str, command)], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def parsed(lines: list[str], file: str, names: dict[int, str]) -> np.ndarray:
    """The rows of a file among printed lines of file, class, confidence and corners."""
    classes = {name: index for index, name in names.items()} | {str(index): index for index in names}
    words = [line.removeprefix(file).split() for line in lines if line.startswith(file)]
    return np.array([[*map(float, w[2:]), float(w[1]), classes[w[0]]] for w in words]).reshape(-1, 6)


def assert_the_loop_is_predict(lines: list[str], checkpoint: Path, conf: float, **arguments: object) -> None:
    """Compare what a loop printed for both photographs with `predict`."""
    for name in PHOTOGRAPHS:
        file = str(ASSETS / name)
        assert_same(parsed(lines, file, YOLO(checkpoint).names), expected(checkpoint, file, conf, **arguments))
    assert lines[-1].startswith("2 frames, ")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "arguments"),
    [
        ("yolo11", {}),
        ("yolo11", {"dynamic": True}),
        ("yolo11", {"nms": True}),
        ("yolo26", {}),
        ("yolo26", {"nms": False}),
    ],
    ids=["yolo11", "dynamic", "nms", "yolo26", "yolo26 without nms"],
)
def test_onnxruntime_numpy_finds_the_boxes_of_predict(
    model: str, arguments: dict, checkpoints: dict[str, Path], tmp_path: Path
):
    pytest.importorskip("onnxruntime")
    without = {"nms": False} if arguments.get("nms") is False else {}
    conf = threshold(checkpoints[model], **without)
    inside = {"conf": conf} if arguments.get("nms") else {}  # suppression in the file has its threshold there
    file = exported(checkpoints[model], tmp_path, format="onnx", **arguments, **inside)
    lines = detect("onnxruntime_numpy", file, *IMAGES, "--conf", conf, folder=tmp_path)
    assert_the_loop_is_predict(lines, checkpoints[model], conf, **without)
    for name in PHOTOGRAPHS:
        drawn, photograph = (cv2.imread(str(f / name)) for f in (tmp_path / "drawn", ASSETS))
        assert drawn.shape == photograph.shape
        assert (drawn != photograph).any()


@pytest.mark.slow
def test_onnxruntime_numpy_reads_and_writes_videos(checkpoints: dict[str, Path], tmp_path: Path):
    pytest.importorskip("onnxruntime")
    video = str(tmp_path / "street.avi")
    writer = cv2.VideoWriter(video, cv2.VideoWriter.fourcc(*"MJPG"), 10, (320, 240))
    for _ in range(3):
        writer.write(cv2.resize(cv2.imread(str(ASSETS / "zidane.jpg")), (320, 240)))
    writer.release()
    lines = detect(
        "onnxruntime_numpy", exported(checkpoints["yolo11"], tmp_path, format="onnx"), video, folder=tmp_path
    )
    assert lines[-1].startswith("3 frames, ")
    assert len(lines) > 3
    assert cv2.VideoCapture(str(tmp_path / "drawn" / "street.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) == 3


@pytest.mark.slow
def test_ncnn_python_finds_the_boxes_of_predict(checkpoints: dict[str, Path], tmp_path: Path):
    for module in ("ncnn", "pnnx"):
        pytest.importorskip(module, reason=f"the loop runs on {module}")
    folder = exported(checkpoints["yolo11"], tmp_path, format="ncnn")
    conf = threshold(checkpoints["yolo11"])
    lines = detect("ncnn_python", folder, *IMAGES, "--conf", conf, folder=tmp_path)
    assert_the_loop_is_predict(lines, checkpoints["yolo11"], conf)


@pytest.fixture(scope="session")
def openvino_cpp(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The compiled loop in C++."""
    openvino = importlib.util.find_spec("openvino")
    if not (openvino and shutil.which("cmake") and shutil.which("c++") and Path("/usr/include/opencv4").is_dir()):
        pytest.skip("the loop runs on openvino, cmake, a compiler and OpenCV")
    folder = tmp_path_factory.mktemp("cpp")
    openvino_dir = f"-DOpenVINO_DIR={Path(openvino.submodule_search_locations[0]) / 'cmake'}"
    configure = ["cmake", "-S", str(EXAMPLES / "openvino_cpp"), "-B", str(folder), openvino_dir]
    for command in (configure, ["cmake", "--build", str(folder)]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return folder / "detect"


@pytest.mark.slow
@pytest.mark.parametrize("model", ["yolo11", "yolo26"])
def test_openvino_cpp_finds_the_boxes_of_predict(
    model: str, openvino_cpp: Path, checkpoints: dict[str, Path], tmp_path: Path
):
    file = exported(checkpoints[model], tmp_path, format="onnx")
    conf = threshold(checkpoints[model])
    command = [openvino_cpp, file, conf, *IMAGES]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert_the_loop_is_predict(done.stdout.splitlines(), checkpoints[model], conf)


def measure(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run `measure.py` where there is no torch."""
    script = EXAMPLES / "onnxruntime_numpy" / "measure.py"
    command = [sys.executable, "-c", WITHOUT_TORCH, script, *arguments]
    return subprocess.run([*map(str, command)], cwd=folder, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_measure_times_each_file_in_its_runtime_without_torch(checkpoints: dict[str, Path], tmp_path: Path):
    runtimes = {"onnx": ("onnxruntime",), "openvino": ("openvino",), "ncnn": ("ncnn", "pnnx"), "mnn": ("MNN",)}
    here = {k: v[0] for k, v in runtimes.items() if all(importlib.util.find_spec(module) for module in v)}
    files = {k: exported(checkpoints["yolo11"], tmp_path, format=k) for k in here}
    done = measure(tmp_path, *files.values(), "--rounds", 3, "--size", SIZE, "--threads", 1)
    assert done.returncode == 0, done.stderr
    lines = [line for line in done.stdout.splitlines() if str(tmp_path) in line]  # some runtimes print more
    assert [line.split("  ")[-1].split()[:-1] for line in lines] == [[f"{Path(files[k])},", v] for k, v in here.items()]
    milliseconds, ratio = (float(lines[0].split()[i]) for i in (0, 4))
    assert milliseconds > 0
    assert ratio == 1


@pytest.mark.parametrize(
    ("name", "reason"), [("gone.onnx", "there is no gone.onnx"), ("best.pt", "expected a file or folder")]
)
def test_measure_names_a_file_that_it_cannot_run(name: str, reason: str, tmp_path: Path):
    (tmp_path / "best.pt").touch()
    done = measure(tmp_path, name)
    assert done.returncode == 1
    assert reason in done.stderr
