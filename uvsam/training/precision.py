"""Half precision where it is faster, and only there."""

import os
import platform
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn


def gains_from_bf16() -> bool:
    """Whether bfloat16 is faster than float32 here: a recent GPU, or a CPU with AMX or AVX512-BF16.

    On other CPUs bfloat16 is emulated, 7 to 285 times slower than float32.
    """
    if torch.cuda.is_available():
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    if platform.system() != "Linux" or not os.access("/proc/cpuinfo", os.R_OK):
        return False
    flags = Path("/proc/cpuinfo").read_text(encoding="ascii", errors="replace")
    return any(flag in flags for flag in ("avx512_bf16", "amx_bf16"))


def keep_slow_convolutions_exact(network: nn.Module) -> None:
    """Leave those depthwise convolutions in float32 whose bfloat16 gradients are slow on CPUs.

    Gradients of depthwise kernels that are larger than 3 x 3 or strided took 2 to 7 times as long in bfloat16 as in
    float32 with torch 2.15 (``benchmarks/training_step.py`` for a whole step).
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and _is_slow(module):
            module.forward = partial(_in_float32, module)  # type: ignore[method-assign]


def _is_slow(convolution: nn.Conv2d) -> bool:
    depthwise = convolution.groups == convolution.in_channels > 1
    return depthwise and (max(convolution.kernel_size) > 3 or max(convolution.stride) > 1)


def _in_float32(convolution: nn.Conv2d, images: Tensor) -> Tensor:
    with torch.autocast(images.device.type, enabled=False):
        result: Tensor = type(convolution).forward(convolution, images.float())
    return result
