"""The only room that changes Ultralytics: activate, deactivate, one small function per patch.

Not patched, because five ordinary layers need nothing of it: `fuse()`, `profile`, `embed`, `freeze`, export, the
trainers, and the forward loops of RT-DETR, World and YOLOE.
"""

from __future__ import annotations

import functools
import inspect
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FunctionType, ModuleType, SimpleNamespace, TracebackType
from typing import Any

import torch
import ultralytics
from torch import nn
from ultralytics import nn as ultralytics_nn
from ultralytics.data import utils as data_utils
from ultralytics.engine import exporter, trainer, tuner, validator
from ultralytics.nn import tasks
from ultralytics.utils import LOGGER, dist

from .. import plugins
from ..demo import datasets
from ..feature_maps import FeatureMaps
from ..model_yaml import expand, names
from . import checkpoints, recompile

Undo = Callable[[], None]
PACKAGE = __name__.partition(".")[0]

_lock = threading.RLock()
_undo: list[Undo] = []


def is_active() -> bool:
    """Whether Ultralytics is patched."""
    return bool(_undo)


def activate() -> None:
    """Teach the installed Ultralytics StarNet rows and config names, all or nothing; calling it again does nothing.

    Raises:
        UnsupportedUltralyticsError: Something is not laid out as expected. Nothing stays patched.
    """
    with _lock:
        if _undo:
            return
        done: list[Undo] = []
        try:
            for patch in _PATCHES:
                done.extend(patch())
        except BaseException:
            _run(done)
            raise
        _undo.extend(done)


def deactivate() -> None:
    """Put every original object back. Models built meanwhile go on working."""
    with _lock:
        _run(_undo)
        _undo.clear()


def _run(undo: list[Undo]) -> None:
    for step in reversed(undo):
        step()


def _inject_modules() -> list[Undo]:
    """Let the stock parser find the layer classes, which it looks up by name in its own module."""
    return [_set(tasks, name, module) for name, module in plugins.table().modules.items()]


def _patch_parse_model() -> list[Undo]:
    """Expand a backbone row before the parser sees it, and let our layers tell their output channels."""
    original = _function(tasks, "parse_model", ("d", "ch"))
    table = plugins.table()
    parse = recompile.ask_for_channels(original, set(table.modules.values()))

    @functools.wraps(original)
    def parse_model(d: Any, ch: int, *args: Any, **kwargs: Any) -> Any:
        layers, save = parse(expand.expand(d, ch, table, vars(tasks)), ch, *args, **kwargs)
        expand.finish(d, ch, table, layers)
        return layers, save

    owners = [m for m in (tasks, ultralytics_nn) if getattr(m, "parse_model", None) is original]
    return [_set(owner, "parse_model", parse_model) for owner in owners]


def _patch_initialize_weights() -> list[Undo]:
    """Leave modules of others as their authors set them.

    Ultralytics gives every plain BatchNorm its own `eps` and `momentum`, and older releases make every activation work
    in place, which would overwrite a feature map that a module both returns and goes on from.
    """
    original = _function(tasks, "initialize_weights", ("model",))

    @functools.wraps(original)
    def initialize_weights(model: nn.Module) -> None:
        theirs = [m for maps in model.modules() if isinstance(maps, FeatureMaps) for m in maps.modules()]
        kept = ("eps", "momentum", "inplace")
        before = [(m, name, getattr(m, name)) for m in theirs for name in kept if hasattr(m, name)]
        original(model)
        for module, name, value in before:
            setattr(module, name, value)

    return [_set(tasks, "initialize_weights", initialize_weights)]


