"""Train a StarNet model on built-in images, offline. Usage: python train.py [EPOCHS]."""

import sys

from ultralytics import YOLO

import yolo_starnet  # noqa: F401  # makes the names of StarNet models known

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 18  # about ten seconds each on two CPU cores
model = YOLO("yolo11n-starnet_fit.yaml")
metrics = model.train(
    data="shapes",  # or your own data.yaml; then leave out what follows, except epochs
    epochs=epochs,
    imgsz=160,
    batch=8,
    nbs=8,
    optimizer="MuSGD",  # since Ultralytics 8.4; before, AdamW with lr0=0.004 and the default momentum
    lr0=0.02,
    momentum=0.9,
    warmup_epochs=1,
    warmup_bias_lr=0.0,
    cls=2.0,
    mosaic=0.0,
    plots=False,
)
print(f"mAP50-95 {metrics.box.map:.3f}, weights in {model.trainer.best}")
