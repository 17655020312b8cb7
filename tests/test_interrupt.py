"""Faults in a training at the command line, in processes of their own: Ctrl+C, SIGTERM, a full disk, two at once."""

import os
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from yolo_starnet import cli
from yolo_starnet.commands import interrupt
from yolo_starnet.demo import datasets

SIZE = ["epochs=3", "imgsz=64", "batch=16", "fraction=0.0625", "plots=False"]


class Command:
    """A command line that runs in a process group of its own, as a shell starts it."""

    def __init__(self, folder: Path, *arguments: str, **options: object) -> None:
        self.out, self.err = folder / "out", folder / "err"
        line = [sys.executable, "-m", "yolo_starnet", *arguments]
        with self.out.open("w") as out, self.err.open("w") as err:
            self.process = subprocess.Popen(
                line, cwd=folder, stdout=out, stderr=err, start_new_session=True, env=dict(os.environ), **options
            )

    def wait_for(self, reached: Callable[[str], bool]) -> None:
        deadline = time.monotonic() + 400
        while not reached(self.out.read_text()):
            assert self.process.poll() is None, self.out.read_text() + self.err.read_text()
            assert time.monotonic() < deadline, self.out.read_text()
            time.sleep(0.02)

    def end(self, number: signal.Signals) -> int:
        """Send a signal to the group, as a terminal does, and return the exit status."""
        os.killpg(self.process.pid, number)
        return self.process.wait(120)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Command]]:
    """Start a command; what still runs after the test is killed."""
    started: list[Command] = []

    def run(*arguments: str, **options: object) -> Command:
        started.append(Command(tmp_path, *arguments, **options))
        return started[-1]

    yield run
    for command in started:
        if command.process.poll() is None:
            os.killpg(command.process.pid, signal.SIGKILL)
            command.process.wait()


def training(folder: Path, *more: str, data: object = "shapes") -> list[str]:
    return ["train", "model=yolo11n-starnet.yaml", f"data={data}", *SIZE, f"project={folder}", "name=my run", *more]


@pytest.mark.slow
@pytest.mark.parametrize("workers", [pytest.param(0, marks=pytest.mark.ci), 2])
def test_ctrl_c_in_a_training_ends_in_one_line_whose_command_resumes_it(workers: int, start, tmp_path: Path):
    last = tmp_path / "my run" / "weights" / "last.pt"
    command = start(*training(tmp_path, f"workers={workers}"))
    command.wait_for(lambda out: last.is_file() and " 2/3 " in out)
    assert command.end(signal.SIGINT) == 130
    (line,) = command.err.read_text().strip().splitlines()
    assert line.startswith("yolo-starnet: interrupted. Resume this training with: yolo-starnet train resume ")
    assert "Traceback" not in command.out.read_text()
    _, *arguments = shlex.split(line.split(": ")[-1])
    assert arguments == ["train", "resume", f"model={last}"]
    assert cli.main(arguments) == 0
    epochs = [row.split(",")[0].strip() for row in (tmp_path / "my run" / "results.csv").read_text().splitlines()]
    assert epochs == ["epoch", "1", "2", "3"]


@pytest.mark.slow
def test_ctrl_c_before_the_first_checkpoint_says_that_there_is_none(start, tmp_path: Path):
    command = start(*training(tmp_path, "workers=0"))
    command.wait_for(lambda out: " 1/3 " in out)
    assert command.end(signal.SIGINT) == 130
    (line,) = command.err.read_text().strip().splitlines()
    expected = f"There is no checkpoint to resume from in {tmp_path / 'my run' / 'weights'}"
    assert line == f"yolo-starnet: interrupted. {expected}"


@pytest.mark.slow
def test_ctrl_c_in_a_command_of_ours_ends_in_one_line(start):
    command = start("models")
    command.wait_for(lambda out: "starnet_s1" in out)
    assert command.end(signal.SIGINT) == 130
    assert command.err.read_text().strip() == "yolo-starnet: interrupted."


