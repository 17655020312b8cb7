"""The documentation: its links, the names and code it shows, and the table of models are those of the package."""

import importlib
import re
from pathlib import Path

import pytest
import torch
import ultralytics
import yaml
from ultralytics.nn import tasks

import yolo_starnet
from yolo_starnet import Backbone, plugins
from yolo_starnet.commands import models
from yolo_starnet.model_yaml import names

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
PACKAGE = ROOT / "src" / "yolo_starnet"


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page in a language."""
    text = (ROOT / page).read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_to_a_file_leads_to_one(page: Path):
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8"))
    assert not [link for link in links if "://" not in link and not (page.parent / link).exists()]


def test_the_tree_in_the_architecture_page_shows_every_file_of_the_package():
    (tree,) = [block for block in blocks("docs/architecture.md", "") if block.startswith("src/yolo_starnet/")]
    folder, shown = "", set()
    for line in tree.splitlines()[1:]:
        name = re.search(r"[\w.]+/?", line)[0]
        folder = folder if line.startswith(("│   ", "    ")) else ""
        if name.endswith("/"):
            folder = name
        else:
            shown.add(folder + name)
    files = {str(file.relative_to(PACKAGE).as_posix()) for file in PACKAGE.rglob("*.py")}
    assert shown == {file for file in files if not re.search(r"/__init__.py$", file)}


NAMES = re.findall(
    r"`((?:backbone|plugins|networks|model_yaml|patching|commands|measuring|demo)\.[\w.]+)`",
    (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8"),
)


@pytest.mark.parametrize("name", sorted(set(NAMES)))
def test_every_name_in_the_architecture_page_exists(name: str):
    module, attribute = name.rsplit(".", 1)
    assert hasattr(importlib.import_module(f"yolo_starnet.{module}"), attribute)


BACKBONES = [code for code in blocks("docs/plugins.md", "python") if "register_backbones" in code]
LAYERS = [code for code in blocks("docs/plugins.md", "python") if "register_layers" in code]


@pytest.mark.parametrize("code", BACKBONES, ids=["module", "layers"])
def test_the_backbones_that_the_page_shows_can_be_built(code: str):
    namespace: dict = {}
    exec(code, namespace)
    registered: list[Backbone] = []
    namespace["register_backbones"](registered.append)
    table = plugins.Table(reserved={})
    table.add(registered)
    (backbone,) = table.values()
    outputs: list = []
    x = torch.rand(1, 3, 64, 96)
    for layer in backbone.build(3, width=0.5):
        x = layer.module(*layer.args)(outputs[layer.source] if outputs else x)
        outputs.append(x)
        if isinstance(x, torch.Tensor):
            assert x.shape == (1, layer.channels, 64 // 2 ** len(outputs), 96 // 2 ** len(outputs))
    assert len(outputs) == 5
    assert all(isinstance(level, torch.Tensor) for level in outputs[2:])


@pytest.mark.parametrize(("code", "row"), zip(LAYERS, blocks("docs/plugins.md", "yaml")), ids=["one input", "two"])
def test_the_layers_that_the_page_shows_can_be_built_by_the_rows_that_it_shows(
    code: str, row: str, plugin_table: plugins.Table
):
    namespace: dict = {"__name__": "torch.nn"}  # a module that exists, for the list of classes that may be loaded
    exec(code, namespace)
    yolo_starnet.deactivate()
    namespace["register_layers"](lambda layer: plugin_table.add([], [layer]))
    yolo_starnet.activate()
    (new,) = yaml.safe_load(row)
    model = yaml.safe_load(names.stock_file("yolo11.yaml").read_text(encoding="utf-8"))
    section, index = ("head", 1) if isinstance(new[0], list) else ("backbone", 9)  # the first Concat, or SPPF
    model[section][index] = [model[section][index][0], *new[1:]]
    layers, _ = tasks.parse_model({**model, "scale": "n"}, 3, verbose=False)
    built = layers[index + (len(model["backbone"]) if section == "head" else 0)]
    assert type(built).__name__ == new[2]
    if "128 channels at scale n" in row:
        assert built.projections[0].out_channels == 128


@pytest.mark.parametrize("row", [row for page in ("README.md", "docs/backbones.md") for row in blocks(page, "yaml")])
def test_the_rows_that_the_pages_show_name_registered_backbones(row: str):
    first = yaml.safe_load(row)["backbone"][0]
    assert first[2] in yolo_starnet.backbones()
    assert set(first[3]) <= set(yolo_starnet.backbones()[first[2]].options)


@pytest.mark.skipif(ultralytics.__version__ != "8.4.190", reason="the figures are those of 8.4.190")
def test_the_table_in_the_readme_is_what_the_command_models_prints():
    (shown,) = [block for block in blocks("README.md", "console") if "yolo-starnet models" in block]
    _, title, *rows = shown.splitlines()
    expected = [row[:32].rstrip() for row in rows]  # backbone and scale n
    printed = list(models.table(yolo_starnet.backbones(), scale="n"))
    assert printed[0] == title
    assert [line[:32].rstrip() for line in printed[1:]] == expected
