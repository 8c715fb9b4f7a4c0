"""Random weights that leave nothing at its start: a test with them sees norm statistics, position tables and biases."""

import torch
from torch import nn


def randomise(module: nn.Module, seed: int = 0) -> nn.Module:
    """Fill all parameters and buffers so that activations keep a scale near one; returns the module in eval mode."""
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in module.state_dict().items():
            kind = name.rsplit(".", 1)[-1]
            if not value.is_floating_point():
                continue
            if kind == "running_var" or (kind == "weight" and value.ndim == 1):
                value.copy_(0.5 + torch.rand(value.shape, generator=rng))
            elif kind in {"bias", "running_mean"}:
                value.copy_(0.1 * torch.randn(value.shape, generator=rng))
            elif kind == "weight":
                value.copy_(torch.randn(value.shape, generator=rng) / value[0].numel() ** 0.5)
            else:
                value.copy_(0.3 * torch.randn(value.shape, generator=rng))
    return module.eval()
