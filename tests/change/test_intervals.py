"""Intervals of areas hold as often as they say, for outlines that err as they say."""

import numpy as np
import shapely

from uvsam.change.intervals import PIECE_M, is_significant, outline_half_m2, together


def drawn(rng: np.random.Generator, tolerance_m: float) -> shapely.Polygon:
    """A square of 200 m whose outline is wrong by a tolerance (two standard deviations), piece by piece."""
    side, half = 200.0, PIECE_M / 2
    square = shapely.segmentize(shapely.box(0, 0, side, side), PIECE_M)
    xy = shapely.get_coordinates(square)[:-1]
    pieces = []
    for (x1, y1), (x2, y2) in zip(xy, np.roll(xy, -1, axis=0), strict=True):
        off = rng.normal(0, tolerance_m / 1.96)
        across = np.array([y2 - y1, x1 - x2]) / (2 * half)
        pieces += [(x1, y1) + off * across, (x2, y2) + off * across]
    return shapely.Polygon(pieces)


def test_the_interval_holds_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    outlines = np.array([drawn(rng, 3.0) for _ in range(500)])
    areas, half = shapely.area(outlines), outline_half_m2(np.full(500, 800.0), 3.0)
    inside = np.mean(np.abs(areas - 200.0**2) <= half)
    assert 0.92 <= inside <= 0.98
    sums = areas.reshape(25, 20).sum(axis=1)
    assert np.mean(np.abs(sums - 20 * 200.0**2) <= together(half[:20])) >= 0.84
    moved = is_significant(areas[::2] - areas[1::2], half[::2], half[1::2])
    assert moved.mean() <= 0.09


def test_what_is_more_than_both_errors_is_significant() -> None:
    changes = np.array([0.0, 4.9, -5.1, 5.1])
    assert is_significant(changes, np.full(4, 3.0), np.full(4, 4.0)).tolist() == [False, False, True, True]
