"""From the scores of a crop and the regions in it to prompts.

A crop fills Segment Anything's frame, 1024 x 1024 pixels, whatever the number of pixels the encoder sees. Boxes are
given in that frame, rough masks on 256 x 256 cells over it.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from uvsam.errors import SettingsError
from uvsam.mosaic.runs import find_runs

FRAME_PX = 1024
CELLS = 256
MIN_CELLS = 16
"""A region needs this many mask cells to be a prompt, whatever its size on the ground."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Prompts:
    """What the generalist is asked about one crop: N instances.

    A box runs along pixel edges: the pixels [x1, x2) x [y1, y2) of the frame, so that the whole frame is (0, 0, 1024,
    1024). Segment Anything itself counts from the centre of the first pixel and adds 0.5 when it encodes a coordinate;
    who hands boxes to its prompt encoder takes these 0.5 off before.

    Attributes:
        boxes_xyxy: (N, 4) float32, x1, y1, x2, y2 in the frame; None: no boxes are given.
        mask_logits: (N, 1, 256, 256) float32, above 0 inside; None: no masks are given.
        region_id: (N,) int32.
    """

    boxes_xyxy: Floats | None
    mask_logits: Floats | None
    region_id: NDArray[np.int32]

    def __post_init__(self) -> None:
        count = len(self.region_id)
        if self.boxes_xyxy is None and self.mask_logits is None:
            raise SettingsError("a prompt is a box, a mask, or both")
        if self.boxes_xyxy is not None and self.boxes_xyxy.shape != (count, 4):
            raise ValueError(f"boxes of {count} prompts should be ({count}, 4), not {self.boxes_xyxy.shape}")
        if self.mask_logits is not None and self.mask_logits.shape != (count, 1, CELLS, CELLS):
            raise ValueError(f"masks of {count} prompts should be ({count}, 1, 256, 256), not {self.mask_logits.shape}")

    def __len__(self) -> int:
        return len(self.region_id)

    def part(self, index: slice) -> "Prompts":
        """Some of the prompts."""
        boxes = None if self.boxes_xyxy is None else self.boxes_xyxy[index]
        masks = None if self.mask_logits is None else self.mask_logits[index]
        return Prompts(boxes, masks, self.region_id[index])

    def mirrored(self) -> "Prompts":
        """The same questions about the crop with left and right exchanged."""
        boxes = self.boxes_xyxy
        if boxes is not None:
            boxes = np.stack([FRAME_PX - boxes[:, 2], boxes[:, 1], FRAME_PX - boxes[:, 0], boxes[:, 3]], axis=1)
        masks = None if self.mask_logits is None else np.ascontiguousarray(self.mask_logits[..., ::-1])
        return Prompts(boxes, masks, self.region_id)


