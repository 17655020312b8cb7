"""The files for those who carry on: they agree with each other, with the package and with what they name."""

import json
import re
from pathlib import Path

import pytest
import yaml

import yolo_starnet

ROOT = Path(__file__).parents[1]
FORMS = sorted((ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"))


def text(name: str) -> str:
    """The text of a file of the repository."""
    return (ROOT / name).read_text(encoding="utf-8")


def test_pre_commit_runs_the_ruff_that_ci_runs():
    (pinned,) = re.findall(r'"(ruff==[\d.]+)"', text("pyproject.toml"))
    hooks = yaml.safe_load(text(".pre-commit-config.yaml"))["repos"][0]["hooks"]
    assert [hook["additional_dependencies"] for hook in hooks] == [[pinned], [pinned]]


def test_the_form_for_a_bug_asks_for_the_doctor():
    (field,) = [f for f in yaml.safe_load(text(".github/ISSUE_TEMPLATE/bug.yml"))["body"] if f.get("id") == "doctor"]
    assert "yolo-starnet doctor --json" in field["attributes"]["label"]
    assert field["validations"] == {"required": True}


@pytest.mark.parametrize("form", [form for form in FORMS if form.stem != "config"], ids=lambda form: form.stem)
def test_a_form_has_what_github_needs(form: Path):
    content = yaml.safe_load(form.read_text(encoding="utf-8"))
    assert {"name", "description", "body"} <= content.keys()
    identities = [field["id"] for field in content["body"] if field["type"] != "markdown"]
    assert len(identities) == len({*identities})
    assert all(field["attributes"].get("label") for field in content["body"] if field["type"] != "markdown")


def test_the_citation_is_of_this_version_and_of_the_paper():
    citation = yaml.safe_load(text("CITATION.cff"))
    assert citation["version"] == yolo_starnet.__version__
    paper = citation["preferred-citation"]
    assert [author["family-names"] for author in paper["authors"]] == ["Ma", "Dai", "Bai", "Wang", "Fu"]
    assert paper["identifiers"] == [{"type": "other", "value": "arXiv:2403.19967"}]


def test_the_changelog_begins_with_what_is_not_released():
    sections = re.findall(r"^## (.*)", text("CHANGELOG.md"), re.MULTILINE)
    assert sections[0] == "[Unreleased]"
    assert all(re.fullmatch(r"\[\d+\.\d+\.\d+\] - \d{4}-\d\d-\d\d", section) for section in sections[1:])


def test_every_file_and_session_that_contributing_names_exists():
    page = text("CONTRIBUTING.md")
    files = [*re.findall(r"`((?:\.?[\w-]+/)*[\w-]+\.(?:py|toml|yml|md|cff))`", page), ".ci/run"]
    assert len(files) > 8
    places = (ROOT, ROOT / "src" / "yolo_starnet")
    assert not [file for file in files if not any((place / file).exists() for place in places)]
    assert {*re.findall(r'nox -s "?(\w+)', page)} <= {
        *re.findall(r"^def (\w+)\(session", text("noxfile.py"), re.MULTILINE)
    }


def test_every_link_of_contributing_to_a_file_leads_to_one():
    links = re.findall(r"\]\(([^)#]+)\)", text("CONTRIBUTING.md"))
    assert links
    assert not [link for link in links if not (ROOT / link).exists()]


def test_the_notebook_installs_the_package_first_and_holds_no_output():
    cells = json.loads(text("examples/quickstart.ipynb"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert "%pip install -q yolo-starnet" in "".join(code[0]["source"])
    assert not [cell for cell in code if cell["outputs"]]
