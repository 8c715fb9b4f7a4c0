"""Zones as people have them, and villages far from all others, through the command line."""

from pathlib import Path

import geopandas as gpd
import pandas as pd
import pytest
import shapely

from uvsam.cli.main import run

CRS = "EPSG:32650"
EAST, NORTH = 500_000.0, 2_500_000.0
WEST_ZONE = shapely.box(EAST - 50, NORTH - 50, EAST + 450, NORTH + 450)
EAST_ZONE = shapely.box(EAST + 200, NORTH - 50, EAST + 1000, NORTH + 750)


def boxes(*corners: tuple[float, float, float]) -> list[shapely.Polygon]:
    return [shapely.box(EAST + x, NORTH + y, EAST + x + size, NORTH + y + size) for x, y, size in corners]


VILLAGES = boxes((0, 0, 100), (300, 0, 100), (600, 0, 100), (0, 300, 100), (300, 300, 200))


def layers(folder: Path, villages: list[shapely.Polygon], seen: shapely.Polygon | None = None) -> list[str]:
    for year in (2012, 2016):
        path = folder / f"v_{year}.gpkg"
        gpd.GeoDataFrame({"n": range(len(villages))}, geometry=villages, crs=CRS).to_file(path, layer="villages")
        if seen is not None:
            gpd.GeoDataFrame({"x": [1]}, geometry=[seen], crs=CRS).to_file(path, layer="coverage")
    return [str(folder / f"v_{year}.gpkg") for year in (2012, 2016)]


def zones_of(folder: Path, zones: Path, seen: shapely.Polygon | None = None) -> pd.DataFrame:
    """Of the first period, as it is written; the page must be there, too."""
    out = ["--out", str(folder / "t.gpkg"), "--report", str(folder / "t.html"), "--zones", str(zones)]
    assert run(["trends", *layers(folder, VILLAGES, seen), *out]) == 0
    found = gpd.read_file(folder / "t.gpkg", layer="zones")
    page = (folder / "t.html").read_text()
    assert all(f"<td>{name}</td>" in page for name in found["zone"])
    return found[found["valid_from"].dt.year == 2012].set_index("zone")


def test_zones_that_overlap_have_all_that_lies_in_them(tmp_path: Path) -> None:
    frame = gpd.GeoDataFrame({"name": ["west", "east"]}, geometry=[WEST_ZONE, EAST_ZONE], crs=CRS)
    frame.to_file(tmp_path / "zones.gpkg")
    found = zones_of(tmp_path, tmp_path / "zones.gpkg")
    for name, zone in zip(frame["name"], frame.geometry, strict=True):
        by_hand = sum(village.intersection(zone).area for village in VILLAGES)
        assert found["area_m2"][name] == pytest.approx(by_hand, rel=2e-3)  # UTM is a map of its own scale
        assert found["villages"][name] == sum(one.intersection(zone).area > one.area / 2 for one in VILLAGES)
    assert found["seen_share"].tolist() == pytest.approx([1, 1])


@pytest.mark.parametrize(
    ("columns", "names"),
    [
        ({"name": ["a", "b"]}, ["a", "b"]),
        ({"Name": ["a", "b"]}, ["a", "b"]),
        ({"NAME": ["a", "b"], "id": [1, 2]}, ["a", "b"]),
        ({"NAME_0": ["x", "x"], "NAME_1": ["y", "y"], "NAME_2": ["a", "b"]}, ["a", "b"]),
        ({"DIST_NAME": ["a", "b"]}, ["a", "b"]),
        ({"name": ["a", None]}, ["a", "zone 2"]),
        ({"name": [None, " "], "label": ["a", "b"]}, ["a", "b"]),
        ({"name": [7.0, 12.0]}, ["7", "12"]),
        ({"id": [1, 2]}, ["zone 1", "zone 2"]),
    ],
)
def test_a_zone_has_the_name_that_the_file_gives_it(
    tmp_path: Path, columns: dict[str, list[object]], names: list[str]
) -> None:
    gpd.GeoDataFrame(columns, geometry=[WEST_ZONE, EAST_ZONE], crs=CRS).to_file(tmp_path / "zones.gpkg")
    assert zones_of(tmp_path, tmp_path / "zones.gpkg").index.tolist() == names


def test_zones_of_google_earth_keep_their_names(tmp_path: Path) -> None:
    corners = [" ".join(f"{x},{y},0" for x, y in one.exterior.coords) for one in
               gpd.GeoSeries([WEST_ZONE, EAST_ZONE], crs=CRS).to_crs(4326)]  # fmt: skip
    marks = "".join(
        f"<Placemark><name>{name}</name><Polygon><outerBoundaryIs><LinearRing><coordinates>{ring}</coordinates>"
        "</LinearRing></outerBoundaryIs></Polygon></Placemark>"
        for name, ring in zip(("West", "East"), corners, strict=True)
    )
    (tmp_path / "zones.kml").write_text(
        f'<kml xmlns="http://www.opengis.net/kml/2.2"><Document>{marks}</Document></kml>'
    )
    assert zones_of(tmp_path, tmp_path / "zones.kml").index.tolist() == ["West", "East"]


