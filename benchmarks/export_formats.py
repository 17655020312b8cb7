"""Export trained StarNet models to every format, run them by their own runtimes and write docs/export.md.

`python benchmarks/export_formats.py` runs every case that has no result yet, training what it needs first (a model
takes 3 minutes, a case 5 to 60 seconds); `… WORD WORD` runs those whose keys hold one of the words (`detect-onnx-16`),
anew. `… --speed` times what lies exported, `… --write` only writes the page. Results lie in build/export, so that a format
whose packages cannot live beside the others' runs in an environment of its own and the page tells of all.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
import traceback
from importlib import metadata, util
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
import ultralytics
from torchvision.ops import box_iou
from ultralytics import YOLO
from ultralytics.utils import ASSETS

from yolo_starnet import cli
from yolo_starnet.demo import datasets

ROOT = Path(__file__).parents[1]
BUILD = ROOT / "build" / "export"
PHOTOGRAPHS = ("bus.jpg", "zidane.jpg")
SIZE = {"classify": 224}
"""Pixels of the square that is exported and predicted on, 640 unless said here."""
CONF, PREDICT_CONF = 0.01, 0.1
"""Least confidence of what is compared: before suppression, and after."""
PIXELS, CONFIDENCE, SHARE, POINTS = 1.0, 0.01, 0.01, 0.02
"""What counts as agreement: of boxes and keypoints, of confidences, of pixels of a mask or a map, of mAP50-95."""

MODELS = {**cli.MODELS, "end2end": "yolo26n-starnet.yaml", "stock": "yolo11n.yaml"}
"""What is trained, by the name of its checkpoint; `end2end` and `stock` detect."""


class Format(NamedTuple):
    """A format of Ultralytics': its name, the module without which nothing can be run, the packages to name."""

    name: str
    module: str
    packages: tuple[str, ...]


FORMATS = {
    "torchscript": Format("TorchScript", "torch", ("torch",)),
    "onnx": Format("ONNX", "onnxruntime", ("onnxruntime",)),
    "openvino": Format("OpenVINO", "openvino", ("openvino",)),
    "ncnn": Format("NCNN", "pnnx", ("ncnn", "pnnx")),
    "mnn": Format("MNN", "MNN", ("MNN",)),
    "litert": Format("LiteRT", "litert_torch", ("ai-edge-litert", "litert-torch")),
    "executorch": Format("ExecuTorch", "executorch", ("executorch",)),
    "paddle": Format("PaddlePaddle", "x2paddle", ("paddlepaddle", "x2paddle")),
    "saved_model": Format("TensorFlow SavedModel", "onnx2tf", ("tensorflow", "onnx2tf")),
    "pb": Format("TensorFlow GraphDef", "onnx2tf", ("tensorflow", "onnx2tf")),
    "edgetpu": Format("TensorFlow Edge TPU", "onnx2tf", ("tensorflow", "onnx2tf")),
    "engine": Format("TensorRT", "tensorrt", ("tensorrt",)),
    "coreml": Format("CoreML", "coremltools", ("coremltools",)),
    "coreai": Format("Core AI", "coreai_torch", ("coreai-torch",)),
    "imx": Format("IMX500", "model_compression_toolkit", ("model-compression-toolkit", "imx500-converter")),
    "rknn": Format("RKNN", "rknn", ("rknn-toolkit2",)),
    "axelera": Format("Axelera", "axelera", ("axelera-devkit",)),
    "deepx": Format("DEEPX", "dx_com", ("dx_com",)),
    "qnn": Format("Qualcomm QNN", "onnxruntime_qnn", ("onnxruntime-qnn",)),
    "hailo": Format("Hailo", "hailo_sdk_client", ()),
    "ascend": Format("Huawei Ascend", "acl", ()),
    "xilinx": Format("AMD Xilinx", "quark", ("amd-quark",)),
}
INT8 = {"quantize": 8, "data": "shapes"}


