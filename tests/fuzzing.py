"""Strategies for what a user may write: model dicts, rows, options, config names and command lines, right and wrong.

Sizes are tiny or absurd, never between: a case takes milliseconds, and no machine runs out of memory.
"""

from copy import deepcopy
from typing import Any

from hypothesis import strategies as st

HUGE = 10**400
"""A whole number that is too large for a float."""
BACKBONES = ["starnet_s1", "starnet_s050", "starnet_fit"]
STOCK = ["Conv", "C2f", "Bottleneck", "SPPF", "Concat", "nn.Identity", "nn.Upsample", "Detect", "DWConv", "GhostConv"]
LAYERS = ["StarCSP", "StarFuse"]
PARTS = ["StarStem", "StarStage", "FitStem", "FitStage", "ConvStage", "FeatureMaps", "Select"]
NO_MODULES = [
    "",
    "nn.",
    "nn.NoSuch",
    "torchvision.ops.",
    "torchvision.ops.nms",
    "Convv",
    "starnet",
    "STARNET_S1",
    "os",
    "torch",
]
MODULES = [*BACKBONES, *STOCK, *LAYERS, *PARTS, *NO_MODULES]

BASE: dict[str, Any] = {
    "nc": 2,
    "scales": {"n": [0.5, 0.1, 64], "s": [1.0, 0.2, 64]},
    "scale": "n",
    "yaml_file": "mine.yaml",
    "backbone": [[-1, 1, "starnet_s050", [0.5, 0.1]], [-1, 2, "StarCSP", [32]], [-1, 1, "SPPF", [32, 5]]],
    "head": [
        [-1, 1, "nn.Upsample", [None, 2, "nearest"]],
        [[-1, 3], 1, "StarFuse", [32]],
        [-1, 2, "C2f", [32]],
        [-1, 1, "Conv", [32, 3, 2]],
        [[-1, 6], 1, "Concat", [1]],
        [[8, 9, 11], 1, "Detect", ["nc"]],
    ],
}
"""A model with a backbone, both kinds of layers, and stock rows. Mutations begin here."""

words = st.sampled_from(["", "n", "nc", "None", "[1, 2]", "a", "nearest", "é", "a b", "-1", "1e9", "true", "ch", "m"])
small = st.sampled_from([-7, -1, 0, 1, 2, 3, 8, 0.05, 0.1, 0.5, 1.0, -0.5, True, False])
STRANGE_NUMBERS = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf"), "1e308": 1e308, "huge": HUGE}
strange_numbers = st.sampled_from([*STRANGE_NUMBERS]).map(STRANGE_NUMBERS.__getitem__)
large = st.sampled_from([10**9, 1e9, 2**31, 2**62, 2**63, 2**64])
"""Too large for memory, but not for a loop; nothing that counts a loop may be one of them."""
leaves = st.none() | words | small | strange_numbers
strange = st.recursive(
    leaves, lambda x: st.lists(x, max_size=4) | st.dictionaries(words | small | st.none(), x, max_size=3), max_leaves=5
)
sources = st.integers(-3, 12) | st.lists(st.integers(-3, 12), max_size=4) | strange
option_names = st.sampled_from(
    [
        "width",
        "depth",
        "mlp_ratio",
        "drop_path_rate",
        "pretrained",
        "dims",
        "depths",
        "first_star_level",
        "kernel",
        "act",
        "widht",
        "in_channels",
    ]
)
stages = st.lists(small | strange_numbers | large, min_size=3, max_size=5)
options = st.dictionaries(option_names | words, small | stages | strange | large, max_size=3)
backbone_args = options | st.lists(small | large | strange, max_size=3) | strange
timm_options = st.fixed_dictionaries(
    {"model": st.sampled_from(["test_resnet", "test_vit", "test_mambaout", "resnet19"]) | strange},
    optional={
        "in_channels": st.just(3),
        "pretrained": st.sampled_from([False, None, "gone.pt", "~nobody/x", "x" * 5000, [], 7]),
        "out_indices": strange | st.lists(st.integers(-6, 6), max_size=5),
        "pyramid_channels": small | large | strange,
        "drop_path_rate": small | strange,
        "img_size": st.sampled_from([0, 64, -32, "64", None, [64, 64]]),
        "features_only": st.booleans(),
        "no_such_option": small,
    },
)
args = st.lists(small | large | strange, max_size=4)
rows = st.one_of(
    st.tuples(sources, small | strange, st.sampled_from(MODULES) | strange, args | strange).map(list),
    st.tuples(sources, st.just(1), st.sampled_from(MODULES), args).map(list),
    st.tuples(st.just(-1), st.just(1), st.sampled_from(BACKBONES), backbone_args).map(list),
    strange,
)
scales = (
    st.dictionaries(st.sampled_from(["n", "s", "x"]), st.lists(small | strange_numbers | words, max_size=4)) | strange
)
KEYS: dict[str, st.SearchStrategy[Any]] = {
    "nc": small | large | strange,
    "scales": scales,
    "scale": strange,
    "depth_multiple": small | strange,
    "width_multiple": small | large | strange,
    "reg_max": small | strange,
    "end2end": small | strange,
    "activation": st.sampled_from(["nn.ReLU()", "torch.nn.SiLU()", "a.b", "nn.NoSuch()", "", 7, None, []]),
    "backbone": strange | st.lists(rows, max_size=3),
    "head": strange | st.lists(rows, max_size=3),
    "yaml_file": strange,
    "no_such_key": strange,
}


