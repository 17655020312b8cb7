"""Detect objects with an exported ONNX file, without torch: python detect.py best.onnx image.jpg video.mp4."""

import argparse
import ast
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import cv2
import numpy as np
import onnxruntime

IMAGES = {".jpg", ".jpeg", ".png", ".bmp", ".webp"}


class Detector:
    """A detector in an ONNX file that Ultralytics exported: YOLOv8 to YOLO26, with or without nms=True."""

    def __init__(self, file: str) -> None:
        self.session = onnxruntime.InferenceSession(file, providers=onnxruntime.get_available_providers())
        about = self.session.get_modelmeta().custom_metadata_map
        self.names, self.size = ast.literal_eval(about["names"]), ast.literal_eval(about["imgsz"])
        self.input = self.session.get_inputs()[0]

    def __call__(self, image: np.ndarray, conf: float = 0.25, iou: float = 0.7) -> np.ndarray:
        """Return a row x1, y1, x2, y2, confidence, class for each object in a BGR image, in its pixels."""
        batch = letterbox(image, *self.size).astype(np.float16 if "float16" in self.input.type else np.float32)
        output = self.session.run(None, {self.input.name: batch})[0][0].astype(np.float32)
        return to_image(decode(output, conf, iou), image, *self.size)


def fit(image: np.ndarray, height: int, width: int) -> tuple[float, int, int]:
    """The scale of an image inside the network's, and the grey columns and rows before it."""
    gain = min(height / image.shape[0], width / image.shape[1])
    left, top = ((a - round(b * gain)) / 2 for a, b in zip((width, height), image.shape[1::-1]))
    return gain, round(left - 0.1), round(top - 0.1)


def letterbox(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Scale an image into the middle of a grey one, and return it as 1 x 3 x height x width, RGB from 0 to 1."""
    gain, left, top = fit(image, height, width)
    w, h = (round(side * gain) for side in image.shape[1::-1])
    canvas = np.full((height, width, 3), 114, np.uint8)
    canvas[top : top + h, left : left + w] = cv2.resize(image, (w, h)) if image.shape[:2] != (h, w) else image
    return np.ascontiguousarray(canvas[None, ..., ::-1].transpose(0, 3, 1, 2), dtype=np.float32) / 255


def decode(output: np.ndarray, conf: float, iou: float) -> np.ndarray:
    """Turn what the network returns into rows x1, y1, x2, y2, confidence, class, in the pixels of the network."""
    if output.shape[1] == 6:  # nms=True, and YOLO26 with nms=False, have such rows, without duplicates
        return output[output[:, 4] > conf]
    boxes, scores = output[:4].T, output[4:].T  # centre, width, height; a score for each class
    kept = scores.max(1) > conf
    boxes, classes, scores = boxes[kept], scores[kept].argmax(1), scores[kept].max(1)
    boxes[:, :2] -= boxes[:, 2:] / 2
    best = cv2.dnn.NMSBoxesBatched(boxes.tolist(), scores.tolist(), classes.tolist(), conf, iou)[:300]
    best = np.asarray(best, dtype=int)  # of no boxes, OpenCV returns an empty tuple
    boxes[:, 2:] += boxes[:, :2]
    return np.column_stack([boxes, scores, classes])[best]


def to_image(rows: np.ndarray, image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Move boxes from the pixels of the network to those of the image."""
    gain, left, top = fit(image, height, width)
    rows[:, :4] = ((rows[:, :4] - [left, top, left, top]) / gain).clip(0, [*image.shape[1::-1]] * 2)
    return rows


def draw(image: np.ndarray, rows: np.ndarray, names: dict[int, str]) -> np.ndarray:
    """Draw boxes with class and confidence onto an image."""
    for x1, y1, x2, y2, score, index in rows.tolist():
        colour = [(37 * (int(index) + 1) * k) % 256 for k in (5, 3, 1)]
        cv2.rectangle(image, (round(x1), round(y1)), (round(x2), round(y2)), colour, 2)
        cv2.putText(image, f"{names[index]} {score:.2f}", (round(x1), round(y1) - 4), 0, 0.5, colour, 1, cv2.LINE_AA)
    return image


def frames(source: str) -> Iterator[np.ndarray]:
    """An image, or the frames of a video or of the camera of a number."""
    if Path(source).suffix.lower() in IMAGES:
        yield cv2.imread(source)
        return
    capture = cv2.VideoCapture(int(source) if source.isdigit() else source)
    while (read := capture.read())[0]:
        yield read[1]


def writer(folder: Path, source: str, image: np.ndarray) -> Callable[[np.ndarray], object]:
    """A function that writes what is drawn: an image, or frame after frame of a video."""
    folder.mkdir(parents=True, exist_ok=True)
    if Path(source).suffix.lower() in IMAGES:
        return lambda drawn: cv2.imwrite(str(folder / Path(source).name), drawn)
    file = str(folder / f"{Path(source).stem}.mp4")
    return cv2.VideoWriter(file, cv2.VideoWriter.fourcc(*"mp4v"), 25, image.shape[1::-1]).write


def main() -> None:
    """Print the objects of every frame and the frames a second, and write the drawn frames to a folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model")
    parser.add_argument("sources", nargs="+", help="images, videos, or the number of a camera")
    parser.add_argument("--conf", type=float, default=0.25)
    parser.add_argument("--iou", type=float, default=0.7)
    parser.add_argument("--out", type=Path, default=Path("drawn"))
    given = parser.parse_args()
    detector, seconds = Detector(given.model), []
    for source in given.sources:
        write = None
        for image in frames(source):
            start = time.perf_counter()
            rows = detector(image, given.conf, given.iou)
            seconds.append(time.perf_counter() - start)
            for *box, score, index in rows.tolist():
                print(f"{source} {detector.names[index]} {score:.4f}", *(f"{x:.2f}" for x in box))
            write = write or writer(given.out, source, image)
            write(draw(image, rows, detector.names))
    print(f"{len(seconds)} frames, {1 / np.median(seconds):.1f} frames a second")


if __name__ == "__main__":
    main()
