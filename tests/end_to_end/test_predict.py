"""``uvsam predict`` as users run it, with the bundled model, on a simulated city and on odd images."""

import json
from pathlib import Path

import geopandas as gpd
import numpy as np
import pyogrio
import pytest
import rasterio
import rasterio.shutil
import shapely
from rasterio.features import rasterize
from rasterio.transform import Affine

from uvsam.cli.errors import show_warnings_in_one_line
from uvsam.cli.main import run
from uvsam.vectors.geopackage import read_run


@pytest.fixture(scope="module")
def villages(city: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result on the simulated city, with every extra."""
    folder = tmp_path_factory.mktemp("result")
    out = folder / "villages.gpkg"
    extras = ["--save-scores", str(folder / "scores.tif"), "--preview", str(folder / "preview.png")]
    assert run(["predict", str(city / "city_2020.tif"), "--out", str(out), *extras]) == 0
    return out


def burn(frame: gpd.GeoDataFrame, image: Path) -> np.ndarray:
    with rasterio.open(image) as dataset:
        if frame.empty:
            return np.zeros(dataset.shape, bool)
        return rasterize(frame.geometry, dataset.shape, transform=dataset.transform).astype(bool)


def truth(city: Path) -> gpd.GeoDataFrame:
    frame = gpd.read_file(city / "truth.gpkg", layer="villages")
    return frame[frame["period"] == 2020]


def test_the_villages_of_a_simulated_city_are_found(city: Path, villages: Path) -> None:
    image = city / "city_2020.tif"
    found, true = burn(gpd.read_file(villages, layer="villages"), image), burn(truth(city), image)
    assert (found & true).sum() / (found | true).sum() > 0.7


def test_the_result_is_whole(city: Path, villages: Path) -> None:
    frame, coverage = (gpd.read_file(villages, layer=layer) for layer in ("villages", "coverage"))
    with rasterio.open(city / "city_2020.tif") as image:
        assert frame.crs == coverage.crs == image.crs
        assert coverage.total_bounds == pytest.approx(image.bounds)
    assert len(frame) > 0
    assert frame.geometry.is_valid.all()
    assert (frame.geom_type == "Polygon").all()
    assert frame.geometry.union_all().area == pytest.approx(frame.area.sum())  # no overlap
    assert frame["confidence"].between(0.3, 1).all()
    assert str(frame["acquired"].dt.date.iloc[0]).startswith("2020")
    metadata = read_run(villages)
    assert {"model_sha256", "stretch", "threshold", "uvsam_version", "inputs", "close_m"} <= set(metadata)
    assert json.loads(metadata["stretch"])["high"] == [255.0] * 3
    assert sorted(path.name for path in villages.parent.iterdir()) == ["preview.png", "scores.tif", "villages.gpkg"]


def test_scores_and_preview_fit_the_image(city: Path, villages: Path) -> None:
    with rasterio.open(city / "city_2020.tif") as image, rasterio.open(villages.with_name("scores.tif")) as scores:
        assert (scores.transform, scores.shape, scores.crs) == (image.transform, image.shape, image.crs)
        assert scores.nodata == 0
        assert scores.read(1).min() >= 1
    with rasterio.open(villages.with_name("preview.png")) as picture:
        yellow = (picture.read() == np.array([255, 214, 10])[:, None, None]).all(axis=0)
        assert yellow.any()


def test_scores_in_half_precision_are_those_of_the_byte_raster(
    city: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    exact_path, byte_path = tmp_path / "half.tif", tmp_path / "byte.tif"
    arguments = ["predict", str(city / "city_2020.tif"), "--out", str(tmp_path / "v.gpkg"), "--overwrite"]
    specialist = [*arguments, "--model", "uvsam-specialist"]
    assert run([*arguments, "--save-scores", str(exact_path), "--score-type", "float16"]) == 1
    assert "name a specialist" in capsys.readouterr().err
    assert run([*specialist, "--save-scores", str(byte_path)]) == 0
    assert run([*specialist, "--save-scores", str(exact_path), "--score-type", "float16"]) == 0
    with rasterio.open(exact_path) as half, rasterio.open(byte_path) as byte:
        assert half.dtypes == ("float32",)
        assert half.tags(1, ns="IMAGE_STRUCTURE")["NBITS"] == "16"
        assert np.isnan(half.nodata)
        exact, coarse = half.read(1), (byte.read(1).astype(float) - 1) / 254
    assert np.abs(exact - coarse).max() < 1 / 508 + 1e-3
    assert len(np.unique(exact)) > 255


def test_an_existing_result_is_not_overwritten_unasked(city: Path, villages: Path) -> None:
    before = villages.read_bytes()
    assert run(["predict", str(city / "city_2020.tif"), "--out", str(villages)]) == 4
    assert villages.read_bytes() == before


def test_only_the_area_of_interest_is_looked_at(city: Path, villages: Path, tmp_path: Path) -> None:
    whole = gpd.read_file(villages, layer="villages")
    around = whole.geometry.iloc[0].centroid.buffer(100)
    area = gpd.GeoDataFrame(geometry=[around], crs=whole.crs).to_crs(4326)
    area.to_file(tmp_path / "aoi.geojson")
    out = tmp_path / "part.gpkg"
    arguments = ["--aoi", str(tmp_path / "aoi.geojson"), "--out", str(out), "--min-area", "0", "--simplify-m", "0"]
    assert run(["predict", str(city / "city_2020.tif"), *arguments]) == 0
    coverage, part = gpd.read_file(out, layer="coverage"), gpd.read_file(out, layer="villages")
    assert coverage.area.sum() == pytest.approx(around.area, rel=0.02)
    assert part.geometry.union_all().difference(around.buffer(2)).area == 0
    assert len(part) > 0


def test_no_village_is_an_answer(city: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "none.gpkg"
    assert run(["predict", str(city / "city_2020.tif"), "--out", str(out), "--min-area", "1e9"]) == 0
    assert "No village found" in capsys.readouterr().out
    frame = gpd.read_file(out, layer="villages")
    assert len(frame) == 0
    assert {"village_id", "area_m2", "confidence", "on_edge"} <= set(frame.columns)
    assert len(gpd.read_file(out, layer="coverage")) == 1


def variant(source: Path, target: Path, change, **profile: object) -> Path:
    """A copy of an image with other pixels or another profile."""
    with rasterio.open(source) as image:
        pixels, base = change(image.read()), image.profile
    base.update(count=pixels.shape[0], height=pixels.shape[1], width=pixels.shape[2], dtype=pixels.dtype, **profile)
    with rasterio.open(target, "w", **base) as copy:
        copy.write(pixels)
    return target


def iou(out: Path, reference: Path) -> float:
    ours, theirs = (gpd.read_file(path, layer="villages").geometry.union_all() for path in (out, reference))
    return ours.intersection(theirs).area / ours.union(theirs).area


def test_sixteen_bits_are_stretched_once_for_the_whole_scene(city: Path, villages: Path, tmp_path: Path) -> None:
    image = variant(city / "city_2020.tif", tmp_path / "uint16.tif", lambda p: p.astype(np.uint16) * 16 + 300)
    out = tmp_path / "uint16.gpkg"
    assert run(["predict", str(image), "--out", str(out)]) == 0
    assert iou(out, villages) > 0.7
    low = json.loads(read_run(out)["stretch"])["low"]
    assert all(value > 300 for value in low)


def test_nodata_is_never_village(city: Path, villages: Path, tmp_path: Path) -> None:
    def half_missing(pixels: np.ndarray) -> np.ndarray:
        values = pixels.astype(np.float32)
        values[:, :, values.shape[2] // 2 :] = -9999
        values[:, :50] = np.nan
        return values

    image = variant(city / "city_2020.tif", tmp_path / "half.tif", half_missing, nodata=-9999)
    out = tmp_path / "half.gpkg"
    assert run(["predict", str(image), "--out", str(out), "--simplify-m", "0"]) == 0
    with rasterio.open(image) as dataset:
        known = (~np.isnan(dataset.read(1))) & (dataset.read(1) != -9999)
    frame, coverage = (burn(gpd.read_file(out, layer=layer), image) for layer in ("villages", "coverage"))
    assert (coverage == known).all()
    assert not (frame & ~known).any()
    assert frame.any()


def test_turned_and_upside_down_grids_are_placed_exactly(city: Path, villages: Path, tmp_path: Path) -> None:
    with rasterio.open(city / "city_2020.tif") as image:
        transform, height = image.transform, image.height
    flipped = variant(
        city / "city_2020.tif", tmp_path / "south_up.tif", lambda p: p[:, ::-1],
        transform=transform * Affine.translation(0, height) * Affine.scale(1, -1),
    )  # fmt: skip
    turned = variant(
        city / "city_2020.tif", tmp_path / "turned.tif", lambda p: np.rot90(p, axes=(1, 2)),
        transform=transform * Affine.translation(height, 0) * Affine(0, -1, 0, 1, 0, 0),
    )  # fmt: skip
    for path in (flipped, turned):
        out = path.with_suffix(".gpkg")
        assert run(["predict", str(path), "--out", str(out)]) == 0
        assert iou(out, villages) > 0.6


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["missing.tif"], 1, "missing.tif"),
        (["{text}"], 1, "not"),
        (["{truncated}"], 1, "truncated"),
        (["{bare}"], 1, "georeferenc"),
        (["{coarse}"], 1, "finer"),
        (["{one_band}"], 1, "band"),
        (["{empty}"], 1, "empty"),
        (["{image}", "--bands", "1,2,9"], 1, "band"),
        (["{image}", "--model", "nothing"], 1, "no model named"),
        (["{image}", "--threshold", "2"], 2, "threshold"),
        (["{image}", "--simplify-m", "inf"], 2, "finite"),
        (["{image}", "--device", "meta"], 1, "device"),
        (["{image}", "--save-scores", "villages.gpkg"], 4, ".tif"),
        (["{image}", "--preview", "picture.jpg"], 4, ".png"),
        (["{image}", "--aoi", "{far}"], 1, "outside the image"),
        (["{image}", "--aoi", "{nowhere}"], 1, "no coordinate reference system"),
        (["{image}", "--aoi", "{text}"], 1, "text.tif"),
        (["{image}", "--out", "no/such/folder/x.gpkg"], 4, "folder"),
        (["{image}", "--out", "."], 4, ".gpkg"),
        (["{image}", "--out", ""], 2, "is empty"),
        ([""], 2, "is empty"),
        (["{image}", "--bands", "red"], 2, "band numbers"),
        (["{image}", "--date", "yesterday"], 2, "date"),
        (["{image}", "--date", "2999-12-31"], 2, "2999-12-31 is in the future"),
        (["{image}", "--colour", "red"], 2, "No such option"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing_behind(
    city: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], status: int, message: str
) -> None:
    files = {name: tmp_path / f"{name}.tif" for name in ("text", "truncated", "bare", "coarse", "one_band", "empty")}
    image = files["image"] = city / "city_2020.tif"
    files["text"].write_text("not a picture")
    files["truncated"].write_bytes(image.read_bytes()[:100_000])
    variant(image, files["bare"], lambda p: p, crs=None, transform=Affine.identity())
    variant(
        image, files["coarse"], lambda p: p[:, :50, :50], transform=Affine.translation(5e5, 4e6) * Affine.scale(10, -10)
    )
    variant(image, files["one_band"], lambda p: p[:1], photometric="minisblack")
    variant(image, files["empty"], lambda p: p * 0, nodata=0)
    for name, crs in (("far", 4326), ("nowhere", None)):
        files[name] = tmp_path / f"{name}.gpkg"
        gpd.GeoDataFrame(geometry=[shapely.box(0, 0, 1, 1)], crs=crs).to_file(files[name])
    before = set(tmp_path.iterdir())
    given = [argument.format(**files) for argument in arguments]
    out = [] if "--out" in given else ["--out", str(tmp_path / "out.gpkg")]
    assert run(["predict", *given, *out]) == status
    error = [line for line in capsys.readouterr().err.splitlines() if "Error" in line]
    assert len(error) == 1
    assert message in error[0]
    assert set(tmp_path.iterdir()) == before


def test_a_date_that_contradicts_the_image_is_used_with_a_warning(
    city: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    image, out = variant(city / "city_2020.tif", tmp_path / "part.tif", lambda p: p[:, :99, :99]), tmp_path / "v.gpkg"
    with rasterio.open(image, "r+") as dataset:
        dataset.update_tags(ACQUIRED="2020-05-17")
    show_warnings_in_one_line()
    for day, warned in (("2020-05-17", []), ("2019-01-31", ["2020-05-17; 2019-01-31 is used, as given"])):
        assert run(["predict", str(image), "--out", str(out), "--overwrite", "--date", day]) == 0
        lines = [line for line in capsys.readouterr().err.splitlines() if "Warning" in line]
        assert [line.partition("taken on ")[2] for line in lines] == warned
        assert str(gpd.read_file(out, layer="coverage")["acquired"].iloc[0]).startswith(day)


def test_no_result_replaces_an_input(city: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    image, mosaic, area = tmp_path / "city.tif", tmp_path / "mosaic.vrt", tmp_path / "area.gpkg"
    image.write_bytes((city / "city_2020.tif").read_bytes())
    rasterio.shutil.copy(image, mosaic, driver="VRT")
    with rasterio.open(image) as dataset:
        gpd.GeoDataFrame(geometry=[shapely.box(*dataset.bounds)], crs=dataset.crs).to_file(area)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    out = ["--overwrite", "--out", str(tmp_path / "out.gpkg")]
    for arguments in (
        [str(image), *out, "--save-scores", str(image)],
        [str(mosaic), *out, "--save-scores", str(image)],
        [str(image), "--overwrite", "--aoi", str(area), "--out", str(area)],
    ):
        assert run(["predict", *arguments]) == 4
        assert "is an input of this run; give the result another name" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_names_with_spaces_in_the_current_folder(
    city: Path, villages: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "my city 城.tif").write_bytes((city / "city_2020.tif").read_bytes())
    monkeypatch.chdir(tmp_path)
    extras = ["--save-scores", "the scores.tif", "--preview", "the picture.png"]
    assert run(["predict", "my city 城.tif", "--out", "my villages.gpkg", *extras]) == 0
    assert {path.name for path in tmp_path.iterdir()} == {
        "my city 城.tif", "my villages.gpkg", "the scores.tif", "the picture.png",
    }  # fmt: skip
    assert iou(tmp_path / "my villages.gpkg", villages) == pytest.approx(1)


def test_an_area_larger_than_the_map_of_the_image_is_the_whole_image(
    city: Path, villages: Path, tmp_path: Path
) -> None:
    gpd.GeoDataFrame(geometry=[shapely.box(-180, -90, 180, 90)], crs=4326).to_file(tmp_path / "world.geojson")
    out = tmp_path / "out.gpkg"
    given = ["--aoi", str(tmp_path / "world.geojson"), "--out", str(out)]
    assert run(["predict", str(city / "city_2020.tif"), *given]) == 0
    assert iou(out, villages) == pytest.approx(1)


def test_a_real_city_is_outlined(real_data: Path, tmp_path: Path) -> None:
    """Beijing was in the training data: this shows that the whole path works on real imagery, not how good it is."""
    out = tmp_path / "beijing.gpkg"
    assert run(["predict", str(real_data / "beijing/city.tif"), "--out", str(out)]) == 0
    labels = real_data / "beijing/labels.tif"
    with rasterio.open(labels) as dataset:
        label = dataset.read(1)
    found = burn(gpd.read_file(out, layer="villages"), labels)
    judged = label != 255
    assert (found & (label == 1)).sum() / ((found | (label == 1)) & judged).sum() > 0.5
    assert not (found & ~judged).sum() > 0.001 * found.sum()


def test_layers_are_what_gdal_sees(villages: Path) -> None:
    names = [name for name, _ in pyogrio.list_layers(villages)]
    assert names == [
        "villages",
        "coverage",
        "run",
        "layer_styles",
    ]  # the first is what a reader takes who asks for none
    assert not shapely.is_empty(gpd.read_file(villages, layer="villages").geometry).any()
