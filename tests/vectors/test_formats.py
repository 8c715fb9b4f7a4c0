"""Formats by extension: the same villages in each, what each standard asks for, and nothing lost or half written."""

import datetime
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import geopandas as gpd
import hypothesis.strategies as st
import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pyogrio
import pytest
import shapely
from hypothesis import given, settings
from pyproj import CRS
from shapely import affinity

from uvsam.errors import GeoreferencingError, LabelError, OutputError
from uvsam.vectors.formats import SUFFIXES, check_output, outputs, read_run, write_villages
from uvsam.vectors.measures import geodesic_measures
from uvsam.vectors.polygon_files import read_coverage, read_polygons
from uvsam.vectors.schema import COVERAGE, VILLAGES, make_frame

DAY = datetime.date(2016, 5, 4)
RUN = {"model": "segformer", "threshold": 0.4, "bands": [1, 2, 3], "note": "城中村", "aoi": None}
UTM = "EPSG:32650"
OTHERS = [suffix for suffix in SUFFIXES if suffix != ".gpkg"]
READ_BACK = [".fgb", ".parquet", ".geojson"]


def village(number: int, size: float = 300.0) -> shapely.Polygon:
    """A square with a hole, its rings against the rule of GeoJSON."""
    x, y = 440_000 + 1000 * number, 4_400_000
    outer, hole = (
        shapely.box(x, y, x + size, y + size, ccw=False),
        shapely.box(x + 20, y + 20, x + 90, y + 70, ccw=True),
    )
    return shapely.Polygon(outer.exterior, [hole.exterior])


def frames(
    count: int = 3, crs: str | None = UTM, acquired: datetime.date | None = DAY
) -> tuple[gpd.GeoDataFrame, gpd.GeoDataFrame]:
    numbers = np.arange(1, count + 1)
    numeric = {name: numbers * 1.25 for name, dtype in VILLAGES.columns.items() if dtype == "float64"}
    columns: dict[str, Any] = numeric | {
        "village_id": numbers, "sam_iou_pred": np.nan, "on_edge": numbers > 1, "acquired": acquired,
        "model": "segformer 村",
    }  # fmt: skip
    villages = make_frame(VILLAGES, np.array([village(n) for n in numbers], object), crs, columns)
    seen = np.array([shapely.multipolygons([shapely.box(440_000, 4_390_000, 460_000, 4_410_000)])], object)
    return villages, make_frame(COVERAGE, seen, crs, {"acquired": acquired, "model": "segformer 村", "area_m2": 4e8})


def read(path: Path) -> gpd.GeoDataFrame:
    """As somebody does who knows nothing of us."""
    frame = gpd.read_parquet(path) if path.suffix == ".parquet" else gpd.read_file(path)
    return frame.sort_values("village_id", ignore_index=True) if "village_id" in frame else frame


def plain(frame: gpd.GeoDataFrame) -> pd.DataFrame:
    """The table without what formats may say in their own way: a day as a date or a time, and text and none."""
    table = pd.DataFrame(frame.drop(columns="geometry"))
    table["acquired"] = pd.to_datetime(table["acquired"]).astype("datetime64[s]")
    table["model"] = table["model"].astype(object)
    return table.astype({name: dtype for name, dtype in VILLAGES.columns.items() if dtype in ("float64", "int64")})


@pytest.mark.parametrize("suffix", READ_BACK)
@pytest.mark.parametrize("acquired", [DAY, None])
def test_every_format_has_the_same_villages(tmp_path: Path, suffix: str, acquired: datetime.date | None) -> None:
    villages, coverage = frames(acquired=acquired)
    path = tmp_path / f"城中村 ü{suffix}"
    write_villages(path, villages, coverage, RUN)
    assert sorted(file for file in tmp_path.iterdir()) == sorted(outputs(path))
    found = read(path)
    pd.testing.assert_frame_equal(plain(found), plain(villages), check_dtype=True)
    assert found.crs == (CRS("EPSG:4326") if suffix == ".geojson" else villages.crs)
    if suffix != ".geojson":
        assert shapely.equals_exact(shapely.normalize(found.geometry), shapely.normalize(villages.geometry)).all()
    measured = [geodesic_measures(one.geometry.to_numpy(), one.crs) for one in (found, villages)]
    centimetres = 0.01 * measured[1][1]  # along the whole outline
    assert (np.abs(measured[0][0] - measured[1][0]) < centimetres).all()


