"""Networks on the processor, compiled by OpenVINO: the numbers of PyTorch to 0.1 %, in half the time or less."""

import threading
import warnings
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

TOLERANCE = 1e-3
"""Largest difference from PyTorch, as a share of the largest value (at least 1), with which a network is used."""
SAMPLE_PX = 128
"""Side of the image that a network is traced and compared on."""


class Compiled:
    """A network from (1, C, H, W) to one tensor, to be called from several threads. It holds no state between calls.

    A shape is compiled when it is met for the first time, and compared with PyTorch. What cannot be compiled, or says
    something else, stays with PyTorch. Every call computes on one core, image by image, so that the result depends
    neither on the batch nor on the number of threads.

    Args:
        network: on the processor, in evaluation mode.
        threads: that call it at the same time.
    """

    def __init__(self, network: nn.Module, threads: int) -> None:
        self.network, self.threads = network, threads
        self._models: dict[tuple[int, ...], Any] = {}
        self._lock = threading.Lock()
        self._of_thread = threading.local()

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """(N, C, H, W) float32 to what the network says of each."""
        shape = (1, *images.shape[1:])
        with self._lock:
            if shape not in self._models:
                with torch.inference_mode(False):  # in it nothing can be traced
                    self._models[shape] = self._compile(shape)
        if self._models[shape] is None:
            answer: Tensor = self.network(images)
            return answer
        request = self._request(shape)
        return torch.cat([_infer(request, image[None]) for image in images])

    def _request(self, shape: tuple[int, ...]) -> Any:
        requests: dict[tuple[int, ...], Any] = self._of_thread.__dict__.setdefault("requests", {})
        if shape not in requests:
            requests[shape] = self._models[shape].create_infer_request()
        return requests[shape]

    def _compile(self, shape: tuple[int, ...]) -> Any:
        """For images of a shape; traced and compared on a small one where that goes, as it takes less memory."""
        small = (*shape[:2], *(min(side, SAMPLE_PX) for side in shape[2:]))
        return self._compile_by(small, shape) or (self._compile_by(shape, shape) if small != shape else None)

    def _compile_by(self, sample: tuple[int, ...], shape: tuple[int, ...]) -> Any:
        from openvino.frontend.pytorch.ts_decoder import TorchScriptPythonDecoder

        settings = {
            "INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": self.threads, "NUM_STREAMS": self.threads,
            "ENABLE_CPU_PINNING": False,  # else all processes of a machine sit on its first core
        }  # fmt: skip
        image = torch.randn(sample, generator=torch.Generator().manual_seed(0))
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of what a trace holds for, which is compared below
                traced = torch.jit.trace(self.network, image, check_trace=False)  # type: ignore[no-untyped-call]
                decoder = TorchScriptPythonDecoder(torch.jit.freeze(traced), example_input=(image,))
                _, frontend = _openvino()
                described = frontend.convert(frontend.load(decoder))
            found = _infer(_compile_for(described, sample, settings).create_infer_request(), image)
            expected = self.network(image)
            close = (found - expected).abs().max() <= TOLERANCE * expected.abs().max().clamp(min=1)
            return _compile_for(described, shape, settings) if close else None
        except (RuntimeError, TypeError, ValueError, NotImplementedError):
            return None  # it knows no such operation, or no such shape; PyTorch does


def _compile_for(described: Any, shape: tuple[int, ...], settings: dict[str, Any]) -> Any:
    described.reshape({0: list(shape)})
    return _openvino()[0].compile_model(described, "CPU", settings)


@lru_cache(maxsize=1)
def _openvino() -> tuple[Any, Any]:
    """Its core and its reader of traced networks; kept, as their libraries have to outlive what is made with them."""
    import openvino
    from openvino.frontend import FrontEndManager

    return openvino.Core(), FrontEndManager().load_by_framework("pytorch")


def _infer(request: Any, image: Tensor) -> Tensor:
    (answer,) = request.infer({0: image.contiguous().numpy()}, share_inputs=True).values()
    return torch.from_numpy(answer)
