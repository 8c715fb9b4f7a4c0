"""Variation of samples: what may change, and what may not."""

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from uvsam.training.augment import Augment
from uvsam.training.config import Augmentation

STILL = {"scale": 1, "rotate": 0, "turn": 0, "colour": 0, "degrade": 0, "coarsen": 1, "grey": 0}


def varied(seed: int, image: Tensor, labels: Tensor, **changes: Any) -> tuple[Tensor, Tensor]:
    augment = Augment(Augmentation.model_validate(STILL | changes), crop_px=labels.shape[-1])
    return augment(image, labels, torch.Generator().manual_seed(seed))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([0, 1]))
def test_labels_stay_on_their_pixels(seed: int, turn: int) -> None:
    place = torch.arange(12 * 12, dtype=torch.float32).reshape(1, 12, 12).repeat(3, 1, 1)
    labels = torch.stack([place[0], torch.ones(12, 12)]).to(torch.uint8)
    image, moved = varied(seed, place, labels, turn=turn)
    assert torch.equal(image[0].round().to(torch.uint8), moved[0])
    corners = {int(moved[0, y, x]) for y in (0, -1) for x in (0, -1)}
    assert corners == {0, 11, 132, 143}


@pytest.mark.parametrize("changes", [{"colour": 0.5}, {"hue": 0.1}, {"degrade": 1}, {"coarsen": 4}, {"grey": 1}])
def test_each_setting_changes_the_image_within_its_range_and_no_label(changes: dict[str, float]) -> None:
    image = torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(1)) * 255
    labels = torch.ones(2, 32, 32, dtype=torch.uint8)
    same, _ = varied(5, image, labels)
    other, kept = varied(5, image, labels, **changes)
    assert not torch.allclose(same, other, atol=0.5)
    assert 0 <= float(other.min()) <= float(other.max()) <= 255
    assert torch.equal(kept, labels)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10**6))
def test_hue_leaves_grey_and_brightness_as_they_are(seed: int) -> None:
    grey = torch.rand(1, 8, 4) * 255
    image = torch.cat([grey.expand(3, 8, 4), torch.rand(3, 8, 4) * 255], dim=2)
    labels = torch.ones(2, 8, 8, dtype=torch.uint8)
    same, _ = varied(seed, image, labels)
    turned, _ = varied(seed, image, labels, hue=0.5)
    is_grey = (same.amax(0) - same.amin(0)) < 1e-3
    assert torch.allclose(turned[:, is_grey], same[:, is_grey], atol=0.5)
    assert torch.allclose(turned.amax(0), same.amax(0), atol=0.5)
