"""Vector files from strangers: refused in one line before GDAL opens them; those that people have are read."""

import json
import os
import sqlite3
import threading
import zipfile
from contextlib import closing
from pathlib import Path

import geopandas as gpd
import pytest
import shapely

from uvsam.errors import LabelError
from uvsam.vectors.polygon_files import read_polygons

SQUARE = shapely.box(0, 0, 100, 100)
SHAPE = {"type": "Polygon", "coordinates": [[[0, 0], [0, 1], [1, 1], [0, 0]]]}


def layer(path: Path, geometry: shapely.Geometry = SQUARE) -> Path:
    gpd.GeoDataFrame({"n": [1]}, geometry=[geometry], crs="EPSG:32643").to_file(path, engine="pyogrio")
    return path


def refusal(path: Path) -> str:
    """What is said of a file; a pipe that is opened would wait for ever, so another thread asks."""
    said: list[str] = []

    def ask() -> None:
        try:
            read_polygons(path)
            said.append("read")
        except LabelError as error:
            said.append(str(error))

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(60)
    return said[0] if said else "waits"


def collection(**more: object) -> str:
    feature = {"type": "Feature", "properties": {"type": "link"}, "geometry": SHAPE}
    return json.dumps({"type": "FeatureCollection", "features": [feature]} | more)


def test_pipes_and_devices_are_refused_beside_a_file_too(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.gpkg")
    layer(tmp_path / "b.shp")
    (tmp_path / "b.cpg").unlink()
    os.mkfifo(tmp_path / "b.cpg")
    for path in (tmp_path / "a.gpkg", tmp_path / "b.shp", Path("/dev/zero")):
        assert "is a pipe or a device" in refusal(path)


@pytest.mark.parametrize(
    ("name", "content", "word"),
    [
        ("a.vrt", "<OGRVRTDataSource><OGRVRTLayer name='x'><SrcDataSource>/dev/zero</SrcDataSource></OGRVRTLayer>"
                  "</OGRVRTDataSource>", "describes OGRVRTDataSource"),
        ("a.geojson", "\n <!-- x --><OGRVRTDataSource/>", "describes OGRVRTDataSource"),
        ("a.xml", "<?xml version='1.0'?><OGRWFSDataSource><URL>http://127.0.0.1:1</URL></OGRWFSDataSource>", "OGRWFS"),
        ("a.kml", "<!DOCTYPE kml [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><kml>&x;</kml>", "XML entities"),
        ("a.gml", "<wfs:FeatureCollection xsi:schemaLocation='http://a http://127.0.0.1:1/a.xsd'/>", "not fetched"),
        ("a.geojson", collection(crs={"type": "link", "properties": {"href": "http://127.0.0.1:1"}}), "by an address"),
        ("a.gdalg.json", '{"type": "gdal_streamed_alg", "command_line": "gdal vector pipeline"}', "not run"),
    ],
)  # fmt: skip
def test_what_would_reach_elsewhere_is_refused(tmp_path: Path, name: str, content: str, word: str) -> None:
    (tmp_path / name).write_text(content)
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.write(tmp_path / name, name)
    assert word in refusal(tmp_path / name)
    if not name.endswith("json"):
        assert word in refusal(tmp_path / "a.zip")


@pytest.mark.parametrize("name", ["PG:dbname=x", "https://127.0.0.1:1/a.geojson", "/vsicurl/http://127.0.0.1:1/a.gpkg"])
def test_addresses_and_databases_are_no_files(name: str) -> None:
    said = refusal(Path(name))
    assert "network" in said or "is no file" in said


def test_an_address_that_a_path_made_shorter_is_told_as_one_without_its_password() -> None:
    said = refusal(Path("https://me:s3cr3t@127.0.0.1:1/a.gpkg?sig=s3cr3t"))
    assert said == "https:/127.0.0.1:1/a.gpkg is on the network; download it and give the file"


def execute(path: Path, *commands: str) -> Path:
    with closing(sqlite3.connect(path)) as database, database:
        for command in commands:
            database.execute(command)
    return path


def test_views_that_do_not_end_are_refused_and_others_read(tmp_path: Path) -> None:
    endless = "CREATE VIEW v AS WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT x FROM c"
    assert "view v cannot be read to its end" in refusal(execute(layer(tmp_path / "a.gpkg"), endless))
    large = "CREATE VIEW v AS SELECT zeroblob(1000000000) AS x"
    assert "view v cannot be read to its end" in refusal(execute(layer(tmp_path / "b.gpkg"), large))
    path = execute(layer(tmp_path / "c.gpkg"), "CREATE VIEW v AS SELECT n FROM c")
    assert read_polygons(path).polygons[0].equals(SQUARE)


def test_coordinates_that_are_no_place_are_told_with_their_row(tmp_path: Path) -> None:
    for number, wrong in enumerate((float("nan"), float("inf"), 1e300)):
        ring = shapely.Polygon([(0, 0), (0, wrong), (5, 5), (0, 0)])
        path = tmp_path / f"{number}.parquet"
        gpd.GeoDataFrame(geometry=[SQUARE, ring], crs="EPSG:32643").to_parquet(path)
        assert "row 2 has the coordinates 0," in refusal(path)
        path = path.with_suffix(".gpkg")
        gpd.GeoDataFrame(geometry=[SQUARE, ring], crs="EPSG:32643").to_file(path, engine="pyogrio")
        assert "which are no place" in refusal(path)


def test_more_rows_than_bytes_are_refused(tmp_path: Path) -> None:
    path = execute(layer(tmp_path / "a.gpkg"), "UPDATE gpkg_ogr_contents SET feature_count = 1000000000")
    assert "says that it has 1000000000 rows" in refusal(path)


@pytest.mark.parametrize("end", ["gpkg", "shp", "fgb", "geojson", "gml", "kml"])
def test_files_that_people_have_are_read(tmp_path: Path, end: str) -> None:
    path = tmp_path / f"a.{end}"
    places = shapely.box(72, 19, 72.001, 19.001)
    gpd.GeoDataFrame({"Name": ["link"]}, geometry=[places], crs="EPSG:4326").to_file(path, engine="pyogrio")
    assert read_polygons(path).polygons[0].equals(places)
    if end not in ("gml", "kml"):  # GDAL finds these in an archive
        with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
            for one in tmp_path.glob("a.*"):
                archive.write(one, one.name)
        assert read_polygons(tmp_path / "b.zip").polygons[0].equals(places)


def test_a_feature_whose_property_is_called_type_is_no_address(tmp_path: Path) -> None:
    (tmp_path / "a.geojson").write_text(collection())
    assert len(read_polygons(tmp_path / "a.geojson").polygons) == 1
