"""Prompts of a specialist for training a generalist: what it finds, and what the labels say there."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from uvsam.catalog.cards import ModelCard
from uvsam.models.specialist import Specialist
from uvsam.training.config import GeneralistTraining
from uvsam.training.found_prompts import FoundPrompts, roughened
from uvsam.training.generalist import PromptedMixture
from uvsam.training.prompting import joined
from uvsam.training.sampling import Request
from uvsam.training.targets import target_table

EVERYWHERE = torch.ones(512, 512, dtype=torch.bool)


class Brightness(nn.Module):
    """Calls bright ground village."""

    def forward(self, images: Tensor) -> Tensor:
        return torch.stack([torch.zeros_like(images[:, 0]), 8 * images[:, 0]], dim=1)


@pytest.fixture(scope="module")
def specialist() -> Specialist:
    card = ModelCard(
        name="b", summary="", network={"arch": "segformer", "encoder": "none"}, gsd_m=0.75, weights="b.safetensors",
        sha256="0" * 64, licence="", mean=(127, 127, 127), std=(60, 60, 60),
    )  # fmt: skip
    return Specialist(card, Brightness())


def bright(*places: tuple[slice, slice]) -> Tensor:
    image = torch.full((3, 512, 512), 40.0)
    for place in places:
        image[:, *place] = 220
    return image


@settings(max_examples=20, deadline=None)
@given(st.integers(100, 200), st.integers(300, 420), st.integers(0, 2**31 - 1))
def test_the_answer_is_the_labelled_village_around_a_find(
    specialist: Specialist, top: int, bottom: int, seed: int
) -> None:
    village = torch.zeros(512, 512)
    village[top:bottom, 150:350] = 1
    image = bright((slice(120, 400), slice(150, 350)))  # what is found begins and ends elsewhere
    asked = FoundPrompts(specialist, 0.6, 50)(image, EVERYWHERE, village, 3, np.random.default_rng(seed))
    assert asked is not None
    assert len(asked.box) == 1
    assert asked.has_box.all()
    assert asked.box[0].tolist() == pytest.approx([300, 240, 700, 800], abs=8)
    assert asked.mask[0, 0, 60:200, 75:175].mean() > asked.mask[0, 0].mean() + 5
    near = asked.weight[0] > 0
    assert near[54:206, 69:181].all()  # 8 cells around it and no further
    assert not near[:50].any()
    assert torch.equal(asked.target[0] & near, (village[1::2, 1::2] == 1) & near)
    assert not (asked.target[0] & ~near).any()


def test_each_find_is_asked_about_alone(specialist: Specialist) -> None:
    image = bright((slice(100, 300), slice(60, 240)), (slice(100, 300), slice(256, 440)))
    village = torch.ones(512, 512)
    asked = FoundPrompts(specialist, 0.6, 50, shift=0)(image, EVERYWHERE, village, 9, np.random.default_rng(0))
    assert asked is not None
    assert len(asked.box) == 2
    inside = [torch.zeros(256, 256, dtype=torch.bool) for _ in range(2)]
    inside[0][55:145, 35:115] = inside[1][55:145, 133:215] = True
    for one, other in ((0, 1), (1, 0)):
        assert (asked.weight[one].bool() & asked.target[one])[inside[one]].all()
        assert not (asked.weight[one].bool() | asked.target[one])[inside[other]].any()


@given(st.integers(0, 2**31 - 1), st.integers(2, 60), st.integers(2, 60), st.floats(1, 20))
def test_a_roughened_mask_still_says_where(seed: int, height: int, width: int, inside: float) -> None:
    mask = torch.full((256, 256), -20.0)
    mask[40 : 40 + height, 30 : 30 + width] = inside
    rough = roughened(mask, np.random.default_rng(seed))
    assert rough.abs().max() <= 20
    assert (rough > 0)[40 : 40 + height, 30 : 30 + width].any()
    assert not (rough[110:] > 0).any()
    assert not (rough[:, 100:] > 0).any()


def test_unlabelled_ground_and_no_finds(specialist: Specialist) -> None:
    village = torch.full((512, 512), torch.nan)
    find = FoundPrompts(specialist, 0.6, 50)
    asked = find(bright((slice(0, 200), slice(0, 200))), EVERYWHERE, village, 2, np.random.default_rng(0))
    assert asked is not None
    assert not asked.weight.any()
    assert find(bright(), EVERYWHERE, village, 2, np.random.default_rng(0)) is None


@pytest.mark.parametrize(("share", "finds"), [(0.0, 0), (1.0, 1)])
def test_a_sample_has_as_many_prompts_as_wanted_from_both(specialist: Specialist, share: float, finds: int) -> None:
    config = GeneralistTraining.model_validate({
        "name": "g", "output": "g", "masks": 3, "specialist": "b", "specialist_prompts": share, "gsd_m": 0.6,
        "sources": [{"name": "s", "images": "i", "labels": "l"}],
    })  # fmt: skip
    rows = torch.ones(512, 512, dtype=torch.uint8)
    rows[50:250, 50:250] = 2
    image = bright((slice(50, 250), slice(50, 250)))

    class One:
        def __getitem__(self, request: Request) -> dict[str, Tensor]:
            return {"image": image, "rows": rows, "valid": EVERYWHERE}

    table = target_table(config.sources, config.classes)
    whole = slice(0.0, 307.2, 0.6)
    data = PromptedMixture(One(), table, config, specialist)  # type: ignore[arg-type]
    sample = data[Request(0, (whole, whole, slice(None)), 5)]
    assert sample["target"].shape == (3, 256, 256)
    exact = (sample["box"] - torch.tensor([100.0, 100, 500, 500])).abs().amax(dim=1) < 3  # boxes of labels are jittered
    assert exact.sum() == finds


def test_parts_are_joined_in_order(specialist: Specialist) -> None:
    village = torch.ones(512, 512)
    find = FoundPrompts(specialist, 0.6, 50, shift=0)
    parts = [
        find(bright((slice(at, at + 100), slice(0, 200))), EVERYWHERE, village, 1, np.random.default_rng(0))
        for at in (0, 300)
    ]
    both = joined([part for part in parts if part is not None])
    assert both.box.shape == (2, 4)
    assert both.box[0, 1] < both.box[1, 1]