def test_a_row_without_ground_does_not_rename_the_others(tmp_path: Path) -> None:
    ground = [WEST_ZONE, shapely.Polygon(), None, shapely.MultiPolygon([EAST_ZONE, WEST_ZONE.buffer(-200)])]
    gpd.GeoDataFrame({"name": ["a", "b", "c", None]}, geometry=ground, crs=CRS).to_file(tmp_path / "zones.gpkg")
    assert zones_of(tmp_path, tmp_path / "zones.gpkg").index.tolist() == ["a", "zone 4"]


def test_zones_of_one_name_are_told_apart(tmp_path: Path) -> None:
    three = gpd.GeoDataFrame({"name": ["a", "a", "a (2)"]}, geometry=[WEST_ZONE, EAST_ZONE, EAST_ZONE], crs=CRS)
    three.to_file(tmp_path / "zones.gpkg")
    with pytest.warns(UserWarning, match="several zones of the name a;"):
        assert zones_of(tmp_path, tmp_path / "zones.gpkg").index.tolist() == ["a", "a (3)", "a (2)"]


def test_what_of_a_zone_was_looked_at_is_said(tmp_path: Path) -> None:
    far = shapely.box(EAST + 5000, NORTH, EAST + 5500, NORTH + 500)
    gpd.GeoDataFrame({"name": ["west", "far"]}, geometry=[WEST_ZONE, far], crs=CRS).to_file(tmp_path / "zones.gpkg")
    with pytest.warns(UserWarning, match="1 zones are on no ground that was looked at on 2012-07-01: far"):
        found = zones_of(tmp_path, tmp_path / "zones.gpkg", shapely.box(EAST - 50, NORTH - 50, EAST + 200, NORTH + 450))
    assert found["seen_share"]["west"] == pytest.approx(0.5, rel=1e-3)
    assert found["share"]["west"] == pytest.approx(20_000 / 125_000, rel=1e-3)
    assert "not looked at" in (tmp_path / "t.html").read_text()


@pytest.mark.parametrize(
    ("geometry", "crs", "said"),
    [
        (shapely.box(EAST + 50_000, NORTH, EAST + 51_000, NORTH + 900), CRS, "lies where the layers are"),
        (shapely.LineString([(EAST, NORTH), (EAST + 500, NORTH)]), CRS, "has no layer of polygons"),
        (shapely.Polygon(), CRS, "has no polygon"),
        (WEST_ZONE, None, "has no coordinate reference system"),
    ],
)
@pytest.mark.filterwarnings("ignore:'crs' was not provided")
def test_zones_that_cannot_be_used_are_one_line(
    tmp_path: Path, geometry: shapely.Geometry, crs: str | None, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    gpd.GeoDataFrame({"name": ["a"]}, geometry=[geometry], crs=crs).to_file(tmp_path / "zones.gpkg")
    paths = layers(tmp_path, VILLAGES)
    out = tmp_path / "t.gpkg"
    assert run(["trends", *paths, "--out", str(out), "--zones", str(tmp_path / "zones.gpkg")]) == 1
    assert said in capsys.readouterr().err.strip().splitlines()[-1]
    assert not out.exists()


def test_a_village_far_from_all_others_is_named_and_does_not_make_a_grid(tmp_path: Path) -> None:
    paths = layers(tmp_path, [*VILLAGES, shapely.box(200_000, 2_300_000, 200_100, 2_300_100)])
    with pytest.warns(UserWarning, match="lie 361 km apart, the furthest from the others at 200050, 2300050"):
        assert run(["trends", *paths, "--out", str(tmp_path / "t.gpkg")]) == 0
    cells = gpd.read_file(tmp_path / "t.gpkg", layer="hot_spots")
    assert len(cells) < 2 * 700
    histories = gpd.read_file(tmp_path / "t.gpkg", layer="histories")
    assert cells["area_m2"].sum() == pytest.approx(histories["area_m2"].sum())


def test_cells_that_would_be_too_many_are_larger_and_it_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("uvsam.change.hot_spots.MOST_CELLS", 2000)
    seen = shapely.box(EAST, NORTH, EAST + 3000, NORTH + 3000)
    paths, out = layers(tmp_path, VILLAGES, seen), str(tmp_path / "t.gpkg")
    with pytest.warns(UserWarning, match="hot spots are told in cells of 7"):
        assert run(["trends", *paths, "--out", out, "--cell-m", "1"]) == 0
    cells = gpd.read_file(tmp_path / "t.gpkg", layer="hot_spots")
    assert len(cells) <= 2 * 2000
