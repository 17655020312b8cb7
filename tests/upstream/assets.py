"""Makes the data and the weights that Ultralytics' own tests download: drawn images and barely trained models.

They have the names that the tests ask for, and lie where Ultralytics looks before it downloads: run this with
`YOLO_CONFIG_DIR` set to the settings whose folders it shall fill.
"""

import json
import shutil
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from ultralytics import RTDETR, YOLO
from ultralytics.cfg import TASK2DATA, TASK2MODEL
from ultralytics.models.sam.build import build_mobile_sam
from ultralytics.nn.tasks import ClassificationModel, DetectionModel
from ultralytics.utils import ASSETS, DATASETS_DIR, ROOT, WEIGHTS_DIR, YAML

PHOTOGRAPHS = [cv2.resize(cv2.imread(str(ASSETS / name)), (320, 240)) for name in ("bus.jpg", "zidane.jpg")]
BUILT = {
    **{f"yolo26s{task}.pt": f"yolo26s{task}.yaml" for task in ("", "-seg", "-pose", "-obb")},
    "yolo11n.pt": "yolo11n.yaml",
    "yolov5nu.pt": "yolov5n.yaml",
    "rtdetr-l.pt": "rtdetr-l.yaml",
    "FastSAM-s.pt": "yolov8s-seg.yaml",
    "yoloe-26n-seg.pt": "yoloe-26n-seg.yaml",
    "yoloe-26n-seg-pf.pt": "yoloe-26n-seg.yaml",
}
"""Weights that the tests load and do not train: the file, and the YAML that it is built from."""
VIDEOS = {
    "solutions_ci_demo.mp4": (640, 480),
    "decelera_landscape_min.mov": (640, 360),
    "solution_ci_pose_demo.mp4": (640, 360),
    "solution_ci_parking_demo.mp4": (640, 360),
    "solution_vertical_demo.mp4": (360, 640),
    "decelera_portrait_min.mov": (360, 640),
}
"""Videos of the tests of the solutions, and their sizes."""
FORMATS = {
    "train": {".avif": "AVIF", ".bmp": "BMP", ".dng": "TIFF", ".heic": "AVIF", ".jp2": "JPEG2000", ".jpeg": "JPEG"},
    "val": {".jpg": "JPEG", ".mpo": "MPO", ".png": "PNG", ".tif": "TIFF", ".tiff": "TIFF", ".webp": "WEBP"},
}
"""The twelve suffixes of coco12-formats, and what Pillow writes under each; it has no DNG and no HEIC."""
BOX = "0.25 0.25 0.75 0.25 0.75 0.75 0.25 0.75"
"""The corners of the one object of every image."""
BOX_LABEL = "0.5 0.5 0.5 0.5"
KEYPOINTS = " ".join(f"{0.3 + 0.02 * i:.2f} {0.7 - 0.02 * i:.2f} 2" for i in range(17))


def main() -> None:
    """Make everything; weights come after data, since they are trained on it."""
    data_sets()
    solution_assets()
    with tempfile.TemporaryDirectory() as runs:
        weights(Path(runs))


def photograph(index: int, size: tuple[int, int] = (320, 240)) -> np.ndarray:
    """The photographs of Ultralytics, shifted by a little more for each index."""
    image = np.roll(PHOTOGRAPHS[index % 2], 7 * index, axis=1)
    return cv2.resize(image, size)


def data_sets() -> None:
    """Draw every data set that the tests name."""
    for name in ("coco8", "coco8-grayscale"):
        draw(name, f"0 {BOX_LABEL}\n1 0.3 0.3 0.2 0.2")
    for name in ("coco128", "coco128-seg"):
        draw(name, f"0 {BOX}\n5 {BOX}", splits=["train2017"])
    draw("coco8-seg", f"0 {BOX}\n5 0.1 0.1 0.4 0.1 0.4 0.4")
    draw("coco8-pose", f"0 {BOX_LABEL} {KEYPOINTS}")
    for name in ("dota8", "dota128"):
        draw(name, f"0 {BOX}\n1 {BOX}")
    draw("coco8-multispectral", f"0 {BOX_LABEL}", write=write_ten_channels, suffix=".tiff")
    for split, formats in FORMATS.items():
        for suffix, kind in formats.items():
            draw("coco12-formats", f"0 {BOX_LABEL}", splits=[split], suffix=suffix, images=1, write=writer(kind))
    draw("cityscapes8", targets=("masks", mask))
    draw("depth8-png", targets=("depth", depth))
    for name in ("imagenet10", "imagenet100"):
        classify(name)
    annotations()


def draw(
    name: str,
    label: str = "",
    *,
    splits: list[str] | None = None,
    suffix: str = ".jpg",
    images: int = 4,
    write: Callable[[Path, np.ndarray], object] = lambda file, image: cv2.imwrite(str(file), image),
    targets: tuple[str, Callable[[], np.ndarray]] | None = None,
) -> None:
    """Write images, and the same label file or target image for each of them."""
    for split in splits or ["train", "val"]:
        for index in range(images):
            stem = f"{split}{index}{suffix.strip('.') if images == 1 else ''}"
            image = _file(name, "images", split, stem + suffix)
            write(image, photograph(index))
            if targets:
                folder, target = targets
                cv2.imwrite(str(_file(name, folder, split, stem + ".png")), target())
            else:
                _file(name, "labels", split, stem + ".txt").write_text(label + "\n", encoding="utf-8")


