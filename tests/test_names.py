"""Config names: which file a name stands for."""

import os
import re
from pathlib import Path

import pytest
import torch
import ultralytics
import yaml
from torch import nn
from ultralytics import YOLO
from ultralytics.nn import tasks
from ultralytics.nn.tasks import yaml_model_load

import yolo_starnet
from conftest import REFERENCE
from yolo_starnet.errors import BackboneError, ConfigError
from yolo_starnet.model_yaml import names
from yolo_starnet.networks.starnet import VARIANTS

PARAMETERS = {"n": 2_624_080, "s": 9_458_752, "m": 20_114_688, "l": 25_372_160, "x": 56_966_176}  # of stock YOLO11


def config_names(stock: str) -> list[str]:
    """The config names of a shipped file: every scale on every variant."""
    parts = re.fullmatch(r"(yolov?\d+)-starnet(.*)", stock)
    return [f"{parts[1]}{scale}-{backbone}{parts[2]}" for scale in PARAMETERS for backbone in VARIANTS]


FIT = sorted(file.name for file in names.CONFIGS.glob("*-starnet_fit*.yaml"))
SHIPPED = sorted({file.name for file in names.CONFIGS.glob("*.yaml")} - {*FIT})


def test_four_families_with_their_tasks_are_shipped_and_shadow_nothing():
    every = [name for stock in SHIPPED for name in config_names(stock)]
    assert len(every) == len(set(every)) == 770
    assert not set(every) & set(names.stock_names())
    assert all(Path(tasks.check_yaml(n)) == names.stock_file(n) for n in names.stock_names())


@pytest.mark.parametrize("stock", SHIPPED)
def test_every_scale_and_variant_of_a_shipped_config_builds(stock: str):
    models = [yaml_model_load(name) for name in config_names(stock)]
    # Every scale of one variant and every variant of one scale: to build each of the 770 would take minutes.
    chosen = [m for m in models if m["scale"] == "n" or m["backbone"][0][2] == "starnet_s1"]
    assert len(chosen) == len(PARAMETERS) + len(VARIANTS) - 1
    for model in chosen:
        with torch.device("meta"):  # no memory, no time: layers and channels are all that is asked
            layers, _ = tasks.parse_model(model, 3, verbose=False)
        assert type(layers[4]).__name__ == "StarStage"


def test_starnet_fit_is_shipped_for_every_task_of_yolo11_and_yolo26():
    of_starnet = {name.replace("-starnet", "-starnet_fit") for name in SHIPPED}
    assert {name for name in of_starnet if name.startswith(("yolo11-", "yolo26-"))} == {*FIT}


@pytest.mark.parametrize("stock", FIT)
def test_every_scale_of_a_shipped_config_on_starnet_fit_builds(stock: str):
    for scale in PARAMETERS:
        model = yaml_model_load(re.sub(r"(yolo\d+)", rf"\1{scale}", stock))
        with torch.device("meta"):
            layers, _ = tasks.parse_model(model, 3, verbose=False)
        assert type(layers[4]).__name__ == "FitStage"


def test_the_shipped_config_is_the_reference_with_a_row_that_follows_the_scale():
    shipped = yaml.safe_load((names.CONFIGS / "yolo11-starnet.yaml").read_text())
    reference = yaml.safe_load(REFERENCE)
    assert shipped["backbone"][0] == [-1, 1, "starnet_s1", []]
    shipped["backbone"][0] = reference["backbone"][0]
    assert shipped == reference


@pytest.mark.parametrize("scale", PARAMETERS)
def test_every_scale_builds_by_name_and_is_lighter_than_stock(scale: str):
    model = YOLO(f"yolo11{scale}-starnet.yaml")
    assert model.model.yaml["scale"] == scale
    assert 0.4 < sum(p.numel() for p in model.model.parameters()) / PARAMETERS[scale] < 0.9


@pytest.mark.parametrize("backbone", [b for b in yolo_starnet.backbones() if b != "timm"])
def test_every_variant_builds_by_name(backbone: str):
    assert YOLO(f"yolo11n-{backbone}.yaml").model.yaml["backbone"][0] == [-1, 1, backbone, []]


