"""Our image attention against segment-anything's own, and Segment Anything's encoder against two others."""

from functools import partial

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from segment_anything.modeling import ImageEncoderViT
from segment_anything.modeling.image_encoder import Attention
from torch import nn

from tests.models.weights import randomise
from uvsam.models.encoders.vit import build_vit
from uvsam.models.sam import attention
from uvsam.models.sam.attention import FusedAttention

SMALL = {"width": 96, "depth": 8, "heads": 4, "image_px": 320}  # 20 x 20 tokens: windows of 14 are padded


@given(
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    table=st.integers(1, 9),
    batch=st.integers(1, 3),
    bias_values=st.sampled_from([1, 500, 1 << 22]),
    seed=st.integers(0, 99),
)
def test_fused_attention_is_that_of_segment_anything(
    size: tuple[int, int], table: int, batch: int, bias_values: int, seed: int
) -> None:
    """At any size, with tables of another size that are interpolated, in any number of parts."""
    theirs = randomise(Attention(24, num_heads=3, use_rel_pos=True, input_size=(table, table)), seed)
    ours = FusedAttention(theirs)
    assert ours.state_dict().keys() == theirs.state_dict().keys()
    tokens = torch.randn(batch, *size, 24, generator=torch.Generator().manual_seed(seed))
    with pytest.MonkeyPatch.context() as patch, torch.inference_mode():
        patch.setattr(attention, "BIAS_VALUES", bias_values)
        torch.testing.assert_close(ours(tokens), theirs(tokens), atol=1e-5, rtol=1e-5)


def test_its_gradients_are_those_of_segment_anything() -> None:
    theirs = randomise(Attention(24, num_heads=3, use_rel_pos=True, input_size=(6, 6)))
    tokens = torch.randn(2, 6, 6, 24)
    gradients = []
    for module in (theirs, FusedAttention(theirs)):
        module.zero_grad()
        (module(tokens) ** 2).sum().backward()
        gradients.append([parameter.grad.clone() for parameter in module.parameters()])  # type: ignore[union-attr]
    for own, other in zip(gradients[1], gradients[0], strict=True):
        torch.testing.assert_close(own, other, atol=1e-4, rtol=1e-4)


@pytest.fixture(scope="module")
def encoder() -> nn.Module:
    return randomise(build_vit(**SMALL))


IMAGES = torch.randn(2, 3, SMALL["image_px"], SMALL["image_px"], generator=torch.Generator().manual_seed(1))


def test_the_encoder_is_that_of_segment_anything(encoder: nn.Module) -> None:
    theirs = ImageEncoderViT(
        img_size=320, embed_dim=96, depth=8, num_heads=4, norm_layer=partial(nn.LayerNorm, eps=1e-6), use_rel_pos=True,
        window_size=14, global_attn_indexes=(1, 3, 5, 7),
    ).eval()  # fmt: skip
    theirs.load_state_dict(encoder.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(encoder(IMAGES), theirs(IMAGES), atol=1e-4, rtol=0)


TRANSFORMERS_NAMES = {
    "blocks.": "layers.", ".norm1.": ".layer_norm1.", ".norm2.": ".layer_norm2.", "patch_embed.proj.":
    "patch_embed.projection.", "neck.0.": "neck.conv1.", "neck.1.": "neck.layer_norm1.", "neck.2.": "neck.conv2.",
    "neck.3.": "neck.layer_norm2.",
}  # fmt: skip


def test_the_encoder_is_that_of_transformers(encoder: nn.Module) -> None:
    pytest.importorskip("transformers", reason="transformers, a second implementation, is not installed")
    from transformers.models.sam.modeling_sam import SamVisionConfig, SamVisionEncoder

    config = SamVisionConfig(
        hidden_size=96, num_hidden_layers=8, num_attention_heads=4, image_size=320, global_attn_indexes=[1, 3, 5, 7]
    )
    state = {}
    for name, value in encoder.state_dict().items():
        for ours, others in TRANSFORMERS_NAMES.items():
            name = name.replace(ours, others)
        state[name] = value
    other = SamVisionEncoder(config).eval()
    other.load_state_dict(state)
    with torch.inference_mode():
        torch.testing.assert_close(encoder(IMAGES), other(IMAGES)[0], atol=1e-4, rtol=0)