def _file(name: str, *parts: str) -> Path:
    file = DATASETS_DIR.joinpath(name, *parts)
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


def writer(kind: str) -> Callable[[Path, np.ndarray], None]:
    """A function that writes an image in a format of Pillow."""
    return lambda file, image: Image.fromarray(image[..., ::-1].copy()).save(file, format=kind)


def write_ten_channels(file: Path, image: np.ndarray) -> None:
    """Write the image as ten grey pages."""
    pages = [Image.fromarray(image[..., i % 3]) for i in range(10)]
    pages[0].save(file, save_all=True, append_images=pages[1:])


def mask() -> np.ndarray:
    """A mask of raw Cityscapes ids: road (7), a car (26) and sky (23)."""
    ids = np.full((240, 320), 7, dtype=np.uint8)
    ids[60:180, 80:240] = 26
    ids[:40] = 23
    return ids


def depth() -> np.ndarray:
    """A slope from one to ten metres, in millimetres."""
    return np.tile(np.linspace(1000, 10000, 320, dtype=np.uint16), (240, 1))


def classify(name: str) -> None:
    """Write one folder per class, named as the data set names them."""
    ids = list(YAML.load(ROOT / "cfg/datasets/ImageNet.yaml")["map"])[: int(name.removeprefix("imagenet"))]
    for split in ("train", "val"):
        for index, synset in enumerate(ids):
            for number in range(2):
                cv2.imwrite(str(_file(name, split, synset, f"{number}.jpg")), photograph(index + number, (64, 64)))


def annotations() -> None:
    """Write a COCO file with one image and one object."""
    box = {"id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 100, "bbox": [10, 10, 10, 10]}
    box["segmentation"] = [[10, 10, 20, 10, 20, 20, 10, 20]]
    image = {"id": 1, "file_name": "000000000001.jpg", "width": 320, "height": 240}
    coco = {"images": [image], "annotations": [box], "categories": [{"id": 1, "name": "person"}]}
    for name in ("instances_val2017.json", "person_keypoints_val2017.json"):
        _file("annotations", name).write_text(json.dumps(coco), encoding="utf-8")


def solution_assets() -> None:
    """Write short videos, an image, parking areas and a zip of images."""
    folder = WEIGHTS_DIR / "solution_assets"
    folder.mkdir(parents=True, exist_ok=True)
    for name, size in VIDEOS.items():
        writer = cv2.VideoWriter(str(folder / name), cv2.VideoWriter_fourcc(*"mp4v"), 10, size)
        for index in range(4):
            writer.write(photograph(2 * index, size))
        writer.release()
    cv2.imwrite(str(folder / "boats.jpg"), photograph(0, (640, 480)))
    areas = [{"points": [[10 + x, 10], [100 + x, 10], [100 + x, 200], [10 + x, 200]]} for x in (0, 150)]
    (folder / "solution_ci_parking_areas.json").write_text(json.dumps(areas), encoding="utf-8")
    with zipfile.ZipFile(folder / "4-imgs-similaritysearch.zip", "w") as archive:
        for index in range(4):
            jpeg = cv2.imencode(".jpg", photograph(index))[1].tobytes()
            archive.writestr(f"4-imgs-similaritysearch/{index}.jpg", jpeg)


def weights(runs: Path) -> None:
    """Train one model of each task for an epoch, and build the others."""
    for task, name in TASK2MODEL.items():
        yolo = YOLO(name.replace(".pt", ".yaml"))
        yolo.train(
            data=TASK2DATA[task], epochs=1, imgsz=32, workers=0, plots=False, val=False, project=str(runs), name=task
        )
        confident(Path(yolo.trainer.last), WEIGHTS_DIR / name)
    for name, config in BUILT.items():
        (RTDETR if "rtdetr" in name else YOLO)(config).save(runs / name)
        confident(runs / name, WEIGHTS_DIR / name)
    grey = DetectionModel("yolo11n.yaml", ch=1, verbose=False)
    torch.save({"model": grey.half(), "train_args": {}}, WEIGHTS_DIR / "yolo11n-grayscale.pt")
    torch.save(build_mobile_sam().state_dict(), WEIGHTS_DIR / "mobile_sam.pt")
    shutil.copy(WEIGHTS_DIR / "yolo26n.pt", WEIGHTS_DIR / "solution_assets" / "solutions_ci_parking_model.pt")
    (WEIGHTS_DIR / "path with spaces").mkdir(exist_ok=True)
    for name in TASK2MODEL.values():
        shutil.copy(WEIGHTS_DIR / name, WEIGHTS_DIR / "path with spaces" / name)


def confident(source: Path, target: Path) -> None:
    """Copy a checkpoint with the first class at even odds everywhere, so that it finds boxes."""
    checkpoint = torch.load(source, map_location="cpu", weights_only=False)
    checkpoint["model"] = checkpoint.get("ema") or checkpoint["model"]
    checkpoint.update(ema=None, optimizer=None, epoch=-1, train_args=checkpoint.get("train_args") or {})
    model = checkpoint["model"]
    if not isinstance(model, ClassificationModel):
        for branches in (getattr(model.model[-1], name, None) for name in ("cv3", "one2one_cv3")):
            for branch in branches or ():
                if isinstance(branch, torch.nn.Sequential) and branch[-1].bias is not None:
                    branch[-1].bias.data[0] = 0
    torch.save(checkpoint, target)


if __name__ == "__main__":
    main()
