"""Try one model of timm as a backbone: train a step, fuse, export to ONNX."""

from __future__ import annotations

import tempfile
from copy import deepcopy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import timm
import torch
from torch import nn
from ultralytics import YOLO
from ultralytics.cfg import get_cfg
from ultralytics.utils import ASSETS

from timm_cases import FAMILIES, SIZES
from yolo_starnet.errors import YOLOStarNetError
from yolo_starnet.measuring import figures
from yolo_starnet.model_yaml import names


def measure(spec: str) -> dict[str, Any]:
    """The results of one model in each family, or why it is refused; `spec` is a name of timm and options."""
    name, _, options = spec.partition(":")
    args: dict[str, Any] = {"model": name, **{k: int(v) for k, v in (o.split("=") for o in options.split(",") if o)}}
    entry = timm.models.model_entrypoint(name).__module__.rpartition(".")[-1]
    result: dict[str, Any] = {"model": spec, "family": entry, "families": {}}
    for family in FAMILIES:
        with tempfile.TemporaryDirectory() as folder:
            try:
                result["families"][family] = _try(family, args, Path(folder))
            except YOLOStarNetError as error:
                result["refused"] = str(error).split(".yaml: ", 1)[-1]
            except Exception as error:
                result["families"][family] = {"failed": f"{type(error).__name__}: {error}"[:300]}
    return result


def _try(family: str, args: dict[str, Any], folder: Path) -> dict[str, Any]:
    torch.manual_seed(0)
    stock = names.stock_file(f"{family}.yaml")
    if stock is None:
        raise ValueError(f"the installed Ultralytics has no {family}.yaml")
    text = names.grafted_yaml(stock, "timm", args)
    file = folder / f"my-{family}.yaml"
    file.write_text(text)
    yolo: Any = YOLO(file)
    model = yolo.model
    return {
        "parameters": sum(p.numel() for p in model.model[0].parameters()),
        "total": sum(p.numel() for p in model.parameters()),
        "gflops": figures.of_model(model).gflops,
        "learns": all(_learns(model, size) for size in SIZES),
        "fuse": _fuse(_settled(model)),
        "onnx": _onnx(yolo, folder),
    }


def _learns(model: Any, size: tuple[int, int]) -> bool:
    """Whether one training step on noise changes the backbone, with a finite loss and finite gradients."""
    args, model.args = model.args, get_cfg()  # what a trainer sets
    boxes = torch.tensor([[0.5, 0.5, 0.4, 0.6], [0.4, 0.4, 0.5, 0.5]])
    batch = {
        "img": torch.rand(2, 3, *size),
        "cls": torch.zeros(2, 1),
        "bboxes": boxes,
        "batch_idx": torch.tensor([0.0, 1]),
    }
    optimizer = torch.optim.SGD(model.train().parameters(), lr=1e-5)
    loss = model(batch)[0].sum()
    loss.backward()
    weights = [p for p in model.model[0].parameters() if p.grad is not None]
    before = [w.detach().clone() for w in weights]
    optimizer.step()
    model.args = args
    moved = any(not torch.equal(a, b) for a, b in zip(before, weights))
    return bool(loss.isfinite()) and moved and all(bool(w.grad.isfinite().all()) for w in weights)


def _settled(model: Any) -> Any:
    """Give every BatchNorm the statistics of photographs; without them the outputs hardly depend on the image."""
    norms: list[Any] = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches
    with torch.no_grad():
        for _ in range(4):
            model.train()(_pictures(4))
    for norm in norms:  # a tiny variance would magnify rounding errors, as it does not after a training
        norm.running_var.clamp_(min=0.3 * float(norm.running_var.mean()))
    return model


def _pictures(count: int) -> torch.Tensor:
    """Crops of the two photographs that Ultralytics ships, B x 3 x 96 x 128, from 0 to 1."""
    height, width = SIZES[0]
    crops = []
    for i in range(count):
        photograph: Any = cv2.imread(str(ASSETS / ("bus.jpg", "zidane.jpg")[i % 2]))
        top, left = (int(torch.randint(s - 3 * c, (1,))) for s, c in zip(photograph.shape, (height, width)))
        crops.append(cv2.resize(photograph[top : top + 3 * height, left : left + 3 * width], (width, height)))
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255


def _fuse(model: Any) -> float:
    image = _pictures(1)
    with torch.no_grad():
        before = _raw(model, image)
        return _difference(_raw(deepcopy(model).eval().fuse(verbose=False), image), before)


def _onnx(yolo: Any, folder: Path) -> float:
    yolo.model.pt_path = str(folder / "model.pt")
    file = yolo.export(format="onnx", imgsz=list(SIZES[0]), simplify=False)
    image = _pictures(1)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    actual = torch.from_numpy(session.run(None, {session.get_inputs()[0].name: image.numpy()})[0])
    with torch.no_grad():
        return _difference(actual, _raw(yolo.model, image))


def _raw(model: Any, image: torch.Tensor) -> torch.Tensor:
    """The output before the best boxes are picked; their order depends on rounding."""
    model.eval()
    if hasattr(model, "end2end"):
        model.end2end = False
    return model(image)[0]


def _difference(actual: torch.Tensor, expected: torch.Tensor) -> float:
    assert actual.shape == expected.shape, (actual.shape, expected.shape)
    boxes, scores = (actual - expected).abs().split((4, actual.shape[1] - 4), 1)
    return max(float(boxes.max() / expected[:, :4].abs().max()), float(scores.max()))  # scores are at most 1
