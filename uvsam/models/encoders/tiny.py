"""The small image encoder that uvsam trains itself: EfficientNet-Lite features of three scales, fused."""

from typing import Any

import timm
import torch
from segment_anything.modeling.common import LayerNorm2d
from torch import Tensor, nn
from torch.nn import functional as F

WIDTH = 128


class TinyEncoder(nn.Module):
    """(N, 3, 512, 512) normalised images to embeddings (N, 256, 64, 64); any side that is a multiple of 32 works.

    The trunk's features at strides 8, 16 and 32 are brought to 128 channels, summed on the finest grid, and mixed by a
    depthwise 3x3 and a 1x1 convolution; the last step is SAM's channel normalisation.

    Args:
        trunk: a timm model that gives feature maps.
    """

    def __init__(self, trunk: str = "tf_efficientnet_lite0") -> None:
        super().__init__()
        features: Any = timm.create_model(trunk, pretrained=False, features_only=True, out_indices=(2, 3, 4))
        self.trunk: nn.Module = features
        self.lateral = nn.ModuleList(
            nn.Sequential(nn.Conv2d(channels, WIDTH, 1, bias=False), nn.BatchNorm2d(WIDTH))
            for channels in features.feature_info.channels()
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
        fine, *coarse = (project(level) for project, level in zip(self.lateral, self.trunk(images), strict=True))
        for level in coarse:
            fine = fine + F.interpolate(level, fine.shape[2:], mode="bilinear", align_corners=False)
        embedding: Tensor = self.neck(fine)
        return embedding


def build_tiny() -> nn.Module:
    """The encoder of the bundled generalist."""
    return TinyEncoder().to(memory_format=torch.channels_last)
