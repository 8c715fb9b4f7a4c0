"""Networks on the processor, compiled by OpenVINO: the numbers of PyTorch to 0.1 %, in half the time or less."""

import sys
import threading
import warnings
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from uvsam.models import kept

TOLERANCE = 1e-3
"""Largest difference from PyTorch, as a share of the largest value (at least 1), with which a network is used."""
SAMPLE_PX = 128
"""Side of the image that a network is traced and compared on."""


Shapes = tuple[tuple[int, ...], ...]


class Compiled:
    """A network from tensors to one or several, to be called from several threads. It holds no state between calls.

    Shapes are compiled when they are met for the first time, or read as they were kept, and compared with PyTorch. What
    was kept and says something else is made again. What cannot be compiled, or says something else, stays with PyTorch.
    Every call computes on one core, item by item, so that the result depends neither on the batch nor on the number of
    threads.

    Args:
        network: on the processor, in evaluation mode.
        threads: that call it at the same time.
        folder: where compiled networks are kept from one run to the next; None: nowhere.
    """

    def __init__(self, network: nn.Module, threads: int, folder: Path | None = None) -> None:
        self.network, self.threads, self.folder = network, threads, folder
        self._models: dict[Shapes, Any] = {}
        self._lock = threading.Lock()
        self._of_thread = threading.local()

    @torch.no_grad()
    def __call__(self, *inputs: Tensor) -> Any:
        """(N, ...) float32 each, to what the network says of each of N."""
        shapes = tuple((1, *given.shape[1:]) for given in inputs)
        with self._lock:
            if shapes not in self._models:
                with torch.inference_mode(False):  # in it nothing can be traced
                    self._models[shapes] = self._compile(shapes)
        if self._models[shapes] is None:
            return self.network(*inputs)
        request = self._request(shapes)
        answers = [_infer(request, item) for item in zip(*(torch.split(given, 1) for given in inputs), strict=True)]
        outputs = tuple(torch.cat(parts) for parts in zip(*answers, strict=True))
        return outputs if len(outputs) > 1 else outputs[0]

    def _request(self, shapes: Shapes) -> Any:
        requests: dict[Shapes, Any] = self._of_thread.__dict__.setdefault("requests", {})
        if shapes not in requests:
            requests[shapes] = self._models[shapes].create_infer_request()
        return requests[shapes]

    def _compile(self, shapes: Shapes) -> Any:
        """As it was kept; else traced. Compared on small images where that goes, as it takes less memory and time."""
        folder = self.folder
        key = kept.fingerprint(self.network, shapes) if folder else ""
        small = tuple((*shape[:2], *(min(side, SAMPLE_PX) for side in shape[2:])) for shape in shapes)
        alike = all(len(shape) == 4 for shape in shapes)
        samples = [small, shapes] if alike else [shapes]
        if folder and (known := self._kept(folder, key, samples)):
            return known
        for sample in samples:
            with suppress(RuntimeError):  # a shape that it cannot have
                if described := self._described(sample):
                    described.reshape(_numbered(shapes))
                    return self._runnable(kept.keep(folder, key, described, _openvino()[0]))
        return None

    def _kept(self, folder: Path, key: str, samples: list[Shapes]) -> Any:
        """The network as it was kept, compiled, where it says of a sample what PyTorch does; else None."""
        known, shapes = kept.read(folder, key, _openvino()[0]), samples[-1]
        for sample in samples if known else ():
            with suppress(RuntimeError):  # a shape that it cannot have
                tried = known if sample == shapes else known.clone()
                tried.reshape(_numbered(sample))
                runnable = self._runnable(tried)
                if not self._says_the_same(runnable, sample):
                    return None
                return runnable if sample == shapes else self._runnable(known)
        return None

    def _described(self, sample: Shapes) -> Any:
        """The network as OpenVINO reads it, where it says of a sample what PyTorch does; else None."""
        _, frontend = _openvino()
        from openvino import Type
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

        inputs = _noise(sample)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what a trace holds for, which is compared below
                traced = torch.jit.trace(self.network, inputs, check_trace=False)  # type: ignore[no-untyped-call]
                decoder = TorchScriptPythonDecoder(torch.jit.freeze(traced), example_input=inputs)
                read = frontend.load(decoder)
                for place in read.get_inputs():
                    read.set_element_type(place, Type.f32)
                described = frontend.convert(read)
            described.reshape(_numbered(sample))
            return described if self._says_the_same(self._runnable(described), sample) else None
        except (RuntimeError, TypeError, ValueError, NotImplementedError):
            return None  # it knows no such operation, or no such shape; PyTorch does

    def _says_the_same(self, runnable: Any, sample: Shapes) -> bool:
        """Whether a compiled network says of noise in the shapes of a sample what PyTorch does."""
        inputs = _noise(sample)
        found = _infer(runnable.create_infer_request(), inputs)
        expected = self.network(*inputs)
        expected = (expected,) if isinstance(expected, Tensor) else expected
        return len(found) == len(expected) and all(_close(*pair) for pair in zip(found, expected, strict=True))

    def _runnable(self, described: Any) -> Any:
        settings = {
            "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": self.threads, "NUM_STREAMS": self.threads,
            "ENABLE_CPU_PINNING": False,  # else all processes of a machine sit on its first core
        }  # fmt: skip
        return _openvino()[0].compile_model(described, "CPU", settings)


def _noise(shapes: Shapes) -> tuple[Tensor, ...]:
    generator = torch.Generator().manual_seed(0)
    return tuple(torch.randn(shape, generator=generator) for shape in shapes)


def _numbered(shapes: Shapes) -> dict[int, list[int]]:
    return {number: list(shape) for number, shape in enumerate(shapes)}


def _close(found: Tensor, expected: Tensor) -> bool:
    if found.shape != expected.shape:
        return False
    return bool((found - expected).abs().max() <= TOLERANCE * expected.abs().max().clamp(min=1))


_ONE_LOADS = threading.Lock()


def _openvino() -> tuple[Any, Any]:
    """Its core and its reader of traced networks; kept, as their libraries have to outlive what is made with them."""
    with _ONE_LOADS:
        return _loaded()


@lru_cache(maxsize=1)
def _loaded() -> tuple[Any, Any]:
    silenced = "openvino_telemetry" not in sys.modules
    if silenced:  # else importing OpenVINO tells its makers that it was imported, and nobody asked the user
        sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]  # as if it were not installed
    try:
        import openvino
        from openvino import opset8 as ops
        from openvino.frontend import FrontEndManager
    finally:
        if silenced:
            del sys.modules["openvino_telemetry"]
    core = openvino.Core()
    # Its Python binding prepares itself in the first call, and two threads that make it at once wait for each other.
    given = ops.parameter([1], np.float32)
    request = core.compile_model(openvino.Model([ops.relu(given)], [given]), "CPU").create_infer_request()
    _infer(request, (torch.zeros(1),))
    return core, FrontEndManager().load_by_framework("pytorch")


def _infer(request: Any, inputs: tuple[Tensor, ...]) -> list[Tensor]:
    given = {number: tensor.contiguous().numpy() for number, tensor in enumerate(inputs)}
    return [torch.from_numpy(answer) for answer in request.infer(given, share_inputs=True).values()]
