"""Prompts in training: those of prediction, with gradients."""

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from uvsam.prompts import PromptRules, find_parts, region_prompts
from uvsam.prompts.legacy import find_contours, legacy_prompts
from uvsam.training.live_prompts import paper_prompts, specialist_prompts, truth_prompts
from uvsam.training.prompting import MOST_LOG_ODDS


def blobs(seed: int, side: int = 512) -> Tensor:
    rng = torch.Generator().manual_seed(seed)
    noise = torch.randn(1, 1, 10, 10, generator=rng)
    return 6 * F.interpolate(noise, (side, side), mode="bicubic", align_corners=False)[0, 0] - 4


@settings(max_examples=25)
@given(st.integers(0, 2**31 - 1), st.booleans(), st.floats(0.5, 4))
def test_they_are_the_prompts_of_prediction(seed: int, all_valid: bool, gain: float) -> None:
    log_odds, rules = blobs(seed).requires_grad_(), PromptRules(gain=gain)
    valid = torch.ones(512, 512, dtype=torch.bool) if all_valid else blobs(seed + 1) < 2
    live = specialist_prompts(log_odds, valid, rules, min_px=500, most=99, rng=np.random.default_rng(0))
    values = np.where(valid, log_odds.detach(), np.nan).astype(np.float32)
    labels = ndimage.label(values > 0)[0].astype(np.int32)
    wanted = region_prompts(values, labels, find_parts(labels, min_pixels=500), rules)
    assert np.array_equal(live.boxes, wanted.boxes_xyxy)
    np.testing.assert_allclose(live.masks.detach(), wanted.mask_logits, atol=1e-4)
    if len(live):
        live.masks.sum().backward()
        assert log_odds.grad is not None
        cells = F.max_pool2d(log_odds.grad.abs()[None], 2)[0] > 0
        says = (np.abs(wanted.mask_logits) < rules.limit - 1e-3).any(axis=(0, 1))
        assert np.array_equal(cells.numpy() | ~says, np.ones_like(says))  # a gradient wherever a mask is not clipped
        assert not log_odds.grad[~valid].any()


def test_of_many_regions_some_are_chosen_by_chance() -> None:
    log_odds = torch.full((512, 512), -5.0)
    for i in range(6):
        log_odds[i * 80 : i * 80 + 40, 100:200] = 5
    valid = torch.ones(512, 512, dtype=torch.bool)
    rng = np.random.default_rng(0)
    tops = [
        {float(box[1]) for box in specialist_prompts(log_odds, valid, PromptRules(), min_px=1, most=2, rng=rng).boxes}
        for _ in range(30)
    ]
    assert {len(chosen) for chosen in tops} == {2}
    assert set().union(*tops) == {i * 160.0 for i in range(6)}


def test_the_papers_prompts_are_those_of_its_experiments() -> None:
    logits = torch.stack([torch.zeros(1024, 1024), blobs(3, 1024)]).requires_grad_()
    live, wanted = paper_prompts(logits, min_px=10_000), legacy_prompts(logits.detach().numpy())
    assert len(wanted) > 1
    assert np.array_equal(live.boxes, wanted.boxes_xyxy)
    np.testing.assert_allclose(live.masks.detach(), wanted.mask_logits, atol=1e-4)
    assert live.counted == len(find_contours(logits.detach().numpy()[1] > 0)) > len(wanted)
    live.masks.sum().backward()
    assert logits.grad is not None
    torch.testing.assert_close(logits.grad[1], torch.full((1024, 1024), len(wanted) / 16))
    assert not logits.grad[0].any()


def test_labels_can_be_prompts_and_are_rough() -> None:
    village = torch.full((512, 512), float("nan"))
    village[:, :400] = 0
    village[100:300, 50:250] = village[350:450, 300:380] = 1
    village[480:490, 10:20] = 1  # too small
    found = truth_prompts(village, min_px=1000, most=4, rng=np.random.default_rng(0))
    assert len(found) == 2
    boxes = found.boxes[found.boxes[:, 0].argsort()]
    wanted = torch.tensor([[100.0, 200, 500, 600], [600, 700, 760, 900]])
    assert ((boxes - wanted).abs() < 130).all()
    assert not torch.equal(boxes, wanted)
    assert found.masks.shape == (2, 1, 256, 256)
    assert found.masks.abs().max() <= MOST_LOG_ODDS
    none = truth_prompts(torch.zeros(512, 512), min_px=1000, most=4, rng=np.random.default_rng(0))
    assert len(none) == 0
    assert none.masks.shape == (0, 1, 256, 256)
