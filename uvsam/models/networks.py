"""Networks that a specialist can have.

The SegFormer of the paper (Xie et al. 2021: an encoder of several scales and an all-MLP decoder) and the baselines it
is compared with, all built by segmentation-models-pytorch.
"""

from collections.abc import Callable
from typing import Any

import segmentation_models_pytorch as smp
from torch import Tensor, nn

from uvsam.catalog.cards import Network
from uvsam.errors import CatalogError


def _segformer(network: Network, classes: int, encoder: dict[str, Any]) -> nn.Module:
    return smp.Segformer(**encoder, decoder_segmentation_channels=network.decoder_channels, classes=classes)  # type: ignore[no-any-return]


def _unet(network: Network, classes: int, encoder: dict[str, Any]) -> nn.Module:
    widths = [network.decoder_channels * 2**i for i in (3, 2, 1, 0)] + [network.decoder_channels // 2]
    return smp.Unet(**encoder, decoder_channels=widths, classes=classes)  # type: ignore[no-any-return]


def _deeplabv3plus(network: Network, classes: int, encoder: dict[str, Any]) -> nn.Module:
    return smp.DeepLabV3Plus(**encoder, decoder_channels=network.decoder_channels, classes=classes)  # type: ignore[no-any-return]


def _fpn(network: Network, classes: int, encoder: dict[str, Any]) -> nn.Module:
    width = network.decoder_channels
    return smp.FPN(**encoder, decoder_pyramid_channels=2 * width, decoder_segmentation_channels=width, classes=classes)  # type: ignore[no-any-return]


class FullyConvolutional(nn.Module):
    """FCN-like baseline (Long et al. 2015): a 3x3 convolution and a classifier on the encoder's stride-16 features."""

    def __init__(self, network: Network, classes: int, encoder: dict[str, Any]) -> None:
        super().__init__()
        self.encoder = smp.encoders.get_encoder(
            encoder["encoder_name"], weights=encoder["encoder_weights"], in_channels=3, depth=4
        )
        width = network.decoder_channels
        self.head = nn.Sequential(
            nn.Conv2d(self.encoder.out_channels[-1], width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Dropout2d(0.1),
            nn.Conv2d(width, classes, 1),
        )

    def forward(self, images: Tensor) -> Tensor:
        logits = self.head(self.encoder(images)[-1])
        return nn.functional.interpolate(logits, size=images.shape[2:], mode="bilinear", align_corners=False)


_ARCHITECTURES: dict[str, Callable[[Network, int, dict[str, Any]], nn.Module]] = {
    "segformer": _segformer,
    "unet": _unet,
    "deeplabv3plus": _deeplabv3plus,
    "fpn": _fpn,
    "fcn": FullyConvolutional,
}


def build_network(network: Network, classes: int, *, encoder_weights: str | None = None) -> nn.Module:
    """Build a segmentation network: (N, 3, H, W) normalised images to (N, classes, H, W) logits; H, W multiples of 32.

    Args:
        network: what to build.
        classes: number of output channels.
        encoder_weights: ``"imagenet"`` lets segmentation-models-pytorch fetch pretrained weights; None is random.

    Raises:
        CatalogError: the encoder's name is unknown, or does not work with this decoder.
    """
    native = network.encoder in smp.encoders.encoders
    encoder = {
        "encoder_name": network.encoder if native else f"tu-{network.encoder}",
        "encoder_weights": encoder_weights,
    }
    try:
        return _ARCHITECTURES[network.arch](network, classes, encoder)
    except OSError as error:  # of the download; some of these are ValueErrors as well
        raise CatalogError(
            f"ImageNet weights of '{network.encoder}' cannot be downloaded; set encoder_weights to random, to a file, "
            "or to an installed package that carries them"
        ) from error
    except (KeyError, RuntimeError, ValueError) as error:
        raise CatalogError(f"cannot build {network.arch} on encoder '{network.encoder}': {error}") from error
