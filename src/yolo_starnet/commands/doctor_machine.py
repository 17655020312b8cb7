"""Checks of `doctor` on the environment: versions, folders, devices, variables, runtimes of exported files."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import os
import platform
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from .doctor_finding import Finding

MODULES = {
    "yolo_starnet": ("yolo-starnet",),
    "ultralytics": ("ultralytics",),
    "torch": ("torch",),
    "torchvision": ("torchvision",),
    "timm": ("timm",),
    "pluggy": ("pluggy",),
    "yaml": ("pyyaml",),
    "numpy": ("numpy",),
    "cv2": ("opencv-python", "opencv-python-headless", "opencv-contrib-python", "opencv-contrib-python-headless"),
}
"""What the plugin needs: module to the packages that bring it."""
RUNTIMES = {
    "onnx": ("onnx",),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "openvino": ("openvino",),
    "ncnn": ("ncnn",),
    "pnnx": ("pnnx",),
    "MNN": ("MNN",),
    "litert": ("ai-edge-litert",),
    "executorch": ("executorch",),
    "tensorrt": ("tensorrt", "tensorrt-cu12", "tensorrt-cu13"),
    "coremltools": ("coremltools",),
    "rknn": ("rknn-toolkit2", "rknn-toolkit-lite2"),
    "tensorflow": ("tensorflow", "tensorflow-cpu"),
    "paddle": ("paddlepaddle", "paddlepaddle-gpu"),
}
"""Runtime to the packages that bring it. None of them is needed before a model is exported to its format."""
VARIABLES = (
    "YOLO_STARNET_DISABLE",
    "YOLO_CONFIG_DIR",
    "YOLO_OFFLINE",
    "YOLO_AUTOINSTALL",
    "ULTRALYTICS_SAFE_LOAD",
    "CUDA_VISIBLE_DEVICES",
    "OMP_NUM_THREADS",
)
"""Environment variables that change what the plugin and Ultralytics do."""


def versions() -> Iterator[Finding]:
    """The version of each package, where it was found, and whether this release of the plugin takes it."""
    yield Finding("python", f"{platform.python_version()} ({sys.executable}) on {platform.platform()}")
    required = _required()
    for module, packages in MODULES.items():
        version = _version(packages)
        value = f"{version or 'no version'} ({_origin(module) or 'not found'})"
        need = required.get(packages[0], packages[0])
        problem = _import_error(module) or _refused(version, need) if _origin(module) else "not installed"
        yield Finding(module, value, problem, f"pip install -U '{need}'" if problem else "")


def _required() -> dict[str, str]:
    """What this package requires: package to the whole requirement, extras aside."""
    try:
        lines = importlib.metadata.requires("yolo-starnet") or []
    except importlib.metadata.PackageNotFoundError:
        return {}
    return {re.split(r"[^\w.-]", line)[0]: line for line in lines if ";" not in line}


def _version(packages: tuple[str, ...]) -> str:
    """The version of the first of some packages that is installed, '' if none is."""
    for package in packages:
        try:
            return importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return ""


def _origin(module: str) -> str:
    """The file of a module. It need not be imported."""
    spec = getattr(sys.modules.get(module), "__spec__", None) or importlib.util.find_spec(module)
    return spec.origin or "" if spec else ""


def _import_error(module: str) -> str:
    """Why a module cannot be imported. timm is not tried: it takes seconds, and fails where torchvision does."""
    if module == "timm":
        return ""
    try:
        importlib.import_module(module)
    except Exception as error:  # a binary that does not fit raises what it likes
        return f"{type(error).__name__}: {error}"
    return ""


def _refused(version: str, requirement: str) -> str:
    """Say that a version is not one that a requirement takes; '' also where Ultralytics is broken, which compares."""
    try:
        from ultralytics.utils.checks import check_version
    except Exception:  # its own line of the report says why
        return ""
    versions = requirement.lstrip("-_.ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789")
    fits = not version or not versions or check_version(version, versions)
    return "" if fits else f"yolo-starnet needs {requirement}"


def folders() -> Iterator[Finding]:
    """Whether the folders that Ultralytics and the plugin write to can be written."""
    from ultralytics import settings
    from ultralytics.utils import USER_CONFIG_DIR

    other = "export YOLO_CONFIG_DIR=A_FOLDER_OF_YOURS"
    wanted = os.environ.get("YOLO_CONFIG_DIR")
    used = USER_CONFIG_DIR.resolve()
    elsewhere = wanted and not used.is_relative_to(Path(wanted).expanduser().resolve())
    if not wanted:
        elsewhere = used.is_relative_to(Path(tempfile.gettempdir()).resolve())
    problem = f"{wanted or 'the default'} cannot be written, so Ultralytics uses this folder" if elsewhere else ""
    problem = problem or _unwritable(used)
    yield Finding("settings", str(used), problem, other if problem else "")
    problem = _unwritable(used / "yolo_starnet")
    yield Finding("grafted YAMLs", str(used / "yolo_starnet"), problem, other if problem else "")
    for key in ("datasets_dir", "weights_dir", "runs_dir"):
        folder = Path(settings[key]).absolute()
        problem = _unwritable(folder)
        yield Finding(key, str(folder), problem, f"yolo settings {key}=A_FOLDER_OF_YOURS" if problem else "")


def _unwritable(folder: Path) -> str:
    """Why no file can be made in a folder, or in the nearest one above it that exists. Nothing stays behind."""
    folder = folder.absolute()
    nearest = next(path for path in (folder, *folder.parents) if path.exists() or path.is_symlink())
    try:
        with tempfile.TemporaryFile(dir=nearest):
            return ""
    except OSError as error:
        return f"{nearest} cannot be written: {error.strerror}"


def devices() -> Iterator[Finding]:
    """What models can run on."""
    import torch

    yield Finding("CPU", f"{platform.machine()}, {os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads")
    found = [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
    built = f"torch is built for CUDA {torch.version.cuda}" if torch.version.cuda else "torch is built without CUDA"
    yield Finding("CUDA", f"{', '.join(found) or 'no device'} ({built})")
    yield Finding("MPS", "available" if torch.backends.mps.is_available() else "not available")


def variables() -> Iterator[Finding]:
    """The environment variables that matter and are set."""
    yield from (Finding(name, os.environ[name]) for name in VARIABLES if name in os.environ)


def runtimes() -> Iterator[Finding]:
    """The runtimes of exported files. One that is not installed is no fault."""
    yield from (Finding(name, _version(packages) or "not installed") for name, packages in RUNTIMES.items())
