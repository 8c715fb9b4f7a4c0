"""Image encoders of generalists, one contract: (N, 3, input_px, input_px) normalised images to (N, 256, 64, 64).

Each has the parameter names of the files that its authors publish, without their prefix ``image_encoder.``.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from torch import nn

from uvsam.models.encoders.efficientvit import build_efficientvit
from uvsam.models.encoders.mobile import build_mobile
from uvsam.models.encoders.tiny import build_tiny
from uvsam.models.encoders.vit import build_vit


@dataclass(frozen=True)
class EncoderSpec:
    """How to build an encoder, and what it wants to see.

    Attributes:
        build: makes it, with random weights.
        input_px: side of its square images.
        mean, std: per band, in units of 0..255; the encoder sees (pixels - mean) / std.
    """

    build: Callable[[], nn.Module]
    input_px: int
    mean: tuple[float, float, float] = (123.675, 116.28, 103.53)
    std: tuple[float, float, float] = (58.395, 57.12, 57.375)


ENCODERS: dict[str, EncoderSpec] = {
    "vit_b": EncoderSpec(partial(build_vit, width=768, depth=12, heads=12), 1024),
    "vit_l": EncoderSpec(partial(build_vit, width=1024, depth=24, heads=16), 1024),
    "vit_h": EncoderSpec(partial(build_vit, width=1280, depth=32, heads=16), 1024),
    "mobile_sam": EncoderSpec(build_mobile, 1024),
    "efficientvit_l0": EncoderSpec(partial(build_efficientvit, depths=(1, 1, 1, 4, 4), neck_depth=4), 512),
    "efficientvit_l1": EncoderSpec(partial(build_efficientvit, depths=(1, 1, 1, 6, 6), neck_depth=8), 512),
    "efficientvit_l2": EncoderSpec(partial(build_efficientvit, depths=(1, 2, 2, 8, 8), neck_depth=12), 512),
    "tiny": EncoderSpec(build_tiny, 512, mean=(127.0, 127.0, 127.0), std=(128.0, 128.0, 128.0)),
}