@pytest.fixture
def python_handles_ctrl_c() -> Iterator[None]:
    """Python's own handler; a shell starts programs in the background with Ctrl+C ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def _as_another_error() -> None:
    try:
        signal.raise_signal(signal.SIGINT)
    except KeyboardInterrupt as interrupt:
        raise RuntimeError("DataLoader worker exited unexpectedly") from interrupt


def _plainly() -> None:
    signal.raise_signal(signal.SIGINT)


@pytest.mark.usefixtures("python_handles_ctrl_c")
@pytest.mark.parametrize("arrives", [_plainly, _as_another_error], ids=["as itself", "as another error"])
def test_ctrl_c_outside_of_a_training_is_one_line(
    arrives: Callable[[], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setattr(cli, "_run", lambda *arguments: arrives())
    assert cli.main(["predict", "model=yolo11n-starnet.yaml"]) == 130
    assert capsys.readouterr().err.strip() == "yolo-starnet: interrupted."
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_an_error_without_ctrl_c_is_raised_as_it_is(monkeypatch: pytest.MonkeyPatch):
    def fails(*arguments: object) -> None:
        raise RuntimeError("of Ultralytics")

    monkeypatch.setattr(cli, "_run", fails)
    with pytest.raises(RuntimeError, match="of Ultralytics"):
        cli.main(["predict", "model=yolo11n-starnet.yaml"])


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"epoch": 0}, True),
        ({"epoch": -1}, False),
        ({"model": None}, False),
        (b"PK\x03\x04 half", False),
        (None, False),
    ],
    ids=["first epoch saved", "finished", "no epoch", "half written", "missing"],
)
def test_only_a_whole_checkpoint_of_an_unfinished_training_can_be_resumed(
    content: object, expected: bool, tmp_path: Path
):
    file = tmp_path / "last.pt"
    if isinstance(content, bytes):
        file.write_bytes(content)
    elif content is not None:
        torch.save(content, file)
    assert interrupt._can_be_resumed(file) is expected


@pytest.mark.slow
def test_a_training_ended_by_sigterm_leaves_no_process_and_resumes(start, tmp_path: Path):
    last = tmp_path / "my run" / "weights" / "last.pt"
    command = start(*training(tmp_path, "workers=2"))
    command.wait_for(lambda out: last.is_file() and " 2/3 " in out)
    os.kill(command.process.pid, signal.SIGTERM)  # to the program alone, as a scheduler does
    assert command.process.wait(60) == -signal.SIGTERM
    deadline = time.monotonic() + 60
    while subprocess.run(["pgrep", "-g", str(command.process.pid)], capture_output=True, check=False).stdout:
        assert time.monotonic() < deadline, "a worker outlives the training"
        time.sleep(0.5)
    assert cli.main(["train", "resume", f"model={last}"]) == 0


def _small_files() -> None:
    """Let the process write 3 MB per file at most, as on a full disk; only the checkpoint is larger."""
    import resource

    resource.setrlimit(resource.RLIMIT_FSIZE, (3_000_000, 3_000_000))


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["full disk", "no images"])
def test_a_full_disk_or_a_data_set_that_vanishes_ends_in_the_error_that_stock_raises(fault: str, start, tmp_path: Path):
    data = shutil.copytree(datasets.prepare().parent, tmp_path / "data") / "shapes.yaml"
    limit = {"preexec_fn": _small_files} if fault == "full disk" else {}
    command = start(*training(tmp_path, "workers=0", data=data), **limit)
    if fault == "no images":
        command.wait_for(lambda out: " 1/3 " in out)
        shutil.rmtree(tmp_path / "data" / "images")
    assert command.process.wait(300) == 1
    *_, frame, error = [line for line in command.err.read_text().splitlines() if line.strip(" ^~")]
    kind, file = ("OSError", "pathlib") if fault == "full disk" else ("FileNotFoundError", "ultralytics")
    assert error.startswith(f"{kind}: ")
    frames = [line for line in command.err.read_text().splitlines() if line.strip().startswith("File ")]
    assert file in frames[-1], frame  # raised by stock code, not by ours


@pytest.mark.slow
def test_two_trainings_started_at_once_in_one_project_share_the_data_and_nothing_else(start, tmp_path: Path):
    folders = [tmp_path / name for name in ("a", "b")]
    for folder in folders:
        folder.mkdir()
    commands = [Command(folder, *training(tmp_path, "workers=0", "fraction=0.025")) for folder in folders]
    assert [command.process.wait(500) for command in commands] == [0, 0]
    runs = sorted(tmp_path.glob("my run*"))
    assert len(runs) == 2
    for run in runs:
        assert len((run / "results.csv").read_text().splitlines()) == 4
