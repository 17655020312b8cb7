"""The commands that `yolo` does not have: argument handling only, each calls one room."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from .. import plugins
from ..errors import ConfigError, YOLOStarNetError
from ..model_yaml import names
from . import compare, enable, models


class Command(NamedTuple):
    """A command: what carries it out, the keys it takes, and what `--help` says."""

    run: Callable[[Mapping[str, str]], None]
    keys: tuple[str, ...]
    help: str


def main(name: str, args: Sequence[str]) -> int:
    """Carry out the command `name` with `args`, pairs `key=value`.

    Returns:
        The exit status: 1 after an error of this package, told in one line.
    """
    command = COMMANDS[name]
    if {"-h", "--help", "help"} & set(args):
        print(command.help)
        return 0
    try:
        command.run(_pairs(name, args))
    except YOLOStarNetError as error:
        print(f"yolo-starnet: {error}", file=sys.stderr)
        return 1
    return 0


def _pairs(name: str, args: Sequence[str]) -> dict[str, str]:
    keys = COMMANDS[name].keys
    found = dict(arg.removeprefix("--").split("=", 1) for arg in args if "=" in arg)
    unknown = [arg for arg in args if "=" not in arg] + [key for key in found if key not in keys]
    if unknown:
        takes = f"it takes {', '.join(f'{key}=' for key in keys)}" if keys else "it takes no arguments"
        raise YOLOStarNetError(f"'{name}' cannot make sense of '{unknown[0]}'; {takes}. See yolo-starnet {name} --help")
    return found


def _enable(given: Mapping[str, str]) -> None:
    print(f"Plain 'yolo' and every script of this environment now know StarNet ({enable.enable()}).")
    print("Take it back with 'yolo-starnet disable'.")


def _disable(given: Mapping[str, str]) -> None:
    print("Plain 'yolo' is as it was." if enable.disable() else "It was not enabled; nothing to do.")


def _graft(given: Mapping[str, str]) -> None:
    if "model" not in given:
        raise ConfigError("'graft' needs model=, a YAML such as yolo26n-seg.yaml. See yolo-starnet graft --help")
    base = Path(given["model"]) if Path(given["model"]).is_file() else names.stock_file(given["model"])
    if base is None:
        near = difflib.get_close_matches(given["model"], names.stock_names(), n=3, cutoff=0)
        raise ConfigError(f"no model '{given['model']}', neither a file nor a stock YAML; the nearest are {near}")
    token = given.get("backbone", "starnet")
    backbone, arguments = names.parse_backbone(token, plugins.backbones())
    out = Path(given.get("out", names.name_of(base.stem, token)))
    if out.exists():
        raise ConfigError(f"{out} exists and is left as it is; give another name with out=")
    text = names.grafted_yaml(base, backbone, arguments, figures=True)
    out.write_text(text, encoding="utf-8")
    print(text)
    name = out if "out" in given else names.name_of(Path(given["model"]).stem, token)  # with the scale that was given
    print(f"Written to {out}; train it with: yolo-starnet train model={name}")


def _models(given: Mapping[str, str]) -> None:
    for line in models.table(plugins.backbones(), **given):
        print(line, flush=True)


def _compare(given: Mapping[str, str]) -> None:
    if not given.get("model"):
        raise ConfigError("'compare' needs model=, with commas between models. See yolo-starnet compare --help")
    numbers = {key: _whole(key, given[key]) for key in ("imgsz", "batch", "rounds") if key in given}
    words = {key: given[key] for key in ("device", "format", "data") if given.get(key)}
    found = compare.compare(given["model"].split(","), **numbers, **words)  # type: ignore[arg-type]  # by their names
    print(compare.table(found))
    print(f"Written, with a picture, to {compare.write(found)}")


def _whole(key: str, value: str) -> int:
    if not value.isdecimal() or not int(value):
        raise ConfigError(f"{key} must be a whole number from 1 up, found '{value}'")
    return int(value)


COMMANDS = {
    "compare": Command(
        _compare,
        ("model", "imgsz", "device", "format", "data", "batch", "rounds"),
        """usage: yolo-starnet compare model=yolo11n.yaml,yolo11n-starnet.yaml,best.pt [imgsz=640] [device=cpu]
           [format=onnx] [data=coco8.yaml] [batch=1] [rounds=30]

Times models through the stock predict, in turns after a warm-up, and prints parameters, GFLOPs, milliseconds an image,
memory, and the accuracy on data= of those that are trained. With format=, each is exported first and run by that
runtime. A CSV, the table in Markdown and a picture go to a new folder runs/compare.""",
    ),
    "graft": Command(
        _graft,
        ("model", "backbone", "out"),
        """usage: yolo-starnet graft model=yolo26n-seg.yaml [backbone=starnet_s3] [out=my.yaml]

Writes a YAML like `model`, a stock one or a file of yours, on another backbone, with the parameters and GFLOPs of each
scale, for you to read and edit. A name such as yolo26n-starnet_s3-seg.yaml does the same without a file.""",
    ),
    "models": Command(
        _models,
        ("family", "task", "scale", "backbone"),
        """usage: yolo-starnet models [family=11] [task=detect] [scale=n,s,m,l,x] [backbone=NAME,NAME]

Builds a model of the family on each backbone at each scale and prints its parameters and GFLOPs at 640 pixels.""",
    ),
    "enable": Command(
        _enable,
        (),
        """usage: yolo-starnet enable

Makes plain 'yolo' and every script of this environment know StarNet, without an import. It writes one .pth file, which
does nothing until Ultralytics is imported; 'yolo-starnet disable' deletes it.""",
    ),
    "disable": Command(_disable, (), "usage: yolo-starnet disable\n\nDeletes what 'yolo-starnet enable' wrote."),
}
