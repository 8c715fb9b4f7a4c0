"""UV-SAM (Zhang et al., AAAI 2024): what a small specialist finds, a frozen generalist outlines."""

from collections.abc import Collection
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from uvsam.catalog.cards import card_path, verified_beside
from uvsam.catalog.uvsam import UvSamCard, Withheld, load_uvsam_card
from uvsam.errors import CatalogError
from uvsam.models.encoders import ENCODERS
from uvsam.models.mixer import MIXERS, Mixer, pooled
from uvsam.models.networks import build_network
from uvsam.models.sam.checkpoints import load_strictly, read_checkpoint
from uvsam.models.sam.generalist import Generalist, GeneralistRecipe, load_generalist
from uvsam.models.sam.network import GeneralistNetwork
from uvsam.models.specialist import ModelRecipe, Specialist, fused_features


class UvSamNetwork(nn.Module):
    """Specialist, prompt mixer and generalist, under these names.

    Gradients flow through the generalist into the other two, and into no parameter of its own; it stays in evaluation
    mode whatever mode the rest is in.

    Args:
        specialist: of ``build_network``, with a decoder and a segmentation head.
        mixer: for the specialist's fused features, see :func:`build_mixer`.
        generalist: will be frozen.
    """

    def __init__(self, specialist: nn.Module, mixer: Mixer, generalist: GeneralistNetwork) -> None:
        super().__init__()
        self.specialist = specialist
        self.mixer = mixer
        self.generalist = generalist.requires_grad_(False).eval()

    def train(self, mode: bool = True) -> "UvSamNetwork":
        super().train(mode)
        self.generalist.eval()
        return self

    def fuse(self, images: Tensor) -> Tensor:
        """Normalised images (N, 3, S, S) to the specialist's fused features (N, C, h, w)."""
        return fused_features(self.specialist, images)

    def classify(self, fused: Tensor, dropout: float = 0.0) -> Tensor:
        """Fused features to logits (N, K, S, S); ``dropout`` leaves out that share of the channels in training."""
        head = self.specialist.get_submodule("segmentation_head")
        logits: Tensor = head(F.dropout2d(fused, dropout, self.specialist.training))
        return logits

    @torch.no_grad()
    def embed(self, images: Tensor) -> Tensor:
        """Images (N, 3, S, S), normalised for the generalist, to its embeddings (N, 256, 64, 64)."""
        embeddings: Tensor = self.generalist.image_encoder(images)
        return embeddings

    def outline(
        self, embedding: Tensor, fused: Tensor, boxes: Tensor, masks: Tensor, without: Collection[Withheld] = ()
    ) -> tuple[Tensor, Tensor]:
        """Ask the generalist about one crop.

        Args:
            embedding: (256, 64, 64) of the generalist.
            fused: (C, h, w) of the specialist.
            boxes: (N, 4) in SAM's frame.
            masks: (N, 1, 256, 256) log-odds.
            without: what it is not given.

        Returns:
            Logits (N, 256, 256) and predicted IoU (N,).
        """
        mix = partial(
            self.mixer,
            sam=None if "sam" in without else pooled(embedding[None])[0],
            specialist=None if "specialist" in without else pooled(fused[None])[0],
        )
        return self.generalist.decode(
            embedding, None if "box" in without else boxes, None if "mask" in without else masks, mix
        )


def build_mixer(name: str, specialist: nn.Module) -> Mixer:
    """A mixer for the fused features of a specialist.

    Raises:
        CatalogError: the specialist has none.
    """
    head = getattr(specialist, "segmentation_head", None)
    if head is None:
        raise CatalogError("this specialist has no fused features for a mixer; every architecture but 'fcn' has them")
    return MIXERS[name](head[0].in_channels)


def load_uvsam(recipe: ModelRecipe, cache: Path | None = None) -> tuple[Specialist, Mixer, Generalist]:
    """Build the three parts of a UV-SAM model and load their verified weights, strictly.

    Args:
        cache: folder of fetched weights, where the generalist is a published one; default: the user's cache folder.

    Raises:
        CatalogError: no such model, or its weights are not here, or not those that its card describes.
    """
    card, state = _read(recipe)
    specialist = _specialist(card, state, recipe.device)
    mixer = build_mixer(card.mixer, specialist.network)
    try:
        load_strictly(mixer, _part(state, "mixer"))
        if card.generalist.encoder is None:
            generalist = load_generalist(GeneralistRecipe(str(card.generalist.card), recipe.device, cache))
        else:
            spec = ENCODERS[card.generalist.encoder]
            network = GeneralistNetwork(spec.build(), card.generalist.decoder_mlp)
            load_strictly(network, _part(state, "generalist"))
            generalist = Generalist(network, spec, recipe.device)
    except CatalogError as error:
        raise CatalogError(f"weights of '{card.name}': {error}") from error
    return specialist, mixer.to(recipe.device).eval(), generalist


def load_uvsam_specialist(recipe: ModelRecipe) -> Specialist:
    """The first part of :func:`load_uvsam` alone, which needs no other weights.

    Raises:
        CatalogError: no such model, or its weights are not those that its card describes.
    """
    return _specialist(*_read(recipe), recipe.device)


def _read(recipe: ModelRecipe) -> tuple[UvSamCard, dict[str, Tensor]]:
    card = load_uvsam_card(recipe.model)
    path = verified_beside(card_path(recipe.model, None), card.weights, card.sha256)
    return card, read_checkpoint(path)


def _specialist(card: UvSamCard, state: dict[str, Tensor], device: str) -> Specialist:
    network = build_network(card.network, len(card.classes))
    try:
        load_strictly(network, _part(state, "specialist"))
    except CatalogError as error:
        raise CatalogError(f"weights of '{card.name}': {error}") from error
    return Specialist(card, network, device)


def _part(state: dict[str, Tensor], name: str) -> dict[str, Tensor]:
    """Tensors of one part, without its prefix."""
    prefix = f"{name}."
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
