"""What `optimizer=auto` means for a StarNet, and MuSGD on a CPU: exact and quick; elsewhere as Ultralytics has it."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from ultralytics import YOLO

import yolo_starnet
from yolo_starnet.optimizers import FROM_SCRATCH, HAS_MUSGD, learns_from_scratch

pytestmark = pytest.mark.skipif(not HAS_MUSGD, reason="MuSGD came with Ultralytics 8.4")


@pytest.fixture
def muon() -> Any:
    from ultralytics.optim import muon

    return muon


def orthogonalized(matrix: torch.Tensor) -> torch.Tensor:
    """Five Newton-Schulz steps in float64, with the coefficients of Ultralytics."""
    x = matrix.double() / matrix.double().norm()
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * a @ a) @ x
    return x


def test_on_a_cpu_updates_are_orthogonalized_in_float32(muon: Any):
    matrix = torch.randn(16, 48, generator=torch.Generator().manual_seed(0))
    exact = orthogonalized(matrix)
    ours = muon.zeropower_via_newtonschulz5(matrix)
    yolo_starnet.deactivate()
    stock = muon.zeropower_via_newtonschulz5(matrix)
    assert stock.dtype == torch.bfloat16
    assert (ours - exact).abs().max() < 1e-5 < 1e-3 < (stock - exact).abs().max()


def test_other_devices_keep_bfloat16(muon: Any):
    assert muon.zeropower_via_newtonschulz5(torch.empty(4, 8, device="meta")).dtype == torch.bfloat16


def test_float32_ends_with_the_call(muon: Any):
    muon.zeropower_via_newtonschulz5(torch.eye(4))
    assert torch.ones(1).bfloat16().dtype == torch.bfloat16


def test_a_step_of_the_optimizer_takes_it(muon: Any):
    weight = torch.nn.Parameter(torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(0)))
    weight.grad = torch.randn(8, 4, 3, 3, generator=torch.Generator().manual_seed(1))
    before = weight.detach().clone()
    optimizer = muon.MuSGD([{"params": [weight], "use_muon": True}], lr=1.0, muon=1.0, sgd=0.0)
    optimizer.step()
    # The first momentum is a multiple of the gradient, and orthogonalizing ignores a factor.
    expected = orthogonalized(weight.grad.flatten(1)).view(8, 4, 3, 3)
    assert torch.allclose(before - weight.detach(), expected.float(), atol=1e-5)


QUICK: dict[str, Any] = {"data": "shapes", "epochs": 1, "imgsz": 64, "fraction": 0.025, "plots": False, "workers": 0}


@pytest.mark.parametrize(
    ("model", "settings", "chosen"),
    [
        ("yolo11n-starnet.yaml", {}, "MuSGD"),
        ("yolo11n-starnet.yaml", {"optimizer": "AdamW", "lr0": 0.001}, "AdamW"),
        ("yolo11n.yaml", {}, "AdamW"),
        ("last.pt", {}, "AdamW"),
    ],
    ids=["a StarNet from scratch", "AdamW by name", "a stock model", "trained weights"],
)
def test_auto_chooses_for_a_starnet_from_scratch_what_it_chooses_for_long_trainings(
    model: str, settings: dict[str, Any], chosen: str, log: list[str], trained: Path
):
    yolo: Any = YOLO(trained / "weights" / model if model == "last.pt" else model)
    yolo.train(**QUICK, **settings)
    assert type(yolo.trainer.optimizer).__name__ == chosen
    assert any("optimizer=auto means optimizer=MuSGD lr0=0.01" in line for line in log) == (chosen == "MuSGD")
    if chosen == "MuSGD":  # what a resumed training reads
        arguments = torch.load(yolo.trainer.last, weights_only=False)["train_args"]
        assert FROM_SCRATCH.items() <= arguments.items()


@pytest.mark.parametrize(
    ("arguments", "options", "head", "expected"),
    [
        ({}, {}, "Detect", True),
        ({}, [0.5, 0.25], "Segment", True),
        ({}, {"pretrained": True}, "Detect", False),
        ({"model": "best.pt"}, {}, "Detect", False),
        ({"pretrained": "best.pt"}, {}, "Detect", False),
        ({"resume": "last.pt"}, {}, "Detect", False),
        ({}, {}, "RTDETRDecoder", False),
    ],
    ids=["options", "the tutorials' row", "ImageNet weights", "a checkpoint", "pretrained=", "resumed", "RT-DETR"],
)
def test_a_training_is_from_scratch_unless_it_starts_with_weights(
    arguments: dict[str, Any], options: Any, head: str, expected: bool
):
    given = SimpleNamespace(**{"model": "my.yaml", "pretrained": True, "resume": None, **arguments})
    rows = {"backbone": [[-1, 1, "starnet_fit", options]], "head": [[[2, 3, 4], 1, head, ["nc"]]]}
    assert learns_from_scratch(given, rows) == expected
