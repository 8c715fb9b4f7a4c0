"""Embeddings of a frozen generalist, kept on disk, so that each crop is looked at once and not in every epoch."""

import hashlib
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from uvsam.errors import OutputError
from uvsam.raster.writer import temporary_name


class EmbeddingCache:
    """Embeddings in float16 files, named after the generalist and the pixels that it saw.

    So changed images, other views of them, and other generalists each have files of their own, and none is ever stale.

    Args:
        folder: where they lie.
        generalist_sha256: of the generalist's weights.

    Attributes:
        computed, reused: how many were made, and how many were found.
    """

    def __init__(self, folder: Path, generalist_sha256: str) -> None:
        self.folder = folder
        self.generalist = generalist_sha256
        self.computed = self.reused = 0

    def get(self, pixels: Tensor, valid: Tensor, embed: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
        """Embeddings of crops.

        Args:
            pixels: (N, 3, S, S) in 0..255.
            valid: (N, S, S) bool.
            embed: is given those crops that are new.

        Returns:
            (N, 256, 64, 64) float32 on the device of ``pixels``, rounded to float16 whether they are new or not.

        Raises:
            OutputError: they cannot be written.
        """
        paths = [self._path(*crop) for crop in zip(pixels.cpu(), valid.cpu(), strict=True)]
        found = [_read(path) for path in paths]
        new = [i for i, embedding in enumerate(found) if embedding is None]
        if new:
            for i, embedding in zip(new, embed(pixels[new], valid[new]).half().cpu(), strict=True):
                _write(paths[i], embedding)
                found[i] = embedding
        self.computed += len(new)
        self.reused += len(paths) - len(new)
        return torch.stack([embedding for embedding in found if embedding is not None]).float().to(pixels.device)

    def _path(self, pixels: Tensor, valid: Tensor) -> Path:
        name = hashlib.sha256(self.generalist.encode())
        for part in (pixels, valid):
            name.update(part.contiguous().numpy().tobytes())
        return self.folder / f"{name.hexdigest()}.npy"


def _read(path: Path) -> Tensor | None:
    """An embedding; None if there is none, or a disk has damaged it."""
    try:
        return torch.from_numpy(np.load(path))
    except (FileNotFoundError, ValueError, EOFError):
        return None


def _write(path: Path, embedding: Tensor) -> None:
    content = io.BytesIO()
    np.save(content, embedding.numpy())
    part = temporary_name(path)
    try:
        path.parent.mkdir(exist_ok=True)
        part.write_bytes(content.getbuffer())
        part.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
    finally:
        part.unlink(missing_ok=True)
