"""What is installed and who may publish: the excluded releases of Ultralytics, and the workflows."""

import re
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
STEPS = [
    pytest.param(step, id=f"{file.stem}-{name}-{index}")
    for file in WORKFLOWS
    for name, job in yaml.safe_load(file.read_text(encoding="utf-8"))["jobs"].items()
    for index, step in enumerate(job["steps"])
]


def ultralytics() -> Requirement:
    """What this package requires of Ultralytics."""
    (line,) = re.findall(r'^  "(ultralytics.*?)"', (ROOT / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE)
    return Requirement(line)


@pytest.mark.parametrize("release", ["8.3.41", "8.3.42", "8.3.45", "8.3.46"])
def test_a_release_of_ultralytics_that_carried_a_miner_is_never_installed(release: str):
    assert not ultralytics().specifier.contains(release)


@pytest.mark.parametrize("release", ["8.1.0", "8.3.40", "8.3.43", "8.3.44", "8.3.47", "8.4.190"])
def test_the_releases_around_them_may_be_installed(release: str):
    assert ultralytics().specifier.contains(release)


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_each_action_is_pinned_to_a_commit_whose_tag_is_beside_it(file: Path):
    used = [line for line in file.read_text(encoding="utf-8").splitlines() if re.match(r"[\s-]*uses:", line)]
    assert used
    assert not [line for line in used if not re.search(r"uses: [\w.-]+/[\w./-]+@[0-9a-f]{40} # v[\d.]+$", line)]


@pytest.mark.parametrize("step", STEPS)
def test_a_checkout_keeps_no_credentials_and_no_command_is_built_from_an_expression(step: dict):
    if step.get("uses", "").startswith("actions/checkout@"):
        assert step["with"]["persist-credentials"] is False
    assert "${{" not in step.get("run", "")


@pytest.mark.parametrize("file", WORKFLOWS, ids=lambda file: file.stem)
def test_only_the_job_that_publishes_may_do_more_than_read(file: Path):
    workflow = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert workflow["permissions"] in ({}, {"contents": "read"})
    more = {name: job["permissions"] for name, job in workflow["jobs"].items() if "permissions" in job}
    expected = {"build": {"contents": "read"}, "publish": {"id-token": "write"}} if file.stem == "publish" else {}
    assert more == expected


def test_the_job_that_publishes_runs_no_command():
    jobs = yaml.safe_load((ROOT / ".github" / "workflows" / "publish.yml").read_text(encoding="utf-8"))["jobs"]
    assert jobs["publish"]["environment"]["name"] == "pypi"
    assert not [step for step in jobs["publish"]["steps"] if "run" in step]
