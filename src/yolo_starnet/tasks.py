"""The one table of tasks: how stock names end, what is trained by default, which built-in data set fits."""

from __future__ import annotations

from typing import NamedTuple


class Task(NamedTuple):
    """What belongs to a task of Ultralytics.

    Attributes:
        suffix: The end of the stem of its stock model names: `-seg` in `yolo11n-seg.yaml`.
        model: The config name that `yolo-starnet train` trains by default.
        data: The name of its built-in data set.
    """

    suffix: str
    model: str
    data: str


TASKS = {
    "detect": Task("", "yolo11n-starnet_fit.yaml", "shapes"),
    "segment": Task("-seg", "yolo11n-starnet-seg.yaml", "shapes-seg"),
    "pose": Task("-pose", "yolo11n-starnet-pose.yaml", "shapes-pose"),
    "obb": Task("-obb", "yolo11n-starnet-obb.yaml", "shapes-obb"),
    "classify": Task("-cls", "yolo11n-starnet-cls.yaml", "shapes-cls"),
    "semantic": Task("-sem", "yolo26n-starnet-sem.yaml", "shapes-semantic"),
    "depth": Task("-depth", "yolo26n-starnet-depth.yaml", "shapes-depth"),
}
"""Every task that StarNet models exist for, by the name that Ultralytics gives it."""
