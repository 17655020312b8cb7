"""Plain vision transformers as backbones: one map of stride 14 or 16 becomes P3 to P5."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn
from ultralytics import YOLO
from ultralytics.nn import tasks

from conftest import train
from test_imagenet import config
from test_third_party import SAFE
from yolo_starnet.errors import BackboneError
from yolo_starnet.networks.feature_pyramid import FeaturePyramid, normalization

TINY = {"model": "vit_tiny_patch16_224", "depth": 3}
SAM = {"model": "samvit_base_patch16_224", "embed_dim": 96, "depth": 3, "num_heads": 3, "global_attn_indexes": [1]}
FAST = {"ViT": {"model": "vit_tiny_patch16_224"}}
SLOW = {
    "EVA-02": {"model": "eva02_tiny_patch14_224"},
    "DeiT": {"model": "deit_tiny_distilled_patch16_224"},
    "DINOv2": {"model": "vit_small_patch14_dinov2"},
    "DINOv2 with registers": {"model": "vit_small_patch14_reg4_dinov2"},
    "DINOv3": {"model": "vit_small_patch16_dinov3"},
    "SAM, made small": SAM,
    "XCiT": {"model": "xcit_nano_12_p16_224"},
}
kinds = pytest.mark.parametrize(
    "args",
    [
        *(pytest.param(args, id=kind) for kind, args in FAST.items()),
        *(pytest.param(args, id=kind, marks=pytest.mark.slow) for kind, args in SLOW.items()),
    ],
)


@kinds
def test_p3_to_p5_are_there_at_any_size_and_all_of_the_transformer_learns(args: dict[str, Any], tmp_path: Path):
    model = tasks.DetectionModel(str(config(tmp_path, "timm", args)), verbose=False)
    assert model.stride.tolist() == [8, 16, 32]
    layers = model.model
    for height, width in ((96, 128), (320, 320)):
        model.zero_grad()
        levels = layers[0](torch.rand(2, 3, height, width))
        assert [x.shape for x in levels] == [(2, 256, height // s, width // s) for s in (8, 16, 32)]
        sum((x * torch.rand_like(x)).mean() for x in levels).backward()  # the mean of a layer norm's output is constant
        grads = {name: p.grad for name, p in layers[0].named_parameters() if p.requires_grad}
        assert [name for name, grad in grads.items() if grad is None or not grad.isfinite().all()] == []
        assert all(grad.any() for name, grad in grads.items() if "patch_embed" in name)


@kinds
def test_a_step_trains_it_and_its_files_in_onnx_and_torchscript_return_the_same(args: dict[str, Any], tmp_path: Path):
    onnxruntime = pytest.importorskip("onnxruntime")
    last = train(config(tmp_path, "timm", args), tmp_path, epochs=1, fraction=0.0125) / "weights" / "last.pt"
    model = YOLO(last).model.float().eval()
    image = torch.rand(1, 3, 96, 128)
    with torch.no_grad():
        before = model(image)[0]
    file = YOLO(last).export(format="onnx", imgsz=(96, 128), simplify=False)
    script = YOLO(last).export(format="torchscript", imgsz=(96, 128))
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    exported = torch.from_numpy(session.run(None, {session.get_inputs()[0].name: image.numpy()})[0])
    scripted = torch.jit.load(script)(image)
    for output in (exported, scripted[0] if isinstance(scripted, (tuple, list)) else scripted):
        assert (output - before).abs().max() <= 1e-4 * before.abs().max()


def test_the_levels_are_a_transposed_convolution_the_map_itself_and_its_max_pooling(tmp_path: Path):
    net = pyramid(config(tmp_path, "timm", TINY))
    image = torch.rand(1, 3, 96, 128)
    with torch.no_grad():
        (last,) = net.vit(image)
        sources = net.p3[0](last), last, nn.functional.max_pool2d(last, 2)
        for level, layers, source in zip(net(image), (net.p3, net.p4, net.p5), sources, strict=True):
            projected = torch.einsum("bchw,oc->bohw", source, layers[-2].weight[:, :, 0, 0])
            centred = projected - projected.mean(1, keepdim=True)
            expected = centred / (centred.square().mean(1, keepdim=True) + layers[-1].eps).sqrt()
            assert torch.allclose(level, expected, atol=1e-4)


def test_with_patches_of_14_pixels_the_transformer_sees_7_8_of_the_image(tmp_path: Path):
    net = pyramid(config(tmp_path, "timm", {"model": "eva02_tiny_patch14_224", "depth": 3}))
    seen: list[torch.Tensor] = []
    net.vit.register_forward_pre_hook(lambda _, args: seen.extend(args))
    net(torch.linspace(0, 1, 128).expand(1, 3, 96, 128))
    assert seen[0].shape == (1, 3, 84, 112)
    assert torch.allclose(
        seen[0][0, 0, 0, 1:-1].diff(), torch.tensor(128 / 112 / 127), atol=1e-6
    )  # the ramp, stretched evenly


def test_a_trace_leaves_the_transformer_as_it_was(tmp_path: Path):
    net = pyramid(config(tmp_path, "timm", {"model": "eva02_tiny_patch14_224", "depth": 3}))
    images = torch.rand(1, 3, 64, 64), torch.rand(1, 3, 96, 128)
    with torch.no_grad():
        before = [net(image) for image in images]
        attributes = [set(vars(m)) for m in net.modules()]
        traced = torch.jit.trace(net, images[1], strict=False)
        assert [set(vars(m)) for m in net.modules()] == attributes
        for image, levels in zip(images, before, strict=True):
            assert all(map(torch.equal, net(image), levels))
        assert all(map(torch.equal, traced(images[1]), before[1]))
    assert "bicubic" not in str(traced.inlined_graph)


@pytest.mark.parametrize("channels", [3, 4])
def test_images_are_normalized_as_for_the_weights_of_timm(channels: int):
    model = timm.create_model("vit_small_patch14_dinov2")
    image = torch.rand(2, channels, 8, 8)
    mean, std = (torch.tensor(model.pretrained_cfg[key])[:, None, None] for key in ("mean", "std"))
    if channels == 4:
        mean, std = mean.mean(), std.mean()
    with torch.no_grad():
        assert torch.allclose(normalization(model.pretrained_cfg, channels)(image), (image - mean) / std, atol=1e-6)


def test_its_flops_are_counted(tmp_path: Path, log: list[str]):
    YOLO(config(tmp_path, "timm", TINY)).info()
    (gflops,) = re.findall(r"([\d.]+) GFLOPs", " ".join(log))
    assert float(gflops) > 10


def test_pyramid_channels_are_an_option(tmp_path: Path):
    model = YOLO(config(tmp_path, "timm", {**TINY, "pyramid_channels": 40})).model
    assert [m.shape[1] for m in model.model[0](torch.rand(1, 3, 64, 64))] == [40, 40, 40]


def test_out_indices_select_the_block_whose_map_is_used(tmp_path: Path):
    net = pyramid(config(tmp_path, "timm", {"model": "vit_tiny_patch16_224", "out_indices": [2]}))
    assert len(net.vit[-1].net.model.blocks) == 3


@pytest.mark.parametrize("name", ["vit_tiny_patch16_224", "vit_small_patch14_dinov2"])
def test_weights_come_from_a_file_and_only_into_the_transformer(name: str, tmp_path: Path, log: list[str]):
    theirs = timm.create_model(name, dynamic_img_size=True).eval()
    torch.save(theirs.state_dict(), tmp_path / "mine.pth")
    row = {"model": name, "pretrained": str(tmp_path / "mine.pth")}
    net = pyramid(config(tmp_path, "timm", row))
    side = 64 if net.patch == 16 else 56
    image = torch.rand(1, 3, side, 2 * side)
    with torch.no_grad():
        expected = theirs.forward_intermediates(image, indices=1, norm=False, intermediates_only=True)
        assert torch.equal(net.vit[-1](image)[0], expected[0])
    assert [x for x in log if x.startswith(f"{name}: ")] == [
        f"{name}: weights from {tmp_path / 'mine.pth'}; none for its feature pyramid"
    ]


def test_the_transformer_can_be_frozen_without_its_pyramid(tmp_path: Path):
    yolo = YOLO(config(tmp_path, "timm", TINY))
    trainable: set[str] = set()
    yolo.add_callback(
        "on_train_batch_start",
        lambda trainer: trainable.update(n for n, p in trainer.model.named_parameters() if p.requires_grad),
    )
    small = {"imgsz": 64, "batch": 16, "fraction": 0.0125, "workers": 0, "plots": False, "epochs": 1, "val": False}
    yolo.train(data="shapes", project=str(tmp_path), freeze=["0.net.vit"], **small)
    of_backbone = {name.split(".")[3] for name in trainable if name.startswith("model.0.")}
    assert of_backbone == {"p3", "p4", "p5"}


@pytest.mark.skipif(not SAFE, reason="this release has no restricted loading")
@pytest.mark.slow
def test_restricted_loading_takes_its_checkpoints(tmp_path: Path, python: Callable):
    last = train(config(tmp_path, "timm", TINY), tmp_path, epochs=1, fraction=0.0125) / "weights" / "last.pt"
    code = f"import yolo_starnet; from ultralytics import YOLO; print(type(YOLO({str(last)!r}).model.model[0].net))"
    assert "FeaturePyramid" in python("-c", code, ULTRALYTICS_SAFE_LOAD="1").stdout


@pytest.mark.parametrize(
    "name", ["yolo11n-timm_vit_small_patch16_224.yaml", "yolo26n-timm_vit_small_patch16_dinov3.yaml"]
)
def test_a_name_is_enough(name: str):
    model = YOLO(name).model
    assert model.stride.tolist() == [8, 16, 32]


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (
            {"model": "vit_small_patch32_224"},
            "vit_small_patch32_224 has feature maps of stride 32 only, expected 8, 16 and 32 among them, or 14 or 16",
        ),
        ({"model": "vit_small_patch8_224"}, "vit_small_patch8_224 has feature maps of stride 8 only, expected 8, 16"),
        (
            {"model": "cait_xxs24_224"},
            r"cait_xxs24_224 fails on an image of 96 x 128 pixels .*Input height \(96\) doesn't match model \(224\)",
        ),
        (
            {"model": "vit_tiny_patch16_224", "out_indices": [3, 11]},
            "vit_tiny_patch16_224 returns 2 feature maps of one stride, expected one map; give one index as",
        ),
        (
            {"model": "vit_tiny_patch16_224", "pyramid_channels": 0},
            "pyramid_channels must be a positive whole number, found 0",
        ),
        (
            {"model": "resnet18", "pyramid_channels": 64},
            "resnet18 has feature maps of strides 2, 4, 8, 16, 32, expected one stride, 14 or 16, for the option",
        ),
    ],
    ids=["patches of 32", "patches of 8", "one size", "two maps", "no channels", "no transformer"],
)
def test_what_cannot_carry_a_pyramid_is_refused_with_the_reason(args: dict[str, Any], message: str, tmp_path: Path):
    with pytest.raises(BackboneError, match=message):
        YOLO(config(tmp_path, "timm", args))


def pyramid(file: Path) -> FeaturePyramid:
    """The pyramid of a model, in eval mode."""
    net = YOLO(file).model.eval().model[0].net
    assert isinstance(net, FeaturePyramid)
    return net
