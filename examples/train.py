"""Train a StarNet model on built-in images, offline. Usage: python train.py [EPOCHS]."""

import sys

from ultralytics import YOLO

import yolo_starnet  # noqa: F401  # makes the names of StarNet models known

epochs = int(sys.argv[1]) if len(sys.argv) > 1 else 18  # about ten seconds each on two CPU cores
model = YOLO("yolo11n-starnet.yaml")
metrics = model.train(
    data="shapes",  # or your own data.yaml; then leave out what follows, except epochs
    epochs=epochs,
    imgsz=160,
    batch=8,
    nbs=8,
    optimizer="AdamW",
    lr0=0.004,
    warmup_epochs=1,
    cls=2.0,
    mosaic=0.0,
    plots=False,
)
print(f"mAP50-95 {metrics.box.map:.3f}, weights in {model.trainer.best}")
