"""A generalist that looks twice."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, stack

from uvsam.models.sam.generalist import Decoded, Generalist, Tokens
from uvsam.prompts import Prompts

Floats = NDArray[np.float32]


class Mirrored:
    """Looks at each crop as it is and in a mirror, for twice the work, and answers with the mean of both.

    Predicted IoU and stability are means, too.
    """

    def __init__(self, generalist: Generalist) -> None:
        self.generalist = generalist

    def compiled(self, threads: int, folder: Path | None = None) -> "Mirrored":
        """The same on a processor, faster."""
        return Mirrored(self.generalist.compiled(threads, folder))

    @property
    def input_px(self) -> int:
        """Side of the crops it looks at, in pixels."""
        return self.generalist.input_px

    def embed(self, pixels: Tensor, valid: Tensor) -> Tensor:
        """As of a generalist, with both views: (N, 3, S, S) and (N, S, S) to (N, 2, 256, 64, 64)."""
        views = [self.generalist.embed(pixels, valid), self.generalist.embed(pixels.flip(-1), valid.flip(-1))]
        return stack(views, dim=1)

    def decode(self, embedding: Tensor, prompts: Prompts, *, tokens: Tokens | None = None) -> Decoded:
        """As of a generalist, with both views of one crop: (2, 256, 64, 64)."""
        straight = self.generalist.decode(embedding[0], prompts, tokens=tokens)
        mirrored = self.generalist.decode(embedding[1], prompts.mirrored(), tokens=tokens)
        return Decoded(
            _mean(straight.logits, mirrored.logits[..., ::-1]),
            _mean(straight.iou_pred, mirrored.iou_pred),
            _mean(straight.stability, mirrored.stability),
        )


def _mean(one: Floats, other: Floats) -> Floats:
    mean: Floats = np.float32(0.5) * (one + other)
    return mean
