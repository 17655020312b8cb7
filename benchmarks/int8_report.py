"""The tables of int8.py: results/int8.csv as results/int8.md."""

from __future__ import annotations

from pathlib import Path

import accuracy_report
from markdown_table import table

RESULTS = Path(__file__).parent / "results"
CSV = RESULTS / "int8.csv"
FIELDS = (
    *("data", "model", "runtime", "float", "int8", "float_mb", "int8_mb", "ms_ratio", "images", "version", "failed"),
)
NAMES = {
    "onnx": "ONNX Runtime",
    "openvino": "OpenVINO",
    "ncnn": "NCNN",
    "mnn": "MNN",
    "litert": "LiteRT",
    "rknn": "RKNN, simulated",
}
STOCK = "yolo11n"
"""The model that the others are compared with."""
HEAD = """# INT8

Written by `benchmarks/int8.py` from `int8.csv`. Each file was exported by the stock `export` from trained weights
and validated by the stock `val`, both at 256 x 256 pixels. *Loss* is mAP50-95 in float minus that in INT8; *more than
YOLO11n* is how much larger the loss is than that of YOLO11n in the same runtime. *ms* is the time of the INT8 file
relative to the float file: the median of interleaved runs on one thread, which says nothing about an NPU.
ONNX Runtime, OpenVINO, NCNN, LiteRT and RKNN were calibrated on training images, whose number the table gives; MNN
quantizes weights only, and needs none. NCNN was quantized by its own tools. RKNN ran in the simulator of rknn-toolkit2,
which gives no time.
"""


def read() -> list[dict[str, str]]:
    """The rows of the CSV, none if there is no file."""
    return accuracy_report.read(CSV)


def write() -> None:
    """Write the page."""
    rows = read()
    pages = [HEAD]
    for data in sorted({row["data"] for row in rows}):
        chosen = [row for row in rows if row["data"] == data]
        losses = {row["runtime"]: loss(row) for row in chosen if row["model"] == STOCK and not row["failed"]}
        header = ["runtime", "model", "float", "INT8", "loss", "more than YOLO11n", "MB", "ms", "images"]
        lines = [line(row, losses) for row in sorted(chosen, key=lambda r: ([*NAMES].index(r["runtime"]), r["model"]))]
        pages.append("\n".join([f"## {data}", "", *table(header, lines), ""]))
    versions = sorted({f"{NAMES[row['runtime']]} {row['version']}" for row in rows if row["version"]})
    pages.append(", ".join(versions) + ".")
    CSV.with_suffix(".md").write_text("\n".join(pages) + "\n", encoding="utf-8")


def loss(row: dict[str, str]) -> float:
    """The mAP50-95 that a row loses in INT8."""
    return float(row["float"]) - float(row["int8"])


def line(row: dict[str, str], losses: dict[str, float]) -> list[str]:
    """A row of the table."""
    begin = [NAMES[row["runtime"]], row["model"]]
    if row["failed"]:
        return [*begin, row["failed"], "", "", "", "", "", ""]
    more = f"{loss(row) - losses[row['runtime']]:+.3f}" if row["runtime"] in losses and row["model"] != STOCK else ""
    sizes = f"{float(row['float_mb']):.1f} → {float(row['int8_mb']):.1f}"
    ratio = f"{float(row['ms_ratio']):.2f}" if row["ms_ratio"] else ""
    return [*begin, row["float"], row["int8"], f"{loss(row):.3f}", more, sizes, ratio, row["images"]]
