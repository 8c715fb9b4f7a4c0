"""The image encoders of EfficientViT-SAM (Zhang et al. 2024): convolutions, linear attention, and a fusing neck."""

from typing import Any

import torch
from segment_anything.modeling.common import LayerNorm2d
from timm.layers import GELUTanh
from timm.models.efficientvit_mit import ConvNormAct, EfficientVitLarge, FusedMBConv, LiteMLA, ResidualBlock
from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS = (32, 64, 128, 256, 512)
NECK_WIDTH = 256
NORM_EPS, ATTENTION_EPS = 1e-6, 1e-15


class _Ops(nn.Module):
    """One after the other, under the name that the published files give such a list."""

    def __init__(self, *ops: nn.Module) -> None:
        super().__init__()
        self.op_list = nn.Sequential(*ops)

    def forward(self, features: Tensor) -> Tensor:
        result: Tensor = self.op_list(features)
        return result


class _Backbone(nn.Module):
    """timm's EfficientViT-L without its classifier: images to the features of strides 2, 4, 8, 16 and 32."""

    def __init__(self, depths: tuple[int, ...]) -> None:
        super().__init__()
        trunk: Any = EfficientVitLarge(widths=WIDTHS, depths=depths, head_widths=(1, 1), num_classes=0)
        self.stages = nn.ModuleList([_Ops(*trunk.stem.children()), *(_Ops(*stage.blocks) for stage in trunk.stages)])

    def forward(self, images: Tensor) -> list[Tensor]:
        features = [images]
        for stage in self.stages:
            features.append(stage(features[-1]))
        return features[1:]


class _ToGrid(nn.Module):
    """Bicubic resize to the grid of Segment Anything's embeddings."""

    def forward(self, features: Tensor) -> Tensor:
        return F.interpolate(features, size=(64, 64), mode="bicubic", align_corners=False)


class _Neck(nn.Module):
    """The last three levels, coarsest first, each to 256 channels on the 64 x 64 grid, summed and mixed."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.input_ops = nn.ModuleList(
            _Ops(ConvNormAct(width, NECK_WIDTH, 1, act_layer=None), _ToGrid()) for width in reversed(WIDTHS[-3:])
        )
        self.middle = _Ops(*(ResidualBlock(self._mixing(), nn.Identity()) for _ in range(depth)))
        out = ConvNormAct(NECK_WIDTH, 256, 1, bias=True, norm_layer=None, act_layer=None)
        self.output_ops = nn.ModuleList([_Ops(out)])

    @staticmethod
    def _mixing() -> nn.Module:
        return FusedMBConv(NECK_WIDTH, NECK_WIDTH, expand_ratio=1, act_layer=(GELUTanh, None))

    def forward(self, features: list[Tensor]) -> Tensor:
        coarse_first = reversed(features[-3:])
        fused = sum(op(level) for op, level in zip(self.input_ops, coarse_first, strict=True))
        mixed: Tensor = self.output_ops[0](self.middle(fused))
        return mixed


class EfficientVitEncoder(nn.Module):
    """(N, 3, 512, 512) normalised images to embeddings (N, 256, 64, 64).

    Args:
        depths: blocks in the stem and in each of four stages.
        neck_depth: blocks in the neck.
    """

    def __init__(self, depths: tuple[int, ...], neck_depth: int) -> None:
        super().__init__()
        self.backbone = _Backbone(depths)
        self.neck = _Neck(neck_depth)
        self.norm = LayerNorm2d(256)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eps = NORM_EPS
            elif isinstance(module, LiteMLA):
                module.eps = ATTENTION_EPS

    def forward(self, images: Tensor) -> Tensor:
        embedding: Tensor = self.norm(self.neck(self.backbone(images)))
        return embedding


def build_efficientvit(depths: tuple[int, ...], neck_depth: int) -> nn.Module:
    """An encoder of the L series of EfficientViT-SAM."""
    return EfficientVitEncoder(depths, neck_depth).to(memory_format=torch.channels_last)
