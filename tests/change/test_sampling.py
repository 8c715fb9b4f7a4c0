"""Places have equal chances within their stratum, and corrected areas find the truth."""

import numpy as np
import pytest
import shapely

from uvsam.change.accuracy import estimate_areas
from uvsam.change.sampling import STRATA, draw, stratum_areas
from uvsam.errors import LabelError

GROUND = shapely.box(0, 0, 1000, 1000)
BEFORE = np.array([shapely.box(0, 0, 200, 100), shapely.box(500, 500, 600, 700)])
AFTER = np.array([shapely.box(100, 0, 300, 100), shapely.box(800, 800, 900, 850)])


def test_strata_are_what_the_layers_say() -> None:
    assert stratum_areas([BEFORE], GROUND).tolist() == [960_000, 40_000]
    assert stratum_areas([BEFORE, AFTER], GROUND).tolist() == [945_000, 30_000, 15_000, 10_000]
    sample = draw([BEFORE, AFTER], GROUND, 400, 60, seed=1)
    points = shapely.points(sample.places)
    inside = [shapely.contains(shapely.union_all(layer), points) for layer in (BEFORE, AFTER)]
    assert (inside[0] + 2 * inside[1] == sample.stratum).all()
    counts = np.bincount(sample.stratum, minlength=4)
    assert counts.sum() == 400
    assert counts.min() >= 60
    assert (np.diff(sample.stratum) != 0).sum() > 100  # mixed


def test_places_are_spread_evenly_over_their_stratum() -> None:
    sample = draw([BEFORE], GROUND, 4000, 2000, seed=2)
    inside = sample.places[sample.stratum == 1]
    share = (inside[:, 0] < 300).mean()  # half of the villages' ground is in the west
    assert share == pytest.approx(0.5, abs=0.04)
    east = (sample.places[sample.stratum == 0][:, 0] > 500).mean()
    assert east == pytest.approx(480_000 / 960_000, abs=0.04)
    again = draw([BEFORE], GROUND, 4000, 2000, seed=2)
    assert np.array_equal(again.places, sample.places)


def test_a_map_that_misses_a_village_is_corrected() -> None:
    truth = shapely.union_all([*BEFORE, shapely.box(300, 800, 500, 900)])  # 20,000 m2 that the map lacks
    inside = 0
    for seed in range(40):
        sample = draw([BEFORE], GROUND, 500, 100, seed=seed)
        reference = shapely.contains(truth, shapely.points(sample.places)).astype(np.intp)
        _, village = estimate_areas(STRATA[1], sample.area_m2, sample.stratum, reference)
        low, high = village.interval_m2
        inside += low <= truth.area <= high
    assert inside >= 35


def test_what_cannot_be_drawn_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(LabelError, match="too few"):
        draw([BEFORE], GROUND, 50, 60, seed=0)
    monkeypatch.setattr("uvsam.change.sampling.MOST_DRAWN", 1)
    speck = np.array([shapely.box(0, 0, 1.5, 1)])
    with pytest.raises(LabelError, match="too little ground is village"):
        draw([speck], shapely.box(0, 0, 1e5, 1e5), 50, 20, seed=0)