@dataclass(frozen=True)
class PromptRules:
    """How a region becomes a prompt.

    Attributes:
        use_box, use_mask: which of the two is given.
        gain: log-odds are multiplied by it. A byte of the score raster reaches +-7, Segment Anything was trained on its
            own answers, which reach some +-20.
        limit: masks are clipped to +- ``limit``; away from the region they are ``-limit``.
        margin_cells: how far from the region a mask still says what the scores say, and how far from its box the answer
            is believed, in cells.
    """

    use_box: bool = True
    use_mask: bool = True
    gain: float = 3.0
    limit: float = 20.0
    margin_cells: float = 8.0

    def __post_init__(self) -> None:
        if not (self.use_box or self.use_mask):
            raise SettingsError("a prompt is a box, a mask, or both")
        if not (self.gain > 0 and self.limit > 0 and self.margin_cells >= 0):
            raise SettingsError("gain and limit of a prompt must be above 0, its margin cannot be negative")


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts of N regions that lie inside a crop.

    Attributes:
        region_id: (N,) int32, ascending.
        pixels: (N,) int64, size in pixels of the label array.
        bounds_xyxy: (N, 4) int64, pixel edges of the label array.
    """

    region_id: NDArray[np.int32]
    pixels: NDArray[np.int64]
    bounds_xyxy: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.region_id)


def find_parts(labels: NDArray[np.int32], regions: Collection[int] | None = None, *, min_pixels: float = 1) -> Parts:
    """The regions of a label array that have at least ``min_pixels`` pixels in it.

    Args:
        labels: (H, W), 0 for no region.
        regions: look for these only.
    """
    runs = find_runs(labels)
    counts = np.bincount(runs.label, runs.stop - runs.start).astype(np.int64)
    found = np.flatnonzero(counts >= max(1, min_pixels))
    if regions is not None:
        found = found[np.isin(found, list(regions))]
    bounds = np.tile([*labels.shape[::-1], 0, 0], (len(counts), 1))
    for edge, field in enumerate((runs.start, runs.row)):
        np.minimum.at(bounds[:, edge], runs.label, field)
    for edge, field in enumerate((runs.stop, runs.row + 1), start=2):
        np.maximum.at(bounds[:, edge], runs.label, field)
    return Parts(found.astype(np.int32), counts[found], bounds[found])


def region_prompts(
    log_odds: Floats, labels: NDArray[np.int32], parts: Parts, rules: PromptRules | None = None
) -> Prompts:
    """Box and rough mask of every part.

    The box is the part's bounds. The mask is the mean of the log-odds over each cell, times the gain, wherever a cell
    of the part is near and no other region lies; elsewhere it is strongly negative, so that one mask speaks of one
    region.

    Args:
        log_odds: (S, S) of village against the rest, 0 where the outline runs; NaN where nothing is known. S is a
            multiple of 256; the array fills the frame.
        labels: (S, S), 0 for no region.
        parts: of ``labels``.
    """
    rules = rules or PromptRules()
    side = len(labels)
    if labels.shape != (side, side) or log_odds.shape != labels.shape or side % CELLS:
        raise ValueError(f"log-odds {log_odds.shape} and labels {labels.shape} should be squares of n * {CELLS}")
    boxes = (parts.bounds_xyxy * (FRAME_PX / side)).astype(np.float32) if rules.use_box else None
    masks = None
    if rules.use_mask:
        scaled = np.clip(rules.gain * pool_to_cells(log_odds), -rules.limit, rules.limit)
        masks = np.full((len(parts), 1, CELLS, CELLS), -rules.limit, np.float32)
        for mask, region, bounds in zip(masks[:, 0], parts.region_id, parts.bounds_xyxy, strict=True):
            _cut(mask, scaled, labels, int(region), bounds, rules.margin_cells)
    return Prompts(boxes, masks, parts.region_id)


def pool_to_cells(values: Floats) -> Floats:
    """Mean over each of 256 x 256 cells of an array (S, S); NaN weighs nothing, a cell of NaN alone is -inf."""
    known = ~np.isnan(values)
    cell_px = len(values) // CELLS
    count = _reduce(np.add, known.astype(np.float32), cell_px)
    total = _reduce(np.add, np.where(known, values, np.float32(0)), cell_px)
    return np.where(count > 0, total / np.maximum(count, 1), np.float32(-np.inf))


def _cut(
    mask: Floats, scaled: Floats, labels: NDArray[np.int32], region: int, bounds: NDArray[np.int64], margin: float
) -> None:
    """Write what ``scaled`` says near a region into its ``mask``."""
    cell_px, reach = len(labels) // CELLS, int(np.ceil(margin))
    first, stop = bounds[:2] // cell_px - reach, -(-bounds[2:] // cell_px) + reach
    (left, top), (right, bottom) = first.clip(0), stop.clip(max=CELLS)
    around = slice(top, bottom), slice(left, right)
    near_labels = labels[top * cell_px : bottom * cell_px, left * cell_px : right * cell_px]
    mine = near_labels == region
    own = _reduce(np.logical_or, mine, cell_px)
    other = _reduce(np.logical_or, (near_labels > 0) & ~mine, cell_px) & ~own
    near = ndimage.distance_transform_edt(~own) <= margin
    mask[around] = np.where(near & ~other, scaled[around], mask[around])


def _reduce(ufunc: np.ufunc, values: NDArray[Any], cell_px: int) -> NDArray[Any]:
    """One value per cell: first down, along whole rows, then across, column by column of the cells."""
    height, width = values.shape
    rows = ufunc.reduce(values.reshape(height // cell_px, cell_px, width), axis=1)
    cells: NDArray[Any] = ufunc.reduce([rows[:, column::cell_px] for column in range(cell_px)])
    return cells
