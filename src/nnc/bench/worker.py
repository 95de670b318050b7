"""
The process that runs one engine for `nnc.bench.compare`; a script, not a module.

It speaks JSON: a line in is a request, a line out that begins with `> ` is the answer.
The first request says what to load. Nothing is imported before that but numpy, so that
time and memory of an engine are its own; nnc is an engine like the others.
"""

from __future__ import annotations

import importlib
import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

Request = dict[str, Any]
Outputs = list[Any]
Runner = Callable[[Mapping[str, Any]], Callable[[], Outputs]]
"""Binds inputs; the result runs the model once."""


@dataclass(frozen=True)
class Loaded:
    """A model that an engine has loaded."""

    package: str
    bind: Runner
    inputs: list[dict[str, Any]]
    """Name, dtype and shape of each, where the engine is asked for them."""


def _package(name: str, advice: str) -> ModuleType:
    """An optional package."""
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise SystemError(f"{name} is not installed ({advice})") from error


def load_nnc(request: Request) -> Loaded:
    """nnc, from the cache if it is there."""
    nnc = _package("nnc", "pip install nnc")
    path: str = request["model"]
    if path.endswith(".nnc"):
        model = nnc.load(path, num_threads=request["threads"])
    else:
        model = nnc.compile(
            path,
            target=request["target"],
            input_shapes=request["input_shapes"] or None,
            num_threads=request["threads"],
        )
    specs = [
        {"name": s.name, "dtype": s.dtype.name, "shape": list(s.shape)}
        for s in model.inputs
    ]

    def bind(inputs: Mapping[str, Any]) -> Callable[[], Outputs]:
        return lambda: model.run(None, inputs)

    return Loaded("nnc", bind, specs)


def load_onnxruntime(request: Request) -> Loaded:
    """ONNX Runtime with its default optimisations."""
    ort = _package("onnxruntime", "pip install onnxruntime")
    options = ort.SessionOptions()
    options.intra_op_num_threads = request["threads"]
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = ort.InferenceSession(
        request["model"], options, providers=["CPUExecutionProvider"]
    )

    def bind(inputs: Mapping[str, Any]) -> Callable[[], Outputs]:
        used = {i.name for i in session.get_inputs()}
        feeds = {name: array for name, array in inputs.items() if name in used}
        return lambda: session.run(None, feeds)

    return Loaded("onnxruntime", bind, [])


def load_openvino(request: Request) -> Loaded:
    """OpenVINO in f32 for the lowest latency, compiled for the inputs' shapes."""
    ov = _package("openvino", "pip install openvino")
    core = ov.Core()
    model = core.read_model(request["model"])
    shapes = request["shapes"]
    model.reshape(
        {
            port: ov.PartialShape(shapes[name])
            for port in model.inputs
            for name in port.names
            if name in shapes
        }
    )
    compiled = core.compile_model(
        model,
        "CPU",
        {
            "INFERENCE_PRECISION_HINT": "f32",
            "INFERENCE_NUM_THREADS": request["threads"],
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
        },
    )
    infer = compiled.create_infer_request()

    def bind(inputs: Mapping[str, Any]) -> Callable[[], Outputs]:
        feeds = {
            port: inputs[name]
            for port in compiled.inputs
            for name in port.names
            if name in inputs
        }

        def run() -> Outputs:
            results = infer.infer(feeds, share_inputs=True, share_outputs=True)
            return [results[port] for port in compiled.outputs]

        return run

    return Loaded("openvino", bind, [])


def load_torch(request: Request) -> Loaded:
    """PyTorch, for its own files."""
    torch = _package("torch", "pip install nnc[torch]")
    torch.set_num_threads(request["threads"])
    path: str = request["model"]
    if path.endswith((".pt", ".pth")):
        module = torch.jit.load(path).eval()
    elif path.endswith(".pt2"):
        module = torch.export.load(path).module()
    else:
        raise SystemError(
            f"torch runs TorchScript and exported programs (.pt, .pt2), not "
            f"{Path(path).suffix} files"
        )

    def bind(inputs: Mapping[str, Any]) -> Callable[[], Outputs]:
        tensors = [torch.from_numpy(array) for array in inputs.values()]

        def run() -> Outputs:
            with torch.inference_mode():
                results = module(*tensors)
            if isinstance(results, torch.Tensor):
                return [results.numpy()]
            return [r.numpy() for r in results]

        return run

    return Loaded("torch", bind, [])


LOADERS: dict[str, Callable[[Request], Loaded]] = {
    "nnc": load_nnc,
    "onnxruntime": load_onnxruntime,
    "openvino": load_openvino,
    "torch": load_torch,
}


def peak_memory() -> int:
    """The most memory that this process has had resident, in bytes."""
    try:
        status = Path("/proc/self/status").read_text(encoding="ascii")
    except OSError:
        # Elsewhere the figure may include that of the parent before the start.
        resource = importlib.import_module("resource")
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return int(peak) * (1 if sys.platform == "darwin" else 1024)
    (line,) = [n for n in status.splitlines() if n.startswith("VmHWM")]
    return int(line.split()[1]) * 1024


def burst(run: Callable[[], object], seconds: float, least: int) -> list[float]:
    """Times of runs one after another, for so long and at least so many."""
    clock = time.perf_counter
    times: list[float] = []
    # The first ones warm up what the other engines have taken: caches, the clock.
    until = clock() + seconds / 10
    run()
    while clock() < until:
        run()
    until = clock() + seconds
    while len(times) < least or clock() < until:
        started = clock()
        run()
        times.append(clock() - started)
    return times


def answer(**values: object) -> None:
    """Send a line to the parent."""
    print(f"> {json.dumps(values)}", flush=True)


def serve() -> None:
    """Load, then do what is asked until there is no more."""
    request: Request = json.loads(sys.stdin.readline())
    started = time.perf_counter()
    loaded = LOADERS[request["engine"]](request)
    seconds = time.perf_counter() - started
    answer(load_s=seconds, inputs=loaded.inputs)
    run: Callable[[], Outputs] = list
    for line in sys.stdin:
        request = json.loads(line)
        if request["do"] == "first":
            with np.load(request["inputs"]) as arrays:
                inputs = {name: arrays[name] for name in arrays.files}
            run = loaded.bind(inputs)
            started = time.perf_counter()
            results = run()
            seconds = time.perf_counter() - started
            peak = peak_memory()
            np.savez(request["outputs"], *[np.asarray(r) for r in results])
            # Reading it takes memory that the engine does not need.
            metadata = importlib.import_module("importlib.metadata")
            version = metadata.version(loaded.package)
            answer(first_s=seconds, peak_bytes=peak, version=version)
        else:
            times = burst(run, request["seconds"], request["least"])
            answer(times=times)


def main() -> None:
    """Serve; an error is an answer too."""
    try:
        serve()
    except Exception as error:
        kind = type(error).__name__
        text = str(error) if kind == "SystemError" else f"{kind}: {error}"
        answer(error=text)


if __name__ == "__main__":
    main()
