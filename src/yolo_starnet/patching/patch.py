"""The only room that changes Ultralytics: activate, deactivate, one small function per patch.

Not patched, because five ordinary layers need nothing of it: `profile`, `embed`, `freeze`, export, the trainers but for
their optimizer, and the forward loops of RT-DETR, World and YOLOE.
"""

from __future__ import annotations

import contextlib
import functools
import inspect
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import torch
import ultralytics
from torch import nn
from ultralytics import nn as ultralytics_nn
from ultralytics.data import utils as data_utils
from ultralytics.engine import tuner
from ultralytics.nn import tasks
from ultralytics.utils import LOGGER, dist

from .. import plugins
from ..demo import datasets
from ..errors import UnsupportedUltralyticsError
from ..feature_maps import FeatureMaps
from ..model_yaml import expand, names, row_layers
from ..optimizers import FROM_SCRATCH, HAS_MUSGD, SHORT, InFloat32, learns_from_scratch
from . import checkpoints, explain, joined, recompile, transfer

PACKAGE = __name__.partition(".")[0]

_lock = threading.RLock()


class Change(NamedTuple):
    """A changed attribute of Ultralytics.

    Attributes:
        owner: The module or class.
        name: The name of the attribute.
        value: What it is now.
        undo: The function that makes it what it was before.
    """

    owner: ModuleType | type
    name: str
    value: object
    undo: Callable[[], None]


_done: list[Change] = []


def is_active() -> bool:
    """Whether Ultralytics is patched."""
    return bool(_done)


def changes() -> list[Change]:
    """What is changed in Ultralytics, in the order of the changes."""
    return [*_done]


def problems() -> list[UnsupportedUltralyticsError]:
    """Try each patch by itself and undo it: why those that do not fit this Ultralytics cannot be made."""
    found = []
    with _lock:
        for patch in () if _done else _PATCHES:
            try:
                _undo(patch())
            except UnsupportedUltralyticsError as error:
                found.append(error)
    return found


def activate() -> None:
    """Patch the installed Ultralytics so that it knows backbone rows and config names. Calling it again does nothing.

    Raises:
        UnsupportedUltralyticsError: Ultralytics is not laid out as expected. Nothing stays patched.
    """
    with _lock:
        if _done:
            return
        done: list[Change] = []
        try:
            for patch in _PATCHES:
                done.extend(patch())
        except BaseException:
            _undo(done)
            raise
        _done.extend(done)


def deactivate() -> None:
    """Put every original object back. Models that are built already go on working."""
    with _lock:
        _undo(_done)
        _done.clear()


def _undo(done: list[Change]) -> None:
    for change in reversed(done):
        change.undo()


def _inject_modules() -> list[Change]:
    """Let the stock parser find the registered classes, which it looks up by name in its own module."""
    missing = {k: module for k, module in plugins.table().modules.items() if vars(tasks).get(k) is not module}
    return [_set(tasks, name, module) for name, module in missing.items()]


def _registered() -> plugins.Table:
    """The table of plugins, its classes injected: also those of a plugin that was only half imported at activation."""
    table = plugins.table()
    with _lock:
        if _done:
            _done.extend(_inject_modules())
    return table


def _patch_parse_model() -> list[Change]:
    """Expand a backbone row before the parser sees it, and ask registered classes for their output channels."""
    original = _function(tasks, "parse_model", ("d", "ch"))

    def answer(module: Any, args: list[Any], source: Any, repeats: int, channels: list[int]) -> int | None:
        table = plugins.table()
        if layer := table.layer_of(module):
            return row_layers.hand_in_channels(layer, args, source, repeats, channels)
        return int(module.out_channels(*args)) if module in table.modules.values() else None

    parse = recompile.ask_for_channels(original, answer)

    @functools.wraps(original)
    def parse_model(d: Any, ch: int, *args: Any, **kwargs: Any) -> Any:
        table = _registered()
        expanded = expand.expand(row_layers.scale_rows(d, table.layers), ch, table, vars(tasks), table.parts)
        try:
            layers, save = parse(expanded, ch, *args, **kwargs)
        except Exception as error:
            explain.name_row(error, parse, d, expanded)
            raise
        chosen = row_layers.named(expanded, table.layers)
        for index, layer in chosen.items():
            checkpoints.mark(layers[index], layer)
        row_layers.check(layers, d, expanded, chosen, ch)
        if row := expand.backbone_row(d, table):
            checkpoints.mark(layers[0], row.backbone)
            expand.load_weights(d, ch, row, layers)
        return layers, save

    owners = [m for m in (tasks, ultralytics_nn) if getattr(m, "parse_model", None) is original]
    return [_set(owner, "parse_model", parse_model) for owner in owners]


