"""Zones and rings hold everything once, curves end at all, and hot spots are where villages gather."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from uvsam.change.overlay import Polygons
from uvsam.change.places import Grid, HotSpots, count_in_zones, cumulative, distances_m, hot_spots, rings

CENTRE = (1000.0, 1000.0)


@st.composite
def villages(draw: st.DrawFn) -> Polygons:
    cells = draw(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12, unique=True))
    size = st.floats(20, 200)
    return np.array([shapely.box(200 * x, 200 * y, 200 * x + draw(size), 200 * y + draw(size)) for x, y in cells])


@settings(max_examples=50, deadline=None)
@given(villages(), st.lists(st.floats(50, 1400), min_size=1, max_size=4, unique=True))
def test_rings_hold_every_village_once(found: Polygons, edges: list[float]) -> None:
    within = rings(CENTRE, [*sorted(edges), 3000])
    held = count_in_zones(found, within)
    assert held.villages.sum() == len(found)
    assert held.area_m2.sum() == pytest.approx(shapely.area(found).sum())
    assert shapely.area(within).sum() == pytest.approx(np.pi * 3000**2, rel=1e-3)


@settings(max_examples=50, deadline=None)
@given(villages())
def test_the_curve_rises_from_none_to_all(found: Polygons) -> None:
    at = np.linspace(0, 3000, 31)
    curve = cumulative(distances_m(found, CENTRE), shapely.area(found), at)
    assert (np.diff(curve) >= 0).all()
    assert curve[-1] == pytest.approx(1)
    inside = shapely.distance(shapely.centroid(found), shapely.Point(CENTRE)) <= 1000
    assert curve[10] == pytest.approx(shapely.area(found[inside]).sum() / shapely.area(found).sum())


def test_a_village_on_a_border_is_counted_where_most_of_it_is() -> None:
    zones = np.array([shapely.box(0, 0, 100, 100), shapely.box(100, 0, 200, 100)])
    found = count_in_zones(np.array([shapely.box(80, 0, 130, 10)]), zones)
    assert found.villages.tolist() == [0, 1]
    assert found.area_m2.tolist() == [200, 300]


def found_in(villages: list[shapely.Polygon], ground: shapely.Geometry, cell_m: float) -> HotSpots:
    grid = Grid.over(ground, cell_m)
    return hot_spots(grid, grid.land(np.array(villages, object)), ground)


@given(villages(), st.sampled_from([30.0, 170.0, 5000.0]))
def test_cells_hold_all_village_land_where_it_lies(outlines: Polygons, cell_m: float) -> None:
    grid = Grid.over(shapely.box(*shapely.total_bounds(outlines)), cell_m)
    land = grid.land(outlines)
    assert land.sum() == pytest.approx(shapely.area(outlines).sum())
    row, column = (index.ravel() for index in np.indices(grid.shape))
    joined = shapely.union_all(outlines)
    for cell in np.random.default_rng(0).choice(land.size, 5):
        expected = shapely.area(shapely.intersection(grid.squares(row[cell], column[cell]), joined))
        assert land.ravel()[cell] == pytest.approx(expected, abs=1e-3)


def test_hot_spots_are_where_villages_gather_and_nowhere_else() -> None:
    rng = np.random.default_rng(3)
    scattered = [shapely.box(x, y, x + 60, y + 60) for x, y in rng.uniform(0, 4900, (60, 2))]
    gathered = [shapely.box(x, y, x + 90, y + 90) for x in range(4000, 4900, 100) for y in range(4000, 4900, 100)]
    found = found_in(scattered + gathered, shapely.box(0, 0, 5000, 5000), 250)
    hot = found.significant & (found.z > 0)
    inside = shapely.intersects(found.cells, shapely.box(3750, 3750, 5000, 5000))
    assert hot[shapely.within(found.cells, shapely.box(4000, 4000, 5000, 5000))].all()
    assert not hot[~inside].any()
    quiet = found_in(scattered, shapely.box(0, 0, 5000, 5000), 250)
    assert quiet.significant.sum() <= 4


def test_gi_star_is_its_formula() -> None:
    """Ord & Getis (1995), equation 14 for binary weights with the cell itself."""
    rng = np.random.default_rng(1)
    found = found_in(
        [shapely.box(x, y, x + 70, y + 70) for x, y in rng.uniform(0, 930, (25, 2))],
        shapely.box(0, 0, 1000, 1000), 100,
    )  # fmt: skip
    values = found.area_m2.reshape(10, 10)
    mean, deviation, n = values.mean(), values.std(), values.size
    for row in range(10):
        for column in range(10):
            near = values[max(0, row - 1) : row + 2, max(0, column - 1) : column + 2]
            expected = (near.sum() - near.size * mean) / (deviation * np.sqrt((n * near.size - near.size**2) / (n - 1)))
            assert found.z.reshape(10, 10)[row, column] == pytest.approx(expected, rel=1e-6)


def test_ground_that_was_not_looked_at_has_no_cells() -> None:
    found = found_in([shapely.box(0, 0, 50, 50)], shapely.box(0, 0, 1000, 430), 100)
    assert len(found.cells) == 40
    assert found_in([], shapely.box(0, 0, 300, 300), 100).z.tolist() == [0] * 9
