"""What importing the package does to Ultralytics, and that all of it can be undone."""

import itertools
from concurrent.futures import ThreadPoolExecutor
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
import ultralytics
from ultralytics import YOLO
from ultralytics.nn import tasks

import yolo_starnet
from conftest import REFERENCE, graph_of
from yolo_starnet.networks.starnet import StarStage, StarStem

STOCK = [
    "yolo11n.yaml",
    "yolo11n-seg.yaml",
    "yolo11n-pose.yaml",
    "yolo11n-obb.yaml",
    "yolo11n-cls.yaml",
    "rtdetr-l.yaml",
]

SNAPSHOT = """
import importlib, pkgutil, sys, types
import ultralytics, torch
from ultralytics.nn import tasks
from ultralytics.engine import model, trainer, validator, predictor, exporter, tuner
from ultralytics.data import utils, build
from ultralytics.utils import dist
from ultralytics import cfg, YOLO, RTDETR

def snapshot():
    seen = {}
    for name, module in list(sys.modules.items()):
        if name.split('.')[0] == 'ultralytics' and isinstance(module, types.ModuleType):
            for key, value in list(vars(module).items()):
                seen[name, key] = value
                if isinstance(value, type) and value.__module__ == name:
                    seen.update({(name, key, k): v for k, v in vars(value).items()})
    return seen

def check(before):
    after = snapshot()
    assert before.keys() == after.keys(), before.keys() ^ after.keys()
    assert all(after[k] is v for k, v in before.items()), [k for k, v in before.items() if after[k] is not v]
"""


@pytest.mark.parametrize("name", STOCK)
def test_stock_models_are_bit_identical_active_inactive_and_active_again(name: str):
    active = graph_of(name)
    yolo_starnet.deactivate()
    stock = graph_of(name)
    yolo_starnet.activate()
    again = graph_of(name)
    assert len(active) == len(stock) == len(again) > 10
    assert all(torch.equal(a, s) and torch.equal(s, g) for a, s, g in zip(active, stock, again))


def test_activation_is_idempotent_and_one_deactivation_undoes_it():
    patched = tasks.parse_model
    yolo_starnet.activate()
    assert tasks.parse_model is patched
    yolo_starnet.deactivate()
    assert not yolo_starnet.is_active()
    assert not hasattr(tasks.parse_model, "__wrapped__")
    assert not hasattr(tasks, "StarStage")
    with pytest.raises(FileNotFoundError):
        YOLO("yolo11n-starnet.yaml")


def test_deactivation_puts_every_object_back(python):
    python(
        "-c",
        SNAPSHOT
        + "before = snapshot(); import yolo_starnet; YOLO('yolo11n-starnet.yaml')\n"
        + "assert tasks.StarStage and tasks.parse_model.__wrapped__ is before['ultralytics.nn.tasks', 'parse_model']\n"
        + "yolo_starnet.deactivate(); check(before)",
    )


def test_either_import_order_works_and_nothing_of_ours_stays(python):
    python(
        "-c",
        "import yolo_starnet\n" + SNAPSHOT + "YOLO('yolo11n-starnet.yaml'); yolo_starnet.deactivate()\n"
        "import inspect\n"
        "left = [k for k, v in snapshot().items() if str(getattr(v, '__module__', '')).startswith('yolo_starnet')]\n"
        "assert not left, left\n"
        "functions = {k: v for k, v in snapshot().items() if inspect.isfunction(v)}\n"
        "left = [k for k, v in functions.items() if 'yolo_starnet' in v.__code__.co_filename]\n"
        "assert not left, left",
    )


def test_timm_is_not_imported_until_a_row_needs_it(python):
    python(
        "-c",
        "import sys, yolo_starnet; from ultralytics import YOLO; YOLO('yolo11n-starnet.yaml')\n"
        "assert not {'timm', 'torchvision'} & sys.modules.keys() - {'torchvision'}, 'timm was imported'",
    )


def test_the_exporter_and_psutil_are_not_imported_until_they_are_needed(python):
    python(
        "-c",
        "import sys; from ultralytics import YOLO; before = {*sys.modules}; import yolo_starnet\n"
        "new = {*sys.modules} - before; assert not {'psutil', 'ultralytics.engine.exporter'} & new",
    )


