"""Try timm's models as backbones of YOLO11n and YOLO26n and write docs/timm.md of what was measured.

`python benchmarks/timm_models.py` tries every model below; `… NAME NAME` only some; `… --write` writes the page from
the results so far, which lie in build/timm. A model takes 5 to 30 seconds.
"""

from __future__ import annotations

import json
import sys
import tempfile
import warnings
from copy import deepcopy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime
import timm
import torch
import ultralytics
from torch import nn
from ultralytics import YOLO
from ultralytics.cfg import get_cfg
from ultralytics.utils import ASSETS, LOGGER

from yolo_starnet.errors import YOLOStarNetError
from yolo_starnet.model_yaml import names

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "build" / "timm"
FAMILIES = ("yolo11n", "yolo26n")
SIZES = ((96, 128), (320, 320))
LIMIT = 1e-4
"""Largest relative difference of outputs that counts as none."""
_NAMES = """
mobilenetv4_conv_small mobilenetv3_small_050 mobilenetv2_050 mobileone_s0 resnet10t resnet18 res2net50_26w_4s
resnest14d regnetx_002 regnety_002 efficientnet_lite0 efficientnet_es tf_efficientnetv2_b0 ghostnet_050 ghostnetv2_100
ghostnetv3_100 repghostnet_050 lcnet_050 tinynet_e mixnet_s fbnetc_100 mnasnet_small semnasnet_075 spnasnet_100
convnext_atto convnextv2_atto swin_tiny_patch4_window7_224 swinv2_cr_tiny_224 swinv2_tiny_window8_256 pvt_v2_b0
poolformer_s12 caformer_s18 edgenext_xx_small fastvit_t8 repvit_m0_9 tiny_vit_5m_224 efficientvit_b0 mambaout_femto
hgnetv2_b0 dla34 densenet121 vgg11_bn cspdarknet53 cs3darknet_s darknet53 vovnet39a ese_vovnet19b_dw hrnet_w18_small
rexnet_100 skresnet18 selecsls42b starnet_s1 focalnet_tiny_srf inception_next_atto davit_tiny twins_svt_small
mobilevit_xxs nextvit_small swiftformer_xs dpn48b xception41 rdnet_tiny resnetv2_18 gernet_s repvgg_a0
maxvit_rmlp_pico_rw_256:img_size=128 mvitv2_tiny:img_size=640 mvitv2_tiny maxvit_rmlp_pico_rw_256 coatnet_pico_rw_224
efficientformer_l1 efficientformerv2_s0 efficientvit_m0 vit_tiny_patch16_224 levit_128s nest_tiny visformer_tiny
gcvit_xxtiny hiera_tiny_224 xcit_nano_12_p16_224 mobilevitv2_050 shvit_s1 botnet26t_256 halonet26t inception_v3
tresnet_m cait_xxs24_224 convmixer_768_32 coat_tiny
"""
MODELS = _NAMES.split()
"""Small models of every family that has any, and at the end those that are no backbones; options after a colon."""


def main(argv: list[str]) -> None:
    """Try the models named, all that have no result yet unless some are, and write the page."""
    warnings.simplefilter("ignore")
    LOGGER.setLevel("ERROR")
    RESULTS.mkdir(parents=True, exist_ok=True)
    todo = [a for a in argv if a != "--write"]
    for spec in [] if "--write" in argv else todo or [m for m in MODELS if not _file(m).exists()]:
        result = measure(spec)
        _file(spec).write_text(json.dumps(result, indent=1))
        print(spec, result.get("refused") or result["families"], flush=True)
    results = [json.loads(_file(m).read_text()) for m in MODELS if _file(m).exists()]
    (ROOT / "docs" / "timm.md").write_text(page(results), encoding="utf-8")


def measure(spec: str) -> dict[str, Any]:
    """Everything about one model: what it is, and what it does in each family, or why it is refused."""
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
    text = names.grafted_yaml(names.stock_file(f"{family}.yaml"), "timm", args)
    file = folder / f"my-{family}.yaml"
    file.write_text(text)
    yolo = YOLO(file)
    model = yolo.model
    levels = [p.numel() for p in model.model[0].parameters()]
    gflops = model.info(imgsz=640)[3]
    return {
        "parameters": sum(levels),
        "total": sum(p.numel() for p in model.parameters()),
        "gflops": gflops,
        "learns": all(_learns(model, size) for size in SIZES),
        "fuse": _fuse(_settled(model)),
        "onnx": _onnx(yolo, folder),
    }


