"""Layers as people have them, through the command line: right, or one line before the work starts."""

import datetime
import os
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import geopandas as gpd
import pandas as pd
import pyogrio
import pytest
import shapely

from uvsam.cli.main import run
from uvsam.vectors.layer_files import naming

UTM = "EPSG:32643"
EAST, NORTH = 280_000.0, 2_110_000.0
WEST_HALF, EAST_HALF = (shapely.box(EAST + x, NORTH, EAST + x + 1000, NORTH + 1000) for x in (0, 1000))


def square(column: int, row: int = 0, side: float = 100.0) -> shapely.Polygon:
    x, y = EAST + 200 * column + 50, NORTH + 200 * row + 50
    return shapely.box(x, y, x + side, y + side)


THEN = [square(0), square(1), square(2)]
NOW = [square(0), square(1), square(2, 1)]


def save(path: Path, polygons: list[object], crs: str | None = UTM, layer: str = "", **columns: object) -> Path:
    frame = gpd.GeoDataFrame(columns, geometry=polygons, crs=crs)
    frame.to_parquet(path) if path.suffix == ".parquet" else frame.to_file(path, layer=layer or path.stem)
    return path


def trends(folder: Path, *paths: Path, options: tuple[str, ...] = ()) -> tuple[pd.DataFrame, pd.DataFrame]:
    out = folder / "t.gpkg"
    assert run(["trends", *map(str, paths), "--out", str(out), "--overwrite", *options]) == 0
    return tuple(pyogrio.read_dataframe(out, layer=name) for name in ("periods", "steps"))  # type: ignore[return-value]


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> str:
    capsys.readouterr()
    assert run([str(one) for one in arguments]) != 0
    said = capsys.readouterr().err
    assert "Traceback" not in said
    assert "unexpected" not in said
    return said.strip().splitlines()[-1]


@pytest.fixture
def now(tmp_path: Path) -> Path:
    return save(tmp_path / "v_2016.gpkg", list(NOW))


@pytest.mark.parametrize("suffix", [".gpkg", ".geojson", ".parquet", ".shp"])
def test_rows_without_ground_are_left_out_and_told(tmp_path: Path, now: Path, suffix: str) -> None:
    crs = "EPSG:4326" if suffix == ".geojson" else UTM
    polygons = gpd.GeoSeries(THEN, crs=UTM).to_crs(crs).tolist()
    then = save(tmp_path / f"v_2012{suffix}", [*polygons, None, shapely.Polygon()], crs)
    with pytest.warns(UserWarning, match="2 rows have no geometry and are left out of layer v_2012"):
        periods, steps = trends(tmp_path, then, now)
    assert periods["villages"].tolist() == [3, 3]
    assert steps["lost_m2"][0] == pytest.approx(10_000, rel=2e-3)
    with pytest.warns(UserWarning, match="2 rows have no geometry and are left out of layer v_2012"):
        assert run(["evaluate", str(then), str(now)]) == 0


