"""A trained model on another backbone: the rows that stay take their tensors along."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from typing import Any, NamedTuple

import torch
from torch import nn
from ultralytics.nn.modules import Concat, Conv

from ..errors import BackboneError, brief
from ..model_yaml import graft, strides
from ..model_yaml.expand import LEVELS
from .adapter import AdaptedConv2d, Part

RESTORED = graft.KEEPS_CHANNELS | {"SPPF", "SPP"}
"""Modules whose inner channels follow those of their input, so that their tensors fit only the original number."""
PASSES_ON = (Concat, nn.Upsample, nn.Identity)
"""Modules that pass every channel on as it is."""


class Student(NamedTuple):
    """A trained model on another backbone.

    Attributes:
        model: A model of the trained one's class, with an `AdaptedConv2d` where a level enters a row that stays.
        carried: How many tensors of rows that stay were carried over.
        left: What could not be carried over, and why, one line for each row.
    """

    model: Any
    carried: int
    left: list[str]


def build(trained: Any, backbone: str, args: Any = ()) -> Student:
    """Put a trained model on another backbone, which is not trained yet.

    Args:
        trained: A model of Ultralytics, such as `YOLO("yolo11n.pt").model`. It is left as it is.
        backbone: The name of a registered backbone.
        args: The arguments of its row.

    Raises:
        BackboneError: The model has no backbone of stock rows that could be replaced, or its rows cannot be followed.
    """
    row_strides = strides.of_rows(trained.yaml)
    grafted = graft.graft(trained.yaml, row_strides, backbone, args, RESTORED, keys={})
    model = type(trained)(deepcopy(grafted.model), ch=strides.image_channels(trained), verbose=False)
    for name in ("names", "args", "task", "kpt_shape", "end2end"):
        if name in vars(trained):
            setattr(model, name, deepcopy(getattr(trained, name)))
    carried, left = 0, []
    for row, layer, inputs in _kept(trained, model, grafted, row_strides):
        missing = _carry_over(trained.model[row], model.model[layer], inputs)
        carried += len(trained.model[row].state_dict()) - len(missing)
        if missing:
            left.append(f"row {row} {type(trained.model[row]).__name__}: {', '.join(missing)}")
    if "pretrained" not in args:  # such a backbone has weights of its own
        _share_convolutions(trained, model, row_strides)
    return Student(model, carried, left)


def _kept(
    trained: Any, model: Any, grafted: graft.Graft, row_strides: Sequence[int | None]
) -> Iterator[tuple[int, int, list[list[Part]]]]:
    """Each row that stays, the layer of the new model that it becomes, and the parts of each of its inputs."""
    before, after = _map_channels(trained), _map_channels(model)
    restored = None in grafted.kept
    # What each row gives, as parts. A replaced row gives the level of its stride.
    given = {
        row: [Part(before[row], after[level], row, level)]
        for row, stride in enumerate(row_strides[: grafted.cut])
        if (level := graft.LEVELS.get(stride or 0)) is not None
    }
    for layer, row in enumerate(grafted.kept, LEVELS):
        if row is None:
            continue
        module = trained.model[row]
        inputs = [given[source] for source in strides.sources(module)]
        if restored and row == grafted.cut:
            exact = before[row - 1] == after[LEVELS]
            inputs = [[Part(before[row - 1], after[LEVELS], row - 1, LEVELS, exact)]]
        passed = [part for parts in inputs for part in parts]
        given[row] = passed if isinstance(module, PASSES_ON) else [Part(before.get(row, 0), after.get(layer, 0))]
        if not isinstance(module, PASSES_ON):
            yield row, layer, inputs


def _map_channels(model: Any) -> dict[int, int]:
    """The channels of the feature map that each layer returns; the head is not run."""
    image = torch.zeros(1, strides.image_channels(model), strides.SIZE, strides.SIZE)
    try:
        outputs = strides.run_model(model, image, head=False)
    except Exception as error:
        raise BackboneError(f"its rows cannot be run one after the other ({brief(error)})") from error
    return {row: x.shape[1] if isinstance(x, torch.Tensor) and x.ndim == 4 else 0 for row, x in enumerate(outputs)}


def _carry_over(source: nn.Module, target: nn.Module, inputs: Sequence[Sequence[Part]]) -> list[str]:
    """Copy the tensors of a row, with adapters before the convolutions that a level enters.

    Returns:
        The tensors that could not be copied.
    """
    renamed = {}
    for index, parts in enumerate(inputs):
        if any(part.is_replaced for part in parts):
            for name in _first_convolutions(source, index, inputs):
                _adapt(source, target, name, parts)
                renamed[f"{name}."] = f"{name}.conv."
    tensors, own = {}, target.state_dict()
    for name, tensor in source.state_dict().items():
        prefix = next((p for p in renamed if name.startswith(p)), "")
        tensors[name] = renamed.get(prefix, "") + name.removeprefix(prefix), tensor
    fitting = {key: tensor for key, tensor in tensors.values() if key in own and own[key].shape == tensor.shape}
    target.load_state_dict(fitting, strict=False)
    return [name for name, (key, _) in tensors.items() if key not in fitting]


def _adapt(source: nn.Module, target: nn.Module, name: str, parts: Sequence[Part]) -> None:
    """Put adapters before a convolution of a new row."""
    parent, _, child = name.rpartition(".")
    conv, outer = source.get_submodule(name), source.get_submodule(parent)
    assert isinstance(conv, nn.Conv2d)  # _first_convolutions returns no others
    norm = outer.bn if isinstance(outer, Conv) else None
    setattr(target.get_submodule(parent), child, AdaptedConv2d(deepcopy(conv), parts, norm))


def _first_convolutions(row: nn.Module, index: int, inputs: Sequence[Sequence[Part]]) -> list[str]:
    """The names of the convolutions of a row that take its input `index` as it is."""
    weight = next(row.parameters())
    maps = [torch.zeros(1, sum(part.trained for part in parts), 8, 8).to(weight) for parts in inputs]
    names: list[str] = []
    row = deepcopy(row).eval()
    for name, module in row.named_modules():
        if isinstance(module, nn.Conv2d) and module.groups == 1:
            module.register_forward_pre_hook(
                lambda _, x, name=name: names.append(name) if x[0] is maps[index] else None  # type: ignore[misc]
            )
    with torch.no_grad():
        row(maps[:] if isinstance(row.f, list) else maps[0])
    return names


def _share_convolutions(trained: Any, model: Any, row_strides: Sequence[int | None]) -> None:
    """Start each level of the new backbone from the convolution that begins it in the trained one, where it fits."""
    for stride, level in graft.LEVELS.items():
        if stride not in row_strides:
            continue
        first = next((m for m in model.model[level].modules() if isinstance(m, Conv)), None)
        begins = trained.model[row_strides.index(stride)]
        if first is not None and isinstance(begins, Conv) and _shapes(first) == _shapes(begins):
            first.load_state_dict(begins.state_dict())


def _shapes(module: nn.Module) -> Mapping[str, torch.Size]:
    return {name: tensor.shape for name, tensor in module.state_dict().items()}
