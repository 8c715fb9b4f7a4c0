"""The small image encoder that uvsam trains itself: EfficientNet-Lite features of five scales, fused."""

from typing import Any

import timm
import torch
from segment_anything.modeling.common import LayerNorm2d
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH = 192
STRIDE = 8


class TinyEncoder(nn.Module):
    """(N, 3, 512, 512) normalised images to embeddings (N, 256, 64, 64); any side that is a multiple of 32 works.

    The trunk's features at strides 2 to 32 are brought to 192 channels, summed on the grid of stride 8, and mixed by a
    depthwise 3x3 and a 1x1 convolution; the last step is SAM's channel normalisation. Finer features are folded into
    channels, so that edges keep their place inside a cell of the grid; coarser ones are interpolated.

    Args:
        trunk: a timm model that gives feature maps.
    """

    def __init__(self, trunk: str = "tf_efficientnet_lite0") -> None:
        super().__init__()
        features: Any = timm.create_model(trunk, pretrained=False, features_only=True)
        self.trunk: nn.Module = features
        strides: list[int] = features.feature_info.reduction()
        self.folds = [max(1, STRIDE // stride) for stride in strides]
        self.lateral = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels * fold**2, WIDTH, 1, bias=False), nn.BatchNorm2d(WIDTH))
            for channels, fold in zip(features.feature_info.channels(), self.folds, strict=True)
        )
        self.neck = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(WIDTH, WIDTH, 3, padding=1, groups=WIDTH, bias=False),
            nn.BatchNorm2d(WIDTH),
            nn.ReLU(),
            nn.Conv2d(WIDTH, 256, 1, bias=False),
            LayerNorm2d(256),
        )

    def forward(self, images: Tensor) -> Tensor:
        size = [side // STRIDE for side in images.shape[2:]]
        total = images.new_zeros(())
        for level, fold, project in zip(self.trunk(images), self.folds, self.lateral, strict=True):
            level = project(F.pixel_unshuffle(level, fold))
            total = total + (
                level
                if list(level.shape[2:]) == size
                else F.interpolate(level, size, mode="bilinear", align_corners=False)
            )
        embedding: Tensor = self.neck(total)
        return embedding


def build_tiny() -> nn.Module:
    """The encoder of the bundled generalist."""
    return TinyEncoder().to(memory_format=torch.channels_last)
