"""The generalist: Segment Anything (Kirillov et al. 2023) behind one of several image encoders.

Prompts and masks live in its frame of 1024 x 1024 pixels, whatever number of pixels the encoder sees of a crop.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from uvsam.catalog.cache import generalist_weights
from uvsam.catalog.generalists import GeneralistCard
from uvsam.errors import CatalogError
from uvsam.models.compiled import Compiled
from uvsam.models.encoders import ENCODERS, EncoderSpec
from uvsam.models.sam.checkpoints import load_strictly, read_checkpoint, recognise
from uvsam.models.sam.network import Answering, GeneralistNetwork, normalised
from uvsam.prompts import CELLS, Prompts

DECODER_MLP = "mask_decoder.transformer.layers.0.mlp.lin1.bias"

Answer = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""From an embedding (1, 256, 64, 64) and N prompts to logits and predicted IoU, as ``Answering`` does."""

Tokens = Callable[[Tensor, Tensor], Tensor]
"""From the tokens of N boxes (N, 2, 256; without boxes N, 0, 256) and the embedding (256, 64, 64) to other tokens."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """Answers to N prompts.

    Attributes:
        logits: (N, 256, 256) float32 over the frame, above 0 inside the mask.
        iou_pred: (N,) float32, IoU with the true mask as the network expects it.
        stability: (N,) float32, IoU of the masks above 1 and above -1; 0 for a mask that is empty even at -1.
    """

    logits: NDArray[np.float32]
    iou_pred: NDArray[np.float32]
    stability: NDArray[np.float32]


@dataclass(frozen=True)
class GeneralistRecipe:
    """How to build a generalist. Small and picklable: this crosses process borders, never the model.

    Attributes:
        model: name of a card, path of a card, or path of a checkpoint.
        cache: folder of fetched weights; None is the user's cache folder.
    """

    model: str | Path
    device: str = "cpu"
    cache: Path | None = None


class Generalist:
    """A network, and its card where it has one, ready to answer prompts. Holds no state between calls.

    Args:
        spec: what its image encoder wants to see.
    """

    def __init__(
        self,
        network: GeneralistNetwork,
        spec: EncoderSpec,
        device: str = "cpu",
        card: GeneralistCard | None = None,
    ) -> None:
        self.spec, self.card = spec, card
        self.device = torch.device(device)
        self.network = network.to(self.device).eval()
        self._encode: Callable[[Tensor], Tensor] = self.network.image_encoder
        self._answer: Answer = lambda embedding, sparse, dense: self.network.answer(embedding[0], sparse, dense)
        self._at_once = 4 if self.device.type == "cpu" else 16  # on a CPU, 8 take half as long again as 2 times 4

    def compiled(self, threads: int, folder: Path | None = None) -> "Generalist":
        """The same on a processor, faster; see :class:`~uvsam.models.compiled.Compiled`."""
        faster = copy.copy(self)
        faster._encode = Compiled(self.network.image_encoder, threads, folder)
        faster._answer, faster._at_once = Compiled(Answering(self.network).eval(), threads, folder), 1
        return faster

    @property
    def input_px(self) -> int:
        """Side of the crops it looks at, in pixels."""
        return self.spec.input_px

    @torch.no_grad()  # not inference mode: embeddings may serve to train a mixer
    def embed(self, pixels: Tensor, valid: Tensor) -> Tensor:
        """Look at crops, each filling the frame.

        Args:
            pixels: (N, 3, S, S) float32 in 0..255, S = ``input_px``.
            valid: (N, S, S) bool.

        Returns:
            (N, 256, 64, 64) on the network's device.
        """
        if pixels.shape[1:] != (3, self.input_px, self.input_px):
            raise ValueError(f"crops should be (3, {self.input_px}, {self.input_px}), not {tuple(pixels.shape[1:])}")
        images = normalised(pixels.to(self.device), valid.to(self.device), self.spec.mean, self.spec.std)
        return self._encode(images)

    @torch.inference_mode()
    def decode(self, embedding: Tensor, prompts: Prompts, *, tokens: Tokens | None = None) -> Decoded:
        """Answer prompts about one crop.

        Args:
            embedding: (256, 64, 64), one of those that :meth:`embed` gives.
            prompts: N of them.
            tokens: what becomes of the prompts' tokens; a mixer, for example.
        """
        logits = np.empty((len(prompts), CELLS, CELLS), np.float32)
        iou_pred, stability = np.empty((2, len(prompts)), np.float32)
        embedding = embedding.to(self.device)
        mix = None if tokens is None else (lambda given: tokens(given, embedding))
        for start in range(0, len(prompts), self._at_once):
            some = slice(start, start + self._at_once)
            part = prompts.part(some)
            given = self.network.prompt(self._tensor(part.boxes_xyxy), self._tensor(part.mask_logits), mix)
            masks, iou = self._answer(embedding[None], *given)
            logits[some], iou_pred[some] = masks.float().cpu(), iou.float().cpu()
            stability[some] = _stability(masks).cpu()
        return Decoded(logits, iou_pred, stability)

    def _tensor(self, values: NDArray[np.float32] | None) -> Tensor | None:
        return None if values is None else torch.as_tensor(values, device=self.device)


def _stability(logits: Tensor) -> Tensor:
    """Stability score of Segment Anything's mask generator with offset 1: (N, H, W) to (N,)."""
    surely, perhaps = ((logits > level).sum(dim=(-2, -1)) for level in (1.0, -1.0))
    return surely / perhaps.clamp(min=1)


def load_generalist(recipe: GeneralistRecipe) -> Generalist:
    """Build the network of a card, or the one that a checkpoint is of, and load its weights, strictly.

    Raises:
        CatalogError: no such model, its weights are not here, or they are not those of a known network.
    """
    card, path = generalist_weights(recipe.model, recipe.cache)
    state = read_checkpoint(path)
    try:
        if DECODER_MLP not in state:
            raise CatalogError("is no checkpoint of the Segment Anything family: it has no mask decoder")
        spec = ENCODERS[recognise(state) if card is None else card.encoder]
        network = GeneralistNetwork(spec.build(), len(state[DECODER_MLP]))
        load_strictly(network, state)
    except CatalogError as error:
        raise CatalogError(f"{path} {error}") from error
    return Generalist(network, spec, recipe.device, card)