def _patch_initialize_weights() -> list[Change]:
    """Keep the settings of a module whose feature maps a backbone takes.

    Ultralytics sets `eps` and `momentum` of every plain BatchNorm. Older releases make every activation work in place,
    which would overwrite a feature map that a module both returns and continues from.
    """
    original = _function(tasks, "initialize_weights", ("model",))

    @functools.wraps(original)
    def initialize_weights(model: nn.Module) -> None:
        inner = [m for maps in model.modules() if isinstance(maps, FeatureMaps) for m in maps.modules()]
        settings = ("eps", "momentum", "inplace")
        before = [(m, name, getattr(m, name)) for m in inner for name in settings if hasattr(m, name)]
        original(model)
        for module, name, value in before:
            setattr(module, name, value)

    return [_set(tasks, "initialize_weights", initialize_weights)]


def _patch_predict_once() -> list[Change]:
    """Name the layer that failed when the forward loop raises. It adds nothing to the loop itself."""
    original = _function(tasks.BaseModel, "_predict_once", ("self", "x"))

    @functools.wraps(original)
    def _predict_once(self: Any, x: Any, *args: Any, **kwargs: Any) -> Any:
        if torch.jit.is_scripting() or torch.jit.is_tracing() or torch.compiler.is_compiling():
            return original(self, x, *args, **kwargs)
        try:
            return original(self, x, *args, **kwargs)
        except Exception as error:
            explain.name_layer(error, original, self, x)
            raise

    return [_set(tasks.BaseModel, "_predict_once", _predict_once)]


def _patch_check_yaml() -> list[Change]:
    """Resolve config names where Ultralytics looks for the YAML file of a model.

    Ultralytics looks for the name with its scale and for the name without, the first time with `hard=False`, which
    raises nothing. Older releases begin with the name without a scale. A user's file of either name wins.
    """
    original = _function(tasks, "check_yaml", ("file", "suffix", "hard"))
    signature = inspect.signature(original)

    @functools.wraps(original)
    def check_yaml(*args: Any, **kwargs: Any) -> Any:
        table = plugins.table()
        config = names.split(str(signature.bind(*args, **kwargs).arguments["file"]), table)
        if config is None:
            return original(*args, **kwargs)
        try:
            path = original(*args, **kwargs)
        except FileNotFoundError:
            return str(names.file_of(config, table))
        if path:
            LOGGER.info(f"yolo-starnet: {config.name} is your file {Path(path).resolve()}, not the config of that name")
            return path
        unscaled = names.unscaled(config.name)
        # The next call has the scale that this one lacks, or finds the user's file.
        next_call_resolves = config.name == unscaled or original(unscaled, hard=False)
        return path if next_call_resolves else str(names.file_of(config, table))

    return [_set(tasks, "check_yaml", check_yaml)]


def _patch_check_file() -> list[Change]:
    """Resolve the names of the built-in data sets where Ultralytics looks for data YAML files."""
    original = _function(data_utils, "check_file", ("file", "suffix"))
    signature = inspect.signature(original)

    @functools.wraps(original)
    def check_file(*args: Any, **kwargs: Any) -> Any:
        try:
            return original(*args, **kwargs)
        except FileNotFoundError:
            path = datasets.find_yaml(str(signature.bind(*args, **kwargs).arguments["file"]))
            if path is None:
                raise
            return str(path)

    return [_set(data_utils, "check_file", check_file)]


