"""Differences between PyTorch's predictions and those of an exported file."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torchvision.ops import box_iou

from export_cases import CONF, Case
from yolo_starnet.demo import datasets

PIXELS = 1.0
"""Largest difference of boxes and keypoints that counts as agreement."""
CONFIDENCE = 0.01
"""Largest difference of confidences, probabilities and angles in radians."""
SHARE = 0.01
"""Largest share of differing pixels of a mask or a map; largest relative difference of a distance."""
POINTS = 0.02
"""Largest difference of mAP50-95."""


def agrees(case: Case, outcome: dict[str, Any]) -> bool:
    """Whether the differences of a result are small enough."""
    if "failed" in outcome or "boxes" not in outcome:
        return False
    if case.calibrated:
        return abs(outcome["map"][1] - outcome["map"][0]) <= POINTS
    limits = {"px": PIXELS, "keypoint_px": PIXELS, "conf": CONFIDENCE, "prob": CONFIDENCE, "angle": CONFIDENCE}
    limits |= {"mask_share": SHARE, "map_share": SHARE}
    judged = outcome.get("raw") or outcome["boxes"]
    boxes = outcome["boxes"]
    same = bool(outcome.get("raw")) or boxes.get("pytorch") == boxes.get("export") == boxes.get("matched")
    return same and all(judged[k] <= limit for k, limit in limits.items() if k in judged)


def compare_raw(case: Case, expected: list[np.ndarray], actual: list[np.ndarray]) -> dict[str, Any]:
    """Largest differences of candidates with a confidence of `CONF` in PyTorch, in pixels of the network's image."""
    a, b = (next(y for y in ys if y.ndim == 3)[0].astype(np.float64) for ys in (expected, actual))
    assert a.shape == b.shape, (a.shape, b.shape)
    classes = len(datasets.CLASSES)
    kept = a[4 : 4 + classes].max(0) >= CONF
    a, b = a[:, kept], b[:, kept]
    corners = [np.concatenate([y[:2] - y[2:4] / 2, y[:2] + y[2:4] / 2]) for y in (a, b)]
    scores = (y[4 : 4 + classes] for y in (a, b))
    result = {"raw": {"count": int(kept.sum()), "px": _difference(*corners), "conf": _difference(*scores)}}
    rest = [y[4 + classes :] for y in (a, b)]
    if case.task == "obb":
        result["raw"]["px"] = _difference(a[:4], b[:4])  # a rotated box has centre and sides
        result["raw"]["angle"] = _difference(*rest)
    if case.task == "pose":
        result["raw"]["keypoint_px"] = max(_difference(*(y[i::3] for y in rest)) for i in (0, 1))
    if case.task == "segment":
        protos = [next(y for y in ys if y.ndim == 4)[0] for ys in (expected, actual)]
        masks = [np.einsum("cn,chw->nhw", y, p) > 0 for y, p in zip(rest, protos)]
        result["raw"]["mask_share"] = float((masks[0] != masks[1]).mean((1, 2)).max(initial=0))
    return result


def compare(case: Case, expected: Any, actual: Any) -> dict[str, Any]:
    """Differences of the results of `predict`."""
    if case.task == "classify":
        return {"boxes": {"prob": _difference(expected.probs.data.numpy(), actual.probs.data.numpy())}}
    if case.task == "semantic":
        a, b = (r.semantic_mask.data for r in (expected, actual))
        return {"boxes": {"map_share": float((a != b).float().mean())}}
    if case.task == "depth":
        a, b = (r.depth.data.float() for r in (expected, actual))
        return {"boxes": {"map_share": float(((a - b).abs() / a).max())}}
    boxes = [r.obb if case.task == "obb" else r.boxes for r in (expected, actual)]
    a, b = (torch.cat([y.xyxy.float(), y.conf[:, None], y.cls[:, None]], 1).cpu() for y in boxes)
    # Boxes in the padding beside the photograph are clipped to nothing.
    a, b = (y[(y[:, 2:4] - y[:, :2]).amin(1) >= 1] for y in (a, b))
    pairs = _pairs(a, b)
    px = max((_difference(a[i, :4], b[j, :4]) for i, j in pairs), default=0.0)
    conf = max((_difference(a[i, 4], b[j, 4]) for i, j in pairs), default=0.0)
    return {"boxes": {"pytorch": len(a), "export": len(b), "matched": len(pairs), "px": px, "conf": conf}}


def _pairs(a: torch.Tensor, b: torch.Tensor) -> list[tuple[int, int]]:
    """Pairs of boxes of the same class with an IoU over 0.5, the best first, each box in one pair."""
    overlap = box_iou(a[:, :4], b[:, :4]) * (a[:, None, 5] == b[None, :, 5])
    pairs = []
    while overlap.numel() and overlap.max() > 0.5:
        i, j = divmod(int(overlap.argmax()), len(b))
        pairs.append((i, j))
        overlap[i], overlap[:, j] = 0, 0
    return pairs


def merge(outcome: dict[str, Any], more: dict[str, dict[str, Any]]) -> None:
    """Add up counts and keep the largest of differences over the photographs."""
    for name, values in more.items():
        known = outcome.setdefault(name, {})
        for key, value in values.items():
            known[key] = known.get(key, 0) + value if isinstance(value, int) else max(known.get(key, 0.0), value)


def _difference(a: Any, b: Any) -> float:
    """The largest absolute difference; NaN counts as infinite."""
    difference = np.abs(np.asarray(a, dtype=np.float64) - np.asarray(b, dtype=np.float64))
    return float(np.nan_to_num(difference, nan=1e9).max(initial=0))
