"""The table of commands that `yolo` does not have, and the parsing of their arguments."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from .. import plugins
from ..errors import ConfigError, YOLOStarNetError, nearest
from . import compare, compare_report, completion, doctor, enable, graft, models, new, transplant


class Command(NamedTuple):
    """A command.

    Attributes:
        run: The function that carries it out. It gets the arguments, key to value.
        summary: What it does, on one line.
        keys: The arguments that it takes, each with its meaning.
        required: Those of `keys` that must be given.
        example: Arguments for an example; '' where it takes none.
        details: What else its help says.
        word: The one of `keys` that may be given without its name, as a word alone.
        flags: The words that it takes, such as `--json`, each with its meaning.
    """

    run: Callable[[Mapping[str, str]], int | None]
    summary: str
    keys: Mapping[str, str] = {}
    required: tuple[str, ...] = ()
    example: str = ""
    details: str = ""
    word: str = ""
    flags: Mapping[str, str] = {}


def main(name: str, args: Sequence[str]) -> int:
    """Carry out a command.

    Args:
        name: A key of `COMMANDS`.
        args: Its arguments, `key=value`.

    Returns:
        The exit status: that of the command, or 1 after an error of this package or of the system, such as a full
        disk. It is printed on one line.
    """
    if {"-h", "--help", "help"} & set(args):
        print(help_of(name))
        return 0
    try:
        return COMMANDS[name].run(_parse(name, args)) or 0
    except (YOLOStarNetError, OSError) as error:
        print(f"yolo-starnet: {error}", file=sys.stderr)
        return 1


def help_of(name: str) -> str:
    """The help of a command: usage, what it does, its arguments, an example."""
    command = COMMANDS[name]
    usage = [
        f"[{key}=]{key.upper()}" if key == command.word else f"{key}=..." if key in command.required else f"[{key}=...]"
        for key in command.keys
    ] + [f"[{flag}]" for flag in command.flags]
    parts = [
        " ".join(["usage: yolo-starnet", name, *usage]),
        textwrap.fill(f"{command.summary[0].upper()}{command.summary[1:]}. {command.details}".strip(), 100),
        "\n".join(f"  {argument:<10}{meaning}" for argument, meaning in _arguments(command).items()),
        f"example: yolo-starnet {name} {command.example}".rstrip(),
    ]
    return "\n\n".join(part for part in parts if part)


def _arguments(command: Command) -> dict[str, str]:
    """Each argument of a command as it is written, with its meaning."""
    return {**{f"{key}=": meaning for key, meaning in command.keys.items()}, **command.flags}


def _parse(name: str, args: Sequence[str]) -> dict[str, str]:
    """Split `key=value` arguments, and raise `YOLOStarNetError` for one that is unknown or missing."""
    command = COMMANDS[name]
    if command.word and args and "=" not in args[0]:
        args = [f"{command.word}={args[0]}", *args[1:]]
    flags = {arg.removeprefix("--"): "" for arg in args if arg in command.flags}
    args = [arg for arg in args if arg not in command.flags]
    given = dict(arg.removeprefix("--").split("=", 1) for arg in args if "=" in arg)
    unknown = [arg for arg in args if "=" not in arg] + [key for key in given if key not in command.keys]
    see = f"See yolo-starnet {name} --help"
    if unknown:
        known = f" among {', '.join(_arguments(command))}" if _arguments(command) else "; it takes none"
        similar = nearest(unknown[0], command.keys)
        raise YOLOStarNetError(f"'{name}' has no argument '{unknown[0]}'{known}{similar or '.'} {see}")
    if missing := [key for key in command.required if not given.get(key)]:
        raise ConfigError(f"'{name}' needs {missing[0]}=, {command.keys[missing[0]]}. {see}")
    return {**given, **flags}


def _compare(given: Mapping[str, str]) -> None:
    numbers = {key: _positive(key, given[key]) for key in ("imgsz", "batch", "rounds") if key in given}
    words = {key: given[key] for key in ("device", "format", "data") if given.get(key)}
    options = compare.Options(**numbers, **words)  # type: ignore[arg-type]  # numbers hold int fields, words str ones
    comparison = compare.compare([name.strip() for name in given["model"].split(",") if name.strip()], options)
    print(compare_report.table(comparison))
    print(f"Written, with a picture, to {compare_report.write(comparison, memory='memory' in given)}")


def _positive(key: str, value: str) -> int:
    if not value.isdecimal() or len(value) > 9 or not int(value):
        raise ConfigError(f"{key}= must be a positive whole number, found '{value}'")
    return int(value)


def _graft(given: Mapping[str, str]) -> None:
    grafted = graft.graft(plugins.table(), graft.Given(**given))
    print(grafted.text)
    print(f"Written to {grafted.file}; train it with: yolo-starnet train model={grafted.name}")


def _transplant(given: Mapping[str, str]) -> None:
    file, comparison = transplant.transplant(given)
    print(compare_report.table(comparison))
    data = given.get("data", "")
    labelled = data if data and not Path(data).is_dir() else "your.yaml"  # a folder of images has no labels
    print(f"Written to {file}; train it on with: yolo-starnet train model={file} data={labelled}")


def _models(given: Mapping[str, str]) -> None:
    for line in models.table(plugins.backbones(), **given):
        print(line, flush=True)


def _new(given: Mapping[str, str]) -> None:
    folder = new.new(**given)
    print(f"Written to {folder}; install and test it with: pip install -e {folder} && pytest {folder}")


def _doctor(given: Mapping[str, str]) -> int:
    return doctor.doctor(as_json="json" in given)


def _completion(given: Mapping[str, str]) -> None:
    print(
        completion.script(given["shell"], {name: [*_arguments(command)] for name, command in COMMANDS.items()}), end=""
    )


def _enable(given: Mapping[str, str]) -> None:
    print(f"Plain 'yolo' and every script of this environment now know StarNet ({enable.enable()}).")
    print("To undo this, run 'yolo-starnet disable'.")


def _disable(given: Mapping[str, str]) -> None:
    print("Plain 'yolo' no longer knows StarNet." if enable.disable() else "It was not enabled; nothing to do.")


COMMANDS = {
    "models": Command(
        _models,
        "list every backbone at every scale, with parameters and GFLOPs",
        {
            "family": "a model family such as 11, 26 or v8 (default 11)",
            "task": "a task of Ultralytics (default detect)",
            "scale": "scales, separated by commas (default: all of the family)",
            "backbone": "backbones, separated by commas (default: all that need no options)",
        },
        example="family=26 task=pose scale=n,s",
        details="It builds each model to count it, at 640 pixels.",
    ),
    "graft": Command(
        _graft,
        "write a YAML like a given one on another backbone or with other layers, to read and edit",
        {
            "model": "a stock YAML such as yolo26n-seg.yaml, or a file of yours",
            "backbone": "the backbone (default starnet, or that of the model where swap= is given)",
            "swap": "modules to replace, such as Concat:StarFuse or C3k2:StarCSP[512,4], separated by commas",
            "where": "the rows that swap= changes: head, backbone or layer numbers such as 13,16 (default: all)",
            "out": "the file to write (default: the config name, such as yolo26-starnet_s3-seg.yaml)",
        },
        ("model",),
        "model=yolo26n-seg.yaml backbone=starnet_s3",
        "It writes the parameters and GFLOPs of each scale into the YAML. To use such a model without editing it, "
        "no file is needed: its config name, such as yolo26n-starnet_s3-seg.yaml, is enough.",
    ),
    "compare": Command(
        _compare,
        "measure size, time, memory and accuracy of models side by side",
        {
            "model": "models, separated by commas: YAMLs, checkpoints, exported files",
            "imgsz": "height and width of the images in pixels (default 640)",
            "device": "the device, as in predict (default: Ultralytics chooses)",
            "format": "a format to export each model to first, such as onnx (default: PyTorch, no export)",
            "data": "a data set to measure the accuracy of trained models on (default: none)",
            "batch": "images in each prediction (default 1)",
            "rounds": "how often each model is timed (default 30)",
        },
        ("model",),
        "model=yolo11n.yaml,yolo11n-starnet.yaml,best.pt",
        "It times the stock predict, with the models interleaved after a warm-up. It writes a CSV, a table in "
        "Markdown and a picture into a new folder runs/compare.",
        flags={"--memory": "add a panel with the peak memory to the picture"},
    ),
    "transplant": Command(
        _transplant,
        "put a trained model on another backbone, without labels",
        {
            "model": "a trained checkpoint, such as yolo11n.pt or your best.pt",
            "backbone": "the new backbone (default starnet_fit)",
            "pretrained": "start the new backbone from ImageNet weights: true, or a file with them (default false)",
            "data": "a folder of images or a data set; labels are not used (default: the backbone is not trained)",
            "epochs": "how often the training sees each image (default 10)",
            "imgsz": "height and width of the images in pixels (default: as the model was trained)",
            "batch": "images in each step (default 4)",
            "device": "the device, as in train",
            "workers": "processes that load images, as in train",
            "project": "the folder of the run, as in train",
            "name": "the name of the run, as in train",
            "out": "the file to write (default: the name of the model and the backbone)",
            "resume": "the weights/last.pt of an interrupted transplant, in place of model=",
        },
        example="model=best.pt data=my.yaml",
        details="Neck and head keep what they learned. The new backbone learns to give the feature maps of the old "
        "one. The result predicts and trains on as any checkpoint.",
    ),
    "new": Command(
        _new,
        "write a package with a backbone or layer of your own, ready to install",
        {
            "name": "its name, such as my-attention; a row then says my_attention (backbone) or MyAttention (layer)",
            "kind": "backbone or layer",
            "out": "the folder to write (default: the name)",
        },
        ("name", "kind"),
        "my-attention kind=layer",
        "It holds the module, a pyproject.toml that registers it, a README, and a test that builds, trains, exports "
        "and reloads a model. Only an installed package adds names: no YAML, no checkpoint and no environment variable "
        "ever imports a file.",
        word="name",
    ),
    "doctor": Command(
        _doctor,
        "look at this environment: what is installed, patched, left out and writable, and what mends what does not fit",
        example="--json",
        details="It changes nothing, and works where the plugin cannot be active. Its exit status is 0 only where "
        "everything fits.",
        flags={"--json": "print the same as JSON, for a report of a bug"},
    ),
    "completion": Command(
        _completion,
        "print the script that completes arguments of yolo-starnet in a shell",
        {"shell": "bash or zsh"},
        ("shell",),
        "bash",
        "To have it in every new shell, run: yolo-starnet completion bash >> ~/.bashrc (or zsh >> ~/.zshrc, after "
        "compinit).",
        word="shell",
    ),
    "enable": Command(
        _enable,
        "let plain 'yolo' and every script of this environment know StarNet, without an import",
        details="It writes the startup files that this Python reads (.pth, .start, or both) and the small module that "
        "they call. They do nothing until Ultralytics is imported. 'yolo-starnet disable' deletes them.",
    ),
    "disable": Command(_disable, "undo 'yolo-starnet enable'", details="It deletes the startup files."),
}
"""The commands by name."""
