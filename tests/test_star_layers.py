"""StarFuse and StarCSP: what they compute, and a stock model on them trained, fused and exported."""

from pathlib import Path

import pytest
import torch
from torch import nn
from ultralytics import YOLO

from conftest import train
from yolo_starnet import cli
from yolo_starnet.networks.star_layers import StarCSP, StarFuse
from yolo_starnet.networks.starnet_fit import FitBlock


@pytest.mark.parametrize(
    ("c1", "c2", "channels"),
    [([32, 16], 0, 16), ([32, 16], 24, 24), ([8, 16, 32], 0, 32)],
    ids=["two maps", "two maps to other channels", "three maps"],
)
def test_a_fusion_is_the_product_of_the_projected_maps_and_their_sum(c1: list[int], c2: int, channels: int):
    fuse = StarFuse(c1, c2).eval()
    maps = [torch.randn(2, c, 5, 7) for c in c1]
    projected = [project(x) for project, x in zip(fuse.projections, maps)]
    product = projected[0].clone()
    for x in projected[1:]:
        product *= x
    with torch.no_grad():
        torch.testing.assert_close(fuse(maps), product + sum(projected))
        fuse.add = False
        torch.testing.assert_close(fuse(maps), product)
    assert product.shape == (2, channels, 5, 7)
    assert StarFuse.out_channels(c1, c2) == channels


def test_every_map_but_the_last_is_bounded_and_the_last_stays_as_it_is_where_its_channels_fit():
    fuse = StarFuse([32, 16]).eval()
    gate, last = fuse.projections
    assert isinstance(last, nn.Identity)
    x = gate(1e4 * torch.randn(1, 32, 4, 4))
    assert (x.min(), x.max()) == (0, 6)


@pytest.mark.parametrize(("add", "reaches"), [(True, True), (False, False)], ids=["with the sum", "product alone"])
def test_the_sum_lets_the_gradient_of_a_map_pass_where_the_others_are_zero(add: bool, reaches: bool):
    fuse = StarFuse([16, 16], add=add).eval()
    nn.init.zeros_(fuse.projections[0].conv.weight)
    last = torch.randn(1, 16, 4, 4, requires_grad=True)
    fuse([torch.randn(1, 16, 4, 4), last]).sum().backward()
    assert bool(last.grad.any()) is reaches


def test_a_csp_block_is_made_of_star_blocks_and_follows_its_options():
    block = StarCSP(32, 64, 3, mlp_ratio=4, e=0.25)
    assert [type(m) for m in block.m] == [FitBlock] * 3
    assert block.m[0].f1.conv.out_channels == 4 * 16
    assert block(torch.randn(2, 32, 8, 8)).shape == (2, 64, 8, 8)
    assert StarCSP.out_channels(32, 64, 3) == 64


@pytest.fixture(scope="module")
def swapped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A YOLO11n with fusions in place of every Concat and star blocks in its neck, trained for an epoch."""
    folder = tmp_path_factory.mktemp("swapped")
    file = folder / "my-yolo11n.yaml"
    swaps = "swap=Concat:StarFuse,C3k2:StarCSP"
    assert cli.main(["graft", "model=yolo11n.yaml", swaps, "where=head", f"out={file}"]) == 0
    return train(file, folder, epochs=1) / "weights" / "last.pt"


def test_a_stock_model_on_star_layers_trains_and_is_reloaded(swapped: Path):
    kinds = [type(layer).__name__ for layer in YOLO(swapped).model.model]
    assert (kinds.count("StarFuse"), kinds.count("StarCSP"), kinds.count("Concat")) == (4, 4, 0)


def test_fuse_folds_every_batchnorm_and_changes_no_output(swapped: Path):
    model = YOLO(swapped).model.float().eval()
    x = torch.rand(1, 3, 64, 96)
    with torch.no_grad():
        expected = model(x)[0]
        fused = model.fuse(verbose=False)
        assert not [m for m in fused.modules() if isinstance(m, nn.BatchNorm2d)]
        assert (fused(x)[0] - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_its_onnx_file_gives_the_same_outputs(swapped: Path):
    onnxruntime = pytest.importorskip("onnxruntime")
    x = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        expected = YOLO(swapped).model.float().eval()(x)[0]
    file = YOLO(swapped).export(format="onnx", imgsz=64, simplify=False)
    session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    (output,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    assert (torch.from_numpy(output) - expected).abs().max() <= 1e-4 * expected.abs().max()


def test_it_loads_under_restricted_loading(swapped: Path, python):
    python(
        "-c", f"import yolo_starnet; from ultralytics import YOLO; YOLO({str(swapped)!r})", ULTRALYTICS_SAFE_LOAD="1"
    )