@st.composite
def models(draw: st.DrawFn) -> dict[str, Any]:
    """A model dict with one to three mutations."""
    model = deepcopy(BASE)
    for _ in range(draw(st.integers(1, 3))):
        draw(st.sampled_from([_change_key, _change_key, _drop_key, _change_row, _change_row, _change_item, _move_row]))(
            draw, model
        )
    return model


def _change_key(draw: st.DrawFn, model: dict[str, Any]) -> None:
    key = draw(st.sampled_from([*KEYS]))
    model[key] = draw(KEYS[key])


def _drop_key(draw: st.DrawFn, model: dict[str, Any]) -> None:
    model.pop(draw(st.sampled_from([*KEYS])), None)


def _section(draw: st.DrawFn, model: dict[str, Any]) -> list[Any]:
    """A section that is still a list and has rows, or else a list that is thrown away."""
    section = model.get(draw(st.sampled_from(["backbone", "backbone", "head"])))
    return section if isinstance(section, list) and section else [None]


def _change_row(draw: st.DrawFn, model: dict[str, Any]) -> None:
    section = _section(draw, model)
    section[draw(st.integers(0, len(section) - 1))] = draw(rows)


def _change_item(draw: st.DrawFn, model: dict[str, Any]) -> None:
    section = _section(draw, model)
    row = section[draw(st.integers(0, len(section) - 1))]
    if not isinstance(row, list) or len(row) != 4:
        return
    item = draw(st.integers(0, 3))
    given = backbone_args if row[2] in BACKBONES else args | strange
    row[item] = draw([sources, small | strange, st.sampled_from(MODULES) | strange, given][item])


def _move_row(draw: st.DrawFn, model: dict[str, Any]) -> None:
    section = _section(draw, model)
    row = section.pop(draw(st.integers(0, len(section) - 1)))
    if draw(st.booleans()):
        section.insert(draw(st.integers(0, len(section))), row)


TOKENS = [
    "starnet",
    "starnet_s050",
    "starnet_fit",
    "starnet_s9",
    "timm_",
    "timm",
    "timm_test_vit",
    "starnet_s1",
    "starnets",
]
STEMS = ["yolo11n", "yolo11", "yolov8s", "yolo11q", "yolo99n", "yolo", "rtdetr-l", "YOLO11n", "", "é", "yolo11n" * 9]
SUFFIXES = ["", "-seg", "-pose", "-xyz", "-starnet", "-", "-p6"]
ENDINGS = [".yaml", ".yml", ".YAML", ".yaml ", ".pt", "", ".yaml.yaml", "\0.yaml"]
config_names = st.one_of(
    st.builds("{}-{}{}{}".format, *(st.sampled_from(x) for x in (STEMS, TOKENS, SUFFIXES, ENDINGS))),
    st.text("yolo11n-starnet_.s050 é%[]*?~\0", max_size=40).map(lambda text: f"{text}.yaml"),
)

_values = st.sampled_from(
    ["", "0", "-1", "1.5", "é", "no-such.yaml", "=", "a=b", ",", "x" * 99, "../x", "nan", "%s", "[", "\n"]
)
_keys = st.sampled_from(
    ["family", "task", "scale", "backbone", "swap", "where", "kind", "imgsz", "batch", "rounds", "no_such_key", ""]
)
_pairs = st.builds("{}{}={}".format, st.sampled_from(["", "--"]), _keys, _values)
_ours = st.builds(
    lambda command, pairs: [command, *pairs],
    st.sampled_from(["graft", "compare", "new", "new x", "new name=x", "graft model=no-such.yaml"]).map(str.split),
    st.lists(_pairs | _values, max_size=4),
).map(lambda line: [*line[0], *line[1:]])
"""Commands of ours that end before they build a model, since each lacks what it needs."""
_theirs = st.builds(
    lambda words, pairs: [*words, *pairs, "no_such_key=1"],
    st.lists(st.sampled_from(["val", "predict", "export", "detect", "segment", "modles", "-v", "no"]), max_size=2),
    st.lists(_pairs, max_size=3),
)
"""Those of Ultralytics, with an argument that it does not know."""
command_lines = _ours | _theirs
