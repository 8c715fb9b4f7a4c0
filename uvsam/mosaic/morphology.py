"""Closing with a disc that is round on the ground, for masks of any size."""

import math

import numpy as np
from numpy.typing import NDArray

Mask = NDArray[np.bool_]


def disc_half_widths(diameter_m: float, gsd_m: tuple[float, float]) -> list[int]:
    """The disc row by row: half its width in pixels at 0, 1, 2, ... rows from its centre.

    A pixel belongs to the disc if its centre is at most ``diameter_m / 2`` from the disc's centre, on the ground.
    """
    x_m, y_m = gsd_m
    # A relative tolerance, so that a radius of 3 pixels given in metres is 3 pixels.
    radius_m = diameter_m / 2 * (1 + 1e-9)
    return [int(math.sqrt(max(0.0, radius_m**2 - (dy * y_m) ** 2)) / x_m) for dy in range(int(radius_m / y_m) + 1)]


def close_mask(mask: Mask, diameter_m: float, gsd_m: tuple[float, float]) -> Mask:
    """Morphological closing: fills gaps too narrow for a disc of ``diameter_m``; never removes a pixel.

    Outside the array is background and does not eat into the mask. A window of a larger mask gives the larger mask's
    result for all pixels at least ``2 * (len(disc_half_widths(...)) - 1)`` rows away from the window's cut edges.

    Args:
        mask: (H, W) bool.
        diameter_m: gaps narrower than this are filled; below two pixels nothing changes.
        gsd_m: ground metres per pixel (x, y).
    """
    half_widths = disc_half_widths(diameter_m, gsd_m)
    reach_y, reach_x = len(half_widths) - 1, half_widths[0]
    columns = np.flatnonzero(mask.any(axis=0))
    if not columns.size or (reach_y == 0 and reach_x == 0):
        return mask
    closed = np.zeros_like(mask)
    # What is further apart than two radii is closed on its own: in a wide scene most columns are empty.
    for group in np.split(columns, np.flatnonzero(np.diff(columns) > 2 * reach_x + 1) + 1):
        across = slice(group[0], group[-1] + 1)
        rows = np.flatnonzero(mask[:, across].any(axis=1))
        # A closing stays inside the bounding box of its mask.
        box = (slice(rows[0], rows[-1] + 1), across)
        inner = np.pad(mask[box], ((reach_y, reach_y), (reach_x, reach_x)))
        inner = ~_dilate(~_dilate(inner, half_widths), half_widths)
        closed[box] = inner[reach_y : inner.shape[0] - reach_y, reach_x : inner.shape[1] - reach_x]
    return closed


def _dilate(mask: Mask, half_widths: list[int]) -> Mask:
    """Union of the mask shifted by every pixel of the disc, row by row of the disc from its narrow end."""
    result = np.zeros_like(mask)
    widened, width = mask.copy(), 0
    for dy in range(len(half_widths) - 1, -1, -1):
        while width < half_widths[dy]:
            # Runs of 2 * width + 1 shifted by up to that much leave no gap between them.
            step = min(half_widths[dy] - width, 2 * width + 1)
            wider = widened.copy()
            wider[:, step:] |= widened[:, :-step]
            wider[:, :-step] |= widened[:, step:]
            widened, width = wider, width + step
        if dy == 0:
            result |= widened
        elif dy < mask.shape[0]:
            result[dy:] |= widened[:-dy]
            result[:-dy] |= widened[dy:]
    return result
