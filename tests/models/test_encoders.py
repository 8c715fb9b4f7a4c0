"""The encoders against timm and against formulas of their own, and their parameters against the published files."""

import hashlib
import re
from typing import Any, get_args

import pytest
import torch
from segment_anything import sam_model_registry
from timm.models.efficientvit_mit import EfficientVitLarge
from timm.models.tiny_vit import TinyVit
from torch import Tensor, nn
from torch.nn import functional as F

from tests.models.weights import randomise
from uvsam.catalog.generalists import Encoder
from uvsam.models.encoders import ENCODERS


def images(side: int) -> Tensor:
    return torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(1))


def test_every_encoder_that_a_card_can_name_is_there() -> None:
    assert set(ENCODERS) == set(get_args(Encoder))


PUBLISHED_PARAMETERS = {
    "vit_b": 89_670_912, "vit_l": 308_278_272, "vit_h": 637_026_048, "mobile_sam": 5_743_892,
    "efficientvit_l0": 30_728_224, "efficientvit_l1": 43_585_568, "efficientvit_l2": 57_264_032,
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(ENCODERS.keys() - {"vit_l", "vit_h"}))  # these are vit_b, with more of it
def test_an_encoder_gives_embeddings_on_the_grid_of_segment_anything(name: str) -> None:
    spec = ENCODERS[name]
    with torch.device("meta"):
        embeddings = spec.build().eval()(torch.empty(1, 3, spec.input_px, spec.input_px))
    assert embeddings.shape == (1, 256, 64, 64)


@pytest.mark.parametrize(("name", "parameters"), PUBLISHED_PARAMETERS.items())
def test_an_encoder_has_as_many_parameters_as_the_published_one(name: str, parameters: int) -> None:
    with torch.device("meta"):
        assert sum(parameter.numel() for parameter in ENCODERS[name].build().parameters()) == parameters


def layout(state: dict[str, Tensor]) -> list[str]:
    return sorted(f"{name} {tuple(value.shape)}" for name, value in state.items())


@pytest.mark.parametrize("name", ["vit_b", "vit_l", "vit_h"])
def test_a_vit_has_the_tensors_of_segment_anything(name: str) -> None:
    with torch.device("meta"):
        theirs = sam_model_registry[name]().image_encoder
        assert layout(ENCODERS[name].build().state_dict()) == layout(theirs.state_dict())


@pytest.mark.parametrize(
    ("name", "tensors", "sha256"),
    [
        ("mobile_sam", 298, "5b822631a33cfbe892046af9434d8cbb52a85353338cce20674f2e2a893e8304"),
        ("efficientvit_l0", 272, "bec95a1367b25b750dcc8c813bfebe97a328c20ee7815952a99fc0883f0b3a0b"),
        ("efficientvit_l1", 378, "bbd8043377c24926b1e7839877deeb4a282c7f5828f4c31eadc699815eb753cd"),
        ("efficientvit_l2", 508, "4d517fb526f13d889be2e76315411bb38cfa4efa11ab6ce98bf96dc6f6040125"),
    ],
)
def test_names_and_shapes_are_those_of_the_published_code(name: str, tensors: int, sha256: str) -> None:
    """Of the state dicts of the authors' own code (MobileSAM 34bbbfd without its classifier, EfficientViT de7d773).

    With equal random weights, its embeddings differed from ours by 2e-5 of 5 at most, for each of the four.
    """
    with torch.device("meta"):
        lines = layout(ENCODERS[name].build().state_dict())
    assert len(lines) == tensors
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == sha256


@pytest.fixture(scope="module")
def mobile() -> nn.Module:
    return randomise(ENCODERS["mobile_sam"].build())


def timm_name_in_mobile(name: str) -> str:
    name = re.sub(r"^patch_embed\.seq\.([02])", lambda m: f"patch_embed.conv{1 + int(m[1]) // 2}", name)
    name = re.sub(r"^layers\.(\d)\.downsample", lambda m: f"stages.{int(m[1]) + 1}.downsample", name)
    return re.sub(r"\.c\.", ".conv.", re.sub(r"^layers", "stages", name))


def test_mobile_is_timms_tinyvit_with_stride_16(mobile: Any) -> None:
    other: Any = TinyVit(
        embed_dims=(64, 128, 160, 320), depths=(2, 2, 6, 2), num_heads=(2, 4, 5, 10), window_sizes=(7, 7, 14, 7),
        num_classes=0,
    ).eval()  # fmt: skip
    other.stages[3].downsample.conv2.conv.stride = (1, 1)
    state = {timm_name_in_mobile(name): value for name, value in mobile.state_dict().items() if "neck" not in name}
    missing, unexpected = other.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.startswith("head.") for name in missing)
    with torch.inference_mode():
        trunk = mobile.layers(mobile.patch_embed(images(256)))
        expected = other.forward_features(images(256))
        assert trunk.shape == (1, 320, 16, 16)
        torch.testing.assert_close(trunk, expected, atol=1e-4, rtol=0)
        neck = {name.removeprefix("neck."): value for name, value in mobile.state_dict().items() if "neck" in name}
        mixed = F.conv2d(channel_norm(F.conv2d(expected, neck["0.weight"]), neck, "1"), neck["2.weight"], padding=1)
        torch.testing.assert_close(mobile(images(256)), channel_norm(mixed, neck, "3"), atol=1e-4, rtol=0)