def _learns(model: Any, size: tuple[int, int]) -> bool:
    """One step of training on two images of noise with a box each moves the backbone, by gradients that are numbers."""
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
    """Give every BatchNorm the statistics of a few pictures, for a fresh model's outputs hardly depend on the image."""
    norms = [m for m in model.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches
    with torch.no_grad():
        for _ in range(4):
            model.train()(_pictures(4))
    for norm in norms:  # training would not let a channel be blown up, and the rounding errors in it
        norm.running_var.clamp_(min=0.3 * float(norm.running_var.mean()))
    return model


def _pictures(count: int) -> torch.Tensor:
    """Crops of the two photographs that Ultralytics ships, B x 3 x 96 x 128, from 0 to 1."""
    height, width = SIZES[0]
    crops = []
    for i in range(count):
        photograph = cv2.imread(str(ASSETS / ("bus.jpg", "zidane.jpg")[i % 2]))
        top, left = (int(torch.randint(s - 3 * c, (1,))) for s, c in zip(photograph.shape, (height, width)))
        crops.append(cv2.resize(photograph[top : top + 3 * height, left : left + 3 * width], (width, height)))
    return torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float() / 255


def _fuse(model: Any) -> float:
    image = _pictures(1)
    with torch.no_grad():
        before = _raw(model, image)
        return _difference(_raw(deepcopy(model).eval().fuse(verbose=False), image), before)


def _onnx(yolo: YOLO, folder: Path) -> float:
    yolo.model.pt_path = str(folder / "model.pt")
    file = yolo.export(format="onnx", imgsz=list(SIZES[0]), simplify=False)
    image = _pictures(1)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    found = torch.from_numpy(session.run(None, {session.get_inputs()[0].name: image.numpy()})[0])
    with torch.no_grad():
        return _difference(found, _raw(yolo.model, image))


def _raw(model: Any, image: torch.Tensor) -> torch.Tensor:
    """The output before the best are picked, whose order hangs on the last bit."""
    model.eval()
    if hasattr(model, "end2end"):
        model.end2end = False
    return model(image)[0]


def _difference(found: torch.Tensor, expected: torch.Tensor) -> float:
    assert found.shape == expected.shape, (found.shape, expected.shape)
    boxes, scores = (found - expected).abs().split((4, found.shape[1] - 4), 1)
    return max(float(boxes.max() / expected[:, :4].abs().max()), float(scores.max()))  # scores reach to 1


def page(results: list[dict[str, Any]]) -> str:
    """The text of docs/timm.md."""
    works = [r for r in results if not r.get("refused")]
    refused = [r for r in results if r.get("refused")]
    good = [r for r in works if all(_passes(f) for f in r["families"].values())]
    lines = [
        "# timm models as backbones\n",
        "Written by `benchmarks/timm_models.py` from what it measured with "
        f"Ultralytics {ultralytics.__version__}, timm {timm.__version__} and torch {torch.__version__.split('+')[0]}. "
        f"Each model was put into YOLO11n and YOLO26n, ran forward and backward and trained a step at "
        f"{' and '.join(f'{h} x {w}' for h, w in SIZES)} (H x W), was fused and exported to ONNX. The last columns are "
        "the largest difference of the outputs after `fuse()` and of the ONNX file, of boxes relative to the largest "
        "and of scores as they are, the larger of the two families'; GFLOPs are at 640 x 640 and 80 classes, "
        "as `YOLO.info()` counts, which errs where a model attends or pads its image (MaxViT, MViT). "
        f"{len(good)} models of "
        f"{len({r['family'] for r in good})} families pass all of it with differences up to {LIMIT:g}.\n",
        "| model | timm family | backbone | YOLO11n | GFLOPs | YOLO26n | GFLOPs | learns | fuse | ONNX |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for r in sorted(works, key=lambda r: r["families"].get("yolo11n", {}).get("gflops", 1e9)):
        lines.append(_row(r))
    lines += ["\n## Refused\n", "| model | why |", "| --- | --- |"]
    lines += [f"| `{r['model']}` | {r['refused'].replace('|', '/')} |" for r in refused]
    return "\n".join(lines) + "\n"


def _passes(f: dict[str, Any]) -> bool:
    return "failed" not in f and f["learns"] and f["fuse"] <= LIMIT and f["onnx"] <= LIMIT


def _row(r: dict[str, Any]) -> str:
    found = [r["families"][family] for family in FAMILIES]
    failed = [f["failed"] for f in found if "failed" in f]
    if failed:
        return f"| `{r['model']}` | {r['family']} | failed: {failed[0]} | | | | | | | |"
    millions = [f"{f['total'] / 1e6:.2f} M | {f['gflops']:.1f}" for f in found]
    learns = "yes" if all(f["learns"] for f in found) else "no"
    worst = [f"{max(f[key] for f in found):.0e}" for key in ("fuse", "onnx")]
    cells = [f"`{r['model']}`", r["family"], f"{found[0]['parameters'] / 1e6:.2f} M", *millions, learns, *worst]
    return f"| {' | '.join(cells)} |"


def _file(spec: str) -> Path:
    return RESULTS / f"{spec.replace(':', '-')}.json"


if __name__ == "__main__":
    main(sys.argv[1:])
