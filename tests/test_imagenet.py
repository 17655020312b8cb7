"""ImageNet weights: which ones fit, that all are loaded, and that none are fetched twice."""

import argparse
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import yaml
from torch import nn
from ultralytics import YOLO
from ultralytics.nn import tasks

from conftest import REFERENCE, train
from yolo_starnet.errors import BackboneError
from yolo_starnet.networks.starnet import VARIANTS, ConvBN


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Models of timm with random parameters, and the checkpoints that they were saved to."""
    folder = tmp_path_factory.mktemp("timm")
    saved = {}
    for name in ("starnet_s1", "starnet_s050"):
        torch.manual_seed(1)
        model = timm.create_model(name).eval()
        for tensor in model.state_dict().values():
            if tensor.dim() == 1:
                tensor.uniform_(0.5, 1.5)
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):  # as small as trained ones can be, where eps counts
                module.running_var.uniform_(1e-4, 1e-2)
                module.weight.data.uniform_(0.05, 0.15)
        torch.save(model.state_dict(), folder / f"{name}.pth")
        saved[name] = (model, folder / f"{name}.pth")
    model, _ = saved["starnet_s1"]
    authors = {"epoch": 299, "arch": "starnet_s1", "state_dict": model.state_dict(), "args": argparse.Namespace(lr=1)}
    torch.save(authors, folder / "authors.pth.tar")
    return {**saved, "authors": (model, folder / "authors.pth.tar")}


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any request to timm's hub raises an error."""

    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("the hub was asked")

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    for name in ("load_state_dict_from_hf", "load_state_dict_from_url", "load_state_dict", "load_pretrained"):
        monkeypatch.setattr(f"timm.models._builder.{name}", refuse)
    monkeypatch.setattr("timm.models.load_pretrained", refuse)


def config(folder: Path, name: str, args: dict) -> Path:
    given = yaml.safe_load(REFERENCE)
    given["backbone"][0] = [-1, 1, name, args]
    file = folder / "my-yolo11n.yaml"
    file.write_text(yaml.safe_dump(given))
    return file


def outputs(layers: nn.Sequential, image: torch.Tensor) -> list[torch.Tensor]:
    levels = []
    with torch.no_grad():
        for layer in layers[:5]:
            image = layer(image)
            levels.append(image)
    return levels[1:]


@pytest.mark.parametrize(
    ("name", "source", "in_channels"),
    [
        ("starnet_s1",) * 2 + (3,),
        ("starnet_s1", "authors", 3),
        ("starnet_s050",) * 2 + (3,),
        ("starnet_s1",) * 2 + (4,),
    ],
    ids=["timm", "authors", "unpublished variant", "four channels"],
)
def test_the_levels_of_a_fresh_detector_equal_timms_before_and_after_fuse(
    name: str, source: str, in_channels: int, saved: dict, tmp_path: Path, log: list[str]
):
    _, path = saved[source]
    overlay = {"file": str(path)}
    reference = timm.create_model(
        name, features_only=True, in_chans=in_channels, pretrained=True, pretrained_cfg_overlay=overlay
    ).eval()
    file = config(tmp_path, name, {"width": 1.0, "pretrained": str(path)})
    model = tasks.DetectionModel(str(file), ch=in_channels, verbose=False).eval()
    tensors = sum(len(layer.state_dict()) for layer in model.model[:5])
    assert f"{name}: {tensors} of {tensors} tensors loaded from {path}" in log
    norms = [m for m in model.model[:5].modules() if isinstance(m, nn.BatchNorm2d)]
    assert {n.eps for n in norms} == {1e-3}

    image = torch.randn(2, in_channels, 64, 96)
    with torch.no_grad():
        expected = reference(image)
    for fused in (False, True):
        if fused:
            model.fuse(verbose=False)
            assert not any(isinstance(m, nn.BatchNorm2d) for m in model.model[:5].modules())
        for level, wanted in zip(outputs(model.model, image), expected, strict=True):
            assert (level - wanted).abs().max() <= 1e-4 * wanted.abs().max()


