"""The documentation: its links, names, tables and code are those of the package, and it leaves nothing public out."""

import dataclasses
import importlib
import re
from pathlib import Path

import pytest
import torch
import ultralytics
import yaml
from cogapp import Cog
from ultralytics.nn import tasks

import yolo_starnet
from yolo_starnet import Backbone, RowLayer, errors, hookspecs, plugins
from yolo_starnet.commands import models, table
from yolo_starnet.model_yaml import names
from yolo_starnet.tasks import TASKS

ROOT = Path(__file__).parents[1]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
PACKAGE = ROOT / "src" / "yolo_starnet"


def blocks(page: str, language: str) -> list[str]:
    """The code blocks of a page in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text(page), re.DOTALL | re.MULTILINE)


def text(page: str) -> str:
    """A page, without the marks that a reader does not see."""
    return (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
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


@pytest.mark.parametrize("row", blocks("docs/backbones.md", "yaml"))
def test_the_rows_that_the_pages_show_name_registered_backbones(row: str):
    first = yaml.safe_load(row)["backbone"][0]
    assert first[2] in yolo_starnet.backbones()
    assert set(first[3]) <= set(yolo_starnet.backbones()[first[2]].options)


@pytest.mark.skipif(ultralytics.__version__ != "8.4.190", reason="the figures are those of 8.4.190")
def test_the_table_of_models_is_what_the_command_prints():
    (shown,) = [block for block in blocks("docs/backbones.md", "console") if "yolo-starnet models" in block]
    _, title, *rows = shown.splitlines()
    expected = [row[:32].rstrip() for row in rows]  # backbone and scale n
    printed = list(models.table(yolo_starnet.backbones(), scale="n"))
    assert printed[0] == title
    assert [line[:32].rstrip() for line in printed[1:]] == expected


# Nothing public is left out. Each page lists what it documents, so a new name fails here until it is described.


def test_the_page_of_commands_has_the_commands_and_keys_of_the_program():
    arguments = ["cog", "--check", "-P", str(ROOT / "docs" / "commands.md")]
    assert Cog().main(arguments) == 0, "run: cog -r -P docs/commands.md"


def test_every_command_has_a_section():
    assert re.findall(r"^## (.+)", text("docs/commands.md"), re.MULTILINE) == [*table.COMMANDS]


def test_every_error_has_a_section_that_says_what_else_it_is():
    shown = re.findall(r"^### `(\w+)`\n\n(.*?)(?=^#)", text("docs/errors.md"), re.DOTALL | re.MULTILINE)
    classes = {name: kind for name, kind in vars(errors).items() if isinstance(kind, type)}
    assert {name for name, _ in shown} == {*classes} - {"Iterable"}
    for name, section in shown:
        builtin = [kind.__name__ for kind in classes[name].__bases__ if kind.__module__ == "builtins"]
        assert all(f"`{kind}`" in section for kind in builtin if kind != "Exception")


@pytest.mark.parametrize("name", yolo_starnet.backbones())
def test_every_backbone_and_each_of_its_options_is_described(name: str):
    page = text("docs/backbones.md")
    listed = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    assert re.search(rf"\b{name}\b", page)
    assert {*yolo_starnet.backbones()[name].options} <= {*listed}


def test_no_option_is_described_that_no_backbone_takes():
    listed = re.findall(r"^\| `(\w+)` \|", text("docs/backbones.md"), re.MULTILINE)
    taken = {option for backbone in yolo_starnet.backbones().values() for option in backbone.options}
    assert {*listed} <= taken


@pytest.mark.parametrize("name", yolo_starnet.layers())
def test_every_layer_is_described(name: str):
    assert f"`{name}`" in text("docs/plugins.md")


@pytest.mark.parametrize("name", [n for n, f in vars(hookspecs).items() if hasattr(f, "yolo_starnet_spec")])
def test_every_hook_is_described_with_an_example(name: str):
    assert f"`{name}`" in text("docs/plugins.md")
    assert any(f"@hookimpl\ndef {name}(register):" in code for code in blocks("docs/plugins.md", "python"))
    assert f"::: yolo_starnet.hookspecs.{name}" in text("docs/api.md")


@pytest.mark.parametrize(
    "field", [f.name for f in dataclasses.fields(RowLayer) if f.name not in {"module", "distribution"}]
)
def test_every_field_of_a_layer_is_described(field: str):
    assert f"| `{field}` |" in text("docs/plugins.md")


@pytest.mark.parametrize("name", sorted({*yolo_starnet.__all__} - {"__version__", "hookimpl"}))
def test_every_public_name_is_on_the_page_of_the_api(name: str):
    assert re.search(rf"^::: yolo_starnet[\w.]*\.{name}$", text("docs/api.md"), re.MULTILINE)


def test_every_task_is_listed_with_its_model_and_its_data():
    rows = re.findall(r"^\| `(\w+)` \| `(.+)` \| `data=(.+)` \|$", text("docs/tasks.md"), re.MULTILINE)
    assert rows == [(name, task.model, task.data) for name, task in TASKS.items()]


@pytest.mark.parametrize("family", sorted({file.stem.partition("-starnet")[0] for file in ROOT.glob("configs/*.yaml")}))
def test_every_family_that_has_configs_is_named(family: str):
    assert re.search(rf"`{family}[nsmlx]-starnet", text("docs/backbones.md"))


@pytest.mark.parametrize(
    "variable",
    sorted(
        {v for file in PACKAGE.rglob("*.py") for v in re.findall(r"\bYOLO_STARNET_[A-Z]+", file.read_text("utf-8"))}
    ),
)
def test_every_environment_variable_is_described(variable: str):
    assert f"`{variable}=" in "".join(page.read_text(encoding="utf-8") for page in PAGES)


# What must stay in the README.


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md"])
def test_a_readme_has_the_two_commands_of_a_fresh_machine(page: str):
    commands = "".join(blocks(page, "console"))
    assert "$ pip install . && yolo-starnet train\n" in commands
    assert '$ pip install -e ".[test]" && pytest -n 2 -m "not slow"\n' in commands


def test_the_readme_shows_the_import_before_any_log_and_fits_on_two_screens():
    readme = text("README.md")
    assert readme.index("import yolo_starnet") < readme.index("```text")
    assert readme.count("\n") <= 95


def test_the_chinese_readme_answers_each_step_and_error_of_the_tutorials():
    readme = text("README.zh-CN.md")
    steps = "".join(re.findall(r"^\| 修改(\S+) \|", readme, re.MULTILINE))
    assert {*steps.replace("、", "")} == {*"一二三四五六七八九十"}
    for error in ("KeyError: 'starnet_s1'", "Sizes of tensors must match", "Given groups=1, weight of size"):
        assert f"`{error}" in readme
    for error in ("AMP: checks failed", "Can't get attribute"):
        assert f"`{error}" in readme
    assert "1,825,473" in readme and "1,826,058" in readme  # noqa: PT018 (one promise)
