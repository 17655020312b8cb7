"""Crafted and damaged files: with the plugin, Ultralytics accepts and refuses exactly what it does without."""

import io
import json
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import ultralytics
from torch import nn
from ultralytics.nn import tasks

SAFE = hasattr(tasks, "_SafeLoad") and hasattr(torch.serialization, "get_unsafe_globals_in_checkpoint")
restricted = pytest.mark.skipif(not SAFE, reason="this release has no restricted loading")
MARK = "yolo_starnet_requires"
READER = b"ctimm.data.readers.reader_image_in_tar\nReaderImageInTar\n"
OURS = b"cyolo_starnet.feature_maps\nFeatureMaps\n"
"""The class that a checkpoint on a timm model names, which lets classes of timm in."""


def saved(value: object, **options: Any) -> bytes:
    """A file of torch.save."""
    file = io.BytesIO()
    torch.save(value, file, **options)
    return file.getvalue()


def archive(pickled: bytes) -> bytes:
    """A file of torch.save with this pickle in place of its own."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(saved({}))) as source, zipfile.ZipFile(file, "w") as target:
        for name in source.namelist():
            target.writestr(name, pickled if name.endswith("/data.pkl") else source.read(name))
    return file.getvalue()


def named(*classes: bytes) -> bytes:
    """A checkpoint whose pickle refers to these classes and makes nothing of them."""
    return archive(b"\x80\x02" + b"".join(c + b"0" for c in classes) + b"}.")


def called(function: bytes, *arguments: object) -> bytes:
    """A checkpoint whose pickle calls a function, after naming a class of ours."""
    pickled = pickle.dumps(arguments, protocol=2)[2:-1]
    return archive(b"\x80\x02" + OURS + b"0" + function + pickled + b"R.")


def text(value: str) -> bytes:
    """A string of a pickle."""
    return b"X" + struct.pack("<I", len(value)) + value.encode()


WHOLE = saved({"model": nn.Conv2d(3, 8, 3)})
DAMAGED = {
    "empty": b"",
    "text": b"not a checkpoint\n",
    "a mark and text": f"{MARK}: dist evilmod".encode(),
    "a zip of nothing": b"PK\x05\x06" + bytes(18),
    "a zip of another thing": WHOLE.replace(b"data.pkl", b"evil.pkl"),
    "bad CRC": WHOLE.replace(b"out_channels", b"xxx_channels"),
    **{f"truncated at {share}": WHOLE[: int(len(WHOLE) * share)] for share in (0.01, 0.3, 0.6, 0.95)},
    "pickle without an end": archive(b"\x80\x02}"),
    "pickle cut in a text": archive(b"\x80\x02" + text(MARK)[:-3]),
    "pickle cut in a name": archive(b"\x80\x02ctimm.layers"),
    "no pickle": archive(b"\xff\xfe\x00"),
    "empty pickle": archive(b""),
}
CRAFTED = {
    "old format": saved({"model": 1}, _use_new_zipfile_serialization=False),
    "plain pickle": pickle.dumps({"model": 1}),
    "newer pickle": saved({"model": nn.Conv2d(3, 8, 3)}, pickle_protocol=4),
    "a layer": WHOLE,
    "no model": saved({"note": 1}),
    "a tensor for a config": saved({"model": torch.zeros(3)}),
    "a model with odd attributes": saved({"model": nn.Identity(), "ema": None}),
    "mark as a key": saved({MARK: "dist evilmod.sub"}),
    "mark as a text": saved({"model": f"{MARK}: dist evilmod.sub"}),
    "mark of a missing module": saved({"model": f"{MARK}: dist not_there"}),
    "mark of two": saved({"model": f"{MARK}: dist evilmod evilmod.sub"}),
    "mark without a value": saved({"model": MARK}),
    "mark with half a value": saved({"model": f"{MARK}: dist"}),
    "mark in a longer text": saved({"model": f"about {MARK}: dist not_there and more"}),
    "mark that is no text": saved({MARK: {"dist": 1}, "model": b"yolo_starnet_requires: dist not_there"}),
    "mark with an odd name": saved({"model": f"{MARK}: dist ..evilmod a/b"}),
    "mark and a missing module": archive(
        b"\x80\x02}" + text(MARK) + text(f"{MARK}: dist evil") + b"scnot_there\nX\n0."
    ),
    "nothing of timm": named(b"ctimm.nonexistent\nX\n"),
    "nothing in timm": named(b"ctimm\nX\n"),
    "nothing of ours": named(b"cyolo_starnet.networks\nX\n"),
    "a class of timm alone": named(b"ctimm.layers.norm\nLayerNorm2d\n"),
    "a dotted name": named(b"ctimm.data\nreaders.ReaderImageInTar\n"),
    "a nested name": named(OURS, b"ctimm.layers.norm\nLayerNorm2d.forward\n"),
    "a name from a side effect": named(b"cevilmod.sub\nX\n"),
    "a mark for a side effect": archive(b"\x80\x02}" + text(f"{MARK}: dist evilmod") + b"0cevilmod.sub\nX\n0."),
}
RESTRICTED = {
    "our command line": named(b"cyolo_starnet.__main__\nX\n"),
    "our command line with a class of ours": named(OURS, b"cyolo_starnet.__main__\nmain\n"),
    "our errors": named(OURS, b"cyolo_starnet.errors\nYOLOStarNetError\n"),
    "a function of timm": called(b"ctimm.models._factory\ncreate_model\n", "resnet18"),
    "a reader of timm": called(READER, "tars", "", True, True),
    "a reader of timm by a dotted name": called(
        b"ctimm.data.readers\nreader_image_in_tar.ReaderImageInTar\n", "tars", "", True, True
    ),
    "an imported class of timm": called(b"ctimm.models.starnet\nDropPath\n", 0.1),
    "a class by a newer pickle": archive(pickle.dumps(pickle.Pickler, protocol=4)),
    "a function by a newer pickle": archive(b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x0atouch ran-x\x85R."),
    "a function": called(b"cos\nsystem\n", "touch ran-os"),
}
"""Files for restricted loading alone: without it, a pickle may do what it likes, with the plugin or without."""
NAMES = ["not-there.pt", "folder.pt", "file.txt", "no-suffix", "", "x" * 300 + ".pt", "http://127.0.0.1:9/x.pt"]

LOAD = """
import json, os, sys
plugin, files = sys.argv[1] == "with", json.loads(sys.argv[2])
if plugin:
    import yolo_starnet