class Case(NamedTuple):
    """One row of the page: a checkpoint, a format and what `export` is given."""

    model: str
    format: str
    arguments: dict[str, Any] = {}  # noqa: RUF012  # never changed
    float32: bool = False
    """Whether OpenVINO is told to reckon in float32, as it does not of itself on a CPU that can bfloat16."""

    @property
    def key(self) -> str:
        """What the case is called in build/export."""
        words = [self.model, self.format]
        words += [k if v is True else f"{k}={v}" for k, v in self.arguments.items() if k != "data"]
        return "-".join([*words, *(["float32"] if self.float32 else [])]).replace("quantize=", "")

    @property
    def task(self) -> str:
        """The task of the checkpoint."""
        return self.model if self.model in datasets.SETS else "detect"

    @property
    def size(self) -> int:
        """Height and width of the image."""
        return SIZE.get(self.task, 640)

    @property
    def validated(self) -> bool:
        """Whether its mAP is taken, for it does not reckon in float32 throughout by design."""
        return self.calibrated or (self.model, self.format, self.float32) == ("detect", "openvino", False)

    @property
    def calibrated(self) -> bool:
        """Whether it is judged by mAP, for its numbers are no longer those of PyTorch."""
        return self.arguments.get("quantize") in {8, "w8a16", "w8a32"}


PLAIN = ("torchscript", "onnx", "openvino", "ncnn", "mnn", "litert", "executorch", "paddle", "saved_model")
CASES = [
    Case("detect", "torchscript"),
    Case("detect", "torchscript", {"nms": True}),
    Case("detect", "onnx"),
    Case("detect", "onnx", {"dynamic": True}),
    Case("detect", "onnx", {"nms": True}),
    Case("detect", "onnx", {"quantize": 16}),
    Case("detect", "onnx", INT8),
    Case("detect", "openvino", float32=True),
    Case("detect", "openvino"),
    Case("detect", "openvino", {"dynamic": True}, True),
    Case("detect", "openvino", {"nms": True}, True),
    Case("detect", "openvino", {"quantize": 16}, True),
    Case("detect", "openvino", INT8),
    Case("detect", "ncnn"),
    Case("detect", "ncnn", {"quantize": 16}),
    Case("detect", "mnn"),
    Case("detect", "mnn", {"quantize": 16}),
    Case("detect", "mnn", {"quantize": 8}),
    Case("detect", "litert"),
    Case("detect", "litert", {"quantize": "w8a32"}),
    Case("detect", "litert", {"quantize": "w8a16", "data": "shapes"}),
    Case("detect", "litert", INT8),
    Case("detect", "executorch"),
    Case("detect", "paddle"),
    Case("detect", "saved_model"),
    Case("detect", "pb"),
    *(Case("end2end", f, {"nms": False}, f == "openvino") for f in ("onnx", "openvino", "mnn")),
    *(
        Case(task, f, float32=f == "openvino")
        for task in ("segment", "pose", "obb", "classify", "semantic", "depth")
        for f in PLAIN
    ),
    Case("detect", "edgetpu", {"data": "shapes"}),
    *(Case("detect", f) for f in ("engine", "coreml", "coreai")),
    *(Case("detect", f, {"data": "shapes"}) for f in ("imx", "rknn", "axelera", "deepx", "hailo")),
    Case("detect", "qnn", {"quantize": "w8a16", "data": "shapes"}),
    *(Case("detect", f) for f in ("ascend",)),
    Case("detect", "xilinx", {"data": "shapes"}),
]


def main(argv: list[str]) -> None:
    """Run the cases asked for, each in a process of its own, and write the page."""
    if argv[:1] == ["--case"]:
        _child(*argv[1:])
        return
    what = "speed" if "--speed" in argv else "measure"
    words = [a for a in argv if not a.startswith("--")]
    for case in [] if "--write" in argv else CASES:
        if _is_wanted(case, words, what):
            _run(case, what)
    (ROOT / "docs" / "export.md").write_text(page(), encoding="utf-8")


