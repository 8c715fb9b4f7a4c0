"""Prompted masks for training a generalist: what to outline, and the rough prompt it is given.

A target is a piece of one class in a sample. Its prompt is the target made worse in the ways a specialist's scores are
worse than the truth: edges that wander, ends that are missing, blobs too many, a coarse grid, any slope of the
log-odds. Everything lives on the mask grid of Segment Anything, 256 x 256 cells over the crop.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torch.nn import functional as F

from uvsam.prompts import CELLS, FRAME_PX, PromptRules
from uvsam.training.targets import TargetTable
from uvsam.training.uvsam_losses import box_targets

MOST_LOG_ODDS = PromptRules.limit
KINDS = (0.85, 0.0, 0.15)
KINDS_OF_VILLAGE = (0.45, 0.4, 0.15)
"""Shares of prompts with box and mask, the box alone, the mask alone. A box alone asks for the village in it."""
BOX_ALONE, MASK_ALONE = 1, 2


@dataclass(frozen=True)
class Prompted:
    """Targets of one sample with their prompts.

    Attributes:
        target: (K, 256, 256) bool.
        weight: (K, 256, 256) float32; 0 where nothing is known, and everywhere if there was nothing to prompt.
        box: (K, 4) float32, x1, y1, x2, y2 in the 1024 frame.
        mask: (K, 1, 256, 256) float32 log-odds.
        has_box, has_mask: (K,) bool; which of the two is given.
    """

    target: Tensor
    weight: Tensor
    box: Tensor
    mask: Tensor
    has_box: Tensor
    has_mask: Tensor


def joined(parts: Sequence[Prompted]) -> Prompted:
    """The targets of all parts, one after the other."""
    return Prompted(*(torch.cat([getattr(part, field.name) for part in parts]) for field in fields(Prompted)))


def class_of_row(table: TargetTable) -> NDArray[np.int64]:
    """For each label row the class it names for sure, -1 where it names none ("other", ignored)."""
    named = (table.likelihood > 0).sum(axis=1) == 1
    classes = np.where(named, table.likelihood.argmax(axis=1), -1)
    classes[table.village == 1] = table.likelihood.shape[1] - 1
    return classes


def prompt_sample(
    classes: NDArray[np.int64],
    labelled: NDArray[np.bool_],
    count: int,
    *,
    village: int,
    village_share: float,
    min_cells: int,
    rng: np.random.Generator,
) -> Prompted:
    """Choose ``count`` targets of a sample and make their prompts.

    Args:
        classes: (S, S) class of every pixel, -1 for none; S a multiple of 256, or 256 a multiple of it.
        labelled: (S, S), where "none of the classes" is known.
        village: number of the village class.
        village_share: share of villages among the targets, where there are any.
        min_cells: the smallest target, in mask cells.
    """
    grid = _to_cells(classes)
    known = _to_cells(labelled.astype(np.int64)) > 0
    present = [c for c in np.unique(grid[grid >= 0]) if (grid == c).sum() >= min_cells]
    others = [c for c in present if c != village]
    items = []
    for _ in range(count):
        wants_village = village in present and (not others or rng.random() < village_share)
        chosen = village if wants_village else (others[rng.integers(len(others))] if others else None)
        target = None if chosen is None else choose_piece(grid == chosen, min_cells, rng)
        kind = int(rng.choice(3, p=KINDS_OF_VILLAGE if wants_village else KINDS))
        items.append(_item(target, kind, grid == village, known, rng))
    targets, weights, boxes, masks, kinds = zip(*items, strict=True)
    given = np.array(kinds)
    return Prompted(
        torch.from_numpy(np.stack(targets)), torch.from_numpy(np.stack(weights)).float(),
        torch.from_numpy(np.stack(boxes)), torch.stack(masks)[:, None],
        torch.from_numpy(given != MASK_ALONE), torch.from_numpy(given != BOX_ALONE),
    )  # fmt: skip


def _item(
    target: NDArray[np.bool_] | None,
    kind: int,
    village: NDArray[np.bool_],
    known: NDArray[np.bool_],
    rng: np.random.Generator,
) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.float32], Tensor, int]:
    """Target, weight, box, mask and kind of one prompt."""
    if target is None:
        nothing = np.zeros((CELLS, CELLS), bool)
        return nothing, nothing, jitter_box(box_of(nothing, nothing), rng), degrade(nothing, rng), kind
    mask = degrade(target, rng)
    box = jitter_box(box_of(target if kind == BOX_ALONE else mask.numpy() > 0, fallback=target), rng)
    if kind == BOX_ALONE:  # it cannot say which of several pieces
        near = near_boxes(torch.from_numpy(box)[None])[0].numpy()
        return village & near, known & near, box, mask, kind
    return target, known, box, mask, kind


def near_boxes(boxes: Tensor, side: int = CELLS) -> Tensor:
    """Where answers to prompts are believed: (N, side, side) bool, in boxes (N, 4) and their margin."""
    margin = PromptRules.margin_cells * FRAME_PX / CELLS
    widened = boxes + boxes.new_tensor([-margin, -margin, margin, margin])
    return box_targets(torch.ones(side, side, device=boxes.device), widened)


def _to_cells(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bring a square label map to the mask grid by its nearest pixels."""
    at = ((np.arange(CELLS) + 0.5) * len(values) / CELLS).astype(int)
    cells: NDArray[np.int64] = values[np.ix_(at, at)]
    return cells


