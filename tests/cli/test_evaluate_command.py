"""``uvsam evaluate`` on files as users have them."""

import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import pytest
import rasterio
import shapely
from click.testing import CliRunner
from rasterio.features import shapes
from rasterio.transform import from_origin

from uvsam.cli.evaluate import command
from uvsam.cli.main import run

REAL = Path(os.environ.get("UVSAM_DATA", Path(__file__).parents[3] / "shared/data"))
X, Y = 300_000, 2_100_000
VILLAGES = [shapely.box(X + 100, Y + 100, X + 300, Y + 300), shapely.box(X + 500, Y + 500, X + 600, Y + 800)]


def save(
    path: Path, polygons: list[Any], crs: str | None = "EPSG:32643", layer: str = "villages", **columns: Any
) -> Path:
    frame = geopandas.GeoDataFrame(columns, geometry=polygons, crs=crs)
    frame.to_file(path, layer=layer, geometry_type="Polygon")
    return path


def save_raster(path: Path, labels: np.ndarray, **profile: Any) -> Path:
    """Labels (H, W), 1 m per pixel; more bands as (C, H, W)."""
    bands = labels if labels.ndim == 3 else labels[None]
    count, height, width = bands.shape
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=count, dtype="uint8", crs="EPSG:32643",
        transform=from_origin(X, Y + height, 1, 1), **profile,
    ) as dataset:  # fmt: skip
        dataset.write(bands)
    return path