@pytest.mark.parametrize("suffix", [".gpkg", *READ_BACK])
def test_what_was_looked_at_and_how_is_not_lost(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"villages{suffix}"
    villages, coverage = frames()
    write_villages(path, villages, coverage, RUN)
    run = read_run(path)
    assert list(run) == list(RUN)
    assert (run["model"], run["note"]) == ("segformer", "城中村")
    assert {key: json.loads(run[key]) for key in ("threshold", "bands", "aoi")} == {
        key: RUN[key] for key in ("threshold", "bands", "aoi")
    }
    assert len(read_polygons(path).polygons) == len(villages)
    seen = read_coverage(path)
    assert seen is not None
    ground = shapely.union_all(seen.to_crs(CRS(UTM)))
    # edges of 20 km, which are not straight in longitude and latitude, stay where they were
    assert shapely.hausdorff_distance(ground, coverage.geometry.iloc[0]) < 0.02
    assert ground.symmetric_difference(coverage.geometry.iloc[0]).area < 0.01 * ground.length


def test_a_file_that_happens_to_lie_beside_is_not_taken_for_coverage(tmp_path: Path) -> None:
    gpd.GeoDataFrame(geometry=[village(1)], crs=UTM).to_file(tmp_path / "a.fgb")
    gpd.GeoDataFrame(geometry=[village(2)], crs=UTM).to_file(tmp_path / "a_coverage.fgb")
    assert read_coverage(tmp_path / "a.fgb") is None
    assert read_run(tmp_path / "a.fgb") == {}


@pytest.mark.parametrize("suffix", OTHERS)
def test_no_village_is_a_result(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"villages{suffix}"
    write_villages(path, *frames(0), RUN)
    assert all(file.exists() for file in outputs(path))
    if suffix in (".fgb", ".parquet"):
        assert list(read(path).columns) == [*VILLAGES.columns, "geometry"]
    if suffix == ".parquet":
        schema = pq.read_schema(path)
        assert (str(schema.field("acquired").type), str(schema.field("model").type)) == ("date32[day]", "string")
    assert len(pyogrio.read_dataframe(path) if suffix == ".pmtiles" else read_polygons(path).polygons) == 0


@pytest.mark.parametrize("suffix", [".fgb", ".parquet"])
def test_no_place_on_earth_is_none_made_up(tmp_path: Path, suffix: str, recwarn: pytest.WarningsRecorder) -> None:
    path = tmp_path / f"villages{suffix}"
    write_villages(path, *frames(crs=None), RUN)
    assert read(path).crs is None
    assert read_polygons(path).crs is None
    assert not [warning for warning in recwarn if "crs" in str(warning.message)]


def test_geoparquet_is_that_of_version_1_1(tmp_path: Path) -> None:
    """What its JSON schema asks for, and what it says of the column ``bbox``."""
    villages, coverage = frames()
    path = tmp_path / "villages.parquet"
    write_villages(path, villages, coverage, RUN)
    file = pq.ParquetFile(path)
    geo = json.loads(file.schema_arrow.metadata[b"geo"])
    assert (geo["version"], geo["primary_column"], list(geo["columns"])) == ("1.1.0", "geometry", ["geometry"])
    column = geo["columns"]["geometry"]
    assert (column["encoding"], column["geometry_types"]) == ("WKB", ["Polygon"])
    assert CRS.from_json_dict(column["crs"]) == CRS(UTM)
    assert column["bbox"] == pytest.approx(villages.total_bounds)
    edges = ("xmin", "ymin", "xmax", "ymax")
    assert column["covering"] == {"bbox": {edge: ["bbox", edge] for edge in edges}}
    boxes = pq.read_table(path, columns=["bbox"])["bbox"].to_pylist()
    bounds = shapely.bounds(villages.geometry.to_numpy())
    assert np.array([[box[edge] for edge in edges] for box in boxes]) == pytest.approx(bounds)
    group = file.metadata.row_group(0)
    assert {group.column(number).compression for number in range(group.num_columns)} == {"ZSTD"}
    west = village(1).bounds
    assert gpd.read_parquet(path, bbox=west)["village_id"].tolist() == [1]


def rings(feature: dict[str, Any]) -> list[tuple[bool, list[list[float]]]]:
    """Rings with whether they are outer ones."""
    of = feature["geometry"]["coordinates"]
    polygons = of if feature["geometry"]["type"] == "MultiPolygon" else [of]
    return [(number == 0, ring) for polygon in polygons for number, ring in enumerate(polygon)]


def check_rfc_7946(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    assert document["type"] == "FeatureCollection"
    assert "crs" not in document
    for feature in document["features"]:
        for outer, ring in rings(feature):
            assert shapely.LinearRing(ring).is_ccw == outer
            assert ring[0] == ring[-1]
            for lon, lat in ring:
                assert -180 <= lon <= 180
                assert -90 <= lat <= 90
                assert (lon, lat) == (round(lon, 7), round(lat, 7))
        assert shapely.is_valid(shapely.geometry.shape(feature["geometry"]))
    return document


def test_geojson_is_that_of_rfc_7946(tmp_path: Path) -> None:
    path = tmp_path / "villages.geojson"
    write_villages(path, *frames(), RUN)
    document = check_rfc_7946(path)
    assert [len(rings(feature)) for feature in document["features"]] == [2, 2, 2]
    assert document["features"][0]["properties"] | {"area_m2": 0} == {
        name: 1.25 for name, dtype in VILLAGES.columns.items() if dtype == "float64"
    } | {"village_id": 1, "sam_iou_pred": None, "on_edge": False, "acquired": "2016-05-04", "model": "segformer 村",
         "area_m2": 0}  # fmt: skip
    check_rfc_7946(tmp_path / "villages_coverage.geojson")


@settings(max_examples=25)
@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=3, max_size=60, unique=True),
    st.floats(0.03, 2.0), st.floats(0, 90),
)  # fmt: skip
def test_any_outline_of_pixels_is_right_in_geojson(
    tmp_path_factory: pytest.TempPathFactory, pixels: list[tuple[int, int]], gsd_m: float, angle: float
) -> None:
    """Also where pixels are of the size of the last digit, or meet in corners."""
    whole = shapely.union_all([shapely.box(x, y, x + 1, y + 1) for x, y in pixels])
    parts = np.array([p for p in shapely.get_parts(whole) if p.geom_type == "Polygon"], object)
    placed = [
        affinity.affine_transform(affinity.rotate(p, angle, (0, 0)), [gsd_m, 0, 0, gsd_m, 440_000, 4_400_000])
        for p in parts
    ]
    villages, coverage = frames(len(parts))
    villages = villages.set_geometry(gpd.GeoSeries(placed, crs=UTM))
    path = tmp_path_factory.mktemp("law") / "villages.geojson"
    write_villages(path, villages, coverage, RUN)
    document = check_rfc_7946(path)
    assert len(document["features"]) == len(parts)


def test_pmtiles_show_the_villages(tmp_path: Path) -> None:
    path = tmp_path / "villages.pmtiles"
    villages, coverage = frames()
    write_villages(path, villages, coverage, RUN)
    assert pyogrio.list_layers(path)[:, 0].tolist() == ["villages"]
    assert pyogrio.list_layers(tmp_path / "villages_coverage.pmtiles")[:, 0].tolist() == ["coverage"]
    shown = pyogrio.read_dataframe(path)
    assert set(shown["village_id"]) == {1, 2, 3}
    ground = shown.dissolve("village_id").to_crs(UTM).geometry
    for number, outline in zip(villages["village_id"], villages.geometry, strict=True):
        assert ground[number].symmetric_difference(outline).area < 2 * outline.length  # 2 m beside it
    with pytest.raises(LabelError, match="cut at the borders of tiles; give a file that has them whole"):
        read_polygons(path)


def test_what_cannot_be_written_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OutputError, match=r"\.fgb, \.parquet, \.geoparquet, \.geojson or \.pmtiles$"):
        check_output(tmp_path / "villages.tab")
    for suffix in (".geojson", ".pmtiles"):
        with pytest.raises(GeoreferencingError, match=r"no place on earth; write \.gpkg or \.fgb"):
            write_villages(tmp_path / f"villages{suffix}", *frames(crs=None), RUN)
    monkeypatch.setattr(pyogrio, "list_drivers", lambda: {"PMTiles": "r"})
    with pytest.raises(OutputError, match=r"does not write PMTiles; write \.gpkg, \.fgb, \.parquet or \.geojson"):
        check_output(tmp_path / "villages.pmtiles")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("suffix", OTHERS)
