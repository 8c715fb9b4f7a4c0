"""``uvsam review`` through the command line: which places, in which order, and that nobody's work is lost."""

import datetime
import sqlite3
import zipfile
from pathlib import Path
from xml.etree import ElementTree as xml

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio
import shapely
from hypothesis import given
from hypothesis import strategies as st
from rasterio.transform import from_origin

from uvsam.cli.main import run
from uvsam.mosaic.scores import quantise
from uvsam.vectors.geopackage import write_villages
from uvsam.vectors.schema import COVERAGE, VILLAGES, make_frame
from uvsam.workflows.review import doubt_of_villages

SIZE, LEFT, TOP = 400, 300_000.0, 2_100_000.0
BOXES = {  # columns, rows of a village (left, top, right, bottom), and its confidence
    1: ((20, 20, 120, 120), 0.95), 2: ((200, 20, 260, 80), 0.6), 3: ((20, 200, 80, 260), 0.8),
}  # fmt: skip
MISSED = (250, 250, 300, 300)


def square(left: int, top: int, right: int, bottom: int) -> shapely.Polygon:
    return shapely.box(LEFT + left, TOP - bottom, LEFT + right, TOP - top)


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with ``city.tif`` of 1 m, ``scores.tif`` and ``villages.gpkg``."""
    profile = {
        "driver": "GTiff", "height": SIZE, "width": SIZE, "crs": "EPSG:32643",
        "transform": from_origin(LEFT, TOP, 1, 1), "dtype": "uint8",
    }  # fmt: skip
    with rasterio.open(tmp_path / "city.tif", "w", count=3, **profile) as image:
        image.write(np.random.default_rng(0).integers(1, 255, (3, SIZE, SIZE), np.uint8))
    scores = np.full((SIZE, SIZE), 0.02, np.float32)
    for box, value in (*BOXES.values(), (MISSED, 0.35)):
        scores[box[1] : box[3], box[0] : box[2]] = value
    with rasterio.open(tmp_path / "scores.tif", "w", count=1, nodata=0, **profile) as raster:
        raster.write(quantise(scores, np.ones_like(scores, bool)), 1)
    write(tmp_path / "villages.gpkg", *BOXES)
    return tmp_path


def write(path: Path, *numbers: int) -> None:
    """``villages.gpkg`` with some of the villages, which are numbered anew."""
    outlines = np.array([square(*BOXES[number][0]) for number in numbers], object)
    area = shapely.area(outlines)
    villages = make_frame(VILLAGES, outlines, "EPSG:32643", {
        "village_id": np.arange(1, len(numbers) + 1), "area_m2": area, "area_low_m2": 0.9 * area,
        "area_high_m2": 1.1 * area, "perimeter_m": area, "compactness": area, "sam_iou_pred": area * np.nan,
        "confidence": np.array([BOXES[number][1] for number in numbers]), "stability": area * np.nan,
        "on_edge": area < 0, "acquired": datetime.date(2020, 5, 1), "model": "m",
    })  # fmt: skip
    whole = np.array([shapely.multipolygons([square(0, 0, SIZE, SIZE)])], object)
    coverage = make_frame(
        COVERAGE, whole, "EPSG:32643", {"acquired": datetime.date(2020, 5, 1), "model": "m", "area_m2": 1.6e5}
    )
    settings = {"threshold": 0.5, "min_area_m2": 100.0, "min_hole_m2": 0.0, "close_m": 0.0, "simplify_m": 1.0}
    write_villages(path, villages, coverage, settings, overwrite=True)


def review(folder: Path, *more: str) -> int:
    inputs = [str(folder / "villages.gpkg"), "--image", str(folder / "city.tif")]
    return run(["review", *inputs, "--out", str(folder / "review.qgz"), *more])


def places(folder: Path) -> gpd.GeoDataFrame:
    return gpd.read_file(folder / "review.gpkg", layer="corrections")


@given(
    st.floats(0, 1), st.floats(0, 1), st.floats(0, 2), st.floats(0, 2), st.floats(1, 1e6)
)  # fmt: skip
def test_doubt_is_a_share_and_falls_with_confidence_and_rises_with_the_interval(
    a: float, b: float, narrow: float, wide: float, area: float
) -> None:
    (a, b), (narrow, wide) = sorted((a, b)), sorted((narrow, wide))

    def doubt(confidence: float, interval: float) -> float:
        low, high = np.array([area]), np.array([area * (1 + interval)])
        return float(doubt_of_villages(np.array([confidence]), np.array([area]), low, high)[0])

    assert 0 <= doubt(b, narrow) <= doubt(a, narrow) <= 1
    assert doubt(a, narrow) <= doubt(a, wide) <= 1
    assert doubt(1.0, 0.0) == 0


def test_the_most_doubtful_ground_comes_first_and_a_missed_place_among_it(files: Path) -> None:
    assert review(files, "--scores", str(files / "scores.tif")) == 0
    found = places(files)
    assert found["rank"].tolist() == [1, 2, 3, 4]
    # 0.21 = 1 - 0.95 / 1.2 of 1 ha, 0.5 = 1 - 0.6 / 1.2 and 0.33 = 1 - 0.8 / 1.2 of 0.36 ha, a score of 0.35 of 0.25 ha
    assert (found["doubt"] * found.area).is_monotonic_decreasing
    assert found["kind"].tolist() == ["village", "village", "village", "perhaps missed"]
    assert found["village_id"].fillna(0).tolist() == [1, 2, 3, 0]
    assert found["doubt"].tolist() == pytest.approx([1 - 0.95 / 1.2, 0.5, 1 / 3, 0.35], abs=0.01)
    assert found["verdict"].isna().all()
    assert found.geometry[3].symmetric_difference(square(*MISSED)).area < 50


def test_only_so_many_places_as_asked_for(files: Path) -> None:
    assert review(files, "--places", "2") == 0
    assert places(files)["village_id"].tolist() == [1, 2]


def test_the_project_names_its_files_from_where_it_lies(files: Path) -> None:
    assert review(files) == 0
    with zipfile.ZipFile(files / "review.qgz") as project:
        assert project.namelist() == ["review.qgs"]
        root = xml.fromstring(project.read("review.qgs"))
    sources = [layer.findtext("datasource") for layer in root.iter("maplayer")]
    assert sources == ["./review.gpkg|layername=corrections", "./villages.gpkg|layername=villages", "./city.tif"]
    assert str(files) not in xml.tostring(root, encoding="unicode")
    assert sorted(path.name for path in files.iterdir()) == [
        "city.tif", "review.gpkg", "review.qgz", "scores.tif", "villages.gpkg",
    ]  # fmt: skip


def test_an_image_on_a_server_stays_there(files: Path, server: str) -> None:
    inputs = [str(files / "villages.gpkg"), "--image", str(files / "city.tif"), "--image", f"{server}/city.tif"]
    assert run(["review", *inputs, "--out", str(files / "review.qgz")]) == 0
    with zipfile.ZipFile(files / "review.qgz") as project:
        root = xml.fromstring(project.read("review.qgs"))
    images = [layer for layer in root.iter("maplayer") if layer.get("type") == "raster"]
    assert [image.findtext("datasource") for image in images] == ["./city.tif", f"/vsicurl/{server}/city.tif"]
    assert [image.findtext("layername") for image in images] == ["image 1 city", "image 2 city"]


def say(folder: Path, rank: int, column: str, value: str) -> None:
    """What QGIS does when somebody fills in a form."""
    path = folder / "review.gpkg"
    info = pyogrio.read_dataframe(path, layer="corrections", fid_as_index=True)
    fid = int(info.index[info["rank"] == rank][0])
    with sqlite3.connect(path) as database:
        # without SQLite's spatial functions the triggers of an index that does not change cannot run
        for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type='trigger'").fetchall():
            database.execute(f'DROP TRIGGER "{name}"')
        database.execute(f"UPDATE corrections SET {column} = ? WHERE fid = ?", (value, fid))


def test_what_somebody_looked_at_is_kept_by_the_next_review(files: Path) -> None:
    assert review(files, "--scores", str(files / "scores.tif")) == 0
    before = places(files)
    say(files, 2, "verdict", "wrong")
    say(files, 3, "note", "under trees")
    (files / "review.qgz").unlink()  # the project can be made again, what is said cannot
    assert review(files) == 4  # hours of work are never replaced unasked
    assert places(files)["note"].notna().sum() == 1

    write(files / "villages.gpkg", 2, 3)  # a new run: other numbers, and one village less
    assert review(files, "--overwrite") == 0
    found = places(files)
    assert found["village_id"].tolist() == [1, 2]
    assert found["verdict"].fillna("").tolist() == ["wrong", ""]
    assert found["note"].fillna("").tolist() == ["", "under trees"]
    assert found["place_id"].tolist() == before["place_id"].tolist()[1:3]
    assert review(files, "--overwrite", "--scores", str(files / "scores.tif")) == 0
    found = places(files)
    assert found["kind"].tolist()[-2:] == ["village", "village"]
    assert found["place_id"].is_unique


@pytest.mark.parametrize(
    ("change", "arguments", "said"),
    [
        ("layer", ["--overwrite"], "has mine, which would be lost"),
        ("image", [], "does not exist"),
        ("elsewhere", [], "does not show the ground"),
        ("name", ["--overwrite"], "is no file of `uvsam review`"),
        ("truth", [], "give a GeoPackage that `uvsam predict` wrote"),
        ("scores", ["--scores", "{}/city.tif"], "scores"),
    ],
)
def test_what_cannot_be_reviewed_is_one_line_and_nothing_is_written(
    files: Path, capsys: pytest.CaptureFixture[str], change: str, arguments: list[str], said: str
) -> None:
    if change == "image":
        (files / "city.tif").unlink()
    elif change == "elsewhere":
        with rasterio.open(files / "city.tif", "r+") as image:
            image.transform = from_origin(LEFT + 5000, TOP, 1, 1)
    elif change == "layer":
        assert review(files) == 0
        gpd.GeoDataFrame({"a": [1]}, geometry=[square(*MISSED)], crs="EPSG:32643").to_file(
            files / "review.gpkg", layer="mine", mode="a"
        )
    elif change == "name":
        gpd.GeoDataFrame({"a": [1]}, geometry=[square(*MISSED)], crs="EPSG:32643").to_file(files / "review.gpkg")
    elif change == "truth":
        gpd.GeoDataFrame({"a": [1]}, geometry=[square(*MISSED)], crs="EPSG:32643").to_file(
            files / "villages.gpkg", layer="villages"
        )
    elif change == "scores":
        with rasterio.open(files / "city.tif") as image:
            profile = image.profile | {"dtype": "float32", "count": 1}
        (files / "city.tif").rename(files / "image.tif")
        with rasterio.open(files / "city.tif", "w", **profile) as raster:
            raster.write(np.ones((1, SIZE, SIZE), np.float32))
        (files / "scores.tif").unlink()
    before = {path.name: path.read_bytes() for path in files.iterdir()}
    image = files / ("image.tif" if change == "scores" else "city.tif")
    inputs = [str(files / "villages.gpkg"), "--image", str(image), "--out", str(files / "review.qgz")]
    assert run(["review", *inputs, *(text.format(files) for text in arguments)]) == (
        4 if change in {"layer", "name"} else 1
    )
    errors = capsys.readouterr().err.strip().splitlines()
    assert errors[-1].startswith("Error: ")
    assert said in errors[-1]
    assert {path.name: path.read_bytes() for path in files.iterdir()} == before