def _patch_check_cls_dataset() -> list[Change]:
    """Resolve the name of the built-in set for classification, which Ultralytics would try to download."""
    original = _function(data_utils, "check_cls_dataset", ("dataset",))

    @functools.wraps(original)
    def check_cls_dataset(dataset: Any, *args: Any, **kwargs: Any) -> Any:
        return original(datasets.find_folder(str(dataset)) or dataset, *args, **kwargs)

    def put_back() -> None:  # also in modules that were imported since, and that took ours from `data_utils`
        for module in _holders("check_cls_dataset", check_cls_dataset):
            vars(module)["check_cls_dataset"] = original

    owners = _holders("check_cls_dataset", original)
    return [_set(owner, "check_cls_dataset", check_cls_dataset)._replace(undo=put_back) for owner in owners]


def _holders(name: str, value: object) -> list[ModuleType]:
    """The imported modules of Ultralytics that hold an object under this name."""
    modules = [module for key, module in [*sys.modules.items()] if key.startswith("ultralytics.")]
    return [module for module in modules if isinstance(module, ModuleType) and vars(module).get(name) is value]


def _patch_generate_ddp_file() -> list[Change]:
    """Import this package in the script that Ultralytics writes for the workers of a multi-GPU training."""
    original = _function(dist, "generate_ddp_file", ("trainer",))

    @functools.wraps(original)
    def generate_ddp_file(trainer: Any) -> str:
        file = original(trainer)
        text = Path(file).read_text(encoding="utf-8")
        # Beside the script's own imports, since some releases set sys.path just before them.
        text = re.sub(r"^( +)(?=from ultralytics)", rf"\1import {PACKAGE}\n\1", text, count=1, flags=re.MULTILINE)
        Path(file).write_text(text, encoding="utf-8")
        return str(file)

    return [_set(dist, "generate_ddp_file", generate_ddp_file)]


def _patch_tuner() -> list[Change]:
    """Let `tune()` start our command line, on releases that start `yolo train` in a new process."""
    if not hasattr(tuner, "subprocess"):
        return []

    def run(command: list[str], *args: Any, **kwargs: Any) -> Any:
        return subprocess.run([sys.executable, "-m", PACKAGE, *command[command.index("train") :]], *args, **kwargs)

    return [_set(tuner, "subprocess", SimpleNamespace(**{**vars(subprocess), "run": run}))]


def _patch_torch_safe_load() -> list[Change]:
    """Prepare the load of a checkpoint on a backbone, and switch its `pretrained` off: its own weights count."""
    original = _function(tasks, "torch_safe_load", ("weight",))

    @functools.wraps(original)
    def torch_safe_load(weight: Any, *args: Any, **kwargs: Any) -> Any:
        checkpoints.check_installed(weight)
        restricted = inspect.signature(original).bind(weight, *args, **kwargs).arguments.get("safe_only")
        if restricted is None:
            restricted = getattr(tasks, "SAFE_LOAD", False)
        restricted = restricted and hasattr(torch.serialization, "get_unsafe_globals_in_checkpoint")  # torch 2.6
        with checkpoints.allow_classes(weight, plugins.table()) if restricted else contextlib.nullcontext():
            checkpoint, file = original(weight, *args, **kwargs)
        checkpoints.forget_pretrained(checkpoint, plugins.table())  # loading may have imported a plugin
        return checkpoint, file

    owners = [m for m in (tasks, ultralytics_nn) if getattr(m, "torch_safe_load", None) is original]
    return [_set(owner, "torch_safe_load", torch_safe_load) for owner in owners]


def _patch_load() -> list[Change]:
    """Load weights row by row between models on different backbones, where the same index means another row."""
    original = _function(tasks.BaseModel, "load", ("self", "weights"))

    @functools.wraps(original)
    def load(self: Any, weights: Any, verbose: bool = True, *args: Any, **kwargs: Any) -> Any:
        source = (weights.get("ema") or weights["model"]) if isinstance(weights, dict) else weights
        rows = transfer.same_rows(source, self, plugins.table().modules.values())
        if rows is None:
            return original(self, weights, verbose, *args, **kwargs)
        if verbose:
            LOGGER.info(f"yolo-starnet: {transfer.describe(rows)}")
        return original(self, transfer.Renamed(source, rows), verbose, *args, **kwargs)

    return [_set(tasks.BaseModel, "load", load)]


