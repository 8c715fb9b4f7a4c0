"""Attention with decomposed relative positions, without the whole table of biases in memory.

The bias of a pair of tokens is a term for their rows plus one for their columns (Li et al. 2022, MViTv2). A global
block of ViT-B has 4096 x 4096 pairs in 12 heads: 0.8 GB for each copy of the table, and segment-anything makes several.
Here rows of queries take turns, so that biases are made and used up a few megabytes at a time.

``benchmarks/attention.py`` compares the ways. Making the terms a part of the dot product (channels [q, terms of q]
against [k, which row, which column]) needs no bias at all, but torch's fused kernel wants values as wide as keys, 192
channels instead of 64, and takes longer. Plain products over one head and 256 queries at a time are somewhat faster,
and have neither gradients nor kernels for a GPU.
"""

import torch
from segment_anything.modeling.image_encoder import Attention, get_rel_pos
from torch import Tensor, nn
from torch.nn import functional as F

BIAS_VALUES = 1 << 22
"""So many biases are made at once: 16 MB."""


class FusedAttention(nn.Module):
    """Takes the place of Segment Anything's image attention: the same parameters under the same names, the same result.

    Args:
        attention: whose parameters it takes over; it must have relative positions.
    """

    def __init__(self, attention: Attention) -> None:
        super().__init__()
        self.num_heads = attention.num_heads
        self.qkv, self.proj = attention.qkv, attention.proj
        self.rel_pos_h, self.rel_pos_w = attention.rel_pos_h, attention.rel_pos_w

    def forward(self, x: Tensor) -> Tensor:
        """(B, H, W, C) to (B, H, W, C)."""
        batch, height, width, _ = x.shape
        qkv = self.qkv(x).unflatten(-1, (3, self.num_heads, -1))
        q, k, v = qkv.permute(3, 0, 4, 1, 2, 5)  # (B, heads, H, W, C / heads) each
        k, v = k.flatten(2, 3), v.flatten(2, 3)
        down = torch.einsum("bnhwc,hkc->bnhwk", q, get_rel_pos(height, height, self.rel_pos_h))
        across = torch.einsum("bnhwc,wkc->bnhwk", q, get_rel_pos(width, width, self.rel_pos_w))
        rows = max(1, BIAS_VALUES // (batch * self.num_heads * width * height * width))
        parts = [
            F.scaled_dot_product_attention(
                q[:, :, some].flatten(2, 3), k, v, attn_mask=_bias(down[:, :, some], across[:, :, some])
            )
            for some in (slice(first, first + rows) for first in range(0, height, rows))
        ]
        return self.proj(torch.cat(parts, 2).transpose(1, 2).reshape(batch, height, width, -1))  # type: ignore[no-any-return]


def _bias(down: Tensor, across: Tensor) -> Tensor:
    """What queries get for the rows and columns of keys: (B, heads, h, W, H) and (..., W) to (B, heads, h W, H W)."""
    return (down[..., :, None] + across[..., None, :]).flatten(4).flatten(2, 3)