def _is_wanted(case: Case, words: list[str], what: str) -> bool:
    known = _result(case)
    ready = util.find_spec(FORMATS[case.format].module) is not None
    if words and not any(word in case.key for word in words):
        return False
    if what == "speed":
        return ready and "boxes" in known
    # That its packages are missing is a result, too, unless another environment has left a better one.
    return not known or (ready and (bool(words) or "No module named" in known.get("failed", "")))


def _run(case: Case, what: str) -> None:
    """Run a case in a process of its own, for some runtimes end theirs, and keep what it found."""
    _checkpoint(case.model)
    found = _spawn(case, case.model, what)
    if what == "speed":
        found = {**_result(case), **found}
    elif not agrees(case, found) and "No module named" not in found.get("failed", ""):
        _checkpoint("stock")
        found["control"] = _spawn(case, "stock", what) if case.task == "detect" and case.model != "end2end" else {}
    _file(case).parent.mkdir(parents=True, exist_ok=True)
    _file(case).write_text(json.dumps(found, indent=1))
    print(case.key, json.dumps({k: v for k, v in found.items() if k != "control"}), flush=True)


def _spawn(case: Case, model: str, what: str) -> dict[str, Any]:
    folder = BUILD / "work" / (case.key if model == case.model else f"{case.key}-{model}")
    folder.mkdir(parents=True, exist_ok=True)
    out = folder / "result.json"
    out.unlink(missing_ok=True)
    command = [sys.executable, str(Path(__file__).resolve()), "--case", str(CASES.index(case)), model, what]
    with open(folder / f"{what}.log", "w") as log:
        done = subprocess.run(
            command,
            cwd=folder,
            stdout=log,
            stderr=log,
            check=False,
            timeout=1800,
        )
    if out.is_file():
        return json.loads(out.read_text())
    return {"failed": f"the process ended with status {done.returncode}", "stage": what}


def _checkpoint(name: str) -> Path:
    """The checkpoint of a model, trained by its built-in set's own recipe unless it lies there."""
    file = BUILD / "checkpoints" / f"{name}.pt"
    if not file.is_file():
        task = name if name in datasets.SETS else "detect"
        recipe = [f"{k}={v}" for k, v in datasets.SETS[task].recipe.items()]
        given = [f"model={MODELS[name]}", f"data={datasets.SETS[task].name}", *recipe, "plots=False", "exist_ok=True"]
        command = [
            sys.executable,
            "-m",
            "yolo_starnet",
            task,
            "train",
            *given,
            f"project={BUILD}",
            f"name=train-{name}",
        ]
        subprocess.run(command, check=True)
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(BUILD / f"train-{name}" / "weights" / "best.pt", file)
    return file


def _child(index: str, model: str, what: str) -> None:
    case = CASES[int(index)]
    found: dict[str, Any] = {"torch": metadata.version("torch"), "stage": "export"}
    try:
        if case.float32:
            _reckon_in_float32()
        if what == "speed":
            found = {"speed": _speed(case)}
        else:
            _measure(case, model, found)
    except Exception as error:
        traceback.print_exc()
        text = str(error).strip().splitlines() or [""]
        found["failed"] = f"{type(error).__name__}: {text[0]}"[:300]
    Path("result.json").write_text(json.dumps(found))


def _reckon_in_float32() -> None:
    import openvino

    compile_model = openvino.Core.compile_model

    def with_hint(self: Any, model: Any, device_name: str | None = None, config: dict[str, Any] | None = None) -> Any:
        return compile_model(self, model, device_name, {**(config or {}), "INFERENCE_PRECISION_HINT": "f32"})

    openvino.Core.compile_model = with_hint