def _patch_fuse() -> list[Change]:
    """Let the neck of a fused model on a backbone convolve before it upsamples: the same result for less work."""
    original = _function(tasks.BaseModel, "fuse", ("self", "verbose"))

    @functools.wraps(original)
    def fuse(self: Any, *args: Any, **kwargs: Any) -> Any:
        backbones = tuple(plugins.table().modules.values())
        if not self.is_fused() and isinstance(getattr(self, "model", [None])[0], backbones):
            joined.join(self)
        return original(self, *args, **kwargs)

    return [_set(tasks.BaseModel, "fuse", fuse)]


def _patch_build_optimizer() -> list[Change]:
    """Let `optimizer=auto` choose for a StarNet from scratch, however short, what it chooses for long trainings."""
    if not HAS_MUSGD:
        return []
    from ultralytics.engine.trainer import BaseTrainer
    from ultralytics.utils.torch_utils import unwrap_model

    original = _function(BaseTrainer, "build_optimizer", ("self", "model", "name", "lr", "momentum", "decay"))
    signature = inspect.signature(original)

    @functools.wraps(original)
    def build_optimizer(self: Any, *args: Any, **kwargs: Any) -> Any:
        call = signature.bind(self, *args, **kwargs)
        call.apply_defaults()
        given = call.arguments
        network: Any = unwrap_model(given["model"])
        if (
            given["name"] == "auto"
            and given["iterations"] <= SHORT
            and isinstance(getattr(network, "model", [None])[0], plugins.table().modules.get("StarStem", ()))
            and learns_from_scratch(self.args, network.yaml)
        ):
            vars(self.args).update(FROM_SCRATCH)  # a checkpoint holds them, so a resumed training takes them again
            chosen = {"name": "optimizer", "lr": "lr0", "momentum": "momentum"}
            given |= {parameter: FROM_SCRATCH[key] for parameter, key in chosen.items()}
            words = " ".join(f"{key}={value}" for key, value in FROM_SCRATCH.items())
            LOGGER.info(
                f"yolo-starnet: optimizer=auto means {words} here, with which a StarNet learns more from scratch "
                "(docs/accuracy.md). optimizer=AdamW, with lr0, is what stock Ultralytics chooses for short trainings"
            )
        return original(*call.args, **call.kwargs)

    return [_set(BaseTrainer, "build_optimizer", build_optimizer)]


def _patch_zeropower() -> list[Change]:
    """Let MuSGD orthogonalize in float32 on CPUs, where it takes most of a training step in bfloat16."""
    if not HAS_MUSGD:
        return []
    from ultralytics.optim import muon

    original = _function(muon, "zeropower_via_newtonschulz5", ("G",))

    @functools.wraps(original)
    def zeropower_via_newtonschulz5(G: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:  # noqa: N803 - theirs
        with InFloat32() if G.device.type == "cpu" else contextlib.nullcontext():
            return original(G, *args, **kwargs)

    return [_set(muon, "zeropower_via_newtonschulz5", zeropower_via_newtonschulz5)]


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
    _patch_load,
    _patch_fuse,
    _patch_build_optimizer,
    _patch_zeropower,
)


def _function(owner: ModuleType | type, name: str, parameters: tuple[str, ...]) -> FunctionType:
    """A plain Python function of Ultralytics whose first parameters are these; raises if it is anything else."""
    where = f"{owner.__name__}.{name}"
    function = vars(owner).get(name)
    if not isinstance(function, FunctionType):
        raise recompile.unsupported(f"{where} is {function!r}, expected a function")
    if not function.__code__.co_filename.startswith(str(Path(ultralytics.__file__).parent)):
        module = function.__globals__["__name__"]  # `functools.wraps` copies `__module__`
        found = f"{where} was replaced by {module} ({function.__code__.co_filename})"
        error = recompile.unsupported(found, "Import yolo_starnet first, or do without that module.")
        error.replaced_by = module
        raise error
    first = tuple(inspect.signature(function).parameters)[: len(parameters)]
    if first != parameters:
        raise recompile.unsupported(f"the first parameters of {where} are {first}, expected {parameters}")
    return function


def _set(owner: ModuleType | type, name: str, value: object) -> Change:
    """Assign an attribute."""
    undo = functools.partial(setattr, owner, name, vars(owner)[name]) if name in vars(owner) else None
    setattr(owner, name, value)
    return Change(owner, name, value, undo or functools.partial(delattr, owner, name))