@pytest.mark.parametrize(
    ("token", "backbone"),
    [("starnet_fit_npu", "starnet_fit"), ("starnet_npu", "starnet_s1"), ("starnet_s050_npu", "starnet_s050")],
)
def test_npu_after_a_starnet_is_its_form_for_npus(token: str, backbone: str):
    model = YOLO(f"yolo11n-{token}.yaml").model
    assert model.yaml["backbone"][0] == [-1, 1, backbone, {"act": "relu", "kernel": 3}]
    depthwise = [m for m in model.model[:5].modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    assert {m.kernel_size for m in depthwise} == {(3, 3)}
    assert not any(isinstance(m, nn.ReLU6) for m in model.modules())
    plain = YOLO(f"yolo11n-{backbone}.yaml").model
    fewer = sum(p.numel() for p in plain.parameters()) - sum(p.numel() for p in model.parameters())
    assert fewer == 0 if backbone == "starnet_fit" else fewer > 0  # its default is that form


@pytest.mark.parametrize("token", ["timm_resnet18_npu", "starnet_s9_npu", "starnet__npu"])
def test_npu_after_anything_else_is_refused(token: str):
    with pytest.raises((ConfigError, BackboneError)):
        YOLO(f"yolo11n-{token}.yaml")


def test_starnet_alone_is_starnet_s1():
    assert yaml_model_load("yolo11n-starnet.yaml")["backbone"] == yaml_model_load("yolo11n-starnet_s1.yaml")["backbone"]


@pytest.mark.parametrize("name", ["yolo11n-starnet.yaml", "yolo11-starnet.yaml"], ids=["with scale", "without scale"])
def test_a_file_of_the_users_own_wins(name: str):
    Path(name).write_text(REFERENCE.replace("nc: 80", "nc: 17"))
    assert yaml_model_load("yolo11n-starnet.yaml")["nc"] == 17


@pytest.mark.parametrize("name", ["yolo11n-starnet.yaml", "yolo11-starnet.yaml"], ids=["with scale", "without scale"])
def test_the_log_says_when_a_file_of_the_users_own_wins(name: str, log: list[str]):
    yaml_model_load("yolo11n-starnet.yaml")
    assert not any("is your file" in line for line in log)
    Path(name).write_text(REFERENCE)
    yaml_model_load("yolo11n-starnet.yaml")
    assert sum(f"yolo-starnet: {name} is your file {Path(name).resolve()}," in line for line in log) == 1


@pytest.mark.parametrize(
    ("name", "stock"),
    [
        ("yolo26n-starnet_s050-p2.yaml", "yolo26-p2.yaml"),
        ("yolov10n-starnet.yaml", "yolov10n.yaml"),
        ("yolov9c-starnet-seg.yaml", "yolov9c-seg.yaml"),
        ("yoloe-26s-starnet-seg.yaml", "yoloe-26-seg.yaml"),
        ("yolov8m-starnet-worldv2.yaml", "yolov8-worldv2.yaml"),
        ("rtdetr-l-starnet_s3.yaml", "rtdetr-l.yaml"),
    ],
)
def test_any_other_stock_model_is_grafted_on_first_use(name: str, stock: str, monkeypatch, tmp_path: Path):
    monkeypatch.setattr(names, "USER_CONFIG_DIR", tmp_path)
    found = yaml_model_load(name)
    assert [row[1:] for row in found["head"]] == [row[1:] for row in yaml_model_load(stock)["head"]]
    (kept,) = tmp_path.rglob("*.yaml")
    assert kept.parent.name == f"{ultralytics.__version__}-{yolo_starnet.__version__}"
    written = kept.stat().st_mtime_ns
    assert yaml_model_load(name) == found
    assert kept.stat().st_mtime_ns == written


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("yolo11-starnet_s9.yaml", "no backbone 'starnet_s9'; did you mean 'starnet_s4'"),
        ("yolo99-starnet.yaml", "has no yolo99.yaml; did you mean 'yolov9t-starnet.yaml'"),
        ("yolo11n-starnet-sgm.yaml", "has no yolo11n-sgm.yaml; did you mean 'yolo11-starnet-seg.yaml'"),
    ],
)
def test_a_name_that_stands_for_nothing_is_refused_with_the_nearest(name: str, reason: str):
    with pytest.raises(ConfigError, match=f"no config '{name}': .*{reason}"):
        YOLO(name)


@pytest.mark.parametrize(
    ("name", "first"),
    [("yolo26n-starnet.yaml", "8.4.0"), ("yolo26n-starnet-depth.yaml", "8.4.104"), ("yolov10n-starnet.yaml", "8.2.38")],
)
def test_a_family_that_the_release_is_too_old_for_says_from_which_it_exists(name: str, first: str, monkeypatch):
    monkeypatch.setattr(ultralytics, "__version__", "8.2.0")
    monkeypatch.setattr(names, "_stock_files", lambda: {"yolov8.yaml": Path("yolov8.yaml")})
    with pytest.raises(ConfigError, match=f"exists from Ultralytics {first} on, the installed Ultralytics is 8.2.0"):
        names.find(name, VARIANTS)


