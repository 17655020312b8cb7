"""Track objects and count those that cross a line, with supervision. Usage: python supervision_tracking.py BEST.PT.

train.py writes such a checkpoint.
"""

import sys
from pathlib import Path

import cv2
import numpy as np
import supervision as sv
from ultralytics import YOLO
from ultralytics.data.utils import check_det_dataset

import yolo_starnet  # noqa: F401  # lets the checkpoint of a StarNet model be loaded

FRAMES = 24
model = YOLO(sys.argv[1])
image = cv2.imread(str(min(Path(check_det_dataset("shapes")["val"]).glob("*"))))
height, width = image.shape[:2]

line = sv.LineZone(start=sv.Point(width // 2, 0), end=sv.Point(width // 2, height))
boxes, traces = sv.BoxAnnotator(), sv.TraceAnnotator()
identities: set[int] = set()
with sv.VideoSink("tracked.mp4", sv.VideoInfo(width, height, fps=10)) as video:
    for step in range(FRAMES):
        frame = np.roll(image, 4 * step, axis=1)  # a camera that pans; your video: sv.get_video_frames_generator(file)
        (result,) = model.track(frame, persist=True, tracker="bytetrack.yaml", imgsz=160, verbose=False)
        tracked = sv.Detections.from_ultralytics(result)
        if tracked.tracker_id is not None:
            identities.update(tracked.tracker_id.tolist())
            line.trigger(tracked)
            frame = traces.annotate(boxes.annotate(frame.copy(), tracked), tracked)
        video.write_frame(frame)
crossed = line.in_count + line.out_count
print(f"{len(identities)} objects tracked over {FRAMES} frames, {crossed} crossed the line; drawn into tracked.mp4")
