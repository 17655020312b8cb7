"""The training of a new backbone: it learns to give the feature maps of the old one. Labels are not used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import ultralytics
from ultralytics.data import YOLODataset
from ultralytics.data.utils import check_cls_dataset, check_det_dataset, verify_image
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.utils import LOGGER, RANK

from . import checkpoints
from .matching import Matching

RECIPE = {
    "name": "transplant",
    "epochs": 10,
    "batch": 4,  # many small steps count more than exact ones
    "momentum": 0.9,
    "cos_lr": True,
    "warmup_epochs": 1.0,
    "warmup_bias_lr": 0.0,
    "close_mosaic": 0,
    "patience": 0,
    "val": False,
    "plots": False,
}
"""Settings of the training, beside the optimizer and its learning rate."""


class Images(YOLODataset):
    """Images without their labels, also where there are some: a label of another task would not be understood."""

    def get_labels(self) -> list[dict[str, Any]]:
        """An empty label for each image that can be read."""
        labels = []
        for file in self.im_files:
            _, readable, _, message = verify_image(((file, 0), self.prefix))
            if message:
                LOGGER.warning(message)
            if readable:
                labels.append(_no_boxes(file))
        self.im_files = [label["im_file"] for label in labels]
        return labels


def _no_boxes(file: str) -> dict[str, Any]:
    """The label of an image without objects, as Ultralytics reads it from a missing file."""
    empty = torch.zeros(0, 5).numpy()
    return {
        "im_file": file,
        "shape": (1, 1),
        "cls": empty[:, :1],
        "bboxes": empty[:, 1:],
        "segments": [],
        "keypoints": None,
        "normalized": True,
        "bbox_format": "xywh",
    }


def images_of(data: str, task: str) -> dict[str, Any]:
    """The images of a data set as Ultralytics describes them: under `train`, the folders or lists of files.

    Args:
        data: A folder of images, or what `data=` takes for the task.
        task: The task of the model.
    """
    if task == "classify":
        return dict(check_cls_dataset(data))
    if Path(data).is_dir():
        return {"train": str(Path(data).resolve())}
    return dict(check_det_dataset(data))


def _model(file: str | Path) -> Any:
    """The model of a checkpoint."""
    return ultralytics.YOLO(file).model


class TransplantTrainer(DetectionTrainer):
    """Trains the backbone and the adapters of a student (see `student.build`) that a checkpoint holds.

    The checkpoint's model has an attribute `transplant`, see `checkpoints.describe`.
    """

    ema: Any

    def get_dataset(self) -> dict[str, Any]:
        """The images, for every task."""
        data = images_of(str(self.args.data), _model(self.args.model).transplant["task"])
        # The trainer makes a loader for validation, too. It is not used.
        return {"channels": 3, **data, "val": data["train"], "names": {0: "object"}, "nc": 1}

    def build_dataset(self, img_path: str, mode: str = "train", batch: int | None = None) -> Images:
        """The images of a split, augmented in training."""
        return Images(
            img_path=img_path,
            imgsz=self.args.imgsz,
            batch_size=batch,
            augment=mode == "train",
            hyp=self.args,
            cache=self.args.cache or None,
            stride=32,
            prefix=f"{mode}: ",
            task="detect",
            data=self.data,
            fraction=self.args.fraction,
        )

    def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = True) -> Any:
        """The student as the checkpoint holds it: with its adapters, which no YAML describes."""
        for parameter in weights.parameters():
            parameter.requires_grad_(True)
        return weights

    def set_model_attributes(self) -> None:
        """Keep the student's classes, which are not those of the data."""
        vars(self.model)["args"] = self.args

    def _build_train_pipeline(self) -> None:
        super(DetectionTrainer, self)._build_train_pipeline()  # not DetectionTrainer's, for which a head must detect

    def _setup_train(self, *args: Any) -> None:
        super()._setup_train(*args)
        student: Any = getattr(self.model, "module", self.model)
        loss: Any = Matching(student, _model(student.transplant["trained"]).to(self.device))
        student.loss = loss
        student.criterion = None  # recent releases look at it after each epoch
        self.loss_names = loss.names

        def add_neck(trainer: Any) -> None:  # of a backbone that knows nothing yet, it makes nothing
            loss.with_neck = trainer.epoch >= trainer.epochs / 2

        self.add_callback("on_train_epoch_start", add_neck)

    def label_loss_items(self, loss_items: Any = None, prefix: str = "train") -> Any:
        """The losses by name, or their names."""
        names = [f"{prefix}/{name}" for name in self.loss_names]  # type: ignore[var-annotated]  # set late
        if loss_items is None:
            return names
        values = loss_items.values() if isinstance(loss_items, dict) else loss_items
        return {name: round(float(value), 5) for name, value in zip(names, values)}

    def validate(self) -> tuple[dict[str, float], float]:
        """Nothing: labels are not used."""
        self.best_fitness: Any = 0.0
        return {}, 0.0

    def final_eval(self) -> None:
        """Write the student without adapters."""
        if RANK in {-1, 0}:
            checkpoints.write(self.ema.ema)
