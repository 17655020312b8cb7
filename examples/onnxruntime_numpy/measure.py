"""Time exported files on this device, without torch: python measure.py best.onnx other.onnx best_ncnn_model.

A file needs its runtime only: onnxruntime for .onnx, openvino for _openvino_model, ncnn for _ncnn_model, MNN for .mnn.
The files run in turn, so background load affects all equally. A ratio is the median over the rounds, relative
to the first file. What is timed is the network; `detect.py` prints frames a second of a whole loop.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

Run = Callable[[], object]
SIZE = 640
"""Height and width where a file takes any."""


def onnx(file: Path, threads: int, size: int) -> tuple[Run, str]:
    """An ONNX file in ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    providers = [p for p in onnxruntime.get_available_providers() if p != "AzureExecutionProvider"]
    session = onnxruntime.InferenceSession(str(file), options, providers=providers)
    (image,) = session.get_inputs()
    shape = [n if isinstance(n, int) else d for n, d in zip(image.shape, (1, 3, size, size))]
    x = _image(shape).astype(np.float16 if "float16" in image.type else np.float32)
    return lambda: session.run(None, {image.name: x}), f"onnxruntime {onnxruntime.__version__}"


def openvino(file: Path, threads: int, size: int) -> tuple[Run, str]:
    """An OpenVINO model on the CPU."""
    import openvino

    settings = {"PERFORMANCE_HINT": "LATENCY", **({"INFERENCE_NUM_THREADS": threads} if threads else {})}
    model = openvino.Core().compile_model(next(file.glob("*.xml")) if file.is_dir() else file, "CPU", settings)
    shape = [n.get_length() if n.is_static else d for n, d in zip(model.input().partial_shape, (1, 3, size, size))]
    request, x = model.create_infer_request(), _image(shape)
    return lambda: request.infer([x]), f"openvino {openvino.__version__.partition('-')[0]}"


def ncnn(folder: Path, threads: int, size: int) -> tuple[Run, str]:
    """An NCNN model on the CPU."""
    import ncnn

    net = ncnn.Net()
    net.opt.num_threads = threads or os.cpu_count() or 1
    net.load_param(str(next(folder.glob("*.param"))))
    net.load_model(str(next(folder.glob("*.bin"))))
    x = _image([3, size, size])

    def run() -> np.ndarray:
        with net.create_extractor() as extractor:
            extractor.input(net.input_names()[0], ncnn.Mat(x))
            return np.array(extractor.extract(net.output_names()[0])[1])

    return run, f"ncnn {ncnn.__version__}"


def mnn(file: Path, threads: int, size: int) -> tuple[Run, str]:
    """An MNN file on the CPU."""
    import MNN

    settings = {"precision": "normal", "backend": "CPU", "numThread": threads or os.cpu_count() or 1}
    runtime = MNN.nn.create_runtime_manager((settings,))
    net = MNN.nn.load_module_from_file(str(file), [], [], runtime_manager=runtime, rearrange=True)
    x = MNN.expr.const(_image([1, 3, size, size]), [1, 3, size, size])
    return lambda: net.onForward([x])[0].read(), f"MNN {MNN.version()}"


def load(file: Path, threads: int, size: int) -> tuple[Run, str]:
    """A function that runs the network of a file once, and the name of its runtime."""
    loaders = {".onnx": onnx, ".mnn": mnn, ".xml": openvino, "_openvino_model": openvino, "_ncnn_model": ncnn}
    for end, loader in loaders.items():
        if str(file).endswith(end):
            return loader(file, threads, size)
    raise SystemExit(f"{file}: expected a file or folder whose name ends with {', '.join(loaders)}")


def megabytes(file: Path) -> float:
    """The size of a file, or of all files in a folder."""
    return sum(f.stat().st_size for f in (file.rglob("*") if file.is_dir() else [file]) if f.is_file()) / 1e6


def interleave(runs: dict[Path, Run], rounds: int) -> dict[Path, np.ndarray]:
    """Milliseconds of one call of each function in each round; the call before it fills the caches."""
    times: dict[Path, list[float]] = {file: [] for file in runs}
    for _ in range(rounds):
        for file, run in runs.items():
            run()
            start = time.perf_counter()
            run()
            times[file].append(1000 * (time.perf_counter() - start))
    return {file: np.array(t) for file, t in times.items()}


def main() -> None:
    """Print a line for each file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE")
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--threads", type=int, default=0, help="0, the default: the runtime decides")
    parser.add_argument("--size", type=int, default=SIZE, help="height and width where a file does not fix them")
    given = parser.parse_args()
    missing = [str(file) for file in given.files if not file.exists()]
    if missing:
        raise SystemExit(f"there is no {', '.join(missing)}")
    loaded = {file: load(file, given.threads, given.size) for file in given.files}
    interleave({file: run for file, (run, _) in loaded.items()}, 3)
    times = interleave({file: run for file, (run, _) in loaded.items()}, given.rounds)
    print(f"{platform.machine()}, {os.cpu_count()} cores, threads: {given.threads or 'as the runtime decides'}")
    print(f"{'median ms':>9} {'quartiles':>15} {'ratio':>6} {'MB':>6}  file, runtime")
    for file, (_, runtime) in loaded.items():
        low, middle, high = np.percentile(times[file], [25, 50, 75])
        ratio = np.median(times[file] / times[given.files[0]])
        spread = f"{low:.1f} to {high:.1f}"
        print(f"{middle:9.1f} {spread:>15} {ratio:6.2f} {megabytes(file):6.1f}  {file}, {runtime}")


def _image(shape: list[int]) -> np.ndarray:
    return np.random.default_rng(0).random(shape, dtype=np.float32)


if __name__ == "__main__":
    main()