def _measure(case: Case, model: str, found: dict[str, Any]) -> None:
    """Export, load and compare; what is known so far stands in `found` when something is raised."""
    file = Path("best.pt").resolve()
    shutil.copy(BUILD / "checkpoints" / f"{model}.pt", file)
    if case.format in {"saved_model", "pb", "edgetpu"}:
        _sample_images()
    start = time.perf_counter()
    found["file"] = _export(case, file, case.size)
    found["seconds"] = time.perf_counter() - start
    found["megabytes"] = _megabytes(Path(found["file"]))
    found["versions"] = {name: metadata.version(name) for name in FORMATS[case.format].packages}
    found["stage"] = "load"
    yolos = [YOLO(file), YOLO(found["file"], task=case.task)]
    for name in PHOTOGRAPHS:
        results = [_predict(yolo, case, cv2.imread(str(ASSETS / name))) for yolo in yolos]
        found["backend"] = type(yolos[1].predictor.model.backend).__name__
        found["stage"] = "compare"
        _merge(found, _compare(case, *results))
        if case.task in {"detect", "segment", "pose", "obb"} and "nms" not in case.arguments:
            _merge(found, _compare_raw(case, *(_raw(yolo, ASSETS / name) for yolo in yolos)))
    if case.validated:
        found["stage"] = "validate"
        small = file.with_name("small.pt")
        shutil.copy(file, small)
        files = (small, _export(case, small, datasets.SETS[case.task].recipe["imgsz"]))
        found["map"] = [_map(case, f) for f in files]
    found["stage"] = "done"


def _export(case: Case, file: Path, size: int) -> str:
    given = {"conf": PREDICT_CONF} if case.arguments.get("nms") else {}
    return YOLO(file).export(format=case.format, imgsz=size, **case.arguments, **given)


def _sample_images() -> None:
    """Images that onnx2tf tries its conversion on; Ultralytics would download some, ours are drawn."""
    files = sorted(datasets.validation_images("detect").glob("*.jpg"))[:20]
    images = [cv2.resize(cv2.imread(str(f)), (128, 128)) for f in files]
    np.save("calibration_image_sample_data_20x128x128x3_float32.npy", np.stack(images).astype(np.float32) / 255)


def _predict(yolo: YOLO, case: Case, image: np.ndarray) -> Any:
    nms = {"nms": False} if case.arguments.get("nms") is False else {}
    # rect: a file of one size takes square images, so PyTorch gets the same; of any size, what is not square
    given = {"imgsz": case.size, "rect": "dynamic" in case.arguments, "conf": PREDICT_CONF, "device": "cpu", **nms}
    return yolo.predict(image, verbose=False, **given)[0]


def _map(case: Case, file: str | Path) -> float:
    """MAP50-95 on the built-in set."""
    size, data = datasets.SETS[case.task].recipe["imgsz"], datasets.SETS[case.task].name
    yolo = YOLO(file, task=case.task)
    return float(yolo.val(data=data, imgsz=size, batch=1, rect=False, workers=0, plots=False, device="cpu").box.map)


def _raw(yolo: YOLO, photograph: Path) -> list[np.ndarray]:
    """Every tensor that the network gives for a photograph, before suppression."""
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


def _compare_raw(case: Case, expected: list[np.ndarray], found: list[np.ndarray]) -> dict[str, Any]:
    """Largest differences of the candidates that PyTorch gives at least `CONF`, in pixels of the network's image."""
    a, b = (next(y for y in ys if y.ndim == 3)[0].astype(np.float64) for ys in (expected, found))
    assert a.shape == b.shape, (a.shape, b.shape)
    classes = len(datasets.CLASSES)
    kept = a[4 : 4 + classes].max(0) >= CONF
    a, b = a[:, kept], b[:, kept]
    corners = [np.concatenate([y[:2] - y[2:4] / 2, y[:2] + y[2:4] / 2]) for y in (a, b)]
    scores = (y[4 : 4 + classes] for y in (a, b))
    result = {"raw": {"count": int(kept.sum()), "px": _far(*corners), "conf": _far(*scores)}}
    rest = [y[4 + classes :] for y in (a, b)]
    if case.task == "obb":
        result["raw"]["px"] = _far(a[:4], b[:4])  # of a turned box there are centre and sides
        result["raw"]["angle"] = _far(*rest)
    if case.task == "pose":
        result["raw"]["keypoint_px"] = max(_far(*(y[i::3] for y in rest)) for i in (0, 1))
    if case.task == "segment":
        protos = [next(y for y in ys if y.ndim == 4)[0] for ys in (expected, found)]
        masks = [np.einsum("cn,chw->nhw", y, p) > 0 for y, p in zip(rest, protos)]
        result["raw"]["mask_share"] = float((masks[0] != masks[1]).mean((1, 2)).max(initial=0))
    return result


