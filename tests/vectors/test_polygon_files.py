"""Polygon files as users have them: formats, layers, CRS, repairs, and what is said about unusable ones."""

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import shapely
from pyproj import CRS, Transformer

from uvsam.errors import LabelError
from uvsam.vectors.geopackage import read_run
from uvsam.vectors.polygon_files import PolygonLayer, polygon_layer, polygons_only, read_coverage, read_polygons

SQUARE = shapely.box(0, 0, 1, 1)


def save(path: Path, *geometries: object, layer: str = "a", crs: str | None = "EPSG:4326", **columns: object) -> Path:
    gpd.GeoDataFrame(columns, geometry=list(geometries), crs=crs).to_file(path, layer=layer)
    return path


@pytest.mark.parametrize("name", ["labels.geojson", "labels.shp", "labels.gpkg", "城中村 ü.gpkg", "labels.parquet"])
def test_polygons_of_any_file_are_read_and_repaired(tmp_path: Path, name: str) -> None:
    bow_tie = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    parts = shapely.MultiPolygon([shapely.box(5, 5, 6, 6), shapely.box(8, 8, 9, 9)])
    frame = gpd.GeoDataFrame({"class": ["a", "b", "c"]}, geometry=[bow_tie, None, parts], crs=4326)
    frame.to_parquet(tmp_path / name) if name.endswith("parquet") else frame.to_file(tmp_path / name)
    found = read_polygons(tmp_path / name)
    assert found.crs == CRS.from_epsg(4326)
    assert shapely.is_valid(found.polygons).all()
    assert shapely.area(found.polygons).tolist() == pytest.approx([2, 2])
    assert len(read_polygons(tmp_path / name, where="class = 'c'").polygons) == 1
    assert read_coverage(tmp_path / name) is None
    assert read_run(tmp_path / name) == {}


@pytest.mark.parametrize(
    ("layers", "chosen"),
    [
        (["roofs"], "roofs"),
        (["roofs", "villages"], "villages"),
        (["roofs", "truth"], "truth"),
        (["truth", "villages"], "villages"),
        (["coverage", "roofs"], "roofs"),
    ],
)
def test_which_layer_is_read(tmp_path: Path, layers: list[str], chosen: str) -> None:
    for layer in layers:
        save(tmp_path / "labels.gpkg", SQUARE, layer=layer)
    save(tmp_path / "labels.gpkg", shapely.Point(0, 0), layer="points")
    assert polygon_layer(tmp_path / "labels.gpkg") == chosen
    assert polygon_layer(tmp_path / "labels.gpkg", layers[0]) == layers[0]


def test_geoparquet_of_others_is_read(tmp_path: Path) -> None:
    """With an index, another name of the geometries, heights, other encodings, and no CRS: longitude, latitude."""
    path = tmp_path / "labels.parquet"
    high = shapely.force_3d(shapely.box(72, 19, 73, 20), 9.0)
    frame = gpd.GeoDataFrame({"class": ["a"]}, geometry=[high], crs="OGC:CRS84", index=["first"])
    for options in ({}, {"geometry_encoding": "geoarrow"}, {"write_covering_bbox": True}):
        frame.rename_geometry("outline").to_parquet(path, **options)
        found = read_polygons(path)
        assert found.crs == CRS.from_user_input("OGC:CRS84")
        assert shapely.bounds(found.polygons).tolist() == [[72, 19, 73, 20]]
        assert not shapely.has_z(found.polygons).any()
    table = pq.read_table(path)
    said = json.loads(table.schema.metadata[b"geo"])
    del said["columns"]["outline"]["crs"]
    pq.write_table(table.replace_schema_metadata({b"geo": json.dumps(said).encode()}), path)
    assert read_polygons(path).crs == CRS.from_user_input("OGC:CRS84")


def test_unusable_files_say_why_in_one_line(tmp_path: Path) -> None:
    points, mixed = save(tmp_path / "points.gpkg", shapely.Point(0, 0), layer="p"), tmp_path / "mixed.geojson"
    save(mixed, SQUARE, shapely.Point(0, 0), layer="mixed")
    several = save(save(tmp_path / "several.gpkg", SQUARE), SQUARE, layer="b")
    seen = save(tmp_path / "seen.gpkg", SQUARE, layer="coverage")
    (tmp_path / "text.gpkg").write_text("no database")
    (tmp_path / "text.parquet").write_text("no table")
    pd.DataFrame({"a": [1]}).to_parquet(tmp_path / "table.parquet")
    gpd.GeoDataFrame({"a": [1]}, geometry=[SQUARE]).to_parquet(tmp_path / "squares.parquet")
    cases = [
        (points, {}, "has no layer of polygons; it has none"),
        (points, {"layer": "p"}, "has no layer of polygons p; it has none"),
        (mixed, {}, "holds Point; only polygons can be used"),
        (several, {}, "has the layers a, b; name the one to read"),
        (several, {"layer": "c"}, "has no layer of polygons c; it has a, b"),
        (several, {"layer": "a", "where": "period = 2020"}, "layer a of .* cannot be read: .*period"),
        (seen, {}, "has no layer of polygons; it has coverage"),
        (tmp_path / "nowhere.gpkg", {}, "nowhere.gpkg does not exist"),
        (tmp_path / "text.gpkg", {}, "is not a vector file"),
        (tmp_path / "text.parquet", {}, "is not a vector file"),
        (tmp_path / "nowhere.parquet", {}, "nowhere.parquet does not exist"),
        (tmp_path / "table.parquet", {}, "has no layer of polygons; it has none"),
        (tmp_path / "squares.parquet", {"layer": "c"}, "has no layer of polygons c; it has squares"),
        (tmp_path / "squares.parquet", {"where": "period = 2020"}, "layer squares of .* cannot be read: .*period"),
    ]
    for path, given, message in cases:
        with pytest.raises(LabelError, match=message) as caught:
            read_polygons(path, **given)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_file_without_a_place_has_no_crs(tmp_path: Path) -> None:
    assert read_polygons(save(tmp_path / "plane.gpkg", SQUARE, crs=None)).crs is None


def test_long_edges_stay_where_they_are_on_the_ground() -> None:
    """A parallel is a straight line in degrees and a curve in UTM."""
    utm = CRS.from_epsg(32650)
    found = PolygonLayer(np.array([shapely.box(116, 39, 118, 40)]), CRS.from_epsg(4326)).to_crs(utm)
    on_the_edge = Transformer.from_crs(4326, utm, always_xy=True).transform(116.5, 40)
    assert found[0].boundary.distance(shapely.Point(on_the_edge)) < 1e-3


def test_broken_polygons_become_the_ground_they_enclose() -> None:
    bow_tie = shapely.Polygon([(0, 0), (2, 2), (2, 0), (0, 2)])
    spike = shapely.Polygon([(0, 0), (4, 0), (4, 1), (4, 0), (4, 0), (4, 4), (0, 4)])
    flat = shapely.Polygon([(0, 0), (1, 1), (2, 2)])
    overlapping = shapely.MultiPolygon([shapely.box(0, 0, 4, 4), shapely.box(2, 0, 6, 4)])
    corner = shapely.GeometryCollection([shapely.box(0, 0, 1, 1), shapely.Point(3, 3)])
    fixed = polygons_only(np.array([bow_tie, spike, flat, overlapping, corner], dtype=object))
    assert shapely.is_valid(fixed).all()
    assert list(shapely.area(fixed)) == [2, 16, 24, 1]
    assert (shapely.get_dimensions(fixed) == 2).all()
    assert "COLLECTION" not in "".join(shape.wkt for shape in fixed).upper()
