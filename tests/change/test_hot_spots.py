"""Cells hold all village land, however it lies, and hot spots are where villages gather."""

import numpy as np
import pytest
import shapely
from hypothesis import given
from hypothesis import strategies as st

from uvsam.change.hot_spots import MOST_CELLS, Grid, HotSpots, cells_for, ground_without_coverage, hot_spots
from uvsam.change.overlay import Polygons


def found_in(villages: list[shapely.Polygon], ground: shapely.Geometry, cell_m: float) -> HotSpots:
    grid = Grid.over(shapely.bounds(ground), cell_m)
    return hot_spots(grid, grid.land(np.array(villages, object)), grid.land(np.array([ground])))


@st.composite
def villages(draw: st.DrawFn) -> Polygons:
    """Boxes that often end on borders of cells."""
    cells = draw(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=12, unique=True))
    size = st.sampled_from([30.0, 57.3, 100.0, 120.0, 170.0, 200.0])
    return np.array([shapely.box(200 * x, 200 * y, 200 * x + draw(size), 200 * y + draw(size)) for x, y in cells])


@given(villages(), st.sampled_from([30.0, 50.0, 100.0, 170.0, 5000.0]))
def test_cells_hold_all_village_land_where_it_lies(outlines: Polygons, cell_m: float) -> None:
    grid = Grid.over(shapely.total_bounds(outlines), cell_m)
    land = grid.land(outlines)
    assert land.area_m2.sum() == pytest.approx(shapely.area(outlines).sum())
    joined = shapely.union_all(outlines)
    expected = shapely.area(shapely.intersection(grid.squares(np.arange(len(grid))), joined))
    np.testing.assert_allclose(land.of(np.arange(len(grid))), expected, atol=1e-3)


@given(villages(), st.sampled_from([50.0, 100.0, 170.0]), st.booleans())
def test_no_village_is_without_a_cell(outlines: Polygons, cell_m: float, known: bool) -> None:
    """Whether the ground is known or not, and whether it reaches over all villages or not."""
    bounds = shapely.total_bounds(outlines)
    ground = shapely.box(*(bounds[:2] + 60), *(bounds[2:] - 60)) if (bounds[2:] - bounds[:2] > 130).all() else None
    grid = Grid.over(bounds, cell_m)
    land = grid.land(outlines)
    seen = grid.land(np.array([ground])) if known and ground is not None else ground_without_coverage(grid, land)
    found = hot_spots(grid, land, seen)
    assert found.area_m2.sum() == pytest.approx(shapely.area(outlines).sum())
    tree = shapely.STRtree(found.cells)
    points = shapely.points(shapely.get_coordinates(shapely.centroid(outlines)))
    assert set(tree.query(points, predicate="intersects")[0].tolist()) == set(range(len(outlines)))


def test_a_village_far_away_does_not_make_cells_of_all_ground_between() -> None:
    near, far = shapely.box(0, 0, 90, 90), shapely.box(300_000, 200_000, 300_100, 200_100)
    grid = Grid.over(np.array([0, 0, 300_100, 200_100]), 500)
    assert grid.is_wide
    land = grid.land(np.array([near, far]))
    seen = ground_without_coverage(grid, land)
    assert len(seen.cell) == 11 * 11 + 11 * 11  # both lie in corners of the grid
    assert hot_spots(grid, land, seen).area_m2.sum() == pytest.approx(8100 + 10_000)


@given(st.integers(0, 400), st.integers(1, 4))
def test_cells_near_others_are_those_of_a_square(seed: int, reach: int) -> None:
    grid = Grid(0.0, 0.0, 10.0, (13, 17))
    cells = np.unique(np.random.default_rng(seed).integers(0, len(grid), 5))
    row, column = np.divmod(np.arange(len(grid)), 17)
    expected = [
        cell for cell in range(len(grid))
        if any(max(abs(row[cell] - row[other]), abs(column[cell] - column[other])) <= reach for other in cells)
    ]  # fmt: skip
    assert grid.near(cells, reach).tolist() == expected


@given(st.floats(1, 1e5), st.floats(1, 1e5), st.floats(1e-3, 1e4), st.integers(1, 1000))
def test_cells_are_never_too_many(width: float, height: float, cell_m: float, villages: int) -> None:
    extent = np.array([0, 0, width, height])
    for ground in (None, shapely.box(*extent)):
        side = cells_for(extent, ground, villages, 0.0, cell_m)
        assert side >= cell_m
        assert len(Grid.over(extent, side)) <= MOST_CELLS or ground is None
    assert cells_for(extent, shapely.box(*extent), villages, 0.0, 1e4) == 1e4


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
