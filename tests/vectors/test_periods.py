"""Which rows of which files are which period."""

import datetime
import shlex
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from pyproj import CRS

from uvsam.errors import LabelError
from uvsam.vectors.layer_files import naming
from uvsam.vectors.periods import KEPT, PeriodSource, check_one_period, find_periods, read_bounds, read_lazily
from uvsam.vectors.polygon_files import read_polygons

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


SERIES = [2012, 2012, 2016]
QUOTED = ['O\'Brien "2012"', 'O\'Brien "2012"', "dry season 2016"]


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".fgb", ".shp", ".parquet", ".geoparquet"])
@pytest.mark.parametrize(
    ("column", "days"),
    [
        (SERIES, (datetime.date(2012, 7, 1), datetime.date(2016, 7, 1))),
        ([2012.0, 2012.0, 2016.0], (datetime.date(2012, 7, 1), datetime.date(2016, 7, 1))),
        (["2012", "2012", "2016"], (datetime.date(2012, 7, 1), datetime.date(2016, 7, 1))),
        (["2012", " 2012 ", "2016.0"], (datetime.date(2012, 7, 1), datetime.date(2016, 7, 1))),
        ([20120517, 20120517, 20160517], (datetime.date(2012, 5, 17), datetime.date(2016, 5, 17))),
        (["17.05.2012", "17.05.2012", "2016/05/17"], (datetime.date(2012, 5, 17), datetime.date(2016, 5, 17))),
        (QUOTED, (datetime.date(2012, 7, 1), datetime.date(2016, 7, 1))),
        ([datetime.date(2012, 1, 1)] * 2 + [datetime.date(2012, 12, 31)],
         (datetime.date(2012, 1, 1), datetime.date(2012, 12, 31))),
        (["2012-05-17T23:30:00+05:30"] * 2 + ["2016-05-17T00:30:00-05:00"],
         (datetime.date(2012, 5, 17), datetime.date(2016, 5, 17))),
    ],
)  # fmt: skip
def test_a_column_of_periods_of_any_type_in_any_format(
    tmp_path: Path, suffix: str, column: list[object], days: tuple[datetime.date, ...]
) -> None:
    path = tmp_path / f"series{suffix}"
    boxes = [shapely.box(72.8 + n / 100, 19, 72.801 + n / 100, 19.001) for n in range(3)]
    frame = gpd.GeoDataFrame({"period": column}, geometry=boxes, crs=4326)
    frame.to_parquet(path) if "parquet" in suffix else frame.to_file(path)
    found = find_periods([path])
    assert tuple(source.date for source in found) == days
    assert [len(read_bounds(source)) for source in found] == [2, 1]
    assert [len(read_lazily(source, CRS.from_epsg(32643)).compute()) for source in found] == [2, 1]
    with pytest.raises(LabelError, match="holds the periods") as caught:
        check_one_period(path, "--where", days[:1])
    (_, condition) = shlex.split(str(caught.value).partition("as with ")[2])
    assert len(read_polygons(path, where=condition).polygons) == 2
    with pytest.raises(LabelError, match="holds the periods") as caught:
        find_periods([path], [DAY])
    (one,) = shlex.split(str(caught.value).rpartition(", as ")[2])
    (source,) = find_periods([Path(one)], [DAY], least=1)
    assert (source.date, len(read_bounds(source))) == (DAY, 1)


def test_times_with_zones_are_the_days_that_are_written(tmp_path: Path) -> None:
    late = pd.to_datetime(["2012-05-17T23:30:00", "2016-05-17T00:30:00"]).tz_localize("Asia/Kolkata")
    boxes = [shapely.box(72.8, 19, 72.801, 19.001)] * 2
    for name in ("a.geojson", "a.parquet"):
        frame = gpd.GeoDataFrame({"period": late}, geometry=boxes, crs=4326)
        frame.to_parquet(tmp_path / name) if name.endswith("parquet") else frame.to_file(tmp_path / name)
        days = [source.date for source in find_periods([tmp_path / name])]
        assert days == [datetime.date(2012, 5, 17), datetime.date(2016, 5, 17)]


