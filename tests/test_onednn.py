"""Fused levels on x86 CPUs: packed convolutions by oneDNN compute what PyTorch's compute."""

import copy
import pickle

import pytest
import torch
from torch import nn
from ultralytics import YOLO

from yolo_starnet.networks import onednn
from yolo_starnet.networks.starnet import ConvBN, StarBlock, StarStage, StarStem
from yolo_starnet.networks.starnet_fit import FitStem

pytestmark = pytest.mark.skipif(not onednn.X86, reason="packed convolutions are for x86")
CHANNELS_LAST = torch.channels_last


@pytest.fixture
def block() -> StarBlock:
    """A block of 24 channels, fused."""
    return fused(StarBlock(24))


def fused(module: nn.Module) -> nn.Module:
    """The module with random BatchNorm statistics, fused by the stock `fuse()`."""
    model = YOLO("yolo11n.yaml").model
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.running_mean, -0.2, 0.2)
            nn.init.uniform_(norm.running_var, 0.5, 2)
    model.model.append(module)
    return model.eval().fuse(verbose=False).model[-1]


def image(channels: int = 24, height: int = 20, width: int = 12, batch: int = 2) -> torch.Tensor:
    return torch.randn(batch, channels, height, width).contiguous(memory_format=CHANNELS_LAST)


@pytest.fixture
def calls(monkeypatch) -> list[nn.Module]:
    """The convolutions that ran packed, in order."""
    assert onednn.is_usable()  # so that no test compares PyTorch's operators with themselves
    packed: list[nn.Module] = []
    convolve = onednn.convolve

    def listen(conv: nn.Conv2d, *args: object, **kwargs: object) -> torch.Tensor:
        packed.append(conv)
        return convolve(conv, *args, **kwargs)

    monkeypatch.setattr(onednn, "convolve", listen)
    return packed


@torch.no_grad()
def plainly(module: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """The result of a module by PyTorch's operators."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onednn, "X86", False)
        return module(x)


@pytest.mark.parametrize("mlp_ratio", [3, 4])
@pytest.mark.parametrize("channels", [8, 16, 24, 40, 192])
def test_a_stage_returns_the_same_to_five_digits(channels: int, mlp_ratio: int, calls: list[nn.Module]):
    stage, x = fused(StarStage(16, channels, 2, mlp_ratio)), image(16)
    with torch.no_grad():
        result, expected = stage(x), plainly(stage, x)
    assert len(calls) == 1 + 2 * 5
    assert (result - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("act", ["relu", "relu6", "silu"])
def test_a_stage_of_another_form_returns_the_same(act: str, calls: list[nn.Module]):
    stage, x = fused(StarStage(16, 24, 2, 3, (), 3, act)), 9 * image(16)
    with torch.no_grad():
        result, expected = stage(x), plainly(stage, x)
    assert len(calls) == 1 + 2 * 5
    assert (result - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("stem", [StarStem, FitStem])
def test_a_stem_returns_the_same(stem: type[StarStem], calls: list[nn.Module]):
    module, x = fused(stem(3, 8)).to(memory_format=CHANNELS_LAST), 9 * image(3, 64, 96)
    with torch.no_grad():
        torch.testing.assert_close(module(x), plainly(module, x))
    assert len(calls) == 1


def test_an_activation_that_no_convolution_can_do_comes_after_it(calls: list[nn.Module]):
    layer, x = fused(ConvBN(24, 8, act=nn.Softplus())), image()
    with torch.no_grad():
        torch.testing.assert_close(layer(x), plainly(layer, x))
    assert not calls


def test_images_of_other_sizes_and_batches_follow_one_another(block: StarBlock, calls: list[nn.Module]):
    images = [image(), image(height=7, width=9), image(batch=5), image()]
    with torch.no_grad():
        for x in images:
            torch.testing.assert_close(block(x), plainly(block, x), rtol=1e-4, atol=1e-5)
    assert len(calls) == len(images) * 5


def test_every_convolution_of_a_fused_starnet_fit_but_the_stock_ones_runs_packed(calls: list[nn.Module]):
    model = YOLO("yolo11n-starnet_fit.yaml").model.eval().fuse(verbose=False).to(memory_format=CHANNELS_LAST)
    x = image(3, 96, 64, batch=1)
    with torch.inference_mode():
        result, expected = model(x)[0], plainly(model, x)[0]
    assert set(calls) == {m.conv for m in model.modules() if isinstance(m, ConvBN)}
    assert len(set(calls)) == len(calls)
    assert (result - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode], ids=["no_grad", "inference_mode"])
def test_new_weights_are_taken_up(block: StarBlock, mode: type, calls: list[nn.Module]):
    x = image()
    with mode():
        block(x)
    block.load_state_dict({k: v * 0.5 for k, v in block.state_dict().items()})
    with mode():
        torch.testing.assert_close(block(x), plainly(block, x), rtol=1e-4, atol=1e-5)
    block.half().float()
    with mode():
        torch.testing.assert_close(block(x), plainly(block, x), rtol=1e-4, atol=1e-5)
    assert len(calls) == 3 * 5


def test_a_block_that_ran_is_copied_and_saved_as_before(block: StarBlock, calls: list[nn.Module]):
    x = image()
    attributes, size = [sorted(vars(m)) for m in block.modules()], len(pickle.dumps(block))
    with torch.no_grad():
        before = block(x)
        for again in (copy.deepcopy(block), pickle.loads(pickle.dumps(block))):
            torch.testing.assert_close(again(x), before)
    assert len(calls) == 3 * 5
    assert [sorted(vars(m)) for m in block.modules()] == attributes
    assert len(pickle.dumps(block)) == size


@pytest.mark.parametrize("reason", ["gradient", "hook", "trace", "compile", "memory format", "dtype"])
def test_plain_operators_are_used_where_the_fast_ones_cannot(block: StarBlock, reason: str, calls: list[nn.Module]):
    x = image()
    with torch.no_grad():
        block(x)
    assert len(calls) == 5  # without the reason
    calls.clear()
    if reason == "gradient":
        block(x).sum().backward()
        assert block.f1.weight.grad is not None
    with torch.no_grad():
        if reason == "hook":
            heard: list[nn.Module] = []
            for m in (block.f1, block.f2, block.g.conv, block.dwconv2, block.dwconv.conv):
                m.register_forward_hook(lambda m, i, o: heard.append(m))
            block(x)
            assert len(heard) == 5
        if reason == "trace":
            traced = torch.jit.trace(block, x, check_trace=False)
            assert "mkldnn" not in str(traced.inlined_graph)
        if reason == "compile":
            torch.compile(block, backend="eager")(x)
        if reason == "memory format":
            block(x.contiguous())
        if reason == "dtype":
            block.bfloat16()(x.bfloat16())
    assert not calls


def test_a_torch_without_the_operators_falls_back(block: StarBlock, monkeypatch, calls: list[nn.Module]):
    def gone(*_: object) -> None:
        raise AttributeError("no such operator")

    onednn.is_usable.cache_clear()
    monkeypatch.setattr(onednn, "_pack", gone)
    try:
        assert not onednn.is_usable()
        calls.clear()  # of its trials
        x = image()
        with torch.no_grad():
            torch.testing.assert_close(block(x), plainly(block, x))
        assert not calls
    finally:
        onednn.is_usable.cache_clear()


def test_gflops_of_a_fused_model_count_every_convolution():
    model = YOLO("yolo11n-starnet.yaml").model.eval().fuse()
    before = model.info()[3]
    after = model.to(memory_format=CHANNELS_LAST).info()[3]
    assert after == pytest.approx(before)
