"""Layers of several dates followed from files: the books balance, and known histories come out."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import shapely

from uvsam.change.accounts import changes, step_table, village_table
from uvsam.vectors.periods import find_periods
from uvsam.vectors.schema import COVERAGE
from uvsam.workflows.following import Followed, follow

CRS = "EPSG:32643"
EAST, NORTH = 500_000.0, 2_000_000.0


def blobs(seed: int) -> gpd.GeoDataFrame:
    """Some of 64 places have a village, some a pair with a lane between them; all have ragged borders."""
    rng = np.random.default_rng(seed)
    found = []
    for place in range(64):
        size = np.random.default_rng(place).uniform(40, 120) * rng.choice([1, 1, 1, 1.3, 0.7])
        x, y = EAST + 300 * (place % 8), NORTH + 300 * (place // 8)
        outline = shapely.Polygon(
            [(x + (size + rng.uniform(-2, 2)) * np.cos(a), y + (size + rng.uniform(-2, 2)) * np.sin(a))
             for a in np.linspace(0, 2 * np.pi, 40, endpoint=False)]
        )  # fmt: skip
        kind = rng.random()
        if kind < 0.2:
            continue
        lane = shapely.box(x - 8, y - 200, x + 8, y + 200)
        found += shapely.get_parts(shapely.difference(outline, lane)).tolist() if kind < 0.4 else [outline]
    return gpd.GeoDataFrame({"village_id": range(len(found))}, geometry=found, crs=CRS)


def layer(folder: Path, year: int, villages: gpd.GeoDataFrame, seen: shapely.Geometry | None = None) -> Path:
    path = folder / f"villages_{year}.gpkg"
    if seen is not None:
        villages = villages.clip(seen).explode(ignore_index=True)
        villages = villages[villages.geometry.area > 1]
        gpd.GeoDataFrame(geometry=[seen], crs=CRS).to_file(path, layer=COVERAGE.name)
    villages.to_file(path, layer="villages")
    return path


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> Followed:
    folder = tmp_path_factory.mktemp("layers")
    seen = [
        shapely.box(EAST - 200, NORTH - 200, EAST + x, NORTH + y) for x, y in ((2400, 2400), (1700, 2400), (2400, 1500))
    ]
    paths = [layer(folder, 2012 + 4 * k, blobs(k), ground) for k, ground in enumerate(seen)]
    return follow(find_periods(paths), folder, tolerance_m=3, min_change_m2=20)


def test_the_books_of_every_village_balance(followed: Followed) -> None:
    for period in (1, 2):
        table = village_table(followed.histories, followed.steps, period)
        balance = (
            table["before_m2"] + table["gained_m2"] - table["lost_m2"] + table["exchanged_m2"] + table["border_m2"]
        )
        np.testing.assert_allclose(balance, table["after_m2"], atol=1e-6)
        # what the tolerance forgives is no more than a border of that width
        outlines = followed.periods[period].store.polygons(np.arange(len(table)))
        lone = table["event"].isin(["stable", "grown", "shrunk"]).to_numpy()
        assert (np.abs(table["border_m2"][lone]) <= 3.2 * shapely.length(outlines)[lone] + 100).all()
    first = village_table(followed.histories, followed.steps, 0)
    assert first["before_m2"].isna().all()


def test_the_books_of_the_city_balance(followed: Followed) -> None:
    dates = [period.date for period in followed.periods]
    table = step_table(dates, followed.histories, followed.steps, followed.histories.ended)
    np.testing.assert_allclose(
        table["before_m2"] + table["gained_m2"] - table["lost_m2"] + table["border_m2"], table["after_m2"], atol=1e-6
    )
    assert (table["kept_m2"] <= table[["before_m2", "after_m2"]].min(axis=1)).all()
    common = shapely.box(EAST - 200, NORTH - 200, EAST + 1700, NORTH + 2400)
    expected = blobs(0).clip(common).geometry.area.sum()
    assert table["before_m2"][0] == pytest.approx(expected, rel=1e-3)  # on an equal-area map, not in the layer's CRS
    named = [name for name in table.columns if name.startswith("villages_")]
    for number, found in enumerate(followed.steps, start=1):
        ended = [end for end in followed.histories.ended if end.period == number]
        assert table.loc[number - 1, named].sum() == len(followed.histories.events[number]) + len(ended)
        assert len(found.after.rows) == len(followed.histories.events[number])


def test_changed_ground_is_told_once_and_lies_where_both_looked(followed: Followed) -> None:
    for period, found in enumerate(followed.steps, start=1):
        told = changes(followed.histories, followed.steps, period)
        assert shapely.area(told.polygons).sum() == pytest.approx(shapely.area(shapely.union_all(told.polygons)))
        gained = told.kind == "gained"
        assert shapely.area(told.polygons[gained]).sum() == pytest.approx(shapely.area(found.after.beyond).sum())
        ground = shapely.intersection(
            *(shapely.from_wkb(p.seen.read_bytes()) for p in followed.periods[period - 1 : period + 1] if p.seen)
        )
        assert shapely.area(shapely.difference(shapely.union_all(told.polygons), ground)) < 1
        events = {end.history: str(end.event) for end in followed.histories.ended if end.period == period}
        for history, event, kind in zip(told.history_id.tolist(), told.event, told.kind, strict=True):
            if event == "demolished":
                assert (events[history], kind) == ("demolished", "lost")


def test_what_an_image_does_not_show_is_not_demolished(followed: Followed) -> None:
    east = EAST + 1700
    before = followed.periods[0].store
    centres = shapely.get_coordinates(shapely.centroid(before.polygons(np.arange(len(before)))))
    assert followed.crs is not None
    x = gpd.GeoSeries(gpd.points_from_xy(*centres.T), crs=followed.crs).to_crs(CRS).x.to_numpy()
    hidden = set(followed.histories.ids[0][x > east + 130].tolist())
    told = {end.history: str(end.event) for end in followed.histories.ended if end.period == 1}
    assert hidden
    assert all(told[history] == "not observed" for history in hidden)


def test_known_histories_come_out(city: Path, tmp_path: Path) -> None:
    truth = gpd.read_file(city / "truth.gpkg", layer="villages")
    found = follow(find_periods([city / "truth.gpkg"]), tmp_path)
    for number, period in enumerate(found.periods[1:], start=1):
        told = period.store.table()["village_id"].astype(int)
        own = truth[truth["period"] == period.date.year].set_index("village_id")["event"]
        assert own.loc[told].tolist() == found.histories.events[number].tolist()
        assert abs(period.shift.east_m) < 0.5


def test_a_period_without_a_village_is_a_period(tmp_path: Path) -> None:
    none = blobs(0).iloc[:0]
    paths = [layer(tmp_path, 2012, blobs(0)), layer(tmp_path, 2016, none), layer(tmp_path, 2020, blobs(0))]
    found = follow(find_periods(paths), tmp_path)
    assert {str(end.event) for end in found.histories.ended} == {"demolished"}
    assert set(found.histories.events[2].astype(str)) == {"reappeared"}
    assert len(found.periods[1].store.table()) == 0
    assert sorted(found.histories.ids[2].tolist()) == sorted(found.histories.ids[0].tolist())


def squares(east_m: float, chosen: range, count: int = 10) -> gpd.GeoDataFrame:
    """Squares of ten sizes on a grid of 400 m, moved to the east."""
    boxes = [shapely.box(x, y, x + 60 + 9 * k, y + 60 + 9 * k)
             for k in range(count) for x, y in [(EAST + 400 * (k % 4) + east_m, NORTH + 400 * (k // 4))]]  # fmt: skip
    return gpd.GeoDataFrame({"n": list(chosen)}, geometry=[boxes[k] for k in chosen], crs=CRS)


ALL, FEW, NO = range(10), range(4), range(0)


@pytest.mark.parametrize(
    ("layers", "shifts"),
    [
        ([(0, ALL), (6, ALL), (6, FEW)], [0, 6, 6]),  # what is left is where it was
        ([(0, ALL), (6, ALL), (6, FEW), (6, ALL)], [0, 6, 6, 6]),
        ([(0, ALL), (6, ALL), (6, FEW), (6, FEW), (6, NO)], [0, 6, 6, 6, 6]),
        ([(0, FEW), (0, ALL), (6, ALL)], [0, 0, 6]),  # the first pair tells nothing
        ([(0, ALL), (6, NO), (6, ALL), (4, ALL)], [0, 0, 6, 4]),  # told from the last layer with villages
    ],
)
def test_a_layer_with_too_little_to_tell_its_shift_lies_as_the_one_before(
    tmp_path: Path, layers: list[tuple[float, range]], shifts: list[float]
) -> None:
    paths = [tmp_path / f"v_{2010 + k}.gpkg" for k in range(len(layers))]
    for path, (east_m, chosen) in zip(paths, layers, strict=True):
        squares(east_m, chosen).to_file(path, layer="villages", geometry_type="Polygon")
    found = follow(find_periods(paths), tmp_path)
    assert [period.shift.east_m for period in found.periods] == pytest.approx(shifts, abs=0.1)
    for step, (_, one), (_, other) in zip(found.steps, layers, layers[1:], strict=False):
        gone, come = (sum((60 + 9 * k) ** 2 for k in set(a) - set(b)) for a, b in ((one, other), (other, one)))
        lost, gained = (shapely.area(side.beyond).sum() for side in (step.before, step.after))
        assert (lost, gained) == pytest.approx((gone, come), rel=2e-2, abs=1)
    assert all(period.shift.told_from == "the layer before" for period, (_, chosen) in
               zip(found.periods[1:], layers[1:], strict=True) if len(chosen) < 5)  # fmt: skip