@pytest.mark.parametrize("name", ["folder/yolo11n-starnet.yaml", "yolo11n-nothing.yaml", "mine.yaml"])
def test_other_names_are_left_to_ultralytics(name: str):
    with pytest.raises(FileNotFoundError) as error:
        YOLO(name)
    assert not isinstance(error.value, ConfigError)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_config_made_on_first_use_is_whole_for_eight_processes_at_once(tmp_path: Path, python):
    code = (
        "import os, yaml; from yolo_starnet.model_yaml import names\n"
        "gate, open_gate = os.pipe()\n"
        "children = []\n"
        "for _ in range(8):\n"
        "    child = os.fork()\n"
        "    if not child:\n"
        "        os.close(open_gate); os.read(gate, 1)\n"
        "        file = names.find('yolo11n-starnet_s3.yaml', ['starnet_s3'])\n"
        "        os._exit(0 if yaml.safe_load(file.read_text())['backbone'][0][2] == 'starnet_s3' else 1)\n"
        "    children.append(child)\n"
        "os.close(open_gate)\n"  # all eight go at once
        "assert [os.waitpid(child, 0)[1] for child in children] == [0] * 8"
    )
    python("-c", code, YOLO_CONFIG_DIR=str(tmp_path))
    assert [p.name for p in tmp_path.rglob("*starnet_s3*")] == ["yolo11-starnet_s3.yaml"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: b"",
        lambda text: text[: len(text) // 2],
        lambda text: text[:-40],
        lambda text: text.split(b"\nnc")[0],
        lambda text: b"\xff\xfe" + text,
        lambda text: text.partition(b"\n")[2],
    ],
    ids=["emptied", "half", "last row lost", "head only", "binary", "without checksum"],
)
def test_a_kept_graft_that_is_damaged_is_made_anew(damage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(names, "USER_CONFIG_DIR", tmp_path)
    kept = names.find("yolo11n-starnet_s3.yaml", yolo_starnet.backbones())
    text = kept.read_bytes()
    kept.write_bytes(damage(text))
    assert yaml_model_load("yolo11n-starnet_s3.yaml")["backbone"][0][2] == "starnet_s3"
    assert kept.read_bytes() == text


def test_a_refused_config_name_leaves_no_file_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(names, "USER_CONFIG_DIR", tmp_path)
    with pytest.raises(BackboneError, match=r"of yolo11n-timm_typo.yaml: timm .* has no model 'typo'"):
        YOLO("yolo11n-timm_typo.yaml")
    assert not list(tmp_path.iterdir())


def test_making_a_graft_leaves_the_random_numbers_as_they_were(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(names, "USER_CONFIG_DIR", tmp_path)
    before = torch.get_rng_state()
    names.find("yolo11n-starnet_s3.yaml", yolo_starnet.backbones())
    assert torch.equal(torch.get_rng_state(), before)


def test_a_full_disk_leaves_no_graft(tmp_path: Path, python):
    pytest.importorskip("resource", reason="no limits for files on this system")
    code = (
        "import resource, signal\nfrom pathlib import Path\nimport yolo_starnet\n"
        "from yolo_starnet.model_yaml import names\nnames.USER_CONFIG_DIR = Path('config')\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))\n"
        "names.find('yolo11n-starnet_s3.yaml', yolo_starnet.backbones())\n"
    )
    done = python("-c", code, check=False)
    last = done.stderr.splitlines()[-1]
    assert last.startswith("yolo_starnet.errors.ConfigError: config")
    assert "cannot be written (File too large); free that place, or set YOLO_CONFIG_DIR to another folder" in last
    assert not [file for file in (tmp_path / "config").rglob("*") if file.is_file()]


def test_a_config_folder_that_cannot_be_written_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    (tmp_path / "config").write_text("mine")
    monkeypatch.setattr(names, "USER_CONFIG_DIR", tmp_path / "config")
    with pytest.raises(
        ConfigError, match=r"config.* cannot be written \(.*\); free that place, or set YOLO_CONFIG_DIR"
    ):
        YOLO("yolo11n-starnet_s3.yaml")
    assert (tmp_path / "config").read_text() == "mine"