def test_a_collection_is_its_polygons_and_a_line_is_an_error(
    tmp_path: Path, now: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = shapely.LineString([(EAST, NORTH), (EAST + 50, NORTH + 500)])
    nested = shapely.GeometryCollection([shapely.GeometryCollection([shapely.MultiPolygon([THEN[2]])]), line])
    periods, _ = trends(tmp_path, save(tmp_path / "c_2012.gpkg", [*THEN[:2], nested]), now)
    assert periods["area_m2"][0] == pytest.approx(30_000, rel=2e-3)
    lines = save(tmp_path / "l_2012.gpkg", [*THEN, line])
    for command in (["trends", lines, now, "--out", tmp_path / "u.gpkg"], ["evaluate", lines, now]):
        assert "l_2012.gpkg holds LineString; only polygons can be used" in refusal(capsys, *command)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda lon_lat: (lon_lat, UTM), "is in WGS 84 / UTM zone 43N, but its coordinates look like degrees"),
        (lambda lon_lat: (lon_lat, "EPSG:3857"), "but its coordinates look like degrees"),
        (lambda lon_lat: (lon_lat, None), "has no coordinate reference system, but its coordinates look like degrees"),
        (lambda lon_lat: (THEN, "EPSG:4326"), "no degrees, and says that it is in WGS 84"),
        (lambda lon_lat: ([swap(one) for one in lon_lat], "EPSG:4326"), "x and y of .*v_2012.gpkg are swapped"),
        (lambda lon_lat: ([swap(one) for one in THEN], UTM), "x and y of one of the two are swapped"),
        (lambda lon_lat: ([shapely.box(31.1, 116.2, 31.101, 116.201)], "EPSG:4326"), "latitude stands first"),
        (lambda lon_lat: ([square(300)], UTM), "no ground in common: longitude .* and longitude"),
    ],
)  # fmt: skip
def test_a_layer_that_is_elsewhere_is_one_line(
    tmp_path: Path, now: Path, make: Callable[..., tuple[list[object], str | None]], said: str,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    polygons, crs = make(gpd.GeoSeries(THEN, crs=UTM).to_crs(4326).tolist())
    then, out = save(tmp_path / "v_2012.gpkg", polygons, crs), tmp_path / "t.gpkg"
    for command in (["trends", then, now, "--out", out], ["evaluate", then, now], ["sample", then, now, "--out", out]):
        told = refusal(capsys, *command)
        assert pd.Series([told]).str.contains(said, regex=True).all(), told
        assert not out.exists()


def swap(polygon: shapely.Polygon) -> shapely.Polygon:
    return shapely.transform(polygon, lambda xy: xy[:, ::-1])


def test_grounds_that_only_touch_have_nothing_in_common_and_an_empty_layer_is_of_any_place(
    tmp_path: Path, now: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = []
    for year, ground in ((2012, WEST_HALF), (2016, EAST_HALF)):
        path = save(tmp_path / f"half_{year}.gpkg", [ground.centroid.buffer(50)], layer="villages")
        gpd.GeoDataFrame(geometry=[ground], crs=UTM).to_file(path, layer="coverage")
        paths.append(path)
    told = refusal(capsys, "trends", *paths, "--out", tmp_path / "t.gpkg")
    assert "half_2012.gpkg and " in told
    assert "have no ground in common" in told
    both = save(tmp_path / "both_2020.gpkg", [WEST_HALF.centroid.buffer(50)], layer="villages")
    gpd.GeoDataFrame(geometry=[WEST_HALF.union(EAST_HALF)], crs=UTM).to_file(both, layer="coverage")
    assert len(trends(tmp_path, *paths, both)[0]) == 3  # each has some with another one
    nothing = tmp_path / "none_2012.gpkg"
    gpd.GeoDataFrame({"n": []}, geometry=[], crs=UTM).to_file(nothing)
    assert trends(tmp_path, nothing, now)[1]["gained_m2"][0] == pytest.approx(30_000, rel=2e-3)


def test_ground_that_several_polygons_claim_counts_once(tmp_path: Path, now: Path) -> None:
    over = shapely.box(*THEN[1].bounds[:2], THEN[1].bounds[2] + 50, THEN[1].bounds[3])  # THEN[1] and as much again half
    then = save(tmp_path / "d_2012.gpkg", [*THEN, THEN[0], over, THEN[2].buffer(-10)])
    zone = save(tmp_path / "zone.gpkg", [shapely.box(EAST, NORTH, EAST + 2000, NORTH + 2000)], name=["all"])
    with pytest.warns(UserWarning, match=r"over others of the same layer \(3, on 26,3.* m²\).*in others: 2"):
        periods, steps = trends(tmp_path, then, now, options=("--zones", str(zone), "--no-align"))
    one = shapely.area(shapely.union_all([*THEN, over]))
    assert periods["area_m2"][0] == pytest.approx(one, rel=2e-3)
    assert periods["villages"][0] == 4
    assert steps["before_m2"][0] == pytest.approx(one, rel=2e-3)
    assert steps["lost_m2"][0] == pytest.approx(15_000, rel=2e-3)
    zones = gpd.read_file(tmp_path / "t.gpkg", layer="zones")
    assert zones["area_m2"][0] == pytest.approx(one, rel=2e-3)
    outlines = gpd.read_file(tmp_path / "t.gpkg", layer="histories").geometry.area
    assert outlines[:4].sum() == pytest.approx(30_000 + 15_000)  # every village has its own
    aoi = save(tmp_path / "aoi.gpkg", [shapely.box(EAST, NORTH, EAST + 2000, NORTH + 2000)])
    assert run(["sample", str(then), "--aoi", str(aoi), "--out", str(tmp_path / "s.gpkg")]) == 0
    strata = pyogrio.read_dataframe(tmp_path / "s.gpkg", layer="strata").set_index("stratum")["area_m2"]
    assert strata["village"] == pytest.approx(one, rel=2e-3)


def test_a_result_never_replaces_an_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    then, now = save(tmp_path / "v_2012.gpkg", list(THEN)), save(tmp_path / "v_2016.gpkg", list(NOW))
    aoi = save(tmp_path / "aoi.gpkg", [WEST_HALF])
    linked, hard = tmp_path / "soft.gpkg", tmp_path / "hard.gpkg"
    linked.symlink_to(then)
    os.link(then, hard)
    (tmp_path / "folder").mkdir()
    kept = {path: path.read_bytes() for path in (then, now, aoi)}
    outs = [then, linked, hard, tmp_path / "folder" / ".." / "v_2016.gpkg"]
    commands = [[name, then, now, "--out", out, "--overwrite"] for out in outs for name in ("trends", "sample")]
    commands += [
        ["sample", then, "--aoi", aoi, "--out", aoi, "--overwrite"],
        ["trends", then, now, "--zones", aoi, "--out", aoi, "--overwrite"],
        ["trends", naming(then, layer="v_2012"), now, "--out", then, "--overwrite"],
        ["trends", then, now, "--out", then],
        ["review", then, "--image", "x.tif", "--out", then.with_suffix(".qgz"), "--overwrite"],
    ]
    tables = save(tmp_path / "folder" / "histories.parquet", list(NOW), acquired=[datetime.date(2016, 1, 1)] * 3)
    kept[tables] = tables.read_bytes()
    commands.append(["trends", then, tables, "--out", tmp_path / "t.gpkg", "--tables", tables.parent, "--overwrite"])
    for command in commands:
        assert "is an input of this run; give the result another name" in refusal(capsys, *command)
        assert {path: path.read_bytes() for path in kept} == kept


def test_a_prediction_of_several_periods_is_one_after_its_advice(
    tmp_path: Path, now: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    periods = ["it's 2012"] * 3 + ["it's 2016"] * 3
    ours = save(tmp_path / "ours.gpkg", [*THEN, *NOW], period=periods)
    told = refusal(capsys, "evaluate", ours, now)
    assert "ours.gpkg holds the periods it's 2012, it's 2016: choose one, as with --where" in told
    assert run(["evaluate", str(ours), str(now), *shlex.split(told.partition("as with ")[2])]) == 0
    assert "1.000" in capsys.readouterr().out


def test_layers_of_one_file_are_named_as_in_qgis_or_by_an_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    city = save(tmp_path / "city.gpkg", list(THEN), layer="v 2012")
    save(city, list(NOW), layer="v 2016")
    told = refusal(capsys, "trends", city, "--out", tmp_path / "t.gpkg")
    (first,) = shlex.split(told.rpartition("as with ")[2])
    periods, _ = trends(tmp_path, Path(first), naming(city, layer="v 2016"))
    assert periods["date"].astype(str).str[:4].tolist() == ["2012", "2016"]
    both = [save(save(tmp_path / f"{y}.gpkg", list(NOW), layer="a"), list(THEN), layer="b") for y in (2016, 2020)]
    assert trends(tmp_path, *both, options=("--layer", "b"))[1]["kept_m2"][0] == pytest.approx(30_000, rel=2e-3)


@pytest.mark.parametrize("name", ["v_2012.kml", "v_2012.shp.zip", "v_2012.geoparquet"])
def test_other_formats_are_read(tmp_path: Path, now: Path, name: str) -> None:
    frame = gpd.GeoDataFrame(geometry=THEN, crs=UTM)
    path = tmp_path / name
    if path.suffix == ".kml":
        frame.to_crs(4326).to_file(path, driver="KML")
    elif path.suffix == ".zip":
        frame.to_file(tmp_path / "a.shp")
        (tmp_path / "zip").mkdir()
        for part in tmp_path.glob("a.*"):
            part.rename(tmp_path / "zip" / f"v_2012{part.suffix}")
        shutil.make_archive(str(path.with_suffix("")), "zip", tmp_path / "zip")
    else:
        frame.to_parquet(path)
    assert trends(tmp_path, path, now)[0]["area_m2"][0] == pytest.approx(30_000, rel=2e-3)


def test_a_change_of_less_than_can_be_shown_has_no_sign_of_its_own(
    tmp_path: Path, now: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    less = [shapely.box(*one.bounds[:3], one.bounds[3] - 1e-6) for one in NOW]
    smaller, page = save(tmp_path / "v_2020.gpkg", less), tmp_path / "t.html"
    trends(tmp_path, now, smaller, options=("--report", str(page)))
    assert run(["evaluate", str(smaller), str(now)]) == 0
    said = capsys.readouterr().out
    assert "+0.00%" in said
    assert "+0.0 %" in said
    assert "-0.0" not in said
    assert "-0.0" not in page.read_text("utf-8").split("<svg")[0]
