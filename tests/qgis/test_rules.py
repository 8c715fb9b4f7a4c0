"""OGC's rules for GeoPackages, checked with SQLite alone, and PDOK's by its own validator where it is installed."""

import json
import shutil
import sqlite3
import struct
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import shapely

KINDS = {"POLYGON": "Polygon", "MULTIPOLYGON": "MultiPolygon", "POINT": "Point"}
ENVELOPES = {0: 0, 1: 32, 2: 48, 3: 48, 4: 64}
NOT_DUTCH = "RQ22"
"""Only the reference systems of the Netherlands and a few of all Europe are allowed: no map of Mumbai has one."""


@pytest.fixture(params=["villages", "trends", "sample"])
def path(request: pytest.FixtureRequest) -> Path:
    found: Path = request.getfixturevalue(request.param)
    return found


@pytest.fixture
def database(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as opened:
        yield opened


def geometry(blob: bytes) -> shapely.Geometry:
    """A geometry and what its header says, by the standard (clause 2.1.3)."""
    magic, version, flags = blob[:2], blob[2], blob[3]
    assert (magic, version) == (b"GP", 0)
    end = 8 + ENVELOPES[(flags >> 1) & 0b111]
    made = shapely.from_wkb(blob[end:])
    assert bool(flags & 0b10000) == made.is_empty
    if end > 8:
        order = "<" if flags & 1 else ">"
        left, right, bottom, top = struct.unpack(f"{order}4d", blob[8:40])
        assert (left, bottom, right, top) == pytest.approx(made.bounds)
    return made


def test_the_file_is_a_sound_geopackage(database: sqlite3.Connection, path: Path) -> None:
    assert database.execute("PRAGMA application_id").fetchone()[0] == int.from_bytes(b"GPKG", "big")
    assert 10200 <= database.execute("PRAGMA user_version").fetchone()[0] <= 10300  # what GDAL 3.6 reads without a word
    assert database.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    assert database.execute("PRAGMA foreign_key_check").fetchall() == []
    assert database.execute("SELECT count(*) FROM sqlite_master WHERE type = 'view'").fetchone() == (0,)
    assert not list(path.parent.glob("*.gpkg-*"))


def test_every_table_is_registered_with_its_kind(database: sqlite3.Connection) -> None:
    contents = dict(database.execute("SELECT table_name, data_type FROM gpkg_contents"))
    assert set(contents.values()) == {"features", "attributes"}
    geometries = {name for (name,) in database.execute("SELECT table_name FROM gpkg_geometry_columns")}
    assert geometries == {name for name, kind in contents.items() if kind == "features"}
    tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    of_sqlite = {name for name in tables if name.startswith(("gpkg_", "rtree_", "sqlite_"))}
    assert tables - of_sqlite == set(contents)
    named = [name for (name,) in database.execute("SELECT identifier FROM gpkg_contents")]
    assert len(set(named)) == len(named)
    for extension, table in database.execute("SELECT extension_name, table_name FROM gpkg_extensions"):
        assert extension in ("gpkg_rtree_index", "gpkg_metadata", "gpkg_schema")
        assert table in tables
    described = database.execute("SELECT table_name, column_name FROM gpkg_data_columns").fetchall()
    for table, column in described:
        assert column in [row[1] for row in database.execute(f"PRAGMA table_info({table})")]


def test_features_have_a_number_one_kind_of_geometry_and_one_crs(database: sqlite3.Connection) -> None:
    rows = database.execute("SELECT table_name, column_name, geometry_type_name, srs_id FROM gpkg_geometry_columns")
    for table, column, kind, srs in rows.fetchall():
        keys = [name for _, name, _, _, _, key in database.execute(f"PRAGMA table_info({table})") if key]
        assert keys == ["fid"]
        known = "SELECT count(*) FROM gpkg_spatial_ref_sys WHERE srs_id = ? AND organization = 'EPSG'"
        assert database.execute(known, (srs,)).fetchone() == (1,)
        blobs = database.execute(f"SELECT fid, {column} FROM {table}").fetchall()
        shapes = [geometry(blob) for _, blob in blobs]
        assert {shape.geom_type for shape in shapes} <= {KINDS[kind]}
        assert all(shape.is_valid and not shape.is_empty and not shape.has_z for shape in shapes)
        parts = [part for part in shapely.get_parts(shapes) if kind != "POINT"]
        assert all(polygon.exterior.is_ccw for polygon in parts)
        assert not any(hole.is_ccw for polygon in parts for hole in polygon.interiors)
        assert all(int.from_bytes(blob[4:8], "little" if blob[3] & 1 else "big") == srs for _, blob in blobs)
        index = {
            fid: box for fid, *box in database.execute(f"SELECT id, minx, miny, maxx, maxy FROM rtree_{table}_{column}")
        }
        assert set(index) == {fid for fid, _ in blobs}
        for (fid, _), shape in zip(blobs, shapes, strict=True):
            left, bottom, right, top = index[fid]  # of single precision, rounded outwards
            assert shapely.box(left, bottom, right, top).buffer(0).covers(shapely.box(*shape.bounds))
        whole = database.execute("SELECT min_x, min_y, max_x, max_y FROM gpkg_contents WHERE table_name = ?", (table,))
        assert whole.fetchone() == pytest.approx(shapely.total_bounds(shapes))
        counted = database.execute("SELECT feature_count FROM gpkg_ogr_contents WHERE table_name = ?", (table,))
        assert counted.fetchone() == (len(blobs),)


def test_styles_and_metadata_belong_to_layers(database: sqlite3.Connection) -> None:
    geometries = dict(database.execute("SELECT table_name, column_name FROM gpkg_geometry_columns"))
    styles = database.execute("SELECT f_table_name, f_geometry_column FROM layer_styles WHERE useAsDefault").fetchall()
    assert dict(styles) == geometries
    assert len(styles) == len(geometries)
    references = database.execute(
        "SELECT table_name, md_standard_uri, mime_type FROM gpkg_metadata_reference "
        "JOIN gpkg_metadata ON gpkg_metadata.id = md_file_id"
    ).fetchall()
    assert {table for table, *_ in references} == set(geometries)
    assert {tuple(rest) for _, *rest in references} == {("http://mrcc.com/qgis.dtd", "text/xml")}


def test_the_validator_of_pdok_finds_nothing_but_where_on_earth_it_is(path: Path) -> None:
    validator = shutil.which("geopackage-validator")
    if validator is None:
        pytest.skip("geopackage-validator is not on PATH (.ci/install-qgis installs it)")
    done = subprocess.run([validator, "validate", "--gpkg-path", path], capture_output=True, text=True, check=False)
    told = json.loads(done.stdout[done.stdout.index("{") :])
    assert len(told["validations_executed"]) > 15
    assert {found["validation_code"] for found in told["results"]} <= {NOT_DUTCH}, done.stdout
