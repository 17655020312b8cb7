"""Memory formats and results in place: where they apply, and that they change no result."""

from collections.abc import Callable

import pytest
import torch
from ultralytics import YOLO
from ultralytics.utils import DEFAULT_CFG_DICT

from yolo_starnet.networks import memory, onednn

CHANNELS_LAST = torch.channels_last
x86 = pytest.mark.skipif(not onednn.X86, reason="channels-last format is for x86")


def test_training_is_in_pytorchs_own_format_in_which_batch_norm_is_exact():
    model = YOLO("yolo11n-starnet.yaml").model.train()
    seen: list[torch.Tensor] = []
    model.model[4].register_forward_hook(lambda m, i, o: seen.append(o))
    model(torch.rand(2, 3, 64, 64))
    assert seen[0].is_contiguous()
    assert not seen[0].is_contiguous(memory_format=CHANNELS_LAST)


@x86
def test_predictions_follow_the_memory_format_that_ultralytics_chose():
    image = torch.rand(1, 3, 96, 96)
    seen: list[bool] = []
    for chosen in (torch.contiguous_format, CHANNELS_LAST):
        model = YOLO("yolo11n-starnet.yaml").model.eval().to(memory_format=chosen)
        model.model[3].register_forward_hook(lambda m, i, o: seen.append(o.is_contiguous(memory_format=CHANNELS_LAST)))
        with torch.no_grad():
            model(image)
    before_the_argument = "channels_last" not in DEFAULT_CFG_DICT
    assert seen == [before_the_argument, True]


@pytest.mark.parametrize(
    ("operation", "plain", "place"), [(memory.multiply, torch.mul, 0), (memory.add, torch.add, 1)], ids=["mul", "add"]
)
class TestArithmetic:
    def test_takes_no_memory_where_nothing_is_recorded(self, operation: Callable, plain: Callable, place: int):
        operands = torch.randn(2, 4), torch.randn(2, 4)
        expected = plain(*operands)
        with torch.no_grad():
            result = operation(*operands)
        assert torch.equal(result, expected)
        assert result.data_ptr() == operands[place].data_ptr()

    def test_leaves_its_operands_to_autograd(self, operation: Callable, plain: Callable, place: int):
        operands = [torch.randn(2, 4, requires_grad=True) for _ in range(2)]
        before = [x.detach().clone() for x in operands]
        operation(*operands).sum().backward()
        assert all(torch.equal(x, y) for x, y in zip(operands, before))
        assert all(x.grad is not None for x in operands)

    def test_is_traced_alike_with_and_without_gradients(self, operation: Callable, plain: Callable, place: int):
        graphs = []
        for mode in (torch.enable_grad, torch.no_grad):
            with mode():
                graphs.append(str(torch.jit.trace(operation, (torch.ones(2), torch.ones(2)), check_trace=False).graph))
        for graph in graphs:
            assert f"aten::{plain.__name__}(" in graph
