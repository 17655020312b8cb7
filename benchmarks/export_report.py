"""The page of export_formats.py: docs/export.md."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ultralytics

from export_cases import CASES, CONF, FORMATS, MODELS, PHOTOGRAPHS, PLAIN, PREDICT_CONF, ROOT, Case, result
from export_compare import CONFIDENCE, PIXELS, POINTS, agrees
from markdown_table import table
from yolo_starnet.demo import datasets

Result = tuple[Case, dict[str, Any]]
HEAD = f"""# Exports

Written by `benchmarks/export_formats.py` from measurements with Ultralytics {ultralytics.__version__} on a CPU.
Each file was exported by the stock `export` from a model trained on the built-in set, loaded by its own runtime
through the stock `predict`, and compared with PyTorch on {" and ".join(PHOTOGRAPHS)}, the photographs that
Ultralytics ships, at 640 x 640 (classification: 224 x 224)."""
EXPLANATION = f"""
*Before suppression* are the largest differences of all candidates with a confidence of {CONF} or more in PyTorch,
corners in pixels of the network's image. *Boxes* are the results of `predict` with a confidence of {PREDICT_CONF} or
more: those of PyTorch, those of the file, and those in both, of the same class and with an IoU over 0.5. Suppression
may keep either of two boxes with nearly the same score, so the numbers before suppression decide, where they are
available. ✓ means agreement within {PIXELS:g} pixel and {CONFIDENCE:g} of confidence; for integers, within
{100 * POINTS:g} points of mAP50-95 on the built-in set at 160 x 160, PyTorch → file. *Speed* is how many times faster
`predict` is than with PyTorch: the median of 30 turns, each with its default number of threads.
"""
TASKS = """
## Other tasks

The largest differences before suppression: pixels of corners (of rotated boxes: of centres and sides), confidences,
and, where there are any, pixels of keypoints, radians of angles, the share of a mask's pixels. For classification
it is the difference of a probability, for semantic segmentation the share of pixels, for depth the largest
difference relative to PyTorch's. The command has `format=` and nothing else.
"""
FLOAT32 = """
On CPUs with bfloat16, OpenVINO computes in bfloat16, whatever the precision of the file, and Ultralytics does not
change that. The rows *in float32* were run with `INFERENCE_PRECISION_HINT` set to `f32`."""


def page() -> str:
    """The text of docs/export.md."""
    results = [(c, r) for c in CASES if (r := result(c))]
    ran = [(c, r) for c, r in results if "boxes" in r]
    formats = sorted({FORMATS[c.format].name for c, r in ran if c.task == "detect" and agrees(c, r)})
    count = f"{len(formats)} formats agree in detection: {', '.join(formats)}."
    return "\n".join(
        [HEAD, count, EXPLANATION, *_detection(ran), "", *_notes(ran), *_tasks(results), *_failed(results), ""]
    )


def _detection(ran: list[Result]) -> list[str]:
    heads = ("format", "`yolo-starnet export model=best.pt …`", "loaded by", "before suppression", "boxes", "mAP50-95")
    rows = (_row(c, r) for c, r in ran if c.task == "detect")
    return ["## Detection", "", *table((*heads, "agrees", "MB", "speed"), rows)]


def _tasks(results: list[Result]) -> list[str]:
    tasks = [t for t in MODELS if t in datasets.SETS and t != "detect" and any(c.model == t for c, _ in results)]
    rows = []
    for name in PLAIN:
        known = {c.model: (c, r) for c, r in results if c.format == name and c.model in tasks}
        if known:
            cells = [_cell(*known[t]) if t in known else "" for t in tasks]
            rows.append([_name(next(iter(known.values()))[0]), *cells])
    return [TASKS, *table(("format", *tasks), rows)] if rows else []


def _failed(results: list[Result]) -> list[str]:
    failed = [(c, r) for c, r in results if c.task == "detect" and "boxes" not in r]
    rows = ([_name(c), r["stage"], _short(r["failed"]), _control(c, r)] for c, r in failed)
    return ["", "## Not run", "", *table(("format", "ended at", "with", "stock YOLO11n"), rows)]


def _notes(ran: list[tuple[Case, dict[str, Any]]]) -> list[str]:
    versions: dict[str, str] = {}
    torches = {r["torch"].split("+")[0] for _, r in ran}
    for _, r in ran:
        versions.update(r["versions"])
    versions.pop("torch", None)
    named = ", ".join(f"{k} {v}" for k, v in versions.items())
    notes = [f"Runtimes and converters: {named}, torch {' and '.join(sorted(torches))}."]
    if any(c.float32 for c, _ in ran):
        notes.append(FLOAT32)
    for c, r in ran:
        if r.get("control"):
            notes.append(f"\nStock YOLO11n, trained the same way, as {_name(c)}: {_control(c, r)}.")
    return notes


def _row(case: Case, r: dict[str, Any]) -> list[str]:
    raw, boxes = r.get("raw"), r["boxes"]
    before = f"{raw['count']}: {_px(raw['px'])}, {raw['conf']:.2g}" if raw else ""
    after = f"{boxes['pytorch']}, {boxes['export']}, {boxes['matched']}: {_px(boxes['px'])}, {boxes['conf']:.2g}"
    between = " → ".join(f"{m:.3f}" for m in r.get("map", []))
    speed = f"{r['speed']['ratio']:.2f} x" if "speed" in r else ""
    cells = [_name(case), f"`{_command(case)}`", r["backend"], before, after, between, _mark(case, r)]
    return [*cells, f"{r['megabytes']:.1f}", speed]


def _cell(case: Case, r: dict[str, Any]) -> str:
    if "boxes" not in r:
        return f"✗ {r['stage']}: {_short(r['failed'])}"
    words = {"px": "{} px", "conf": "{}", "keypoint_px": "keypoints {} px", "angle": "{} rad", "prob": "{}"}
    words |= {"mask_share": "masks {}", "map_share": "{}"}
    judged = r.get("raw") or r["boxes"]
    cells = [text.format(f"{judged[k]:.2g}") for k, text in words.items() if k in judged]
    speed = [f"{r['speed']['ratio']:.2f} x"] if "speed" in r else []
    return f"{_mark(case, r)} {', '.join(cells + speed)}"


def _control(case: Case, r: dict[str, Any]) -> str:
    control = r.get("control")
    if not control:
        return ""
    if "boxes" not in control:
        same = control.get("failed") == r.get("failed")
        return "ends with the same error" if same else f"{control.get('stage')}: {_short(control['failed'])}"
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


def _short(text: str) -> str:
    return text.replace(str(Path.home()), "~").replace(str(ROOT), ".")
