"""What the messages of errors have in common."""

import pytest

from yolo_starnet.errors import brief, nearest

NAMES = ["starnet_s1", "starnet_s2", "starnet_s3", "starnet_s4", "Conv", "timm"]


@pytest.mark.parametrize(
    ("name", "count", "suggestion"),
    [
        ("tim", 3, "; did you mean 'timm'?"),
        ("starnet_s1", 2, "; did you mean 'starnet_s1' or 'starnet_s4'?"),
        ("starnet_s1", 3, "; did you mean 'starnet_s1', 'starnet_s4' or 'starnet_s3'?"),
        ("starnet_s1", 1, "; did you mean 'starnet_s1'?"),
        ("STARNET_S1", 1, "; did you mean 'starnet_s1'?"),
        ("conv", 3, "; did you mean 'Conv'?"),
        ("resnet", 1, ""),
        ("", 3, ""),
    ],
)
def test_nearest_suggests_the_most_similar_names_first(name: str, count: int, suggestion: str):
    assert nearest(name, NAMES, count) == suggestion
    assert nearest(name, iter(NAMES), count) == suggestion


def test_nearest_suggests_nothing_where_there_is_nothing_to_suggest():
    assert nearest("Conv", []) == ""


def test_brief_names_the_type_and_keeps_to_one_line_of_300_characters():
    assert brief(KeyError("a\nb")) == r"KeyError: 'a\nb'"
    assert brief(ValueError("two\nlines")) == "ValueError: two lines"
    long = brief(ValueError("word " * 200))
    assert len(long) <= 300
    assert long.endswith(" …")
