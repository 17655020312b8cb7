"""Config names: which file a name stands for."""

import threading
from pathlib import Path

import pytest
import yaml
from ultralytics import YOLO
from ultralytics.nn.tasks import yaml_model_load

import yolo_starnet
from conftest import REFERENCE
from yolo_starnet import configs
from yolo_starnet.errors import ConfigError

PARAMETERS = {"n": 2_624_080, "s": 9_458_752, "m": 20_114_688, "l": 25_372_160, "x": 56_966_176}  # of stock YOLO11


def test_the_shipped_config_is_the_reference_with_a_row_that_follows_the_scale():
    shipped = yaml.safe_load((configs.CONFIGS / "yolo11-starnet.yaml").read_text())
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


def test_starnet_alone_is_starnet_s1():
    assert yaml_model_load("yolo11n-starnet.yaml")["backbone"] == yaml_model_load("yolo11n-starnet_s1.yaml")["backbone"]


@pytest.mark.parametrize("name", ["yolo11n-starnet.yaml", "yolo11-starnet.yaml"], ids=["with scale", "without scale"])
def test_a_file_of_the_users_own_wins(name: str):
    Path(name).write_text(REFERENCE.replace("nc: 80", "nc: 17"))
    assert yaml_model_load("yolo11n-starnet.yaml")["nc"] == 17


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("yolo11-starnet_s9.yaml", "yolo11-starnet_s4.yaml"), ("yolo99-starnet.yaml", "yolo11-starnet.yaml")],
)
def test_a_name_that_stands_for_nothing_is_refused_with_the_nearest(name: str, nearest: str):
    with pytest.raises(ConfigError, match=f"no config '{name}'; there are .*{nearest}"):
        YOLO(name)


@pytest.mark.parametrize("name", ["folder/yolo11n-starnet.yaml", "yolo11n-nothing.yaml", "mine.yaml"])
def test_other_names_are_left_to_ultralytics(name: str):
    with pytest.raises(FileNotFoundError) as error:
        YOLO(name)
    assert not isinstance(error.value, ConfigError)


def test_a_config_made_on_first_use_is_whole_for_everyone_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(configs, "USER_CONFIG_DIR", tmp_path)
    found = []

    def ask() -> None:
        for _ in range(20):
            file = configs.find("yolo11n-starnet_s3.yaml", ["starnet_s3"])
            found.append(yaml.safe_load(file.read_text())["backbone"][0][2])

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == ["starnet_s3"] * 160
    assert [p.name for p in (tmp_path / "yolo_starnet").iterdir()] == ["yolo11-starnet_s3.yaml"]
