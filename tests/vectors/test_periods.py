"""Which rows of which files are which period."""

import datetime
from pathlib import Path

import geopandas as gpd
import pytest
import shapely
from pyproj import CRS

from uvsam.errors import LabelError
from uvsam.vectors.periods import KEPT, PeriodSource, find_periods, read_bounds, read_lazily

DAY = datetime.date(2016, 5, 17)


def file(path: Path, **columns: object) -> Path:
    count = len(next(iter(columns.values()))) if columns else 2  # type: ignore[arg-type]
    boxes = [shapely.box(500_000 + 200 * n, 2_000_000, 500_100 + 200 * n, 2_000_100) for n in range(count)]
    gpd.GeoDataFrame(columns, geometry=boxes, crs="EPSG:32643").to_file(path)
    return path


def test_dates_are_found_where_they_are_said(tmp_path: Path) -> None:
    acquired = file(tmp_path / "a.gpkg", acquired=[DAY, DAY])
    named = file(tmp_path / "villages_2012.gpkg", confidence=[0.5, 0.75])
    found = find_periods([acquired, named])
    assert [source.date for source in found] == [datetime.date(2012, 7, 1), DAY]
    assert [source.path for source in found] == [named, acquired]
    given = find_periods([acquired, named], [datetime.date(2001, 1, 1), datetime.date(2002, 1, 1)])
    assert [source.date.year for source in given] == [2001, 2002]


@pytest.fixture(params=[".gpkg", ".parquet"])
def several(city: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The true villages of a city, two periods in one file."""
    if request.param == ".gpkg":
        return city / "truth.gpkg"
    gpd.read_file(city / "truth.gpkg", layer="villages").to_parquet(tmp_path / "truth.parquet")
    return tmp_path / "truth.parquet"


def test_a_file_may_hold_several_periods(city: Path, several: Path) -> None:
    found = find_periods([several])
    truth = gpd.read_file(city / "truth.gpkg", layer="villages")
    assert [source.date.year for source in found] == sorted(truth["period"].unique())
    for source in found:
        own = truth[truth["period"] == source.date.year]
        assert source.date == own["acquired"].iloc[0].date()
        assert len(read_bounds(source)) == len(own)


def test_the_villages_of_a_period_are_read_in_pieces(
    city: Path, several: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uvsam.vectors.periods.CHUNK", 2)
    source = find_periods([several])[-1]
    bounds = read_bounds(source)
    frame = read_lazily(source, CRS("EPSG:3857"))
    assert frame.npartitions == -(-len(bounds) // 2)
    read = frame.compute()
    truth = gpd.read_file(city / "truth.gpkg", layer="villages").iloc[source.rows]
    assert list(read.columns) == [*KEPT, "outline", "geometry"]
    assert read["village_id"].tolist() == truth["village_id"].astype(str).tolist()
    assert read["confidence"].isna().all()
    kept = shapely.from_wkb(read["outline"].to_numpy())
    assert shapely.equals_identical(kept, shapely.orient_polygons(truth.geometry.to_numpy())).all()
    moved = read.to_crs(truth.crs)
    assert moved.geometry.area.tolist() == pytest.approx(truth.geometry.area.tolist(), rel=1e-4)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda folder: [file(folder / "a_2012.gpkg")], "two periods at least"),
        (lambda folder: [file(folder / "a_2012.gpkg"), file(folder / "b_2012.gpkg")], "both of 2012-07-01"),
        (lambda folder: [file(folder / "a_2012.gpkg"), file(folder / "b.gpkg")], "does not say when"),
        (lambda folder: [file(folder / "a.gpkg", acquired=[DAY, datetime.date(2017, 1, 1)])], "2016-05-17 to 2017"),
        (lambda folder: [folder / "none.gpkg"], "does not exist"),
    ],
)
def test_what_is_no_series_is_one_line(tmp_path: Path, make: object, said: str) -> None:
    with pytest.raises(LabelError, match=said):
        find_periods(make(tmp_path))  # type: ignore[operator]


def test_one_date_for_each_file(tmp_path: Path) -> None:
    paths = [file(tmp_path / "a.gpkg"), file(tmp_path / "b.gpkg")]
    with pytest.raises(LabelError, match="1 dates for 2 files"):
        find_periods(paths, [DAY])
    assert isinstance(find_periods(paths, [DAY, datetime.date(2020, 1, 1)])[0], PeriodSource)
