import datetime
import json
import sqlite3
import subprocess
import sys

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import shapely

from uvsam.errors import LabelError, OutputError
from uvsam.vectors.geopackage import check_output, read_run, write_villages
from uvsam.vectors.schema import COVERAGE, VILLAGES, as_date, make_frame

DAY = datetime.date(2016, 5, 4)
RUN = {
    "model": "segformer",
    "threshold": 0.4,
    "bands": [1, 2, 3],
    "stretch": {"low": [0.0]},
    "note": "城中村",
    "aoi": None,
}


def frames(count=2, crs="EPSG:32650", acquired=DAY, size=10.0):
    boxes = np.array([shapely.box(30 * i, 0, 30 * i + size, 10) for i in range(count)], object)
    ones = np.ones(count)
    villages = make_frame(
        VILLAGES,
        boxes,
        crs,
        {
            "village_id": np.arange(1, count + 1),
            "area_m2": 100 * ones,
            "perimeter_m": 40 * ones,
            "compactness": 0.785 * ones,
            "confidence": 0.9 * ones,
            "sam_iou_pred": ones * 0.9,
            "stability": ones * 0.8,
            "area_low_m2": ones,
            "area_high_m2": ones,
            "on_edge": ones > 0,
            "acquired": acquired,
            "model": "segformer 村",
        },
    )
    whole = np.array([shapely.multipolygons([shapely.box(0, 0, 100, 100)])], object)
    return villages, make_frame(COVERAGE, whole, crs, {"acquired": acquired, "model": "segformer", "area_m2": 1e4})


@pytest.mark.parametrize("name", ["villages.gpkg", "城中村 ü.gpkg"])
def test_what_was_written_is_read_back(tmp_path, name):
    path = tmp_path / name
    villages, coverage = frames()
    write_villages(path, villages, coverage, RUN)
    back = gpd.read_file(path, layer="villages")
    assert list(back.columns) == [*VILLAGES.columns, "geometry"]
    assert back.crs == villages.crs
    assert shapely.equals(back.geometry.to_numpy(), villages.geometry.to_numpy()).all()
    for column in VILLAGES.columns:
        assert back[column].tolist() == villages[column].tolist()
    assert as_date(back["acquired"][0]) == DAY
    assert gpd.read_file(path, layer="coverage")["area_m2"].tolist() == [1e4]
    run = read_run(path)
    assert list(run) == list(RUN)
    assert (run["model"], run["note"]) == ("segformer", "城中村")
    assert {key: json.loads(run[key]) for key in ("threshold", "bands", "stretch", "aoi")} == {
        key: RUN[key] for key in ("threshold", "bands", "stretch", "aoi")
    }
    assert [file.name for file in tmp_path.iterdir()] == [name]


def schema(path):
    info = {name: pyogrio.read_info(path, layer=name) for name in ("villages", "coverage", "run")}
    return {
        name: (list(i["fields"]), i["ogr_types"], i["ogr_subtypes"], i["geometry_type"], i["crs"])
        for name, i in info.items()
    }


def test_no_village_gives_the_same_layers_without_rows(tmp_path):
    write_villages(tmp_path / "some.gpkg", *frames(), RUN)
    write_villages(tmp_path / "none.gpkg", *frames(0), RUN)
    assert schema(tmp_path / "none.gpkg") == schema(tmp_path / "some.gpkg")
    fields, types, subtypes, geometry, _ = schema(tmp_path / "none.gpkg")["villages"]
    assert dict(zip(fields, types, strict=True))["acquired"] == "OFTDate"
    assert dict(zip(fields, subtypes, strict=True))["on_edge"] == "OFSTBoolean"
    assert geometry == "Polygon"
    assert schema(tmp_path / "none.gpkg")["coverage"][3] == "MultiPolygon"
    assert len(gpd.read_file(tmp_path / "none.gpkg", layer="villages")) == 0


def test_no_date_and_no_crs_are_nothing_and_not_made_up(tmp_path, recwarn):
    path = tmp_path / "villages.gpkg"
    write_villages(path, *frames(crs=None, acquired=None), RUN)
    back = gpd.read_file(path, layer="villages")
    assert [as_date(value) for value in back["acquired"]] == [None, None]
    assert [w for w in recwarn if "crs" in str(w.message)] == []
    with sqlite3.connect(path) as database:
        assert database.execute("select acquired from villages").fetchall() == [(None,), (None,)]


def test_an_existing_file_is_replaced_only_when_asked(tmp_path):
    path = tmp_path / "villages.gpkg"
    write_villages(path, *frames(2), RUN)
    before = path.read_bytes()
    with pytest.raises(OutputError, match=r"exists; give another name or --overwrite"):
        write_villages(path, *frames(1), RUN)
    assert path.read_bytes() == before
    write_villages(path, *frames(1), RUN, overwrite=True)
    assert len(gpd.read_file(path, layer="villages")) == 1


def test_places_where_nothing_can_be_written(tmp_path):
    with pytest.raises(OutputError, match="does not exist"):
        check_output(tmp_path / "no" / "villages.gpkg")
    with pytest.raises(OutputError, match=r"should end in \.gpkg"):
        check_output(tmp_path / "villages.shp")
    (tmp_path / "folder.gpkg").mkdir()
    with pytest.raises(OutputError, match="is a folder"):
        check_output(tmp_path / "folder.gpkg")


def test_a_file_open_elsewhere_is_not_replaced_under_its_journal(tmp_path):
    path = tmp_path / "villages.gpkg"
    write_villages(path, *frames(2), RUN)
    reader = sqlite3.connect(path)
    reader.execute("pragma journal_mode=wal")
    reader.execute("select count(*) from villages").fetchall()
    with pytest.raises(OutputError, match="is open in another program"):
        write_villages(path, *frames(1), RUN, overwrite=True)
    reader.close()


FULL_DISK = """
import resource, signal, sys
sys.path.insert(0, sys.argv[2])
from test_geopackage import RUN, frames, write_villages
from uvsam.errors import OutputError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
try:
    write_villages(__import__("pathlib").Path(sys.argv[1]), *frames(5000), RUN, overwrite=True)
except OutputError as error:
    print("OutputError", error)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="file size limits stand in for a full disk")
@pytest.mark.parametrize("limit", [1_000, 100_000, 600_000])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(tmp_path, limit):
    path = tmp_path / "villages.gpkg"
    write_villages(path, *frames(2), RUN)
    before = path.read_bytes()
    here = str(__import__("pathlib").Path(__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(path), here, str(limit)], capture_output=True, text=True, check=False
    )
    lines = done.stdout.splitlines()
    assert len(lines) == 1, done.stdout + done.stderr
    assert lines[0].startswith(f"OutputError cannot write {path}: ")
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_frames_with_another_schema_are_refused(tmp_path):
    villages, coverage = frames()
    with pytest.raises(LabelError, match="lacks confidence"):
        write_villages(tmp_path / "a.gpkg", villages.drop(columns="confidence"), coverage, RUN)
    with pytest.raises(LabelError, match="on_edge of layer villages should be bool"):
        write_villages(tmp_path / "a.gpkg", villages.assign(on_edge=1.0), coverage, RUN)
    with pytest.raises(LabelError, match="should hold Polygon only, not Point"):
        write_villages(tmp_path / "a.gpkg", villages.set_geometry(villages.centroid), coverage, RUN)
    assert list(tmp_path.iterdir()) == []
