"""MuSGD on a CPU: exact and quick; elsewhere as Ultralytics has it."""

from typing import Any

import pytest
import torch

import yolo_starnet
from yolo_starnet.optimizers import HAS_MUSGD

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
