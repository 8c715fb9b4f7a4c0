"""Checkpoints of Segment Anything and its relatives: read without running code, recognised, loaded strictly."""

import zipfile
from functools import cache
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Size, Tensor, nn

from uvsam.errors import CatalogError
from uvsam.models.encoders import ENCODERS

ENCODER_PREFIX = "image_encoder."
WRAPPINGS = ("model", "state_dict")
UNUSED_PREFIXES = (f"{ENCODER_PREFIX}head.", f"{ENCODER_PREFIX}norm_head.")  # TinyViT's classifier, in MobileSAM's file
UNUSED_SUFFIX = ".attention_bias_idxs"  # follows from the size of the window


def read_checkpoint(path: Path) -> dict[str, Tensor]:
    """Tensors of a checkpoint by name, on the CPU, without those that no network of ours uses.

    Args:
        path: safetensors, or a file of torch.save with tensors only: a state dict, or one under ``model`` or
            ``state_dict``.

    Raises:
        CatalogError: the file is missing, damaged, or holds something else.
    """
    try:
        if path.suffix == ".safetensors":
            content: Any = load_file(path)
        else:  # a mapped file needs no second copy in memory; only zip archives can be mapped
            content = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except FileNotFoundError as error:
        raise CatalogError(f"no checkpoint at {path}") from error
    except Exception as error:  # torch and safetensors raise a dozen types, some of which derive from Exception alone
        raise CatalogError(f"{path} is damaged or is no checkpoint of tensors alone (others could run code)") from error
    for name in WRAPPINGS:
        if isinstance(content, dict) and isinstance(content.get(name), dict):
            content = content[name]
    if not isinstance(content, dict) or not all(isinstance(value, Tensor) for value in content.values()):
        raise CatalogError(f"{path} holds no table of named tensors")
    return {
        name: value
        for name, value in content.items()
        if not name.startswith(UNUSED_PREFIXES) and not name.endswith(UNUSED_SUFFIX)
    }


def recognise(state: dict[str, Tensor]) -> str:
    """Name of the image encoder, a key of ``ENCODERS``, whose tensors are exactly those of a checkpoint.

    Raises:
        CatalogError: there is none; says which one comes closest and what differs.
    """
    found = {
        name.removeprefix(ENCODER_PREFIX): value.shape
        for name, value in state.items()
        if name.startswith(ENCODER_PREFIX)
    }
    if not found:
        raise CatalogError("holds no image encoder of the Segment Anything family")
    closest = max(ENCODERS, key=lambda name: len(found.items() & encoder_shapes(name).items()))
    if difference := _difference(encoder_shapes(closest), found):
        raise CatalogError(f"is no known image encoder; {closest} comes closest, but {difference}")
    return closest


@cache
def encoder_shapes(name: str) -> dict[str, Size]:
    """Names and shapes of the tensors of an encoder, without its weights."""
    with torch.device("meta"):
        return _shapes(ENCODERS[name].build().state_dict())


def load_strictly(network: nn.Module, state: dict[str, Tensor]) -> None:
    """Copy the tensors of a checkpoint into a network; all of them, and nothing is left out.

    Raises:
        CatalogError: names or shapes differ; says which.
    """
    if difference := _difference(_shapes(network.state_dict()), _shapes(state)):
        raise CatalogError(f"does not fit: {difference}")
    network.load_state_dict(state)


def _shapes(state: dict[str, Tensor]) -> dict[str, Size]:
    return {name: value.shape for name, value in state.items()}


def _difference(expected: dict[str, Size], found: dict[str, Size]) -> str:
    """What is the matter with the first tensor that differs; empty if none does."""
    for name, shape in expected.items():
        if name not in found:
            return f"{name} is missing"
        if found[name] != shape:
            return f"{name} is {tuple(found[name])}, not {tuple(shape)}"
    return next((f"{name} is too much" for name in found if name not in expected), "")