def test_deactivation_reaches_a_module_that_was_imported_since_activation(python):
    python(
        "-c",
        "import yolo_starnet\n"
        "from ultralytics.data import utils; from ultralytics.engine import exporter, trainer, validator\n"
        "users = [m for m in (exporter, trainer, validator) if hasattr(m, 'check_cls_dataset')]\n"
        "ours = utils.check_cls_dataset; assert users and all(m.check_cls_dataset is ours for m in users)\n"
        "yolo_starnet.deactivate()\n"
        "assert all(m.check_cls_dataset is ours.__wrapped__ for m in (utils, *users))\n"
        "yolo_starnet.activate()\n"
        "assert all(m.check_cls_dataset is utils.check_cls_dataset is not ours for m in users)\n"
        "assert utils.check_cls_dataset.__wrapped__ is ours.__wrapped__",
    )


FALLBACK = "        else:\n            c2 = ch[f]\n\n"
PARSERS = {
    "fallback removed": (FALLBACK, "\n"),
    "fallback renamed": (FALLBACK, FALLBACK.replace("c2", "c_out")),
    "fallback doubled": (FALLBACK, FALLBACK + "        if n > 99:\n            pass\n" + FALLBACK),
    "function moved": ("def parse_model(", "def parse_model_of_tomorrow("),
    "signature changed": ("def parse_model(d, ch,", "def parse_model(ch, d,"),
}


@pytest.mark.parametrize("change", PARSERS)
def test_a_parser_that_is_not_as_expected_is_refused_and_nothing_is_patched(change: str, python, tmp_path: Path):
    stock = Path(ultralytics.__file__).parent
    for folder in ("ultralytics", "ultralytics/nn"):
        (tmp_path / folder).mkdir()
        for item in (stock.parent / folder).iterdir():
            if item.name not in {"nn", "tasks.py", "__pycache__"}:
                (tmp_path / folder / item.name).symlink_to(item)
    source = (stock / "nn" / "tasks.py").read_text(encoding="utf-8")
    old, new = PARSERS[change]
    assert source.count(old) == 1
    source = source.replace(old, new)
    if change == "function moved":
        source += "\nfrom ultralytics.utils.ops import make_divisible as parse_model\n"
    (tmp_path / "ultralytics/nn/tasks.py").write_text(source, encoding="utf-8")
    done = python(
        "-c",
        SNAPSHOT + "before = snapshot()\n"
        "try:\n    import yolo_starnet\n"
        "except ImportError as error:\n    print(type(error).__name__, error)\n"
        "else:\n    raise SystemExit('imported')\n"
        "check(before)",
        PYTHONPATH=str(tmp_path),
    )
    assert "UnsupportedUltralyticsError yolo-starnet cannot extend Ultralytics" in done.stdout
    assert ultralytics.__version__ in done.stdout


def test_the_reference_yaml_has_its_authors_figures(reference: Path):
    reference.write_text(REFERENCE.replace("nc: 80", "nc: 6"))
    _, parameters, gradients, gflops = YOLO(reference).info()
    assert (parameters, gradients, round(gflops, 1)) == (1_826_058, 1_826_042, 4.4)


def test_the_table_names_our_classes_with_their_arguments_and_parameters(log: list[str]):
    model = tasks.DetectionModel("yolo11n-starnet.yaml")
    table = [line.split(maxsplit=5) for line in log if "yolo_starnet" in line]
    parameters = [str(sum(p.numel() for p in layer.parameters())) for layer in model.model[:5]]
    arguments = ["[3, 8]", "[8, 8, 2, 4]", "[8, 16, 2, 4]", "[16, 32, 8, 4]", "[32, 64, 3, 4]"]
    classes = ["yolo_starnet.networks.starnet.StarStem"] + ["yolo_starnet.networks.starnet.StarStage"] * 4
    assert [[row[0], *row[3:5], row[5].strip()] for row in table] == [
        [str(i), *row] for i, row in enumerate(zip(parameters, classes, arguments))
    ]


