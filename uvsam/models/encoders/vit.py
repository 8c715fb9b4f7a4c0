"""The image encoders of Segment Anything (Kirillov et al. 2023): a plain ViT with windows and four global blocks."""

from functools import partial

from segment_anything.modeling import ImageEncoderViT
from torch import nn

from uvsam.models.sam.attention import FusedAttention


def build_vit(width: int, depth: int, heads: int, image_px: int = 1024) -> nn.Module:
    """Segment Anything's encoder with our attention; the last block of each quarter of the depth is global."""
    encoder = ImageEncoderViT(
        img_size=image_px,
        embed_dim=width,
        depth=depth,
        num_heads=heads,
        norm_layer=partial(nn.LayerNorm, eps=1e-6),
        use_rel_pos=True,
        window_size=14,
        global_attn_indexes=tuple(range(depth // 4 - 1, depth, depth // 4)),
    )
    for block in encoder.blocks:
        block.attn = FusedAttention(block.attn)
    return encoder  # type: ignore[no-any-return]
