"""Put a trained YOLO on a lighter backbone, without labels. Usage: python transplant.py [BEST.PT [EPOCHS]]."""

import sys

from ultralytics import YOLO

import yolo_starnet

trained = sys.argv[1] if len(sys.argv) > 1 else "yolo11n.pt"  # Ultralytics downloads its own checkpoints
epochs = int(sys.argv[2]) if len(sys.argv) > 2 else 10
images = "shapes"  # a folder of images like those that the model will see, or a data set; labels are not used

file = yolo_starnet.transplant(trained, backbone="starnet_fit", data=images, epochs=epochs)
before, after = YOLO(trained), YOLO(file)
for name, model in ("before", before), ("after", after):
    _, parameters, _, gflops = model.info()
    print(f"{name}: {parameters:,} parameters, {gflops:.1f} GFLOPs")
print(f"written to {file}")
