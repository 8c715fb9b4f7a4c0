"""The evaluation of the UV-SAM paper (Zhang et al., AAAI 2024) on masks of image tiles.

The masks of the boxes are joined; of the result, contours above 10,000 pixels that end beyond pixel 100 in x and in y
are kept and filled. IoU is one ratio over all tiles. Precision, recall and F1 count contours, holes' among them: each
contour of the prediction takes the true contour whose filled shape has the highest IoU with its own, however small,
and what is taken cannot be taken again. The experiments stop at a tile without a true contour; here all contours
predicted on it are wrong. Polygons are compared by :mod:`uvsam.evaluation.objects`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from uvsam.evaluation.confusion import Confusion
from uvsam.evaluation.objects import Pairs, confusion_of, match_as_paper
from uvsam.evaluation.pixels import count_pixels
from uvsam.prompts.legacy import MIN_CONTOUR_PX, MIN_CORNER_PX, Contour, find_contours, is_kept


class TileScore(NamedTuple):
    """What is right and wrong on a tile, in pixels and in contours; both add up over tiles."""

    pixels: Confusion
    contours: Confusion


def keep_large(
    mask: NDArray[np.bool_], *, min_area_px: float = MIN_CONTOUR_PX, min_corner_px: float = MIN_CORNER_PX
) -> NDArray[np.bool_]:
    """A predicted mask (H, W) as the paper judges it: contours that are large enough, filled."""
    kept = np.zeros_like(mask)
    for contour in find_contours(mask):
        if is_kept(contour, min_area_px, min_corner_px):
            kept[_place(contour)] |= contour.filled
    return kept


def score_tile(predicted: NDArray[np.bool_], truth: NDArray[np.bool_], valid: NDArray[np.bool_]) -> TileScore:
    """Compare the masks (H, W) of a tile; pixels count where ``valid``, contours anywhere."""
    ours, theirs = find_contours(predicted), find_contours(truth)
    iou = np.array([[_iou(one, other) for other in theirs] for one in ours]).reshape(len(ours), len(theirs))
    left, right = np.nonzero(iou)
    matches = match_as_paper(Pairs(left, right, iou[left, right]))
    return TileScore(count_pixels(predicted, truth, valid), confusion_of(matches, len(ours), len(theirs)))


def _place(contour: Contour) -> tuple[slice, slice]:
    x1, y1, x2, y2 = contour.bounds_xyxy
    return slice(y1, y2), slice(x1, x2)


def _iou(one: Contour, other: Contour) -> float:
    x1, y1 = np.maximum(one.bounds_xyxy[:2], other.bounds_xyxy[:2])
    x2, y2 = np.minimum(one.bounds_xyxy[2:], other.bounds_xyxy[2:])
    if x1 >= x2 or y1 >= y2:
        return 0.0
    parts = []
    for contour in (one, other):
        x, y = contour.bounds_xyxy[:2]
        parts.append(contour.filled[y1 - y : y2 - y, x1 - x : x2 - x])
    shared = np.count_nonzero(parts[0] & parts[1])
    return shared / (np.count_nonzero(one.filled) + np.count_nonzero(other.filled) - shared)
