"""The loss of a transplant."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from ultralytics import YOLO

from yolo_starnet.transplanting import matching as matching_module
from yolo_starnet.transplanting import student
from yolo_starnet.transplanting.matching import BY_SCORE, Matching, _mean

IMAGE = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))


def matching(name: str) -> Matching:
    """The loss of a student of a model with random tensors."""
    torch.manual_seed(0)
    trained = YOLO(name).model
    return Matching(student.build(trained, "starnet_fit").model, trained)


def errors(loss: Matching, change: Callable[[torch.Tensor], torch.Tensor], monkeypatch: pytest.MonkeyPatch) -> list:
    """The errors where the new backbone gives the changed maps of the trained one, adapted already."""
    run = matching_module._maps

    def given(model: Any, last: int, image: torch.Tensor) -> list[torch.Tensor]:
        rows = run(loss.trained, loss.last_row, image)
        if model is loss.trained:
            return rows
        layers = [*rows]
        for *_, part in loss.compared:
            layers[part.layer] = change(rows[part.row].clone())
        return layers

    monkeypatch.setattr(matching_module, "_maps", given)
    for module, index, _ in loss.compared:
        module.adapters[str(index)] = torch.nn.Identity()
    items = loss({"img": IMAGE})[1]
    return [float(item) for item in (items.values() if isinstance(items, dict) else items)]


@pytest.mark.parametrize("name", ["yolo11n.yaml", "yolo26n-seg.yaml", "yolo11n-cls.yaml"], ids=["11", "26-seg", "cls"])
def test_the_errors_are_zero_where_the_maps_are_those_of_the_trained_backbone(
    name: str, monkeypatch: pytest.MonkeyPatch
):
    loss = matching(name)
    assert set(errors(loss, lambda row: row, monkeypatch)) == {0}
    backbone = sum(level.startswith("P") for level in loss.names)
    assert all(error > 0 for error in errors(matching(name), torch.zeros_like, monkeypatch)[:backbone])


@pytest.mark.parametrize("name", ["yolo11n.yaml", "yolo26n.yaml"], ids=["11", "26"])
def test_only_the_new_backbone_and_the_adapters_learn_also_through_the_neck(name: str):
    loss = matching(name)
    loss.with_neck = True
    loss.student.train()
    before = {key: tensor.clone() for key, tensor in loss.student.state_dict().items() if "running" in key}
    value, items = loss({"img": IMAGE})
    value.backward()
    assert {"N3", "N4", "N5", "P3", "P4", "P5"} == {*loss.names}
    assert all(error > 0 for error in (items.values() if isinstance(items, dict) else items))
    learning = {key for key, parameter in loss.student.named_parameters() if parameter.grad is not None}
    adapters = {key for key in learning if ".adapters." in key}
    new = tuple(f"model.{layer.i}." for layer in loss.student.model if layer not in loss.kept)
    assert adapters
    assert all(key.startswith(new) for key in learning - adapters)
    kept = tuple(f"model.{layer.i}." for layer in loss.kept)
    after = loss.student.state_dict()
    assert all(torch.equal(tensor, after[key]) for key, tensor in before.items() if key.startswith(kept))


@pytest.mark.parametrize("name", ["yolo11n.yaml", "yolo26n.yaml", "yolo11n-pose.yaml"], ids=["11", "26", "pose"])
def test_a_place_counts_by_the_highest_score_of_the_trained_model_near_it(name: str):
    loss = matching(name)
    head = loss.trained.model[-1]
    with torch.no_grad():
        head.cv3[0][-1].bias += 9  # so that P3 has the highest scores
        rows = [torch.randn_like(row) for row in matching_module._maps(loss.trained, loss.last_row, IMAGE)]
        weight = loss._weight(rows)
        scores = head.cv3[0](rows[head.f[0]]).sigmoid().amax(1)
    assert weight.shape == (2, 1, 8, 12)
    torch.testing.assert_close(weight.mean(), torch.tensor(1.0))
    assert weight.flatten()[scores.argmax()] == weight.max() > weight.median()
    assert weight.min() >= 1 - BY_SCORE


def test_an_error_costs_more_where_the_weight_is_higher():
    weight = torch.full((1, 1, 4, 4), 0.5)
    weight[0, 0, 1, 2] = 8.5
    here, elsewhere = torch.zeros(2, 1, 5, 4, 4)
    here[..., 1, 2] = elsewhere[..., 3, 3] = 1
    assert _mean(here, weight) == 17 * _mean(elsewhere, weight)
    coarse = torch.ones(1, 5, 2, 2)  # a level of a larger stride
    assert _mean(coarse, weight) == pytest.approx((8.5 + 3 * 0.5) / 4)


@pytest.mark.parametrize("name", ["yolo11n-cls.yaml", "yolov8n-cls.yaml"], ids=["11", "8"])
def test_every_place_counts_alike_where_the_head_scores_no_places(name: str):
    loss = matching(name)
    assert loss._weight(matching_module._maps(loss.trained, loss.last_row, IMAGE)).eq(1).all()
