"""Export and compare one case in this process: `python export_trial.py INDEX_OF_CASE CHECKPOINT measure|speed`."""

from __future__ import annotations

import json
import shutil
import sys
import time
import traceback
from importlib import metadata
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from ultralytics import YOLO
from ultralytics.utils import ASSETS

from export_cases import BUILD, CASES, FORMATS, PHOTOGRAPHS, PREDICT_CONF, Case, result
from export_compare import compare, compare_raw, merge
from yolo_starnet.demo import datasets
from yolo_starnet.measuring.timing import WARM_UP, interleave


def main(index: str, model: str, what: str) -> None:
    """Write the outcome to result.json in the current folder, whatever is raised."""
    case = CASES[int(index)]
    outcome: dict[str, Any] = {"torch": metadata.version("torch"), "stage": "export"}
    try:
        if case.float32:
            _compute_in_float32()
        if what == "speed":
            outcome = {"speed": speed(case)}
        else:
            measure(case, model, outcome)
    except Exception as error:
        traceback.print_exc()
        text = str(error).strip().splitlines() or [""]
        outcome["failed"] = f"{type(error).__name__}: {text[0]}"[:300]
    Path("result.json").write_text(json.dumps(outcome))


def _compute_in_float32() -> None:
    import openvino

    compile_model = openvino.Core.compile_model

    def with_hint(self: Any, model: Any, device_name: str | None = None, config: dict[str, Any] | None = None) -> Any:
        return compile_model(self, model, device_name, {**(config or {}), "INFERENCE_PRECISION_HINT": "f32"})

    openvino.Core.compile_model = with_hint


def measure(case: Case, model: str, outcome: dict[str, Any]) -> None:
    """Export, load and compare; `outcome` keeps what was measured before an error."""
    file = Path("best.pt").resolve()
    shutil.copy(BUILD / "checkpoints" / f"{model}.pt", file)
    if case.format in {"saved_model", "pb", "edgetpu"}:
        _sample_images()
    start = time.perf_counter()
    outcome["file"] = _export(case, file, case.size)
    outcome["seconds"] = time.perf_counter() - start
    outcome["megabytes"] = _megabytes(Path(outcome["file"]))
    outcome["versions"] = {name: metadata.version(name) for name in FORMATS[case.format].packages}
    outcome["stage"] = "load"
    yolos: list[Any] = [YOLO(file), YOLO(outcome["file"], task=case.task)]
    for name in PHOTOGRAPHS:
        results = [_predict(yolo, case, cv2.imread(str(ASSETS / name))) for yolo in yolos]
        outcome["backend"] = type(yolos[1].predictor.model.backend).__name__
        outcome["stage"] = "compare"
        merge(outcome, compare(case, *results))
        if case.task in {"detect", "segment", "pose", "obb"} and "nms" not in case.arguments:
            merge(outcome, compare_raw(case, *(_raw(yolo, ASSETS / name) for yolo in yolos)))
    if case.validated:
        outcome["stage"] = "validate"
        small = file.with_name("small.pt")
        shutil.copy(file, small)
        files = (small, _export(case, small, datasets.SETS[case.task].recipe["imgsz"]))
        outcome["map"] = [_map(case, f) for f in files]
    outcome["stage"] = "done"


def _export(case: Case, file: Path, size: int) -> str:
    given = {"conf": PREDICT_CONF} if case.arguments.get("nms") else {}
    return YOLO(file).export(format=case.format, imgsz=size, **case.arguments, **given)


def _sample_images() -> None:
    """Save images for onnx2tf's trial of its conversion; Ultralytics would download some."""
    files = sorted(datasets.validation_images("detect").glob("*.jpg"))[:20]
    photographs: list[Any] = [cv2.imread(str(f)) for f in files]
    images = [cv2.resize(p, (128, 128)) for p in photographs]
    np.save("calibration_image_sample_data_20x128x128x3_float32.npy", np.stack(images).astype(np.float32) / 255)


def _predict(yolo: Any, case: Case, image: Any) -> Any:
    nms = {"nms": False} if case.arguments.get("nms") is False else {}
    # rect: a file of fixed size takes square images, so PyTorch gets them, too; a dynamic one gets rectangles
    given = {"imgsz": case.size, "rect": "dynamic" in case.arguments, "conf": PREDICT_CONF, "device": "cpu", **nms}
    return yolo.predict(image, verbose=False, **given)[0]


def _map(case: Case, file: str | Path) -> float:
    """MAP50-95 on the built-in set."""
    size, data = datasets.SETS[case.task].recipe["imgsz"], datasets.SETS[case.task].name
    yolo = YOLO(file, task=case.task)
    return float(yolo.val(data=data, imgsz=size, batch=1, rect=False, workers=0, plots=False, device="cpu").box.map)


def _raw(yolo: Any, photograph: Path) -> list[np.ndarray]:
    """Every output tensor of the network for a photograph, before suppression."""
    predictor = yolo.predictor
    predictor.setup_source(photograph)
    (image,) = next(iter(predictor.dataset))[1]
    flat: list[np.ndarray] = []

    def walk(x: Any) -> None:
        for y in x if isinstance(x, (list, tuple)) else ():
            walk(y)
        if isinstance(x, (np.ndarray, torch.Tensor)):
            flat.append(np.asarray(torch.as_tensor(x).detach().cpu().float()))

    with torch.no_grad():
        walk(predictor.model(predictor.preprocess([image])))
    return flat


def speed(case: Case, rounds: int = 30) -> dict[str, Any]:
    """Median milliseconds of `predict` on a photograph, PyTorch and the file interleaved."""
    image = cv2.imread(str(ASSETS / PHOTOGRAPHS[0]))
    yolos = {"pytorch": YOLO("best.pt"), "export": YOLO(result(case)["file"], task=case.task)}

    def clock(yolo: YOLO) -> float:
        start = time.perf_counter()
        _predict(yolo, case, image)
        return 1000 * (time.perf_counter() - start)

    runs = {name: lambda yolo=yolo: clock(yolo) for name, yolo in yolos.items()}
    interleave(runs, WARM_UP, settle=0)
    times = interleave(runs, rounds, settle=0)
    pytorch, export = (float(np.median(t)) for t in times.values())
    return {"pytorch": pytorch, "export": export, "ratio": pytorch / export, "threads": torch.get_num_threads()}


def _megabytes(file: Path) -> float:
    files = file.rglob("*") if file.is_dir() else [file]
    return sum(f.stat().st_size for f in files if f.is_file()) / 1e6


if __name__ == "__main__":
    main(*sys.argv[1:])