from ultralytics import YOLO
from ultralytics.nn import tasks
found = {}
for call in (tasks.torch_safe_load, YOLO):
    for file in files:
        try:
            call(file)
            outcome = "accepted"
        except BaseException as error:
            outcome = f"{type(error).__module__}.{type(error).__name__}"
        found[f"{call.__name__} {file}"] = outcome
        for name in [name for name in sys.modules if name.startswith("evilmod")]:
            del sys.modules[name]
found["written"] = sorted(name for name in [*os.listdir(), *os.listdir("tars")] if not name.endswith((".pt", ".tar")))
print("FOUND", json.dumps(found))
"""


def lay_out(folder: Path, files: dict[str, bytes]) -> list[str]:
    """Write the files, a package with side effects and a tar archive; the names to load."""
    for name, content in files.items():
        (folder / f"{name}.pt").write_bytes(content)
    (folder / "folder.pt").mkdir()
    (folder / "file.txt").write_bytes(WHOLE)
    for name in ("evilmod/__init__.py", "evilmod/sub.py"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(f"open('ran-' + {name!r}.replace('/', '-'), 'w').close()\nclass X: pass\n")
    (folder / "tars").mkdir()
    with tarfile.open(folder / "tars" / "a.tar", "w") as tar:
        tar.add(Path(ultralytics.utils.ASSETS) / "bus.jpg", "a/bus.jpg")
    return [*(f"{name}.pt" for name in files), *NAMES]


def start(folder: Path, plugin: str, files: dict[str, bytes], safe: bool) -> "subprocess.Popen[str]":
    """A process that loads the files."""
    folder.mkdir()
    command = [sys.executable, "-c", LOAD, plugin, json.dumps(lay_out(folder, files))]
    environment = {**os.environ, "ULTRALYTICS_SAFE_LOAD": "1" if safe else "0"}
    return subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def result(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """What a process found."""
    out, err = process.communicate(timeout=600)
    assert process.returncode == 0, out + err
    found: dict[str, Any] = json.loads(out.split("FOUND ")[1])
    return found


@pytest.mark.slow
@pytest.mark.ci
@pytest.mark.parametrize("safe", [False, pytest.param(True, marks=restricted)], ids=["stock", "restricted"])
def test_every_file_ends_as_without_the_plugin(safe: bool, tmp_path: Path):
    files = {**DAMAGED, **CRAFTED, **(RESTRICTED if safe else {})}
    processes = [start(tmp_path / plugin, plugin, files, safe) for plugin in ("with", "without")]
    found, expected = map(result, processes)
    assert found == expected
    assert len(found) == 2 * (len(files) + len(NAMES)) + 1
    if safe:
        assert found["written"] == ["evilmod", "file.txt", "tars"]


BUILD = """
import sys, torch, yolo_starnet
from ultralytics import YOLO
from ultralytics.nn import tasks
for name in sys.argv[1:]:
    torch.save({"model": YOLO(name).model, "train_args": {}}, name + ".pt")
"""
RELOAD = """
import sys, torch, yolo_starnet
from ultralytics import YOLO
from ultralytics.nn import tasks
class Own(torch.nn.Module): pass
torch.serialization.add_safe_globals([Own, yolo_starnet.networks.starnet.StarStem])
for name in sys.argv[1:]:
    assert YOLO(name + ".pt").model(torch.rand(1, 3, 64, 64))
    safe = torch.serialization.get_safe_globals()
    values = {value[0] if isinstance(value, tuple) else value for value in safe}
    ours = {str(value) for value in values if getattr(value, "__module__", "").startswith(("yolo_starnet", "timm"))}
    assert ours == {"<class 'yolo_starnet.networks.starnet.StarStem'>"}, ours
    assert Own in safe
"""
STAR_LAYERS = """
nc: 3
backbone:
  - [-1, 1, Conv, [16, 3, 2]]
  - [-1, 1, Conv, [32, 3, 2]]
  - [-1, 1, StarCSP, [32]]
head:
  - [[1, 2], 1, StarFuse, [32]]
  - [[3], 1, Detect, [nc]]
"""


@pytest.mark.slow
@pytest.mark.ci
@restricted
def test_checkpoints_on_every_kind_of_row_load_and_nothing_stays_allowed(tmp_path: Path, python: Callable):
    (tmp_path / "layers.yaml").write_text(STAR_LAYERS)
    timm = [f"yolov8n-timm_{name}.yaml" for name in ("mobilenetv4_conv_small", "convnext_atto", "vit_tiny_patch16_224")]
    models = ["yolov8n-starnet.yaml", "yolov8n-starnet_fit.yaml", "layers.yaml", *timm]
    python("-c", BUILD, *models)
    python("-c", RELOAD, *models, ULTRALYTICS_SAFE_LOAD="1")
