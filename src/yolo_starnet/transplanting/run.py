"""Transplants from beginning to end: check what was given, build the student, train it, write it."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import ultralytics
from ultralytics.data.utils import IMG_FORMATS
from ultralytics.utils import DEFAULT_CFG, LOGGER
from ultralytics.utils.checks import parse_version

from .. import files
from ..errors import BackboneError, ConfigError
from ..model_yaml import names
from ..optimizers import HAS_MUSGD
from ..plugins import table
from . import checkpoints, student, trainer

BACKBONE = "starnet_fit"
"""The backbone that a model is put on by default."""

FIRST_RELEASE = "8.3.160"
"""The first release of Ultralytics whose trainer `trainer.TransplantTrainer` can extend."""


def transplant(
    model: str | Path,
    backbone: str = BACKBONE,
    data: str | Path = "",
    out: str | Path = "",
    pretrained: bool | str = False,
    **settings: Any,
) -> Path:
    """Put a trained model on another backbone.

    The rows that stay keep their tensors. The new backbone learns to give the feature maps of the old one on the images
    of `data`; labels are not used.

    Args:
        model: A trained checkpoint of Ultralytics, of any task.
        backbone: A backbone as in a config name, such as `starnet_s1` or `timm_mobilenetv4_conv_small`.
        data: A folder of images, or a data set as in `train`. Without it, the new backbone stays untrained.
        out: The checkpoint to write. The default is the name of `model` and the backbone, in the current folder.
        pretrained: Start the new backbone from ImageNet weights: true, or the path of a file with them, as in a row. A
            StarNet then has width 1.0, the only one that the weights fit.
        settings: Settings of the training, as in `train`: `epochs`, `imgsz`, `batch`, `device`, `workers`, ...

    Returns:
        The checkpoint. It predicts, exports and trains on as any other.

    Raises:
        ConfigError: A file is missing or exists already, `data` has no images, or Ultralytics is too old.
        BackboneError: The backbone of the model cannot be replaced.
    """
    file = Path(out or f"{Path(model).stem}-{backbone}.pt")
    _check_release()
    with files.explained(file):
        files.check_new(file)
    yolo = _load(model)
    new = _build(yolo, str(model), backbone, pretrained)
    if data:
        _check_images(str(data), yolo.task)
    checkpoints.describe(new.model, yolo, file)
    if not data:
        LOGGER.info("yolo-starnet: data= is not given, so the new backbone is not trained")
        checkpoints.write(new.model, is_trained=False)
        return file
    with tempfile.TemporaryDirectory() as folder:
        begin = Path(folder, "student.pt")
        checkpoints.begin(new.model, begin)
        imgsz = yolo.overrides.get("imgsz", DEFAULT_CFG.imgsz)
        _train({"imgsz": imgsz, **settings, "model": str(begin), "data": str(data)})
    return file


def resume(last: str | Path, **settings: Any) -> Path:
    """Continue an interrupted transplant.

    Args:
        last: The `weights/last.pt` of its run folder.
        settings: Settings that Ultralytics lets a resumed training change, such as `device` and `workers`.

    Returns:
        The checkpoint that the transplant was to write.

    Raises:
        ConfigError: The file is no checkpoint of a transplant.
    """
    described = getattr(_load(last).model, "transplant", None)
    if described is None:
        raise ConfigError(f"{last} was not written by a transplant; give the weights/last.pt of its run folder")
    _train({**settings, "model": str(last), "resume": str(last)})
    return Path(described["out"])


def _check_release() -> None:
    if parse_version(ultralytics.__version__) < parse_version(FIRST_RELEASE):
        raise ConfigError(
            f"transplant needs Ultralytics {FIRST_RELEASE} or later, the installed one is {ultralytics.__version__}; "
            "run pip install -U ultralytics"
        )


def _load(model: str | Path) -> Any:
    """A trained model, downloaded if Ultralytics knows its name."""
    if Path(model).suffix != ".pt":
        raise ConfigError(f"'{model}' is no trained checkpoint; give a .pt file, such as yolo11n.pt or your best.pt")
    return ultralytics.YOLO(model)


def _build(yolo: Any, model: str, backbone: str, pretrained: bool | str) -> student.Student:
    """The student, and in the log what it could not take over."""
    name, args = names.parse_backbone(backbone, table())
    if pretrained:
        width = {"width": 1.0} if "width" in table()[name].options else {}
        args = {**width, **dict(args), "pretrained": pretrained}
    try:
        new = student.build(yolo.model, name, args)
    except BackboneError as error:
        raise BackboneError(f"{model} cannot be put on '{backbone}': {error}") from error
    LOGGER.info(f"yolo-starnet: {new.carried} tensors of {model} carried over")
    for line in new.left:
        LOGGER.warning(f"yolo-starnet: not carried over, as the shapes differ: {line}")
    return new


def _check_images(data: str, task: str) -> None:
    """Refuse a data set without images before anything is written."""
    found = trainer.images_of(data, task)["train"]
    for place in found if isinstance(found, list) else [found]:
        path = Path(place)
        if path.is_file() or any(f.suffix[1:].lower() in IMG_FORMATS for f in path.rglob("*.*")):
            return
    raise ConfigError(f"data={data} has no images ({found} holds none); give a folder of images or a data YAML")


def _train(settings: dict[str, Any]) -> None:
    """Train a student by the recipe, where the settings do not say otherwise."""
    fast = {"optimizer": "MuSGD", "lr0": 0.05} if HAS_MUSGD else {"optimizer": "AdamW", "lr0": 0.004}
    arguments = {**trainer.RECIPE, **fast, **settings}
    # Ultralytics would collect the gradients of 64 images for a step. A batch below 1 is a share of the memory.
    step = {"nbs": arguments["batch"]} if arguments["batch"] >= 1 else {}
    trainer.TransplantTrainer(overrides={**step, **arguments}).train()
