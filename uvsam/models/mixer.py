"""The prompt mixer: what the sparse prompt tokens learn from the two image embeddings (UV-SAM, Zhang et al. 2024).

Tokens P are SAM's box corners. The context is the mean of the generalist's image embedding (s) and the mean of the
specialist's fused features (g), each of length one.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH = 256


def pooled(features: Tensor) -> Tensor:
    """Mean over the image, scaled to length one: (N, C, H, W) to (N, C)."""
    return F.normalize(features.mean(dim=(-2, -1)), dim=-1)


class Mixer(nn.Module):
    """Brings g to the width of the tokens and leaves the mixing to :meth:`mix`.

    Args:
        specialist_channels: length of g; a linear map without bias brings other widths than 256 to 256.
    """

    def __init__(self, specialist_channels: int = WIDTH) -> None:
        super().__init__()
        same = specialist_channels == WIDTH
        self.project = nn.Identity() if same else nn.Linear(specialist_channels, WIDTH, bias=False)

    def forward(self, tokens: Tensor, sam: Tensor | None, specialist: Tensor | None) -> Tensor:
        """Mixed tokens.

        Args:
            tokens: (N, T, 256) sparse prompt tokens; without any (T = 0) one token of zeros takes their place.
            sam: (256,) s, None leaves it out.
            specialist: (specialist_channels,) g, None leaves it out.

        Returns:
            (N, max(T, 1), 256).
        """
        if tokens.shape[1] == 0:
            tokens = tokens.new_zeros(len(tokens), 1, WIDTH)
        nothing = tokens.new_zeros(WIDTH)
        return self.mix(
            tokens, nothing if sam is None else sam, nothing if specialist is None else self.project(specialist)
        )

    def mix(self, tokens: Tensor, sam: Tensor, specialist: Tensor) -> Tensor:
        raise NotImplementedError


class Add(Mixer):
    """P + s + g (EmbAdd of the paper)."""

    def mix(self, tokens: Tensor, sam: Tensor, specialist: Tensor) -> Tensor:
        return tokens + sam + specialist


class Perceptron(Mixer):
    """W2 relu(W1 [P / |P|; s; g]) in place of P (EmbMLP of the paper): 768 to 512 to 256, without biases."""

    def __init__(self, specialist_channels: int = WIDTH) -> None:
        super().__init__(specialist_channels)
        self.inner = nn.Linear(3 * WIDTH, 2 * WIDTH, bias=False)
        self.outer = nn.Linear(2 * WIDTH, WIDTH, bias=False)
        nn.init.xavier_normal_(self.inner.weight)
        nn.init.xavier_normal_(self.outer.weight)

    def mix(self, tokens: Tensor, sam: Tensor, specialist: Tensor) -> Tensor:
        context = torch.cat([sam, specialist]).expand(*tokens.shape[:2], -1)
        mixed: Tensor = self.outer(F.relu(self.inner(torch.cat([F.normalize(tokens, dim=-1), context], dim=-1))))
        return mixed


class Gated(Perceptron):
    """P + tanh(a) * W2 relu(W1 [P / |P|; s; g]) with a = 0 at the start: untrained, it changes nothing."""

    def __init__(self, specialist_channels: int = WIDTH) -> None:
        super().__init__(specialist_channels)
        self.gate = nn.Parameter(torch.zeros(()))

    def mix(self, tokens: Tensor, sam: Tensor, specialist: Tensor) -> Tensor:
        return tokens + torch.tanh(self.gate) * super().mix(tokens, sam, specialist)


MIXERS: dict[str, Callable[[int], Mixer]] = {"add": Add, "mlp": Perceptron, "gated": Gated}