def _compare(case: Case, expected: Any, found: Any) -> dict[str, Any]:
    """Differences of what `predict` returns."""
    if case.task == "classify":
        return {"boxes": {"prob": _far(expected.probs.data.numpy(), found.probs.data.numpy())}}
    if case.task == "semantic":
        a, b = (r.semantic_mask.data for r in (expected, found))
        return {"boxes": {"map_share": float((a != b).float().mean())}}
    if case.task == "depth":
        a, b = (r.depth.data.float() for r in (expected, found))
        return {"boxes": {"map_share": float(((a - b).abs() / a).max())}}
    boxes = [r.obb if case.task == "obb" else r.boxes for r in (expected, found)]
    a, b = (torch.cat([y.xyxy.float(), y.conf[:, None], y.cls[:, None]], 1).cpu() for y in boxes)
    # What lies beside the photograph, in the padding, is clipped to nothing.
    a, b = (y[(y[:, 2:4] - y[:, :2]).amin(1) >= 1] for y in (a, b))
    pairs = _pairs(a, b)
    px = max((_far(a[i, :4], b[j, :4]) for i, j in pairs), default=0.0)
    conf = max((_far(a[i, 4], b[j, 4]) for i, j in pairs), default=0.0)
    return {"boxes": {"pytorch": len(a), "export": len(b), "matched": len(pairs), "px": px, "conf": conf}}


def _pairs(a: torch.Tensor, b: torch.Tensor) -> list[tuple[int, int]]:
    """Boxes of the same class that overlap by half at least, the best pairs first, each box in one pair."""
    overlap = box_iou(a[:, :4], b[:, :4]) * (a[:, None, 5] == b[None, :, 5])
    pairs = []
    while overlap.numel() and overlap.max() > 0.5:
        i, j = divmod(int(overlap.argmax()), len(b))
        pairs.append((i, j))
        overlap[i], overlap[:, j] = 0, 0
    return pairs


def _merge(found: dict[str, Any], more: dict[str, dict[str, Any]]) -> None:
    """Add up counts and keep the largest of differences over the photographs."""
    for name, values in more.items():
        known = found.setdefault(name, {})
        for key, value in values.items():
            known[key] = known.get(key, 0) + value if isinstance(value, int) else max(known.get(key, 0.0), value)


def _far(a: Any, b: Any) -> float:
    """The largest difference; a number that is none differs without end."""
    difference = np.abs(np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64))
    return float(np.nan_to_num(difference, nan=1e9).max(initial=0))


def _speed(case: Case, rounds: int = 30) -> dict[str, Any]:
    """Medians of the milliseconds that `predict` takes on a photograph, PyTorch's and the file's turn by turn."""
    image = cv2.imread(str(ASSETS / PHOTOGRAPHS[0]))
    yolos = [YOLO("best.pt"), YOLO(_result(case)["file"], task=case.task)]
    times: list[list[float]] = [[], []]
    for turn in range(rounds + 3):
        for yolo, kept in zip(yolos, times):
            start = time.perf_counter()
            _predict(yolo, case, image)
            if turn >= 3:
                kept.append(1000 * (time.perf_counter() - start))
    pytorch, export = (float(np.median(t)) for t in times)
    return {"pytorch": pytorch, "export": export, "ratio": pytorch / export, "threads": torch.get_num_threads()}


