"""Timing: interleaved rounds, quartiles, peak memory in a separate process."""

import pytest

from yolo_starnet.measuring import timing


def test_interleaved_runs_take_turns_and_another_begins_each_round():
    calls: list[str] = []
    results = timing.interleave({name: lambda name=name: calls.append(name) for name in "abc"}, 3)
    assert "".join(calls) == "aabbccbbccaaccaabb"  # two calls a turn, of which the second counts
    assert {name: len(values) for name, values in results.items()} == {"a": 3, "b": 3, "c": 3}


def test_only_the_last_call_of_a_turn_counts_and_after_runs_once_a_round():
    calls, rounds = iter(range(100)), []
    results = timing.interleave({"a": lambda: next(calls)}, 2, lambda: rounds.append("round"), settle=2)
    assert results == {"a": [2, 5]}
    assert rounds == ["round", "round"]


def test_quartiles_are_the_first_the_median_and_the_third():
    assert timing.quartiles([4.0, 0.0, 3.0, 1.0, 2.0]) == (1.0, 2.0, 3.0)


@pytest.mark.slow
def test_a_larger_image_needs_more_memory():
    small, large = (timing.peak_memory("yolo11n.yaml", "detect", imgsz, 1, "cpu") for imgsz in (64, 640))
    assert 1 < small < large < 4000  # MB


def test_a_model_that_cannot_be_loaded_ends_in_its_error():
    with pytest.raises(FileNotFoundError):
        timing.peak_memory("missing.yaml", "detect", 64, 1)
