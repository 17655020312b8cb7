"""Run the commands that the two READMEs give for a fresh machine, each in a fresh environment and a fresh copy.

    python tests/readme_commands.py [epochs=1 fraction=0.0625]

After the command that tries it come, in the same environment, those that lead from it to a device and to a layer of
one's own. Each is printed with its seconds. `pip` is uv's here, whose cache saves the downloads. `pytest` only collects
the tests, which CI runs anyway: this shows that `pip install -e ".[test]"` brings all that they import. With arguments,
only the command that tries it is run, with these added, and those after it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
READMES = "README.md", "README.zh-CN.md"
BLOCK = re.compile(
    r"^```console\n\$ (pip install [^\n]+ && [^\n]+)\n```\n(?:\n```text\n(.*?)^```)?", re.DOTALL | re.MULTILINE
)
WALK = re.compile(r"^<!-- not run: tests/readme_commands.py .*?```console\n(.*?)^```", re.DOTALL | re.MULTILINE)
IMAGE = "cp $(find . -path '*yolo-starnet-shapes-*' -name '*.jpg' | sort | tail -1) image.jpg"
"""An image of the built-in validation set under the name that the README gives it."""
PIP = '#!/bin/sh\nexec uv pip "$@"\n'
LEFT_OUT = shutil.ignore_patterns(".git", ".nox", ".venv", "build", "dist", "runs", "__pycache__", ".*_cache")


def main(arguments: list[str]) -> int:
    """Run each command once, and fail if one fails or prints something else than its README shows."""
    commands: dict[str, str] = {}
    for readme in READMES:
        for command, shown in BLOCK.findall((ROOT / readme).read_text(encoding="utf-8")):
            commands[command] = commands.get(command) or shown
    assert len(commands) == 2, f"expected a command to try it and one to test it, found {list(commands)}"
    walks = WALK.findall((ROOT / READMES[0]).read_text(encoding="utf-8"))
    assert len(walks) == 1, f"expected one block of commands after the training, found {len(walks)}"
    for command, shown in commands.items():
        tries = "train" in command
        if arguments and not tries:
            continue
        after = [IMAGE, *re.findall(r"^\$ (.+?)(?:\s+#.*)?$", walks[0], re.MULTILINE)] if tries else []
        whole = " ".join([command, *arguments]) if tries else command.replace("pytest", "pytest --collect-only -q")
        _compare(shown, _run([whole, *after]))
    return 0


def _run(commands: list[str]) -> str:
    """Run commands in a copy of the repository with an environment of its own, and return what they print."""
    with tempfile.TemporaryDirectory() as work:
        copy, venv = Path(work, "yolo-starnet"), Path(work, "venv")
        shutil.copytree(ROOT, copy, ignore=LEFT_OUT)
        subprocess.run(["uv", "venv", "-q", "--python", sys.executable, venv], check=True)
        pip = venv / "bin" / "pip"
        pip.write_text(PIP)
        pip.chmod(0o755)
        path = f"{venv / 'bin'}{os.pathsep}{os.environ['PATH']}"
        environment = {**os.environ, "PATH": path, "VIRTUAL_ENV": str(venv), "YOLO_CONFIG_DIR": work}
        environment.pop("PYTHONPATH", None)
        printed = ""
        for command in commands:
            begin = time.monotonic()
            done = subprocess.run(
                ["sh", "-c", command], cwd=copy, env=environment, capture_output=True, text=True, check=False
            )
            print(f"$ {command}    # {time.monotonic() - begin:.0f} s", flush=True)
            assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-5000:]
            printed += done.stdout + done.stderr
        return printed


def _compare(shown: str, printed: str) -> None:
    """Look for each line that the README shows. Its decimals vary with the machine, its counts do not."""
    for line in filter(None, map(str.strip, shown.splitlines())):
        pattern = re.sub(r"\d+\\\.\d+", r"[\\d.]+", re.sub(r"(\\ )+", r"\\s+", re.escape(line)))
        assert line == "…" or re.search(pattern, printed), f"not printed: {line}\n{printed[-5000:]}"
        print(f"  {line}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