def agrees(case: Case, found: dict[str, Any]) -> bool:
    """Whether a result is within what counts as agreement."""
    if "failed" in found or "boxes" not in found:
        return False
    if case.calibrated:
        return abs(found["map"][1] - found["map"][0]) <= POINTS
    limits = {"px": PIXELS, "keypoint_px": PIXELS, "conf": CONFIDENCE, "prob": CONFIDENCE, "angle": CONFIDENCE}
    limits |= {"mask_share": SHARE, "map_share": SHARE}
    judged = found.get("raw") or found["boxes"]
    boxes = found["boxes"]
    same = bool(found.get("raw")) or boxes.get("pytorch") == boxes.get("export") == boxes.get("matched")
    return same and all(judged[k] <= limit for k, limit in limits.items() if k in judged)


def page() -> str:
    """The text of docs/export.md."""
    results = [(c, _result(c)) for c in CASES if _result(c)]
    ran = [(c, r) for c, r in results if "boxes" in r]
    formats = {FORMATS[c.format].name for c, r in ran if c.task == "detect" and agrees(c, r)}
    tasks = [t for t in MODELS if t in datasets.SETS and t != "detect" and any(c.model == t for c, _ in results)]
    lines = [
        "# Exports\n",
        f"Written by `benchmarks/export_formats.py` from what it measured with Ultralytics {ultralytics.__version__} "
        "on a CPU. Each file was exported by the stock `export` from a model trained on the built-in set, loaded by its "
        f"own runtime through the stock `predict`, and compared with PyTorch on {' and '.join(PHOTOGRAPHS)}, the "
        f"photographs that Ultralytics ships, at 640 x 640 (classification: 224 x 224). {len(formats)} formats agree "
        f"in detection: {', '.join(sorted(formats))}.\n",
        f"*Before suppression* are the largest differences of all candidates that PyTorch gives a confidence of {CONF} "
        "or more, corners in pixels of the network's image; *boxes* are what `predict` returns from "
        f"{PREDICT_CONF} on: PyTorch's, the file's, and those in both, of the same class and overlapping by half. "
        "Suppression may keep either of two boxes that score nearly the same, so the first judges, where it can be "
        f"had. ✓ is agreement within {PIXELS:g} pixel and {CONFIDENCE:g} of confidence, of integers within "
        f"{100 * POINTS:g} points of mAP50-95 on the built-in set at 160 x 160, PyTorch's → the file's. *Speed* is how "
        "many times faster `predict` is than with PyTorch, the median of 30 turns, each with its own default number "
        "of threads.\n",
        "## Detection\n",
        "| format | `yolo-starnet export model=best.pt …` | loaded by | before suppression | boxes | mAP50-95 | agrees "
        "| MB | speed |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *(_row(c, r) for c, r in ran if c.task == "detect"),
        "",
        *_notes(ran),
    ]
    if tasks:
        lines += [
            "\n## Other tasks\n",
            "The largest differences before suppression: pixels of corners (of rotated boxes: of centres and sides), "
            "confidences, and with them pixels of keypoints, radians of angles, the share of a mask's pixels. Of "
            "classification a probability's, of semantic segmentation the share of pixels, of depth the largest "
            "difference relative to PyTorch's. The command has `format=` and nothing else.\n",
            f"| format | {' | '.join(tasks)} |",
            f"| --- |{' --- |' * len(tasks)}",
        ]
        for name in PLAIN:
            known = {c.model: (c, r) for c, r in results if c.format == name and c.model in tasks}
            if known:
                cells = [_cell(*known[t]) if t in known else "" for t in tasks]
                lines += [f"| {_name(next(iter(known.values()))[0])} | {' | '.join(cells)} |"]
    failed = [(c, r) for c, r in results if c.task == "detect" and "boxes" not in r]
    lines += ["\n## Not run\n", "| format | ended at | with | stock YOLO11n |", "| --- | --- | --- | --- |"]
    lines += [f"| {_name(c)} | {r['stage']} | {_escape(r['failed'])} | {_control(c, r)} |" for c, r in failed]
    return "\n".join(lines) + "\n"


