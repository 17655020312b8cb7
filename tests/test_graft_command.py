"""`yolo-starnet graft`: the file that it writes, on another backbone, with other layers, or with both."""

from pathlib import Path

import pytest
import yaml
from ultralytics import YOLO

from yolo_starnet import cli
from yolo_starnet.measuring import figures


def modules(file: str) -> list[str]:
    """The modules that the rows of a YAML name."""
    model = yaml.safe_load(Path(file).read_text(encoding="utf-8"))
    return [row[2] for row in (*model["backbone"], *model["head"])]


@pytest.mark.parametrize(
    ("arguments", "file", "train"),
    [
        ([], "yolo11-starnet.yaml", "yolo11n-starnet.yaml"),
        (["backbone=starnet_fit"], "yolo11-starnet_fit.yaml", "yolo11n-starnet_fit.yaml"),
        (["swap=Concat:StarFuse"], "yolo11-starfuse.yaml", "yolo11n-starfuse.yaml"),
        (["backbone=starnet", "swap=C3k2:StarCSP", "out=a.yaml"], "a.yaml", "a.yaml"),
    ],
    ids=["default backbone", "backbone", "layers", "both, to a file"],
)
def test_it_writes_a_file_that_trains_by_the_name_that_it_prints(
    arguments: list[str], file: str, train: str, capsys: pytest.CaptureFixture[str]
):
    assert cli.main(["graft", "model=yolo11n.yaml", *arguments]) == 0
    printed = capsys.readouterr().out
    assert f"Written to {file}; train it with: yolo-starnet train model={train}" in printed
    text = Path(file).read_text(encoding="utf-8")
    assert text in printed
    model = YOLO(train if train != "a.yaml" else file).model
    assert f"{sum(p.numel() for p in model.parameters()):,} parameters" in text


def test_layers_are_swapped_where_it_says():
    swaps = "swap=C3k2:StarCSP,Concat:StarFuse"
    assert cli.main(["graft", "model=yolo11n.yaml", swaps, "where=head", "out=a.yaml"]) == 0
    names = modules("a.yaml")
    assert (names.count("StarFuse"), names.count("StarCSP"), names.count("C3k2")) == (4, 4, 4)


def test_a_swapped_model_keeps_the_stock_backbone_unless_one_is_given():
    assert cli.main(["graft", "model=yolo26n.yaml", "swap=Concat:StarFuse", "out=a.yaml"]) == 0
    assert modules("a.yaml")[0] == "Conv"
    assert cli.main(["graft", "model=yolo26n.yaml", "backbone=starnet", "swap=Concat:StarFuse", "out=b.yaml"]) == 0
    assert modules("b.yaml")[0] == "starnet_s1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["swap=Concat:StarFuze"], "no module 'StarFuze'; did you mean 'StarFuse'"),
        (["swap=Concat"], "swap= takes OLD:NEW or OLD:NEW[arguments], found 'Concat'"),
        (["where=head"], "where= says which rows swap= changes; give swap="),
        (["backbone=starnet_s9"], "no backbone 'starnet_s9'"),
    ],
    ids=["unknown module", "no pair", "where alone", "unknown backbone"],
)
def test_a_refused_graft_writes_nothing(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]):
    assert cli.main(["graft", "model=yolo11n.yaml", *arguments]) == 1
    assert message in capsys.readouterr().err
    assert not list(Path().iterdir())


def test_a_file_that_exists_is_not_overwritten(capsys: pytest.CaptureFixture[str]):
    Path("a.yaml").write_text("mine")
    assert cli.main(["graft", "model=yolo11n.yaml", "swap=Concat:StarFuse", "out=a.yaml"]) == 1
    assert "a.yaml exists and is not overwritten" in capsys.readouterr().err
    assert Path("a.yaml").read_text() == "mine"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is no model: expected rows such as"),
        (b"a: 1\n", "under 'backbone:', found None"),
        (b"- 1\n", "is no model"),
        (b"text", "is no model"),
        (b"\xe4\xff\x00", "cannot be read as YAML"),
        (b"a: [1, {\n", "cannot be read as YAML"),
        (b"backbone: [[-1, 1, Conv, [64, 3, 2]]]\nhead: null\n", "under 'head:', found None"),
        (b"backbone: 5\nhead: 5\n", "under 'backbone:', found 5"),
        (b"backbone: [[-1, 1], 7]\nhead: [[]]\n", "under 'backbone:', found [[-1, 1], 7]"),
        (b"backbone: [[x, 1, 7, []], [a, b, c, d], [-1, 1, Conv, 5]]\nhead: [[-1, 1, Detect, [nc]]]\n", "cannot be"),
    ],
    ids=["empty", "no rows", "list", "text", "binary", "broken", "no head", "numbers", "short rows", "wrong rows"],
)
@pytest.mark.parametrize("more", [[], ["swap=Conv:StarFuse"]], ids=["backbone", "layers"])
def test_a_file_that_is_no_model_is_named_on_one_line(content: bytes, message: str, more: list[str], capsys):
    Path("mine.yaml").write_bytes(content)
    assert cli.main(["graft", "model=mine.yaml", *more, "out=a.yaml"]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("yolo-starnet: ")
    assert message in line
    assert [f.name for f in Path().iterdir()] == ["mine.yaml"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["model=" + "a" * 4096], "no model 'aaa"),
        (
            ["model=yolo11n.yaml", "out=no/where/a.yaml"],
            "no/where/a.yaml cannot be written (No such file",
        ),
        (["model=yolo11n.yaml", "out=file/a.yaml"], "file/a.yaml cannot be written (Not a directory)"),
        (["model=yolo11n.yaml", f"out={'b' * 300}"], "cannot be written (File name too long)"),
        (["model=yolo11n.yaml", f"backbone={'c' * 300}"], "cannot be written (File name too long)"),
        (["model=yolo11n.yaml", "out=file"], "file exists and is not overwritten"),
        (["model=yolo11n.yaml", "swap=Concat:StarFuse[{]"], "swap= takes OLD:NEW or OLD:NEW[arguments]"),
    ],
    ids=["long model", "no folder", "a file as folder", "long file", "long backbone", "a file", "broken arguments"],
)
def test_what_cannot_be_written_is_found_out_before_a_model_is_built(
    arguments: list[str], message: str, capsys, monkeypatch: pytest.MonkeyPatch
):
    def by_scale(*_: object) -> None:
        raise AssertionError("a model was built")

    monkeypatch.setattr(figures, "by_scale", by_scale)
    Path("file").write_text("")
    assert cli.main(["graft", *arguments]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert message in line
    assert [f.name for f in Path().iterdir()] == ["file"]
