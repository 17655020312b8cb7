"""`load()` between models on different backbones."""

from typing import Any

import pytest
import torch
from ultralytics import YOLO

from yolo_starnet.patching import transfer


def filled(model: Any, before: dict[str, torch.Tensor]) -> set[int]:
    """The rows whose tensors changed."""
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, before[name])}
    return {int(name.split(".")[1]) for name in changed}


def loaded(source: str, target: str) -> tuple[Any, Any, set[int]]:
    """Both models after `target` has loaded `source`, and the rows that this filled."""
    torch.manual_seed(0)
    one, other = YOLO(source).model, YOLO(target).model
    for tensor in one.state_dict().values():
        if tensor.is_floating_point():
            tensor.add_(torch.rand_like(tensor))  # BatchNorms begin alike in all models
    before = {name: tensor.clone() for name, tensor in other.state_dict().items()}
    other.load(one)
    return one, other, filled(other, before)


@pytest.mark.parametrize(
    ("source", "target", "shift", "rows"),
    [
        ("yolo11n.yaml", "yolo11n-starnet.yaml", -4, range(5, 20)),
        ("yolo11n-starnet.yaml", "yolo11n.yaml", 4, range(9, 24)),
        ("yolo11n-starnet.yaml", "yolo11n-starnet_fit.yaml", 0, range(5, 20)),
        ("yolov8n.yaml", "yolov8n-starnet.yaml", -4, range(5, 19)),
        ("yolo11n.yaml", "yolo11n-starnet-seg.yaml", -4, range(5, 20)),
    ],
    ids=["stock to StarNet", "StarNet to stock", "two backbones", "YOLOv8", "another task"],
)
def test_the_rows_behind_the_backbone_are_filled_and_no_row_by_a_wrong_one(
    source: str, target: str, shift: int, rows: range
):
    one, other, changed = loaded(source, target)
    assert changed <= set(rows)
    without_tensors = {i for i in rows if not other.model[i].state_dict()}
    assert set(rows) - changed <= without_tensors
    for name, tensor in other.state_dict().items():
        _, row, rest = name.split(".", 2)
        if int(row) in changed and (value := one.state_dict().get(f"model.{int(row) - shift}.{rest}")) is not None:
            assert value.shape != tensor.shape or torch.equal(value, tensor)


@pytest.mark.parametrize("name", ["yolo11n.yaml", "yolo11n-starnet.yaml"])
def test_models_alike_are_left_to_ultralytics(name: str):
    one, other = YOLO(name).model, YOLO(name).model
    other.load(one)
    torch.testing.assert_close(other.state_dict(), one.state_dict())
    assert transfer.same_rows(one, other, {type(one.model[0])}) is None


def test_stock_models_of_different_families_are_left_to_ultralytics():
    assert transfer.same_rows(YOLO("yolov8n.yaml").model, YOLO("yolo11n.yaml").model, set()) is None


def test_the_log_says_which_rows_arrive_and_how_many_tensors(log: list[str]):
    torch.save({"model": YOLO("yolo11n.yaml").model, "train_args": {}}, "a.pt")
    YOLO("yolo11n-starnet.yaml").load("a.pt")
    text = "\n".join(log)
    assert "its rows 9 to 23 become rows 5 to 19, and no other row is filled" in text
    assert "Transferred 305/648 items" in text