def channel_norm(features: Tensor, state: dict[str, Tensor], name: str) -> Tensor:
    last = features.permute(0, 2, 3, 1)
    normed = F.layer_norm(last, last.shape[-1:], state[f"{name}.weight"], state[f"{name}.bias"], eps=1e-6)
    return normed.permute(0, 3, 1, 2)


SIZES = {"l0": ((1, 1, 1, 4, 4), 4), "l1": ((1, 1, 1, 6, 6), 8), "l2": ((1, 2, 2, 8, 8), 12)}
"""EfficientViT-SAM: blocks in the stem and the stages, and in the neck."""


@pytest.fixture(scope="module", params=SIZES)
def efficient(request: pytest.FixtureRequest) -> tuple[nn.Module, tuple[int, ...], int]:
    return randomise(ENCODERS[f"efficientvit_{request.param}"].build()), *SIZES[request.param]


def timm_name_in_efficientvit(name: str) -> str:
    name = name.removeprefix("backbone.")
    name = re.sub(r"^stages\.0\.op_list\.0", "stem.in_conv", name)
    name = re.sub(r"^stages\.0\.op_list\.(\d)", lambda m: f"stem.res{int(m[1]) - 1}", name)
    return re.sub(r"^stages\.(\d)\.op_list", lambda m: f"stages.{int(m[1]) - 1}.blocks", name)


def test_efficientvit_is_timms_stage_by_stage(efficient: Any) -> None:
    ours, depths, _ = efficient
    other: Any = EfficientVitLarge(
        widths=(32, 64, 128, 256, 512), depths=depths, norm_eps=1e-6, head_widths=(8, 8), num_classes=0
    ).eval()
    state = {
        timm_name_in_efficientvit(name): value
        for name, value in ours.state_dict().items()
        if name.startswith("backbone.")
    }
    missing, unexpected = other.load_state_dict(state, strict=False)
    assert not unexpected
    assert all(name.startswith("head.") for name in missing)
    with torch.inference_mode():
        stages = ours.backbone(images(256))
        expected = other.forward_intermediates(images(256), intermediates_only=True)
    for stage, other_stage in zip(stages[1:], expected, strict=True):
        scale = float(other_stage.abs().max())
        torch.testing.assert_close(
            stage, other_stage, atol=1e-4 * max(1.0, scale / 5), rtol=0, msg=f"scale {scale:.1f}"
        )


def test_the_neck_of_efficientvit_is_its_formula(efficient: Any) -> None:
    """1 x 1 convolutions and norms, bicubic to 64 x 64, sum, residual fused blocks, 1 x 1, channel norm."""
    ours, _, depth = efficient
    state = dict(ours.state_dict())
    rng = torch.Generator().manual_seed(2)
    levels = [torch.randn(1, width, 64 // s, 64 // s, generator=rng) for width, s in ((128, 1), (256, 2), (512, 4))]

    def batch_norm(features: Tensor, name: str) -> Tensor:
        mean, var, weight, bias = (
            state[f"{name}.norm.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (features - mean) / torch.sqrt(var + 1e-6) * weight + bias

    def convolved(features: Tensor, name: str) -> Tensor:
        weight = state[f"{name}.conv.weight"]
        return batch_norm(F.conv2d(features, weight, padding=weight.shape[-1] // 2), name)

    with torch.inference_mode():
        fused: Any = 0
        for number, level in enumerate(reversed(levels)):
            level = convolved(level, f"neck.input_ops.{number}.op_list.0")
            fused = fused + F.interpolate(level, (64, 64), mode="bicubic", align_corners=False)
        assert (
            sum(name.startswith("neck.middle") and name.endswith("point_conv.conv.weight") for name in state) == depth
        )
        for block in range(depth):
            name = f"neck.middle.op_list.{block}.main"
            inner = F.gelu(convolved(fused, f"{name}.spatial_conv"), approximate="tanh")
            fused = fused + convolved(inner, f"{name}.point_conv")
        out = "neck.output_ops.0.op_list.0.conv"
        expected = channel_norm(F.conv2d(fused, state[f"{out}.weight"], state[f"{out}.bias"]), state, "norm")
        torch.testing.assert_close(ours.norm(ours.neck(levels)), expected, atol=1e-4, rtol=0)