def test_rows_without_a_period_are_told(tmp_path: Path) -> None:
    path = file(tmp_path / "a.gpkg", period=["2012", "2016", None, " "])
    with pytest.warns(UserWarning, match="2 rows have no period and are left out of layer a of"):
        found = find_periods([path])
    assert [source.rows.tolist() for source in found if source.rows is not None] == [[0], [1]]


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"acquired": ["05/06/2012"] * 2}, "a.gpkg: in column acquired '05/06/2012' may be 2012-06-05 or 2012-05"),
        ({"acquired": ["soon", "soon"]}, "in column acquired 'soon' is neither a year nor a day"),
        ({"period": ["2012-2016", "2016"]}, "in column period '2012-2016' is neither a year nor a day"),
        ({"Period": ["2012-13", "2013-14"]}, "in column Period '2012-13' is no day of the calendar"),
        ({"period": ["dry", "wet"], "acquired": [DAY, DAY]}, "periods dry and wet are both of 2016-05-17"),
        ({"period": [1, 2, 2], "acquired": [DAY, DAY, datetime.date(2017, 1, 1)]}, "2 are of 2016-05-17 to 2017"),
        ({"year": [2012, 2016]}, "column year; name that column period if these are periods"),
    ],
)  # fmt: skip
def test_what_cannot_be_a_date_is_told_with_its_column(tmp_path: Path, columns: dict[str, object], said: str) -> None:
    with pytest.raises(LabelError, match=said):
        find_periods([file(tmp_path / "a.gpkg", **columns)])


def test_days_of_one_mosaic_may_be_given_one_and_years_may_not(tmp_path: Path) -> None:
    later = datetime.date(2016, 6, 2)
    mosaic = file(tmp_path / "a.gpkg", acquired=[DAY, later])
    assert find_periods([mosaic], [DAY], least=1)[0].date == DAY
    with pytest.raises(LabelError, match="say one day for all with --dates"):
        find_periods([mosaic])
    years = file(tmp_path / "b.gpkg", acquired=[DAY, datetime.date(2020, 6, 2)])
    with pytest.raises(LabelError, match=r"tell them apart by a column period$") as caught:
        find_periods([years], [DAY])
    one = shlex.split(str(caught.value).partition(", as ")[2].partition(", or ")[0])[0]
    assert find_periods([Path(one)], least=1)[0].date == datetime.date(2020, 6, 2)


def test_names_tell_days_and_layers_have_names(tmp_path: Path) -> None:
    path = tmp_path / "city.gpkg"
    for year in (2012, 2016):
        box = shapely.box(500_000, 2_000_000, 500_100, 2_000_100)
        gpd.GeoDataFrame(geometry=[box], crs="EPSG:32643").to_file(path, layer=f"v{year}")
    with pytest.raises(LabelError, match="has the layers v2012, v2016") as caught:
        find_periods([path])
    (one,) = shlex.split(str(caught.value).rpartition("as with ")[2])
    found = find_periods([Path(one), naming(path, layer="v2016")])
    assert [source.date.year for source in found] == [2012, 2016]
    assert find_periods([file(tmp_path / "x_20120517.gpkg")], least=1)[0].date == datetime.date(2012, 5, 17)
    assert find_periods([file(tmp_path / "y.gpkg", year=[2012, 2012])], least=1)[0].date == datetime.date(2012, 7, 1)


@pytest.mark.parametrize(
    ("said", "read"), [("0.8", 0.8), ("80 %", 0.8), ("0,8", 0.8), (" ", None), (None, None), ("high", "error")]
)
def test_numbers_and_ids_as_texts(tmp_path: Path, said: str | None, read: object) -> None:
    path = file(tmp_path / "a_2012.gpkg", village_id=["A-1", "A-2"], confidence=["0.5", said])
    source = find_periods([path], least=1)[0]
    frame = read_lazily(source, CRS.from_epsg(32643))
    if read == "error":
        with pytest.raises(LabelError, match=r"a_2012.gpkg: 'high' in column confidence is no number"):
            frame.compute()
        return
    assert frame.compute()["village_id"].tolist() == ["A-1", "A-2"]
    confidence = frame.compute()["confidence"].tolist()
    assert confidence[0] == 0.5
    assert np.isnan(confidence[1]) if read is None else confidence[1] == pytest.approx(read)


def test_a_shapefile_keeps_its_intervals_though_it_cuts_their_names(tmp_path: Path) -> None:
    columns = {"confidence": [0.5, 0.75], "area_low_m2": [9000.0, 8000.0], "area_high_m2": [12_000.0, 11_000.0]}
    with pytest.warns(UserWarning, match="truncated|normalized"):
        cut = file(tmp_path / "v_2016.shp", **columns)
    capitals = file(tmp_path / "w_2016.gpkg", **{name.upper(): values for name, values in columns.items()})
    whole = file(tmp_path / "x_2016.gpkg", **columns)
    expected, *found = (
        read_lazily(find_periods([path], least=1)[0], CRS.from_epsg(32643)).compute() for path in (whole, cut, capitals)
    )
    for one in found:
        for name, values in columns.items():
            assert expected[name].tolist() == values
            assert one[name].tolist() == values