@pytest.mark.parametrize(
    ("name", "args", "message"),
    [
        ("starnet_s1", {}, "fit only the published network, {width: 1.0, .*; found width 0.25, .* the model's scale"),
        ("starnet_s1", {"width": 0.5}, "found width 0.5"),
        ("starnet_s1", {"width": 1.0, "mlp_ratio": 3}, "found mlp_ratio 3, expected 4; remove it"),
        ("starnet_s1", {"width": 1.0, "kernel": 3}, "found kernel 3, expected 7; remove it"),
        (
            "starnet_s050",
            {"width": 1.0},
            "no weights are published .*, only for starnet_s1, .*, starnet_s4; give the path",
        ),
        ("starnet_s1", {"width": 1.0, "pretrained": "gone.pth"}, "there is no file '.*gone.pth'; give the path"),
        (
            "starnet_s1",
            {"width": 1.0, "pretrained": 7},
            "pretrained must be true, false or the path of a file, found 7",
        ),
        ("starnet_s1", {"width": 1.0, "pretrained": "starnet_s050"}, "no weights for starnet_s1 from .*size mismatch"),
        ("starnet_s1", {"width": 1.0, "pretrained": "broken.pth"}, "no weights for starnet_s1 from broken.pth: "),
        ("starnet_s1", {"width": 1.0, "pretrained": "part.pth"}, "part.pth lacks 6 tensors of starnet_s1: stem.0.conv"),
        ("starnet_s1", {"width": 1.0}, "no weights for starnet_s1 from timm's hub: .*the hub was asked"),
    ],
    ids=[
        "scale",
        "width",
        "mlp_ratio",
        "kernel",
        "variant",
        "no file",
        "no path",
        "misfit",
        "no checkpoint",
        "part",
        "offline",
    ],
)
def test_weights_that_cannot_fit_or_be_had_are_refused(
    name: str, args: dict, message: str, saved: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("the hub was asked")

    monkeypatch.setattr("timm.models._builder.load_state_dict_from_hf", refuse)
    Path("broken.pth").write_bytes(b"no checkpoint")
    torch.save({k: v for k, v in saved["starnet_s1"][0].state_dict().items() if "stem" not in k}, "part.pth")
    args = {"pretrained": True, **args}
    if args["pretrained"] in saved:
        args["pretrained"] = str(saved[args["pretrained"]][1])
    with pytest.raises(BackboneError, match=message) as refusal:
        YOLO(config(tmp_path, name, args))
    assert str(refusal.value).startswith(f"backbone row 0 [-1, 1, {name}, ")


def test_a_checkpoint_brings_its_own_weights_and_nothing_is_fetched_again(
    saved: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
):
    weights = tmp_path / "starnet_s1.pth"
    weights.write_bytes(saved["starnet_s1"][1].read_bytes())
    file = config(tmp_path, "starnet_s1", {"width": 1.0, "pretrained": str(weights)})
    first = train(file, tmp_path, epochs=1, fraction=0.025, freeze=5)
    last = first / "weights" / "last.pt"
    weights.unlink()
    with pytest.raises(BackboneError):
        YOLO(file)
    request.getfixturevalue("offline")

    yolo = YOLO(last)
    assert yolo.model.yaml["backbone"][0][3]["pretrained"] is False
    yolo.val(data="shapes", imgsz=64, workers=0, plots=False)
    yolo.export(format="torchscript", imgsz=64)
    again = train(last, tmp_path / "again", epochs=1, fraction=0.025, freeze=5)
    before, after = (YOLO(r / "weights" / "last.pt").model.model[:5].state_dict() for r in (first, again))
    assert all(torch.equal(before[k], after[k]) for k in before if k.endswith("conv.weight"))


def test_published_is_what_timm_has():
    for name, variant in VARIANTS.items():
        assert bool(timm.get_pretrained_cfg(name).hf_hub_id) == variant.published


def test_every_batch_norm_of_the_levels_lies_in_a_conv_that_fuse_folds(tmp_path: Path):
    layers = YOLO(config(tmp_path, "starnet_s1", {"width": 1.0})).model.model[:5]
    inside = [m.bn for m in layers.modules() if isinstance(m, ConvBN)]
    assert inside == [m for m in layers.modules() if isinstance(m, nn.BatchNorm2d)]