def test_rows_0_to_4_are_the_levels():
    model = YOLO("yolo11n-starnet.yaml").model
    assert [type(layer) for layer in model.model[:5]] == [StarStem] + [StarStage] * 4
    assert [layer.i for layer in model.model] == list(range(20))
    assert model.stride.tolist() == [8, 16, 32]


def test_any_number_of_input_channels():
    model = tasks.DetectionModel("yolo11n-starnet.yaml", ch=10, verbose=False)
    assert model.model[0].conv.in_channels == 10


def test_fuse_leaves_no_batchnorm_in_the_backbone_and_changes_nothing():
    model = YOLO("yolo11n-starnet.yaml").model.eval()
    for m in model.modules():
        if isinstance(m, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(m.running_mean, -0.5, 0.5)
            torch.nn.init.uniform_(m.running_var, 0.5, 2)
    image = torch.rand(1, 3, 96, 64)
    with torch.no_grad():
        before = model.double()(image.double())[0]
        after = model.fuse(verbose=False)(image.double())[0]
    assert not any(isinstance(m, torch.nn.BatchNorm2d) for m in model.model[:5].modules())
    assert (after - before).abs().max() <= 1e-6 * before.abs().max()


def test_profile_embed_and_augment_work(log: list[str]):
    yolo = YOLO("yolo11n-starnet.yaml")
    image = torch.rand(1, 3, 64, 64)
    yolo.model.eval().predict(image, profile=True)
    assert sum("yolo_starnet.networks.starnet" in line for line in log) == 5
    assert yolo.embed(image, embed=[4], verbose=False)[0].shape == (64,)
    assert len(yolo.predict(image, augment=True, verbose=False)) == 1


@pytest.mark.slow
def test_torch_compile_breaks_the_graph_no_more_than_for_a_stock_model():
    def breaks(name: str) -> int:
        model = YOLO(name).model.eval()
        with torch.no_grad():
            expected = model(image)[0]  # makes the anchors, too
            torch._dynamo.reset()
            assert torch.allclose(torch.compile(model, backend="eager")(image)[0], expected, atol=1e-5)
            torch._dynamo.reset()
            return torch._dynamo.explain(model)(image).graph_break_count

    image = torch.rand(1, 3, 64, 64)
    ours = breaks("yolo11n-starnet.yaml")
    yolo_starnet.deactivate()
    assert ours <= breaks("yolo11n.yaml")


def test_a_failing_layer_is_named_with_its_inputs_and_the_stride():
    model = YOLO("yolo11n-starnet.yaml").model.eval()
    expected = (
        r"Layer 8 \(ultralytics.nn.modules.conv.Concat\), from \[-1, 3\], failed on inputs of shape "
        r"\(1, 256, 4, 6\), \(1, 32, 4, 5\)\. The image is 64 x 80 \(H x W\): both must be multiples of .* 32\."
    )
    with pytest.raises(RuntimeError, match=expected) as error:
        model(torch.zeros(1, 3, 64, 80))
    assert type(error.value) is RuntimeError
    assert str(error.value).count("Layer 8") == 1


def test_a_row_that_takes_the_wrong_level_is_named_when_the_model_is_built(reference: Path):
    reference.write_text(REFERENCE.replace("[[-1, 3], 1, Concat", "[[-1, 2], 1, Concat"))
    with pytest.raises(RuntimeError, match=r"Layer 8 .*from \[-1, 2\], failed on inputs of shape") as error:
        YOLO(reference)
    assert "multiples" not in str(error.value)


@pytest.mark.slow
def test_eight_threads_build_stock_and_starnet_models_at_once_for_200_rounds():
    models = [tasks.yaml_model_load(n) for n in ("yolo11n.yaml", "yolo11n-starnet.yaml", "yolo11n-starnet_s050.yaml")]

    def count(model: dict[str, Any]) -> int:
        layers, _ = tasks.parse_model(deepcopy(model), 3, verbose=False)
        return sum(p.numel() for p in layers.parameters())

    expected = [count(model) for model in models]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(count, itertools.islice(itertools.cycle(models), 8 * 200)))
    assert found == list(itertools.islice(itertools.cycle(expected), 8 * 200))
