"""Prompts of a specialist in training: those of ``uvsam.prompts``, with masks that carry gradients back to it."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from uvsam.prompts import CELLS, MIN_CELLS, PromptRules, Prompts, find_parts, region_prompts
from uvsam.prompts.legacy import legacy_prompts
from uvsam.training.prompting import box_of, degrade, jitter_box


@dataclass(frozen=True)
class LivePrompts:
    """Prompts about one crop.

    Attributes:
        boxes: (N, 4) in SAM's frame.
        masks: (N, 1, 256, 256) log-odds.
        counted: by how many the paper divides: contours too small to be asked about are among them.
    """

    boxes: Tensor
    masks: Tensor
    counted: int

    def __len__(self) -> int:
        return len(self.boxes)


def specialist_prompts(
    log_odds: Tensor, valid: Tensor, rules: PromptRules, *, min_px: float, most: int, rng: np.random.Generator
) -> LivePrompts:
    """What is asked about a crop in prediction, too.

    Args:
        log_odds: (S, S) of village, 0 where the outline runs; S is a multiple of 256.
        valid: (S, S) bool.
        min_px: the smallest region, in pixels of the crop.
        most: of more regions, so many are chosen by chance.
    """
    values = np.where(valid.cpu().numpy(), log_odds.detach().float().cpu().numpy(), np.float32(np.nan))
    labels = np.zeros(values.shape, np.int32)
    ndimage.label(values > 0, output=labels)
    cell_px = len(values) // CELLS
    parts = find_parts(labels, min_pixels=max(min_px, MIN_CELLS * cell_px**2))
    if len(parts) > most:
        parts = find_parts(labels, rng.choice(parts.region_id, most, replace=False).tolist())
    prompts = region_prompts(values, labels, parts, rules)
    return LivePrompts(
        _tensor(prompts.boxes_xyxy, log_odds), _live_masks(log_odds, valid, prompts, rules), len(prompts)
    )


def _live_masks(log_odds: Tensor, valid: Tensor, prompts: Prompts, rules: PromptRules) -> Tensor:
    """The masks of ``prompts``, computed again where they say what the log-odds say, and constant elsewhere."""
    mean = _to_cells(torch.where(valid, log_odds.float(), 0.0)) / _to_cells(valid.float()).clamp(min=1e-6)
    scaled = (rules.gain * mean).clamp(-rules.limit, rules.limit)
    masks = _tensor(prompts.mask_logits, log_odds)
    return torch.where(masks > -rules.limit, scaled, masks)


def paper_prompts(logits: Tensor, *, min_px: float) -> LivePrompts:
    """Prompts of the paper's experiments.

    Args:
        logits: (2, 1024, 1024) of other and village.
        min_px: the smallest contour.
    """
    values = logits.detach().float().cpu().numpy()
    prompts = legacy_prompts(values, min_area_px=min_px)
    mask = _to_cells(logits[1].float())
    return LivePrompts(
        _tensor(prompts.boxes_xyxy, logits),
        mask.expand(len(prompts), 1, CELLS, CELLS),
        _contours(values[1] > values[0]),
    )


def _contours(mask: NDArray[np.bool_]) -> int:
    """How many borders a binary map has: its 8-connected components and their 4-connected holes."""
    padded = np.pad(mask, 1)
    return int(ndimage.label(padded, np.ones((3, 3)))[1] + ndimage.label(~padded)[1] - 1)


def truth_prompts(village: Tensor, *, min_px: float, most: int, rng: np.random.Generator) -> LivePrompts:
    """Roughened labels, for a specialist that finds nothing yet.

    Args:
        village: (S, S), 1 where labels say village, 0 where they do not, NaN where they say nothing.
        min_px, most: as above.
    """
    step = len(village) // CELLS
    grid = (village[step // 2 :: step, step // 2 :: step] == 1).cpu().numpy()
    labels, _ = ndimage.label(grid)
    found = find_parts(labels, min_pixels=max(MIN_CELLS, math.ceil(min_px / step**2))).region_id
    targets = [labels == region for region in rng.permutation(found)[:most]]
    masks = [degrade(target, rng) for target in targets]
    boxes = [jitter_box(box_of(mask.numpy() > 0, target), rng) for mask, target in zip(masks, targets, strict=True)]
    return LivePrompts(
        _tensor(np.reshape(boxes, (-1, 4)), village),
        torch.cat([torch.empty(0, CELLS, CELLS), *(mask[None] for mask in masks)])[:, None].to(village.device),
        len(targets),
    )


def _to_cells(values: Tensor) -> Tensor:
    """Mean of (S, S) over each of 256 x 256 cells."""
    return F.avg_pool2d(values[None], len(values) // CELLS)[0]


def _tensor(values: NDArray[np.float32] | None, like: Tensor) -> Tensor:
    assert values is not None
    return torch.tensor(values, dtype=torch.float32, device=like.device)
