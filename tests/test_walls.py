"""Only `patching` changes Ultralytics: no other room assigns to what it imports from there."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import yolo_starnet

PACKAGE = Path(yolo_starnet.__file__).parent
ROOMS = sorted(file for file in PACKAGE.rglob("*.py") if "patching" not in file.parts)
MUTATORS = {"append", "clear", "extend", "insert", "pop", "remove", "setdefault", "update"}


def imported(tree: ast.Module) -> set[str]:
    """The names that a module binds by imports from Ultralytics."""
    froms = [n for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and (n.module or "").startswith("ultralytics")]
    plain = [
        a for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names if a.name.startswith("ultralytics")
    ]
    return {a.asname or a.name.partition(".")[0] for a in (*plain, *(a for node in froms for a in node.names))}


def root(node: ast.AST) -> str:
    """The name that an expression such as `a.b[c].d` begins with."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def changes(source: str) -> Iterator[str]:
    """The statements of a module that change something that it imports from Ultralytics."""
    tree = ast.parse(source)
    names = imported(tree)
    for node in ast.walk(tree):
        targets: list[ast.AST] = []
        if isinstance(node, (ast.Assign, ast.Delete)):
            targets = [t for t in node.targets if not isinstance(t, ast.Name)]
        elif isinstance(node, (ast.AugAssign, ast.AnnAssign)) and not isinstance(node.target, ast.Name):
            targets = [node.target]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"setattr", "delattr"}:
            targets = node.args[:1]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
            targets = [node.func.value]
        if any(root(target) in names for target in targets):
            yield ast.unparse(node)


@pytest.mark.parametrize("file", ROOMS, ids=lambda file: file.relative_to(PACKAGE).as_posix())
def test_a_room_outside_of_patching_changes_nothing_of_ultralytics(file: Path):
    assert not list(changes(file.read_text(encoding="utf-8")))


@pytest.mark.parametrize(
    "line",
    [
        "tasks.parse_model = None",
        "default_callbacks['on_train_end'].append(print)",
        "setattr(tasks, 'x', 1)",
        "del tasks.parse_model",
        "ultralytics.__version__ += '1'",
    ],
)
def test_each_kind_of_change_is_seen(line: str):
    imports = "import ultralytics\nfrom ultralytics.nn import tasks\n"
    imports += "from ultralytics.utils.callbacks.base import default_callbacks\n"
    assert list(changes(imports + line)) == [line]
