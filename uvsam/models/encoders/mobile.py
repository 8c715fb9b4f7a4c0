"""The image encoder of MobileSAM (Zhang et al. 2023): TinyViT-5M whose last stage keeps stride 16, and SAM's neck."""

from collections import OrderedDict
from typing import Any

import torch
from segment_anything.modeling.common import LayerNorm2d
from timm.models.tiny_vit import ConvNorm, TinyVit
from torch import Tensor, nn

WIDTHS = (64, 128, 160, 320)


class MobileEncoder(nn.Module):
    """(N, 3, 1024, 1024) normalised images to embeddings (N, 256, 64, 64).

    The layers are timm's, in the order and under the names of the published file: there, a stage ends with the step
    down to the next one, which is where timm's next stage begins.
    """

    def __init__(self) -> None:
        super().__init__()
        trunk: Any = TinyVit(
            embed_dims=WIDTHS, depths=(2, 2, 6, 2), num_heads=(2, 4, 5, 10), window_sizes=(7, 7, 14, 7),
            drop_path_rate=0.0, num_classes=0,
        )  # fmt: skip
        trunk.stages[3].downsample.conv2.conv.stride = (1, 1)
        _name_convolutions(trunk)
        stem = trunk.patch_embed
        self.patch_embed = nn.Sequential(OrderedDict(seq=nn.Sequential(stem.conv1, stem.act, stem.conv2)))
        steps_down = [stage.downsample for stage in trunk.stages[1:]] + [None]
        self.layers = nn.Sequential(
            *(
                _Stage(stage.blocks, step, of_windows=number > 0)
                for number, (stage, step) in enumerate(zip(trunk.stages, steps_down, strict=True))
            )
        )
        self.neck = nn.Sequential(
            nn.Conv2d(WIDTHS[-1], 256, 1, bias=False),
            LayerNorm2d(256),
            nn.Conv2d(256, 256, 3, padding=1, bias=False),
            LayerNorm2d(256),
        )

    def forward(self, images: Tensor) -> Tensor:
        embedding: Tensor = self.neck(self.layers(self.patch_embed(images)))
        return embedding


class _Stage(nn.Module):
    """Blocks of one resolution, then the step to the next; blocks of windows have their channels last."""

    def __init__(self, blocks: nn.Module, downsample: nn.Module | None, *, of_windows: bool) -> None:
        super().__init__()
        self.blocks, self.downsample, self.of_windows = blocks, downsample, of_windows

    def forward(self, features: Tensor) -> Tensor:
        if self.of_windows:
            features = self.blocks(features.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        else:
            features = self.blocks(features)
        return features if self.downsample is None else self.downsample(features)


def _name_convolutions(module: nn.Module) -> None:
    """Call the convolution of each pair of convolution and normalisation ``c``, as the published file does."""
    for name, child in module.named_children():
        if isinstance(child, ConvNorm):
            setattr(module, name, nn.Sequential(OrderedDict(c=child.conv, bn=child.bn)))
        else:
            _name_convolutions(child)


def build_mobile() -> nn.Module:
    """The encoder of MobileSAM."""
    return MobileEncoder().to(memory_format=torch.channels_last)
