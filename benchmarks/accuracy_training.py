"""Train one run of accuracy.py in this process: `python accuracy_training.py RUN_AS_JSON PARENT_PROCESS_ID`."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from typing import Any

import torch
import ultralytics
from ultralytics import YOLO
from ultralytics.utils.torch_utils import get_cpu_info

from accuracy_runs import MACHINE, Run, as_words
from yolo_starnet.measuring import figures  # activates the plugin: its models and its built-in data


def train(run: Run, parent: int) -> None:
    """Train a model, from its last checkpoint if there is one."""
    last = run.folder / "weights" / "last.pt"
    yolo: Any = YOLO(last if last.exists() else run.model)

    def begin(trainer: Any) -> None:
        torch.set_num_threads(1)  # Ultralytics takes more, which other runs need
        (run.folder / "run.json").write_text(json.dumps({"run": asdict(run), "about": _about(run, trainer)}))

    def end_with_parent(trainer: Any) -> None:
        if os.getppid() != parent:  # another process may start the same run again
            raise SystemExit("the process that started this one has ended")

    yolo.add_callback("on_train_start", begin)
    yolo.add_callback("on_train_batch_end", end_with_parent)
    machine = {k: v for k, v in run.settings.items() if k in MACHINE}
    if last.exists():
        yolo.train(resume=True, **machine)
    else:
        place = {"project": str(run.folder.parent), "name": run.folder.name, "exist_ok": True, "plots": False}
        # Without patience, so that all curves have the same length.
        yolo.train(**{"data": run.data, "seed": run.seed, "patience": 0, **place, **machine, **run.recipe_settings})


def _about(run: Run, trainer: Any) -> dict[str, Any]:
    """The columns of the CSV that describe model, settings and machine."""
    size = figures.of_file(run.model)
    cuda = trainer.device.type == "cuda"
    return {
        "parameters": size.parameters,
        "gflops": f"{size.gflops:.2f}",
        "settings": " ".join(as_words(run.recipe_settings)),
        "torch": torch.__version__,
        "ultralytics": ultralytics.__version__,
        "device": torch.cuda.get_device_name(trainer.device) if cuda else get_cpu_info(),
    }


if __name__ == "__main__":
    train(Run(**json.loads(sys.argv[1])), int(sys.argv[2]))