def test_existing_files_are_replaced_only_when_asked(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"villages{suffix}"
    for file in outputs(path):
        file.write_text("mine")
        with pytest.raises(OutputError, match=rf"{file.name} exists; give another name or --overwrite"):
            write_villages(path, *frames(), RUN)
        assert [found.read_text() for found in tmp_path.iterdir()] == ["mine"]
        file.unlink()
    path.write_text("mine")
    write_villages(path, *frames(), RUN, overwrite=True)
    assert sorted(tmp_path.iterdir()) == sorted(outputs(path))
    assert path.read_bytes() != b"mine"


FULL_DISK = """
import importlib.util, pathlib, resource, signal, sys
here = importlib.util.spec_from_file_location("test_formats", sys.argv[1])
tests = importlib.util.module_from_spec(here)
here.loader.exec_module(tests)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
for path in map(pathlib.Path, sys.argv[2:]):
    for limit in (1_000, 10_000, 100_000):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
        try:
            tests.write_villages(path, *tests.frames(3000), tests.RUN, overwrite=True)
        except tests.OutputError as error:
            print(limit, error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="file size limits stand in for a full disk")
def test_a_full_disk_leaves_the_old_files_and_nothing_else(tmp_path: Path) -> None:
    paths = [tmp_path / f"villages{suffix}" for suffix in READ_BACK]
    for path in paths:
        write_villages(path, *frames(2), RUN)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, __file__, *map(str, paths)], capture_output=True, text=True, check=False
    )
    said = [f"{limit} cannot write {path}: " for path in paths for limit in (1_000, 10_000, 100_000)]
    lines = done.stdout.splitlines()
    assert len(lines) == len(said), done.stdout + done.stderr
    assert all(line.startswith(start) for line, start in zip(lines, said, strict=True))
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before
