"""A shift that was put in is found, whatever else happened."""

import numpy as np
import pytest
import shapely

from uvsam.change.alignment import estimate_shift
from uvsam.change.overlay import Polygons


def city(seed: int, count: int = 60) -> Polygons:
    rng = np.random.default_rng(seed)
    angle = np.linspace(0, 2 * np.pi, 30, endpoint=False)
    radius = rng.uniform(30, 80, (count, 1)) * (1 + 0.2 * np.sin(3 * angle + rng.uniform(0, 6, (count, 1))))
    x, y = 250.0 * (np.arange(count) % 10), 250.0 * (np.arange(count) // 10)
    return shapely.polygons(np.stack([x[:, None] + radius * np.cos(angle), y[:, None] + radius * np.sin(angle)], -1))


def moved(villages: Polygons, east: float, north: float) -> Polygons:
    return shapely.transform(villages, lambda xy: xy + np.array([east, north]))


def later(villages: Polygons, seed: int) -> Polygons:
    """Ragged borders; a third of the villages grew to the east, some are gone, some are new."""
    rng = np.random.default_rng(seed)
    rings = shapely.get_coordinates(villages).reshape(len(villages), -1, 2)[:, :-1]
    ragged = shapely.polygons(rings + rng.uniform(-2, 2, rings.shape))
    ragged[::3] = shapely.union(ragged[::3], moved(ragged[::3], 25, 0))
    return np.concatenate([ragged[5:], city(seed + 1000, 3)])


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("shift", [(0, 0), (2.5, -1.5), (-12, 9)])
def test_a_shift_is_found_within_its_error(seed: int, shift: tuple[float, float]) -> None:
    before = city(seed)
    after = moved(later(before, seed), *shift)
    found = estimate_shift(before, after)
    assert found.is_known
    assert found.error_m < 0.3
    assert found.east_m == pytest.approx(shift[0], abs=4 * found.error_m)
    assert found.north_m == pytest.approx(shift[1], abs=4 * found.error_m)


def test_too_little_says_nothing() -> None:
    few = estimate_shift(city(1, 3), city(1, 3))
    assert (few.east_m, few.north_m, few.is_known) == (0, 0, False)
    assert not estimate_shift(city(1), np.empty(0, object)).is_known
