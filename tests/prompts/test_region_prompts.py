"""Prompts say where a region is and how sure the specialist was of it, and nothing about its neighbours."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from scipy.spatial.distance import cdist

from uvsam.errors import SettingsError
from uvsam.prompts import CELLS, PromptRules, Prompts, find_parts, region_prompts
from uvsam.prompts.regions import pool_to_cells


def squares(side, *boxes):
    """Labels 1, 2, ... of rectangles (x1, y1, x2, y2) and log-odds of 2 inside, -2 outside."""
    labels = np.zeros((side, side), np.int32)
    for number, (x1, y1, x2, y2) in enumerate(boxes, start=1):
        labels[y1:y2, x1:x2] = number
    return np.where(labels > 0, 2, -2).astype(np.float32), labels


def prompts_of(log_odds, labels, **rules):
    return region_prompts(log_odds, labels, find_parts(labels), PromptRules(**rules))


@pytest.mark.parametrize("side", [256, 512, 1024])
def test_boxes_run_along_the_edges_of_pixels_in_a_frame_of_1024(side):
    scale = side // 256
    boxes = np.array([[0, 0, 256, 3], [10, 20, 11, 21], [255, 250, 256, 256]])
    log_odds, labels = squares(side, *(boxes * scale))
    prompts = prompts_of(log_odds, labels)
    assert prompts.boxes_xyxy.tolist() == (boxes * 4).tolist()
    assert prompts.region_id.tolist() == [1, 2, 3]


def test_a_mask_speaks_of_one_region():
    log_odds, labels = squares(512, (100, 100, 200, 200), (204, 100, 300, 200), (400, 400, 420, 420))
    log_odds[:100, 140:150] = np.nan  # not looked at, up to the region's edge
    masks = prompts_of(log_odds, labels, gain=3, limit=20, margin_cells=5).mask_logits[:, 0]
    one = masks[0]
    assert (one[50:100, 50:100] == 6).all()
    assert (one[100:105, 60:90] == -6).all()  # five cells of what the scores say, ...
    assert (one[105:, :] == -20).all()  # ... and nothing beyond
    assert (one[50:100, 102:] == -20).all()  # the neighbour two cells away
    assert (one[50:100, 100:102] == -6).all()
    assert (one[45:50, 70:75] == -20).all()
    assert (one[45:50, 60:70] == -6).all()
    assert masks[2][200:210, 200:210].min() == 6
    assert (masks[2][:190] == -20).all()


def test_masks_stay_within_their_limit():
    log_odds, labels = squares(256, (50, 50, 90, 90))
    masks = prompts_of(10 * log_odds, labels, gain=3, limit=20).mask_logits
    assert set(np.unique(masks).tolist()) == {-20, 20}


blobs = st.builds(
    lambda seed: ndimage.gaussian_filter(np.random.default_rng(seed).standard_normal((CELLS, CELLS)), 9) * 60,
    st.integers(0, 10_000),
)


@settings(max_examples=10, deadline=None)
@given(blobs, st.floats(0, 12), st.integers(0, 5))
def test_near_a_region_a_mask_is_the_scores_and_elsewhere_nothing(score, margin, seed):
    log_odds = score.astype(np.float32)
    labels = ndimage.label(log_odds > 1)[0].astype(np.int32)
    parts = find_parts(labels, min_pixels=20)
    prompts = region_prompts(log_odds, labels, parts, PromptRules(gain=2, limit=15, margin_cells=margin))
    pick = np.random.default_rng(seed).integers(0, CELLS, (200, 2))
    for mask, region, size in zip(prompts.mask_logits[:, 0], parts.region_id, parts.pixels, strict=True):
        own = np.argwhere(labels == region)
        assert len(own) == size
        for (y, x), distance in zip(pick, cdist(pick, own).min(axis=1), strict=True):
            near = distance <= margin and labels[y, x] in (0, region)
            assert mask[y, x] == (np.clip(2 * log_odds[y, x], -15, 15) if near else -15)


@settings(max_examples=10, deadline=None)
@given(st.integers(1, 4), st.integers(0, 1000))
def test_cells_are_means_that_leave_out_what_is_unknown(cell_px, seed):
    rng = np.random.default_rng(seed)
    values = rng.standard_normal((256 * cell_px, 256 * cell_px)).astype(np.float32)
    pooled = torch.nn.functional.avg_pool2d(torch.from_numpy(values)[None, None], cell_px)[0, 0].numpy()
    assert np.allclose(pool_to_cells(values), pooled, atol=1e-5)
    values[: 2 * cell_px, :cell_px] = np.nan
    values[0, 0] = 5
    assert pool_to_cells(values)[:3, 0].tolist() == pytest.approx([5, -np.inf, pooled[2, 0]], abs=1e-5)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 40))
def test_parts_are_the_regions_large_enough(seed, least):
    rng = np.random.default_rng(seed)
    mask = ndimage.gaussian_filter(rng.random((60, 40)), 1.5) > 0.5
    labels = (ndimage.label(mask)[0] * 7).astype(np.int32)  # ids with gaps
    wanted = [7, 21, 35, 70_000]
    parts = find_parts(labels, wanted, min_pixels=least)
    expected = [region for region in wanted if (labels == region).sum() >= least]
    assert parts.region_id.tolist() == expected
    for region, pixels, (x1, y1, x2, y2) in zip(parts.region_id, parts.pixels, parts.bounds_xyxy, strict=True):
        rows, cols = np.nonzero(labels == region)
        assert pixels == len(rows)
        assert (x1, y1, x2, y2) == (cols.min(), rows.min(), cols.max() + 1, rows.max() + 1)


def test_either_prompt_can_be_left_out_but_not_both():
    log_odds, labels = squares(256, (50, 50, 90, 90))
    assert prompts_of(log_odds, labels, use_box=False).boxes_xyxy is None
    assert prompts_of(log_odds, labels, use_mask=False).mask_logits is None
    with pytest.raises(SettingsError, match="a box, a mask, or both"):
        PromptRules(use_box=False, use_mask=False)


def test_prompts_of_different_number_are_refused():
    boxes, masks, ids = np.zeros((2, 4), np.float32), np.zeros((2, 1, 256, 256), np.float32), np.arange(2, dtype="i4")
    assert len(Prompts(boxes, masks, ids).part(slice(1, 9))) == 1
    for wrong in ((boxes[:1], masks, ids), (boxes, masks[:1], ids), (boxes, masks, ids[:1]), (boxes, masks[0], ids)):
        with pytest.raises(ValueError, match="prompts should be"):
            Prompts(*wrong)
