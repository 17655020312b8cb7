"""The table of backbones and scales, and the commands around it."""

from pathlib import Path

import pytest
from ultralytics import YOLO

from yolo_starnet import backbones, cli
from yolo_starnet.commands import models
from yolo_starnet.model_yaml import strides
from yolo_starnet.networks.starnet import VARIANTS


def lines(**arguments: str) -> list[list[str]]:
    return [line.split() for line in models.table(backbones(), **arguments)]


def test_strides_are_measured_once_for_all_backbones(monkeypatch: pytest.MonkeyPatch):
    calls: list[int] = []
    of_rows = strides.of_rows

    def counted(model):
        calls.append(1)
        return of_rows(model)

    monkeypatch.setattr(strides, "of_rows", counted)
    assert len(lines(scale="n", backbone="starnet_s1,starnet_s050")) == 5
    assert calls == [1]


def test_the_figures_are_those_that_ultralytics_counts():
    found = {line[0]: line for line in lines(family="26", task="pose", scale="n", backbone="starnet_s050")}
    _, parameters, _, gflops = YOLO("yolo26n-starnet_s050-pose.yaml").model.info()
    assert found["starnet_s050"][1:4] == [f"{parameters / 1e6:.2f}", "/", f"{gflops:.1f}"]
    _, parameters, _, gflops = YOLO("yolo26n-pose.yaml").model.info()
    assert found["(stock)"][1:4] == [f"{parameters / 1e6:.2f}", "/", f"{gflops:.1f}"]


def test_every_backbone_is_listed_with_the_weights_that_there_are():
    found = lines(scale="n")
    assert [line[0] for line in found[2:]] == ["(stock)", *VARIANTS, "starnet_fit"]
    published = [line[0] for line in found if line[-1] == "true}"]
    assert published == ["starnet_s1", "starnet_s2", "starnet_s3", "starnet_s4"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["models", "family=99"], "has no yolo99.yaml; "),
        (["models", "task=segmentation"], "no task 'segmentation' among detect, segment"),
        (["models", "scale=n,k"], "no scale 'k' among n, s, m, l, x"),
        (["models", "backbone=resnet"], "no backbone 'resnet' among starnet_s1"),
        (
            ["graft", "model=yolo11x-sgm.yaml"],
            "no model 'yolo11x-sgm.yaml': neither a file nor a stock YAML of that name exists; did you mean 'yolo11-",
        ),
        (["graft", "model=yolo11n.yaml", "backbone=starnet_s9"], "no backbone 'starnet_s9'; "),
    ],
    ids=" ".join,
)
def test_a_wrong_argument_is_one_line_that_says_what_there_is(arguments: list[str], reason: str, capsys):
    assert cli.main(arguments) == 1
    error = capsys.readouterr().err
    assert reason in error
    assert error.startswith("yolo-starnet: ")
    assert not list(Path().iterdir())


def test_graft_writes_a_yaml_that_ultralytics_loads_and_never_overwrites(capsys):
    Path("mine.yaml").write_text(
        "nc: 3\nscales:\n  n: [0.33, 0.25, 1024]\nbackbone:\n"
        + "".join(f"  - [-1, 1, Conv, [{64 * 2**i}, 3, 2]]\n" for i in range(5))
        + "head:\n  - [[2, 3, 4], 1, Detect, [nc]]\n"
    )
    command = ["graft", "model=mine.yaml", "backbone=starnet_s050", "out=out.yaml"]
    assert cli.main(command) == 0
    written = Path("out.yaml").read_text()
    _, parameters, _, _ = YOLO("out.yaml").model.info()
    assert f"{parameters:,} parameters" in written
    assert cli.main(command) == 1
    assert "out.yaml exists and is not overwritten" in capsys.readouterr().err
    assert Path("out.yaml").read_text() == written
