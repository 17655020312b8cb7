"""timm's models as backbones: one of each kind; `benchmarks/timm_models.py` tries many more."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from ultralytics import YOLO
from ultralytics.nn import tasks

from conftest import train
from test_imagenet import config
from yolo_starnet.errors import BackboneError

KINDS = {
    "convolutions": {"model": "lcnet_050"},
    "attention": {"model": "efficientvit_b0"},
    "channel last, for one size": {"model": "swin_tiny_patch4_window7_224", "embed_dim": 24, "depths": [1, 1, 1, 1]},
    "padded to the size given": {"model": "maxvit_rmlp_pico_rw_256", "img_size": 64},
    "six levels": {"model": "vgg11_bn"},
}


@pytest.mark.parametrize("args", KINDS.values(), ids=KINDS)
def test_every_level_has_its_stride_at_any_size_and_learns(args: dict[str, Any], tmp_path: Path):
    model = tasks.DetectionModel(str(config(tmp_path, "timm", args)), verbose=False)
    assert model.stride.tolist() == [8, 16, 32]
    layers = model.model
    for height, width in ((96, 128), (320, 320)):
        maps = layers[0](torch.rand(1, 3, height, width))
        levels = [layers[i](maps) for i in range(1, 5)]
        assert [x.shape[2:] for x in levels] == [(height // s, width // s) for s in (4, 8, 16, 32)]
        sum(x.square().mean() for x in levels).backward()
    gradients = [p.grad for p in layers[0].parameters() if p.grad is not None]
    assert gradients
    assert all(g.isfinite().all() for g in gradients)


def test_a_model_trains_by_name_fuses_and_exports_to_onnx(tmp_path: Path):
    onnxruntime = pytest.importorskip("onnxruntime")
    last = train("yolo11n-timm_mobilenetv4_conv_small.yaml", tmp_path, epochs=1, fraction=0.025) / "weights" / "last.pt"
    model = YOLO(last).model.float().eval()
    file = YOLO(last).export(format="onnx", imgsz=64, simplify=False)
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        before = model(image)[0]
        after = model.fuse(verbose=False)(image)[0]
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    exported = torch.from_numpy(session.run(None, {session.get_inputs()[0].name: image.numpy()})[0])
    for result in (after, exported):
        assert (result - before).abs().max() <= 1e-4 * before.abs().max()


def test_weights_come_from_a_file_once_and_features_equal_timms(tmp_path: Path):
    torch.save(timm.create_model("resnet10t").state_dict(), tmp_path / "mine.pth")
    args = {"model": "resnet10t", "pretrained": str(tmp_path / "mine.pth")}
    model = YOLO(config(tmp_path, "timm", args)).model.eval()
    overlay = {"file": str(tmp_path / "mine.pth")}
    theirs = timm.create_model("resnet10t", features_only=True, pretrained=True, pretrained_cfg_overlay=overlay).eval()
    image = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        for level, expected in zip(model.model[0](image), theirs(image), strict=True):
            assert torch.equal(level, expected)


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ({}, "option 'model' is missing"),
        ({"model": "resnet19"}, "timm .* has no model 'resnet19'; did you mean .*'resnet18'"),
        ({"model": "levit_128s"}, "levit_128s has feature maps of strides 16, 32, 64, expected 8, 16 and 32"),
        (
            {"model": "coat_tiny"},
            r"coat_tiny fails on an image of 96 x 128 pixels .*doesn't match model \(224\)",
        ),
        ({"model": "mvitv2_tiny"}, "mvitv2_tiny fails on an image of 320 x 256 pixels .*out of bounds"),
        ({"model": "resnet18", "colour": 1}, "timm cannot create resnet18: TypeError: .* argument 'colour'"),
        (
            {"model": "resnet18", "out_indices": [1, 2]},
            "resnet18 has feature maps of strides 4, 8, expected 8, 16 and 32",
        ),
        ({"model": "resnet18", "pretrained": "gone.pth"}, "pretrained: there is no file '.*gone.pth'; give the path"),
    ],
    ids=[
        "no model",
        "unknown",
        "no stride 8",
        "one size",
        "up to a size",
        "option",
        "indices",
        "no file",
    ],
)
def test_a_model_that_is_no_backbone_is_refused_with_the_reason(args: dict[str, Any], message: str, tmp_path: Path):
    with pytest.raises(BackboneError, match=message):
        YOLO(config(tmp_path, "timm", args))
