"""Find small objects in a large image, slice by slice, with sahi. Usage: python sahi_slicing.py BEST.PT.

train.py writes such a checkpoint.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
from sahi import AutoDetectionModel
from sahi.predict import get_prediction, get_sliced_prediction
from ultralytics.data.utils import check_det_dataset

import yolo_starnet  # noqa: F401  # lets the checkpoint of a StarNet model be loaded

files = sorted(Path(check_det_dataset("shapes")["val"]).glob("*"))[:16]
tiles = [cv2.resize(cv2.imread(str(file)), (160, 160)) for file in files]
large = cv2.cvtColor(np.vstack([np.hstack(tiles[i : i + 4]) for i in range(0, 16, 4)]), cv2.COLOR_BGR2RGB)

model = AutoDetectionModel.from_pretrained(
    "ultralytics", model_path=sys.argv[1], confidence_threshold=0.25, device="cpu", image_size=160
)
whole = get_prediction(large, model).object_prediction_list  # 640 x 640 pixels, seen at 160 x 160
sliced = get_sliced_prediction(large, model, slice_height=160, slice_width=160, perform_standard_pred=False, verbose=0)
sliced.export_visuals(".", file_name="sliced")
found = len(sliced.object_prediction_list)
print(f"{len(whole)} objects in the whole image, {found} in its slices; drawn into sliced.png")