def compare(*args: Any) -> dict[str, Any]:
    result = CliRunner().invoke(command, [*map(str, args), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def failure(capsys: pytest.CaptureFixture[str], *args: Any) -> str:
    assert run(["evaluate", "-q", *map(str, args)]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    return lines[0]


def assert_perfect(found: dict[str, Any], objects: int, within: float = 1e-9) -> None:
    assert found["pixels"]["iou"] == pytest.approx(1, abs=within)
    for matching in ("objects", "objects_paper"):
        assert (found[matching]["tp"], found[matching]["fp"], found[matching]["fn"]) == (objects, 0, 0)
    assert [score["f1"] for score in found["boundaries"]] == [1, 1]
    assert found["areas"]["bias"] == pytest.approx(0, abs=within)


def test_a_file_agrees_with_itself_in_any_crs(tmp_path: Path) -> None:
    ours = save(tmp_path / "ours.gpkg", VILLAGES)
    assert_perfect(compare(ours, ours), 2)
    for name, crs in (("degrees", "EPSG:4326"), ("mercator", "EPSG:3857"), ("other zone", "EPSG:32642")):
        frame = geopandas.read_file(ours).to_crs(crs)
        frame.to_file(tmp_path / f"{name}.gpkg", layer="anything")
        found = compare(ours, tmp_path / f"{name}.gpkg")
        assert_perfect(found, 2, within=1e-5)  # an edge that is straight in one CRS is bent by 0.1 mm in another
        # UTM areas differ from those on the ellipsoid by the square of the scale factor, at most 0.2 % here.
        assert found["areas"]["truth_m2"] == pytest.approx(70_000, rel=2e-3)


def test_every_number_of_a_small_case(tmp_path: Path) -> None:
    truth = save(tmp_path / "truth.gpkg", VILLAGES)
    half_found = shapely.box(X + 100, Y + 100, X + 300, Y + 220)  # IoU 0.6 with the first
    touching = shapely.box(X + 590, Y + 500, X + 690, Y + 800)  # a tenth of the second
    elsewhere = shapely.box(X, Y + 900, X + 100, Y + 1000)
    found = compare(save(tmp_path / "ours.gpkg", [half_found, touching, elsewhere]), truth)
    assert found["pixels"]["unit"] == "m2"
    assert found["pixels"]["iou"] == pytest.approx(27_000 / (64_000 + 70_000 - 27_000), rel=1e-4)
    assert found["pixels"]["precision"] == pytest.approx(27_000 / 64_000, rel=1e-4)
    assert found["pixels"]["recall"] == pytest.approx(27_000 / 70_000, rel=1e-4)
    objects, paper = found["objects"], found["objects_paper"]
    assert (objects["tp"], objects["fp"], objects["fn"]) == (1, 2, 1)
    assert objects["mean_iou"] == pytest.approx(0.6, abs=1e-4)
    assert (paper["tp"], paper["fp"], paper["fn"]) == (2, 1, 0)
    assert found["areas"]["bias"] == pytest.approx(64 / 70 - 1, rel=1e-4)


def test_what_was_not_looked_at_counts_for_nothing(tmp_path: Path) -> None:
    ours = save(tmp_path / "ours.gpkg", VILLAGES[:1])
    truth = save(tmp_path / "truth.gpkg", VILLAGES)
    assert compare(ours, truth)["pixels"]["recall"] == pytest.approx(4 / 7, rel=1e-4)
    save(ours, [shapely.box(X, Y, X + 450, Y + 1000)], layer="coverage")
    assert_perfect(compare(ours, truth), 1)
    wide = save(tmp_path / "wide.gpkg", [shapely.box(X, Y, X + 2000, Y + 1000)])
    assert compare(ours, truth, "--aoi", wide)["objects"]["fn"] == 0
    assert compare(truth, truth, "--aoi", save(tmp_path / "aoi.gpkg", [VILLAGES[1].buffer(20)]))["objects"]["tp"] == 1


def test_one_period_of_a_series(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    truth = save(tmp_path / "truth.gpkg", [*VILLAGES, VILLAGES[0].buffer(50)], period=[2020, 2020, 2012])
    ours = save(tmp_path / "ours.gpkg", VILLAGES)
    advice = 'truth.gpkg holds the periods 2012, 2020: choose one, as with --truth-where "period = 2020"'
    assert failure(capsys, ours, truth).endswith(advice)
    assert_perfect(compare(ours, truth, "--truth-where", "period = 2020"), 2)
    assert compare(ours, truth, "--truth-where", "period > 2000")["objects"]["fn"] == 1
    only_one = save(tmp_path / "one.gpkg", VILLAGES, period=[2020, None])
    assert_perfect(compare(ours, only_one), 2)


def test_the_period_of_the_predictions_own_year_is_proposed_and_can_be_typed(
    city: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    villages = geopandas.read_file(city / "truth.gpkg", layer="villages")
    ours = tmp_path / "ours.gpkg"
    villages[villages["period"] == 2016].drop(columns="period").to_file(ours, layer="villages")
    villages["period"] = villages["period"].astype(str)
    villages.to_file(tmp_path / "words.gpkg", layer="villages")
    for truth in (city / "truth.gpkg", tmp_path / "words.gpkg"):
        message = failure(capsys, ours, truth)
        assert "holds the periods 2016, 2020: choose one" in message
        found = compare(ours, truth, *shlex.split(message.partition("as with ")[2]))
        assert found["pixels"]["iou"] == pytest.approx(1)


@pytest.mark.parametrize(("ours", "truth"), [([], []), ([], VILLAGES), (VILLAGES, [])])
def test_empty_sides_are_numbers_or_null(tmp_path: Path, ours: list[Any], truth: list[Any]) -> None:
    found = compare(save(tmp_path / "ours.gpkg", ours), save(tmp_path / "truth.gpkg", truth))
    both = bool(ours) + bool(truth)
    for part in (found["pixels"], found["objects"], found["objects_paper"], *found["boundaries"]):
        assert part["f1"] == (0 if both else None)
        assert part["precision"] == (0 if ours else None)
        assert part["recall"] == (0 if truth else None)
    assert found["areas"]["bias"] == (-1 if truth else None)


def test_a_raster_of_labels(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    labels = np.kron(rng.choice([0, 2, 6], (20, 20), p=[0.1, 0.6, 0.3]), np.ones((20, 20))).astype(np.uint8)
    path, transform = save_raster(tmp_path / "labels.tif", labels), from_origin(X, Y + 400, 1, 1)
    village = labels == 6
    objects = [shapely.geometry.shape(s) for s, _ in shapes(village.astype(np.uint8), village, 4, transform)]
    ours = save(tmp_path / "ours.gpkg", objects)
    args = (path, "--truth-value", 6, "--ignore-value", 0)
    found = compare(ours, *args)
    assert_perfect(found, len(objects))
    assert (found["pixels"]["unit"], found["pixels"]["tp"]) == ("px", village.sum())
    degrees = tmp_path / "degrees.gpkg"
    geopandas.read_file(ours).to_crs(4326).to_file(degrees, layer="villages")
    assert_perfect(compare(degrees, *args), len(objects), within=1e-5)
    large = sum(shape.area > 500 for shape in objects)
    assert 0 < large < len(objects)
    assert compare(ours, *args, "--min-area", 500)["objects"]["tp"] == large


def test_zeros_that_are_nodata_are_asked_about(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    labels = np.zeros((100, 100), np.uint8)
    labels[20:60, 20:60] = 1
    found = shapely.box(X + 20, Y + 50, X + 60, Y + 90)  # 10 rows too far north
    ours = save(tmp_path / "ours.gpkg", [found])
    zeros = save_raster(tmp_path / "zeros.tif", labels, nodata=0)
    plain = compare(ours, save_raster(tmp_path / "plain.tif", labels))
    assert plain["pixels"]["iou"] == pytest.approx(30 / 50)

    message = failure(capsys, ours, zeros)
    assert "zeros.tif has nodata 0 and nothing but village besides" in message
    assert "--nodata-is-label" in message
    assert "--ignore-value 0" in message
    assert compare(ours, zeros, "--nodata-is-label") == plain | {"truth": str(zeros)}
    unknown = compare(ours, zeros, "--ignore-value", 0)
    assert (unknown["pixels"]["precision"], unknown["pixels"]["recall"]) == (1, 30 / 40)

    nothing = save_raster(tmp_path / "nothing.tif", labels * 0, nodata=0)
    assert "--nodata-is-label" in failure(capsys, ours, nothing)
    assert compare(ours, nothing, "--nodata-is-label")["pixels"]["precision"] == 0


def test_nodata_beside_other_labels_is_left_out(tmp_path: Path) -> None:
    labels = np.zeros((100, 100), np.uint8)
    labels[:, 50:] = 2
    labels[20:60, 60:80] = 1
    ours = save(tmp_path / "ours.gpkg", [shapely.box(X + 30, Y + 40, X + 80, Y + 80)])  # 20 of 50 columns are known
    truth = save_raster(tmp_path / "labels.tif", labels, nodata=0)
    assert compare(ours, truth, "--truth-value", 1)["pixels"]["precision"] == pytest.approx(20 / 30)
    assert compare(ours, truth, "--truth-value", 1, "--nodata-is-label")["pixels"]["precision"] == pytest.approx(
        20 / 50
    )


@pytest.mark.parametrize("kind", ["alpha", "alpha and nodata", "mask"])
def test_a_mask_says_what_is_known_whatever_zero_means(tmp_path: Path, kind: str) -> None:
    labels, alpha = np.zeros((2, 100, 100), np.uint8)
    alpha[:, 50:] = 255
    labels[20:60, 60:80] = 1
    ours = save(tmp_path / "ours.gpkg", [shapely.box(X + 30, Y + 40, X + 80, Y + 80)])
    path = tmp_path / "labels.tif"
    if kind == "mask":
        save_raster(path, labels)
        with rasterio.open(path, "r+") as dataset:
            dataset.write_mask(alpha)
    else:
        nodata = {"nodata": 0} if "nodata" in kind else {}
        save_raster(path, np.stack([labels, alpha]), alpha="yes", **nodata)
    found = compare(ours, path, "--nodata-is-label")
    assert found["pixels"]["precision"] == pytest.approx(20 / 30)
    if kind != "alpha and nodata":
        assert compare(ours, path) == found


def test_a_table_for_people(tmp_path: Path) -> None:
    ours = save(tmp_path / "ours.gpkg", VILLAGES)
    result = CliRunner().invoke(command, [str(ours), str(ours)])
    assert result.exit_code == 0
    lines = {" ".join(line.split()) for line in result.stdout.splitlines()}
    assert "objects, IoU ≥ 0.5 1.000 1.000 1.000 1.000 2 0 0" in lines
    assert "boundary, 2 m - 1.000 1.000 1.000" in lines


def test_errors_say_in_one_line_what_to_do(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ours = save(tmp_path / "ours.gpkg", VILLAGES)
    assert "nothing.gpkg does not exist" in failure(capsys, ours, tmp_path / "nothing.gpkg")
    (tmp_path / "text.gpkg").write_text("no database")
    assert "text.gpkg is not a vector file" in failure(capsys, ours, tmp_path / "text.gpkg")
    assert "it has villages" in failure(capsys, ours, ours, "--truth-layer", "roads")
    assert "cannot be read" in failure(capsys, ours, ours, "--truth-where", "periode = 2020")
    plane = save(tmp_path / "plane.gpkg", VILLAGES, crs=None)
    assert "plane.gpkg has no coordinate reference system" in failure(capsys, ours, plane)
    several = save(save(tmp_path / "several.gpkg", VILLAGES, layer="a"), VILLAGES, layer="b")
    assert "several.gpkg has the layers a, b; name the one" in failure(capsys, ours, several)
    far = save(tmp_path / "far.gpkg", [VILLAGES[0].buffer(1)])
    save(far, [shapely.box(X + 9000, Y, X + 9900, Y + 900)], layer="coverage")
    assert "no ground in common" in failure(capsys, far, ours)


def test_options_for_the_other_kind_of_truth_are_usage_errors(tmp_path: Path) -> None:
    ours = save(tmp_path / "ours.gpkg", VILLAGES)
    assert CliRunner().invoke(command, [str(ours), str(ours), "--truth-value", "1"]).exit_code == 2
    assert CliRunner().invoke(command, [str(ours), str(ours), "--nodata-is-label"]).exit_code == 2
    assert CliRunner().invoke(command, [str(ours), "truth.tif", "--truth-layer", "a"]).exit_code == 2


def test_ctrl_c_leaves_no_result(tmp_path: Path) -> None:
    ours, labels = save(tmp_path / "ours.gpkg", VILLAGES), tmp_path / "labels.tif"
    with rasterio.open(
        labels, "w", driver="GTiff", height=40_000, width=40_000, count=1, dtype="uint8", crs="EPSG:32643",
        transform=from_origin(X, Y + 1000, 0.2, 0.2), tiled=True, compress="deflate", sparse_ok=True,
    ):  # fmt: skip
        pass
    process = subprocess.Popen(
        [sys.executable, "-m", "uvsam", "evaluate", str(ours), str(labels), "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert process.stderr is not None
    assert process.stderr.readline().startswith("compare pixels")
    process.send_signal(signal.SIGINT)
    printed, errors = process.communicate(timeout=60)
    assert (process.returncode, printed) == (130, "")
    assert errors.splitlines()[-1] == "Interrupted."
    assert "Traceback" not in errors
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels.tif", "ours.gpkg"]


@pytest.mark.skipif(
    not (REAL / "beijing/labels.tif").exists(), reason="needs the Beijing labels, which are not ours to ship"
)
def test_real_labels_agree_with_themselves(tmp_path: Path) -> None:
    with rasterio.open(REAL / "beijing/labels.tif") as dataset:
        labels, transform, crs = dataset.read(1), dataset.transform, dataset.crs
    village = labels == 1
    objects = [shapely.geometry.shape(s) for s, _ in shapes(village.astype(np.uint8), village, 4, transform)]
    ours = save(tmp_path / "ours.gpkg", objects, crs=str(crs))
    found = compare(ours, REAL / "beijing/labels.tif", "--ignore-value", 255)
    assert_perfect(found, len(objects))
    assert found["pixels"]["tp"] == village.sum()
    # zoom 17 of web mercator at this latitude: 0.914 m on the ground, not 1.194
    assert found["areas"]["truth_m2"] == pytest.approx(village.sum() * 0.914**2, rel=5e-3)
