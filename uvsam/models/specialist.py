"""The specialist: a small semantic network that scores every pixel as village or not."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from uvsam.catalog.cards import ModelCard, load_card, verified_weights
from uvsam.errors import CatalogError
from uvsam.models.compiled import Compiled


def normalise(pixels: Tensor, valid: Tensor, card: ModelCard) -> Tensor:
    """Bring pixels to what the network saw in training; invalid ones become the mean, which carries no signal.

    Args:
        pixels: (N, 3, H, W) in 0..255.
        valid: (N, H, W) bool.
    """
    mean = pixels.new_tensor(card.mean)[:, None, None]
    std = pixels.new_tensor(card.std)[:, None, None]
    images = (pixels - mean).div_(std)
    return images if valid.all() else images.masked_fill_(~valid[:, None], 0)


def to_own_resolution(images: Tensor, ground_m: float, card: ModelCard) -> Tensor:
    """Bring crops (N, C, S, S) that show ``ground_m`` metres a side to the card's ground resolution, about: their side
    becomes a multiple of 32."""
    side = 32 * max(1, round(ground_m / card.gsd_m / 32))
    if side == images.shape[-1]:
        return images
    return nn.functional.interpolate(images, (side, side), mode="bilinear", antialias=True, align_corners=False)


def village_logit(logits: Tensor) -> Tensor:
    """Log-odds of the village class, the last one, against all others: (N, K, H, W) to (N, H, W)."""
    others = logits[:, 0] if logits.shape[1] == 2 else torch.logsumexp(logits[:, :-1], dim=1)
    return logits[:, -1] - others


def fused_features(specialist: nn.Module, images: Tensor) -> Tensor:
    """What the specialist's segmentation head classifies: normalised images (N, 3, H, W) to (N, C, h, w)."""
    network: Any = specialist
    fused: Tensor = network.decoder(network.encoder(images))
    return fused


class Fusing(nn.Module):
    """:func:`fused_features` as a module of its own."""

    def __init__(self, specialist: nn.Module) -> None:
        super().__init__()
        self.specialist = specialist

    def forward(self, images: Tensor) -> Tensor:
        return fused_features(self.specialist, images)


_TURNS = (0, 2, 1, 3)


@dataclass(frozen=True)
class ModelRecipe:
    """How to build a specialist. Small and picklable: this crosses process borders, never the model."""

    model: str | Path
    device: str = "cpu"


class Specialist:
    """A network with its card, ready to score chips. Holds no state between calls."""

    def __init__(self, card: ModelCard, network: nn.Module, device: str = "cpu") -> None:
        self.card = card
        self.device = torch.device(device)
        self.network = network.to(self.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]
        self._run: Callable[[Tensor], Tensor] = self.network
        self._fuse: Callable[[Tensor], Tensor] = Fusing(self.network)

    def compiled(self, threads: int, folder: Path | None = None) -> "Specialist":
        """The same on a processor, faster; see :class:`~uvsam.models.compiled.Compiled`."""
        faster = copy.copy(self)
        faster._run = Compiled(self.network, threads, folder)
        faster._fuse = Compiled(Fusing(self.network).eval(), threads, folder)
        return faster

    @torch.inference_mode()
    def scores(self, pixels: Tensor, valid: Tensor, *, views: int = 1) -> Tensor:
        """Calibrated probability of village.

        Args:
            pixels: (N, 3, H, W) float32 in 0..255, H and W multiples of 32.
            valid: (N, H, W) bool.
            views: 1 to 8 mirrored and turned copies whose log-odds are averaged.

        Returns:
            (N, H, W) float32 in 0..1 on the CPU; what stands at invalid pixels has no meaning.
        """
        images = normalise(pixels.to(self.device), valid.to(self.device), self.card)
        log_odds = self._log_odds(images)
        if views > 1:
            others = [_restore(self._log_odds(_view(images, k)), k) for k in range(1, views)]
            log_odds = torch.stack([log_odds, *others]).mean(0)
        calibration = self.card.calibration
        return log_odds.div_(calibration.temperature).add_(calibration.offset).sigmoid_().cpu()

    @torch.inference_mode()
    def fused(self, pixels: Tensor, valid: Tensor, ground_m: float) -> Tensor:
        """Fused features, see :func:`fused_features`, of crops that show ``ground_m`` metres a side.

        Args:
            pixels: (N, 3, S, S) float32 in 0..255.
            valid: (N, S, S) bool.
        """
        images = normalise(pixels.to(self.device), valid.to(self.device), self.card)
        return self._fuse(to_own_resolution(images, ground_m, self.card))

    def _log_odds(self, images: Tensor) -> Tensor:
        return village_logit(self._run(images).float())


def _view(images: Tensor, k: int) -> Tensor:
    """View ``k`` of 8: mirrored for odd ``k``, then turned by ``k // 2`` right angles, half turns first."""
    return torch.rot90(images.flip(-1) if k % 2 else images, _TURNS[k // 2], (-2, -1))


def _restore(scores: Tensor, k: int) -> Tensor:
    turned = torch.rot90(scores, -_TURNS[k // 2], (-2, -1))
    return turned.flip(-1) if k % 2 else turned


def load_specialist(recipe: ModelRecipe) -> Specialist:
    """Build the network of a card and load its verified weights, strictly.

    Raises:
        CatalogError: no such model, or its weights are not the ones the card describes.
    """
    from uvsam.models.networks import build_network  # its library takes two seconds and 200 MB

    card = load_card(recipe.model)
    network = build_network(card.network, len(card.classes))
    state = {name: value.float() if value.is_floating_point() else value for name, value in _read(recipe, card).items()}
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise CatalogError(f"weights of '{card.name}' do not fit its network: {str(error).splitlines()[0]}") from error
    return Specialist(card, network, recipe.device)


def _read(recipe: ModelRecipe, card: ModelCard) -> dict[str, Tensor]:
    weights = verified_weights(recipe.model)
    try:
        return load_file(weights)
    except Exception as error:  # safetensors raises its own type that derives from Exception alone
        raise CatalogError(f"weights of '{card.name}' are not a safetensors file: {weights}") from error