def _notes(ran: list[tuple[Case, dict[str, Any]]]) -> list[str]:
    versions: dict[str, str] = {}
    torches = {r["torch"].split("+")[0] for _, r in ran}
    for _, r in ran:
        versions.update(r["versions"])
    versions.pop("torch", None)
    named = ", ".join(f"{k} {v}" for k, v in versions.items())
    notes = [f"Runtimes and converters: {named}, torch {' and '.join(sorted(torches))}.\n"]
    if any(c.float32 for c, _ in ran):
        notes.append(
            "Where the CPU can, OpenVINO reckons in bfloat16, whatever the file's precision, and Ultralytics leaves "
            "that to it. The rows *in float32* were run with its `INFERENCE_PRECISION_HINT` set to `f32`."
        )
    for c, r in ran:
        if r.get("control"):
            notes.append(f"\nStock YOLO11n, trained alike, as {_name(c)}: {_control(c, r)}.")
    return notes


def _row(case: Case, r: dict[str, Any]) -> str:
    raw, boxes = r.get("raw"), r["boxes"]
    before = f"{raw['count']}: {_px(raw['px'])}, {raw['conf']:.2g}" if raw else ""
    after = f"{boxes['pytorch']}, {boxes['export']}, {boxes['matched']}: {_px(boxes['px'])}, {boxes['conf']:.2g}"
    between = " → ".join(f"{m:.3f}" for m in r.get("map", []))
    speed = f"{r['speed']['ratio']:.2f} x" if "speed" in r else ""
    cells = [_name(case), f"`{_command(case)}`", r["backend"], before, after, between, _mark(case, r)]
    return f"| {' | '.join(cells)} | {r['megabytes']:.1f} | {speed} |"


def _cell(case: Case, r: dict[str, Any]) -> str:
    if "boxes" not in r:
        return f"✗ {r['stage']}: {_escape(r['failed'])}"
    words = {"px": "{} px", "conf": "{}", "keypoint_px": "keypoints {} px", "angle": "{} rad", "prob": "{}"}
    words |= {"mask_share": "masks {}", "map_share": "{}"}
    judged = r.get("raw") or r["boxes"]
    found = [text.format(f"{judged[k]:.2g}") for k, text in words.items() if k in judged]
    speed = [f"{r['speed']['ratio']:.2f} x"] if "speed" in r else []
    return f"{_mark(case, r)} {', '.join(found + speed)}"


def _control(case: Case, r: dict[str, Any]) -> str:
    control = r.get("control")
    if not control:
        return ""
    if "boxes" not in control:
        same = control.get("failed") == r.get("failed")
        return "ends likewise" if same else f"{control.get('stage')}: {_escape(control['failed'])}"
    raw = control.get("raw") or control["boxes"]
    between = " → ".join(f"{m:.3f}" for m in control.get("map", []))
    return f"{_px(raw['px'])}, {raw['conf']:.2g}{', mAP50-95 ' if between else ''}{between}"


def _name(case: Case) -> str:
    label = FORMATS[case.format].name + (" of YOLO26n" if case.model == "end2end" else "")
    return f"{label}, *in float32*" if case.float32 else label


def _command(case: Case) -> str:
    return " ".join([f"format={case.format}", *(f"{k}={v}" for k, v in case.arguments.items())])


def _mark(case: Case, r: dict[str, Any]) -> str:
    return "✓" if agrees(case, r) else "✗"


def _px(value: float) -> str:
    return f"{value:.2g} px" if value < 1 else f"{value:.1f} px"


def _escape(text: str) -> str:
    return text.replace("|", "/").replace(str(Path.home()), "~").replace(str(ROOT), ".")


def _megabytes(file: Path) -> float:
    files = file.rglob("*") if file.is_dir() else [file]
    return sum(f.stat().st_size for f in files if f.is_file()) / 1e6


def _file(case: Case) -> Path:
    return BUILD / "results" / f"{case.key}.json"


def _result(case: Case) -> dict[str, Any]:
    return json.loads(_file(case).read_text()) if _file(case).is_file() else {}


if __name__ == "__main__":
    main(sys.argv[1:])
