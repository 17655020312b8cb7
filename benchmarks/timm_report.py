"""The page of timm_models.py: docs/timm.md."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import timm
import torch
import ultralytics

from markdown_table import table
from timm_cases import FAMILIES, SIZES

Result = dict[str, Any]
LIMIT = 1e-4
"""Largest difference of outputs that counts as none."""
VERSIONS = f"Ultralytics {ultralytics.__version__}, timm {timm.__version__} and torch {torch.__version__.split('+')[0]}"
HEAD = f"""# timm models as backbones

Written by `benchmarks/timm_models.py` from measurements with {VERSIONS}.
Each model was put into YOLO11n and YOLO26n, ran forward and backward and trained a step at
{" and ".join(f"{h} x {w}" for h, w in SIZES)} (H x W), was fused and exported to ONNX.
The last columns are the largest difference of the outputs after `fuse()` and of the ONNX file, of boxes relative to the
largest and of scores as they are, the larger of the two families. GFLOPs are at 640 x 640 and 80 classes, as
`YOLO.info()` counts them; that count is wrong where a model attends or pads its image (MaxViT, MViT)."""


def page(results: Sequence[Result]) -> str:
    """The text of docs/timm.md."""
    works = [r for r in results if not r.get("refused")]
    good = [r for r in works if all(_passes(f) for f in r["families"].values())]
    families = len({r["family"] for r in good})
    count = f"{len(good)} models of {families} families pass all of it with differences up to {LIMIT:g}.\n"
    heads = ("model", "timm family", "backbone", "YOLO11n", "GFLOPs", "YOLO26n", "GFLOPs", "learns", "fuse", "ONNX")
    by_cost = sorted(works, key=lambda r: r["families"].get("yolo11n", {}).get("gflops", 1e9))
    refused = ([f"`{r['model']}`", r["refused"]] for r in results if r.get("refused"))
    lines = [HEAD, count, *table(heads, map(_row, by_cost)), "\n## Refused\n", *table(("model", "why"), refused)]
    return "\n".join(lines) + "\n"


def _passes(f: dict[str, Any]) -> bool:
    return "failed" not in f and f["learns"] and f["fuse"] <= LIMIT and f["onnx"] <= LIMIT


def _row(r: Result) -> list[str]:
    tried = [r["families"][family] for family in FAMILIES]
    failed = [f["failed"] for f in tried if "failed" in f]
    if failed:
        return [f"`{r['model']}`", r["family"], f"failed: {failed[0]}", *[""] * 7]
    sizes = [cell for f in tried for cell in (f"{f['total'] / 1e6:.2f} M", f"{f['gflops']:.1f}")]
    learns = "yes" if all(f["learns"] for f in tried) else "no"
    worst = [f"{max(f[key] for f in tried):.0e}" for key in ("fuse", "onnx")]
    return [f"`{r['model']}`", r["family"], f"{tried[0]['parameters'] / 1e6:.2f} M", *sizes, learns, *worst]