def _patch_predict_once() -> list[Undo]:
    """Say which layer failed and why when the forward loop raises; nothing is added to its path."""
    original = _function(tasks.BaseModel, "_predict_once", ("self", "x"))

    @functools.wraps(original)
    def _predict_once(self: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        if torch.jit.is_scripting() or torch.jit.is_tracing() or torch.compiler.is_compiling():
            return original(self, x, *args, **kwargs)
        try:
            return original(self, x, *args, **kwargs)
        except Exception as error:
            _explain(error, original, self, x)
            raise

    return [_set(tasks.BaseModel, "_predict_once", _predict_once)]


def _patch_check_yaml() -> list[Undo]:
    """Resolve our config names where the parser looks for its YAML files.

    Ultralytics asks for the name with its scale and for that without, one of them softly (`hard=False`); which comes
    first depends on the release. A file of the user's own wins under either.
    """
    original = _function(tasks, "check_yaml", ("file", "suffix", "hard"))
    signature = inspect.signature(original)
    table = plugins.table()

    @functools.wraps(original)
    def check_yaml(*args: Any, **kwargs: Any) -> Any:
        call = signature.bind(*args, **kwargs)
        call.apply_defaults()
        name, hard = str(call.arguments["file"]), call.arguments["hard"]
        if not names.split(name, table)[1]:
            return original(*args, **kwargs)
        try:
            found = original(*args, **kwargs)
        except FileNotFoundError:
            return str(names.find(name, table))
        if found:
            LOGGER.info(
                f"yolo-starnet: {name} is {Path(found).resolve()}, a file of yours, not the config of that name"
            )
        elif not hard and names.unscaled(name) != name and not original(names.unscaled(name), hard=False):
            return str(names.find(name, table))  # the next question would be without the scale
        return found

    return [_set(tasks, "check_yaml", check_yaml)]


def _patch_check_file() -> list[Undo]:
    """Resolve the names of the built-in data sets where Ultralytics looks for data YAML files."""
    original = _function(data_utils, "check_file", ("file", "suffix"))
    signature = inspect.signature(original)

    @functools.wraps(original)
    def check_file(*args: Any, **kwargs: Any) -> Any:
        try:
            return original(*args, **kwargs)
        except FileNotFoundError:
            found = datasets.find_yaml(str(signature.bind(*args, **kwargs).arguments["file"]))
            if found is None:
                raise
            return str(found)

    return [_set(data_utils, "check_file", check_file)]


def _patch_check_cls_dataset() -> list[Undo]:
    """Resolve the name of the built-in set for classification, for which Ultralytics would look on the network."""
    original = _function(data_utils, "check_cls_dataset", ("dataset",))

    @functools.wraps(original)
    def check_cls_dataset(dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return original(datasets.find_folder(str(dataset)) or dataset, *args, **kwargs)

    owners = [m for m in (data_utils, trainer, validator, exporter) if vars(m).get("check_cls_dataset") is original]
    return [_set(owner, "check_cls_dataset", check_cls_dataset) for owner in owners]


def _patch_generate_ddp_file() -> list[Undo]:
    """Import this package in the script that Ultralytics writes for the workers of a multi-GPU training."""
    original = _function(dist, "generate_ddp_file", ("trainer",))

    @functools.wraps(original)
    def generate_ddp_file(trainer: Any) -> str:
        file = original(trainer)
        text = Path(file).read_text(encoding="utf-8")
        # Beside the imports of the script's own, since some releases set sys.path just before them.
        text = re.sub(r"^( +)(?=from ultralytics)", rf"\1import {PACKAGE}\n\1", text, count=1, flags=re.MULTILINE)
        Path(file).write_text(text, encoding="utf-8")
        return str(file)

    return [_set(dist, "generate_ddp_file", generate_ddp_file)]


def _patch_tuner() -> list[Undo]:
    """Let `tune()` train by our command line on releases that train in a process of their own, by that of `yolo`."""
    if not hasattr(tuner, "subprocess"):
        return []

    def run(command: list[str], *args: Any, **kwargs: Any) -> Any:
        ours = [sys.executable, "-m", PACKAGE, *command[command.index("train") :]]
        return subprocess.run(ours, *args, **kwargs)

    return [_set(tuner, "subprocess", SimpleNamespace(**{**vars(subprocess), "run": run}))]


def _patch_torch_safe_load() -> list[Undo]:
    """Load checkpoints on the backbones of other packages, and let each bring its own weights.

    A checkpoint's `model.yaml`, which training builds the model from again, no longer asks for ImageNet weights.
    """
    original = _function(tasks, "torch_safe_load", ("weight",))
    table = plugins.table()

    @functools.wraps(original)
    def torch_safe_load(weight: Any, *args: Any, **kwargs: Any) -> Any:
        safe_only = inspect.signature(original).bind(weight, *args, **kwargs).arguments.get("safe_only")
        checkpoints.prepare(weight, table, restricted=bool(safe_only or getattr(tasks, "SAFE_LOAD", False)))
        checkpoint, file = original(weight, *args, **kwargs)
        checkpoints.forget_pretrained(checkpoint, table)
        return checkpoint, file

    owners = [m for m in (tasks, ultralytics_nn) if getattr(m, "torch_safe_load", None) is original]
    return [_set(owner, "torch_safe_load", torch_safe_load) for owner in owners]


def _allow_safe_loading() -> list[Undo]:
    """Let `torch.load(weights_only=True)`, which `ULTRALYTICS_SAFE_LOAD=1` asks for, build the classes of backbones."""
    if not hasattr(torch.serialization, "add_safe_globals"):
        return []  # torch before 2.4 has no such list
    before = torch.serialization.get_safe_globals()
    homes = {sys.modules[module.__module__] for module in plugins.table().modules.values()}
    classes = [
        c for home in homes for c in vars(home).values() if isinstance(c, type) and c.__module__ == home.__name__
    ]
    torch.serialization.add_safe_globals([c for c in classes if issubclass(c, nn.Module) and c not in before])

    def undo() -> None:
        kept = [c for c in torch.serialization.get_safe_globals() if c not in classes or c in before]
        torch.serialization.clear_safe_globals()
        torch.serialization.add_safe_globals(kept)

    return [undo]


_PATCHES = (
    _inject_modules,
    _patch_parse_model,
    _patch_initialize_weights,
    _patch_predict_once,
    _patch_check_yaml,
    _patch_check_file,
    _patch_check_cls_dataset,
    _patch_generate_ddp_file,
    _patch_tuner,
    _patch_torch_safe_load,
    _allow_safe_loading,
)


def _function(owner: ModuleType | type, name: str, parameters: tuple[str, ...]) -> FunctionType:
    """Fetch a plain Python function of Ultralytics' own that begins with these parameters, or raise."""
    where = f"{owner.__name__}.{name}"
    found = vars(owner).get(name)
    if not isinstance(found, FunctionType):
        raise recompile.unsupported(f"{where} is {found!r}, expected a function")
    if not found.__code__.co_filename.startswith(str(Path(ultralytics.__file__).parent)):
        raise recompile.unsupported(
            f"{where} was replaced by {found.__module__}.{found.__qualname__}; import yolo_starnet first"
        )
    begins = tuple(inspect.signature(found).parameters)[: len(parameters)]
    if begins != parameters:
        raise recompile.unsupported(f"{where} begins with the parameters {begins}, expected {parameters}")
    return found


def _explain(error: Exception, loop: FunctionType, model: nn.Module, image: Any) -> None:
    """Add to the message of `error` which layer of `model` raised it, what went in, and what may be wrong."""
    frame: TracebackType | None = error.__traceback__
    while frame and frame.tb_frame.f_code is not loop.__code__:
        frame = frame.tb_next
    layer, inputs = (frame.tb_frame.f_locals.get(n) for n in ("m", "x")) if frame else (None, None)
    if (
        not isinstance(layer, nn.Module)
        or not hasattr(layer, "i")
        or not (error.args and isinstance(error.args[0], str))
    ):
        return
    tensors = inputs if isinstance(inputs, (list, tuple)) else [inputs]
    shapes = ", ".join(str(tuple(t.shape)) if isinstance(t, torch.Tensor) else str(type(t)) for t in tensors)
    message = f"{error.args[0]}\nLayer {layer.i} ({layer.type}), from {layer.f}, failed on inputs of shape {shapes}."
    stride = int(max(getattr(model, "stride", [0])))
    height, width = image.shape[-2:]
    if stride and (height % stride or width % stride):
        message += f" The image is {height} x {width} (H x W): both must be multiples of the largest stride, {stride}."
    error.args = (message, *error.args[1:])


def _set(owner: ModuleType | type, name: str, value: object) -> Undo:
    """Assign an attribute and return what takes it back."""
    undo = functools.partial(setattr, owner, name, vars(owner)[name]) if name in vars(owner) else None
    setattr(owner, name, value)
    return undo or functools.partial(delattr, owner, name)