def choose_piece(mask: NDArray[np.bool_], min_cells: int, rng: np.random.Generator) -> NDArray[np.bool_] | None:
    """One connected piece of a mask, of pieces joined over a random gap: an object, a block, a district."""
    radius = int(rng.choice([0, 2, 5, 10]))
    joined = ndimage.distance_transform_edt(~mask) <= radius
    pieces, count = ndimage.label(joined)
    sizes = np.bincount(pieces[mask], minlength=count + 1)[1:]
    fit = np.flatnonzero(sizes >= min_cells)
    if not len(fit):
        return None
    share = np.sqrt(sizes[fit])
    piece = fit[rng.choice(len(fit), p=share / share.sum())] + 1
    chosen: NDArray[np.bool_] = mask & (pieces == piece)
    return chosen


def degrade(target: NDArray[np.bool_], rng: np.random.Generator) -> Tensor:
    """A rough mask prompt for a target: (256, 256) float32 log-odds within +-20."""
    if not target.any():
        return torch.full((CELLS, CELLS), -MOST_LOG_ODDS)
    inside = torch.from_numpy(target)
    while True:  # a small target is erased or inverted now and then, and such a prompt says nothing
        prompt = _worsened(target, rng)
        if (prompt[inside] > 0).any() and (inside.all() or prompt[inside].mean() > prompt[~inside].mean()):
            return prompt


def _worsened(target: NDArray[np.bool_], rng: np.random.Generator) -> Tensor:
    signed = ndimage.distance_transform_edt(target) - ndimage.distance_transform_edt(~target)
    signed = torch.from_numpy(signed.clip(-64, 64).astype(np.float32))
    signed = _warp(signed, _field(2, int(rng.integers(4, 40)), rng) * rng.uniform(0, 5))
    signed = signed + rng.uniform(-2.5, 2.5) + _field(1, int(rng.integers(6, 64)), rng)[0] * rng.uniform(0, 3)
    if rng.random() < 0.4:  # parts that the specialist misses
        field = _field(1, int(rng.integers(3, 12)), rng)[0]
        signed = signed - 40 * (field - torch.quantile(field, 1 - rng.uniform(0, 0.25))).clamp(min=0)
    if rng.random() < 0.4:  # and parts that are too many, not far from it
        field = _field(1, int(rng.integers(3, 16)), rng)[0] * (signed > -24)
        signed = signed + 40 * (field - torch.quantile(field, 1 - rng.uniform(0, 0.1))).clamp(min=0)
    cells = int(rng.integers(64, CELLS + 1))
    coarse = F.interpolate(signed[None, None], size=(cells, cells), mode="area")
    signed = F.interpolate(coarse, size=(CELLS, CELLS), mode="bilinear", align_corners=False)[0, 0]
    slope = float(np.exp(rng.uniform(np.log(0.4), np.log(4))))
    logits = (signed * slope).clamp(-MOST_LOG_ODDS, MOST_LOG_ODDS)
    if rng.random() < 0.5:  # cut to the instance, as prompts of a region are
        reach = torch.from_numpy(ndimage.distance_transform_edt(logits.numpy() <= 0) > rng.uniform(4, 16))
        logits = torch.where(reach, torch.full_like(logits, -MOST_LOG_ODDS), logits)
    return logits


def _field(channels: int, cells: int, rng: np.random.Generator) -> Tensor:
    """Smooth noise (channels, 256, 256) of standard deviation about 1, with that many cells a side."""
    noise = torch.from_numpy(rng.standard_normal((1, channels, cells, cells)).astype(np.float32))
    return F.interpolate(noise, size=(CELLS, CELLS), mode="bicubic", align_corners=False)[0]


def _warp(values: Tensor, shift: Tensor) -> Tensor:
    """Read (256, 256) values at places moved by ``shift`` (2, 256, 256) cells."""
    axis = (torch.arange(CELLS) + 0.5) / CELLS * 2 - 1
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    place = torch.stack([x + shift[0] * 2 / CELLS, y + shift[1] * 2 / CELLS], dim=-1)
    return F.grid_sample(values[None, None], place[None], padding_mode="border", align_corners=False)[0, 0]


def box_of(mask: NDArray[np.bool_], fallback: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Bounds of a mask (of ``fallback`` where it is empty) in the 1024 frame, along the edges of its cells."""
    mask = mask if mask.any() else fallback
    if not mask.any():
        return np.array([0, 0, FRAME_PX, FRAME_PX], np.float32)
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    corners = np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1], np.float32)
    return corners * np.float32(FRAME_PX / CELLS)


def jitter_box(box: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Move each side by up to 5 % of the box, and no further than 40 pixels or the frame."""
    size = np.tile(box[2:] - box[:2], 2)
    moved = box + rng.uniform(-1, 1, 4) * np.minimum(0.05 * size, 40)
    jittered: NDArray[np.float32] = moved.clip(0, FRAME_PX).astype(np.float32)
    return jittered
