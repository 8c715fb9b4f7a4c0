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


def test_too_few_places_is_one_line() -> None:
    with pytest.raises(LabelError, match="too few"):
        draw([BEFORE], GROUND, 50, 60, seed=0)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_stratum_too_small_to_be_hit_gets_its_places_too(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Slivers of 2 x 100 and 4 x 100 mm in a city of 100 km2: a third of the places are in the first one."""
    monkeypatch.setattr("uvsam.change.sampling.MOST_DRAWN", 1)
    ground = shapely.difference(shapely.box(0, 0, 1e4, 1e4), shapely.box(9000, 0, 1e4, 5000))
    slivers = [shapely.box(100, 100, 200, 100.02), shapely.box(500, 0, 500.04, 100)]
    whole = [shapely.box(*np.add(one.bounds, (-5, -5, 5, 5))) for one in slivers]
    grown = np.array([shapely.difference(a, b) for a, b in zip(whole, slivers, strict=True)])
    layers = {1: [np.array(whole), grown], 2: [grown, np.array(whole)], 3: [np.array(slivers), np.array(whole)]}[number]
    found = draw(layers, ground, 600, 100, seed=5)
    points = shapely.points(found.places[found.stratum == number])
    near = [shapely.distance(points, one) < 1e-6 for one in slivers]
    assert (near[0] ^ near[1]).all()
    assert near[0].mean() == pytest.approx(1 / 3, abs=0.17)
    assert found.area_m2[number] == pytest.approx(6, rel=1e-3)


def test_what_rounding_leaves_is_no_stratum() -> None:
    moved = shapely.transform(BEFORE, lambda xy: xy + 1e-4)
    found = draw([BEFORE, moved], GROUND, 100, 50, seed=0)
    assert found.area_m2[1:3].tolist() == [0, 0]
    assert np.bincount(found.stratum, minlength=4).tolist() == [50, 0, 0, 50]
