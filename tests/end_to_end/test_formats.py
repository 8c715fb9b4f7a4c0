"""Results in other formats than GeoPackage, rasters and the STAC item beside them, as other tools read them."""

import json
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pystac
import pystac.validation
import pytest
import rasterio
import shapely
from odc.geo.geobox import GeoBox
from pystac.extensions.mlm import MLMExtension
from pystac.extensions.projection import ProjectionExtension
from pystac.validation import JsonSchemaSTACValidator
from rasterio.features import rasterize
from rio_cogeo import cog_validate

import uvsam
from uvsam.catalog import load_predict_card
from uvsam.cli.main import run
from uvsam.raster.inputs import open_inputs
from uvsam.vectors.formats import SUFFIXES, read_run, write_villages
from uvsam.workflows.stac_item import Written, make_item

QUICK = ["--model", "uvsam-specialist"]


@pytest.fixture(scope="module")
def result(city: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A result as GeoParquet, outlines along pixel corners, and all that can be beside it."""
    folder = tmp_path_factory.mktemp("result")
    out = folder / "villages.parquet"
    beside = {"--save-scores": "scores.tif", "--save-mask": "mask.tif", "--preview": "p.png", "--stac": "villages.json"}
    extras = [str(word) for option, name in beside.items() for word in (option, folder / name)]
    image = str(city / "city_2020.tif")
    assert run(["predict", image, "--out", str(out), "--simplify-m", "0", *extras, *QUICK]) == 0
    assert {path.name for path in folder.iterdir()} == {
        "villages.parquet", "villages_coverage.parquet", "villages.parquet.run.json", *beside.values(),
    }  # fmt: skip
    return out


@pytest.fixture(scope="module")
def twins(result: Path) -> dict[str, Path]:
    """The same result in each format that can be read again."""
    villages, coverage = (
        gpd.read_parquet(path).astype({"acquired": "datetime64[s]", "model": object})
        for path in (result, result.with_name("villages_coverage.parquet"))
    )
    told = json.loads(result.with_name("villages.parquet.run.json").read_text())
    found = {".parquet": result}
    for suffix in (".gpkg", ".fgb", ".geojson"):
        found[suffix] = result.parent / "twins" / f"villages{suffix}"
        found[suffix].parent.mkdir(exist_ok=True)
        write_villages(found[suffix], villages, coverage, told)
    return found


def test_commands_read_every_format_alike(
    city: Path, twins: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = gpd.read_file(city / "truth.gpkg", layer="villages", where="period = 2016")
    gpd.read_file(city / "truth.gpkg", layer="villages").to_parquet(tmp_path / "truth.parquet")
    gpd.read_parquet(twins[".parquet"]).iloc[:3].to_parquet(tmp_path / "aoi.parquet")
    truth.drop(columns=["acquired", "period"]).to_file(tmp_path / "villages_2016.fgb")
    scores, histories = {}, {}
    for suffix, path in twins.items():
        assert json.loads(read_run(path)["threshold"]) == pytest.approx(0.45)
        arguments = [str(path), str(tmp_path / "truth.parquet"), "--truth-where", "period = 2020"]
        capsys.readouterr()
        assert run(["evaluate", *arguments, "--aoi", str(tmp_path / "aoi.parquet"), "--json"]) == 0
        # rings run the other way round in some formats, so sums of floats differ in their last digits
        told = json.loads(capsys.readouterr().out, parse_float=lambda digits: round(float(digits), 9))
        scores[suffix] = told | {"prediction": "", "uvsam": ""}
        out = tmp_path / f"trends_{suffix[1:]}.gpkg"
        assert run(["trends", str(tmp_path / "villages_2016.fgb"), str(path), "--out", str(out), "--no-align"]) == 0
        histories[suffix] = gpd.read_file(out, layer="histories")
        assert read_run(out)["uvsam"]
    assert scores[".gpkg"]["pixels"]["tp"] > 0
    assert scores[".parquet"] == scores[".fgb"] == scores[".gpkg"]
    for measure in ("iou", "precision", "recall"):  # a centimetre along the outlines
        assert scores[".geojson"]["pixels"][measure] == pytest.approx(scores[".gpkg"]["pixels"][measure], abs=1e-3)
    columns = ["event", "area_m2", "gained_m2", "lost_m2", "confidence"]
    tables = {suffix: frame.sort_values(["area_m2", "gained_m2"])[columns] for suffix, frame in histories.items()}
    assert len(tables[".gpkg"]) > 3
    for suffix in (".parquet", ".fgb", ".geojson"):
        assert tables[suffix]["event"].tolist() == tables[".gpkg"]["event"].tolist()
        close = {"rel": 1e-3, "abs": 1} if suffix == ".geojson" else {"rel": 1e-9, "abs": 1e-6}
        for column in columns[1:]:
            assert tables[suffix][column].tolist() == pytest.approx(
                tables[".gpkg"][column].tolist(), nan_ok=True, **close
            )


def test_layers_that_belong_together_need_a_geopackage(
    twins: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["sample", str(twins[".parquet"]), "--out", str(tmp_path / "sample.gpkg"), "--places", "100"]) == 0
    assert len(gpd.read_file(tmp_path / "sample.gpkg", layer="sample")) == 100
    for command in ("trends", "sample"):
        assert run([command, str(twins[".parquet"]), "--out", str(tmp_path / "out.fgb")]) == 4
        assert "should end in .gpkg, the one format that holds several layers" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["sample.gpkg"]


@pytest.mark.parametrize(("name", "nodata"), [("scores.tif", 0), ("mask.tif", 255)])
def test_rasters_are_cloud_optimised_and_say_what_they_are(result: Path, name: str, nodata: int) -> None:
    path = result.with_name(name)
    assert cog_validate(path, strict=True) == (True, [], [])
    with rasterio.open(path) as dataset:
        values = dataset.read(1, masked=True)
        tags = dataset.tags(1)
        assert dataset.nodata == nodata
        assert dataset.overviews(1)
        assert dataset.colorinterp[0].name == "gray"
        assert dataset.descriptions[0]
        assert dataset.units == ("1",)
        said = [float(tags[f"STATISTICS_{what}"]) for what in ("MINIMUM", "MAXIMUM", "MEAN", "STDDEV")]
        assert said == pytest.approx([values.min(), values.max(), values.mean(), values.std()], rel=1e-4)
        if name == "scores.tif":
            shown = values * dataset.scales[0] + dataset.offsets[0]
            assert (shown.min(), shown.max()) == pytest.approx((0, 1), abs=0.01)
    assert not path.with_name(f"{name}.aux.xml").exists()


def test_the_mask_is_the_villages(result: Path) -> None:
    villages = gpd.read_parquet(result)
    with rasterio.open(result.with_name("mask.tif")) as dataset:
        mask = dataset.read(1)
        burnt = rasterize(villages.geometry, mask.shape, transform=dataset.transform)
    with rasterio.open(result.with_name("scores.tif")) as dataset:
        looked_at = dataset.read(1) > 0
    assert burnt.any()
    np.testing.assert_array_equal(mask, np.where(looked_at, burnt, 255))


SCHEMAS = Path(os.environ.get("UVSAM_STAC_SCHEMAS", Path(__file__).parents[1] / "stac_schemas"))
"""Of the extensions; those of STAC are part of pystac."""


@pytest.fixture(scope="module")
def validator() -> JsonSchemaSTACValidator:
    class Local(JsonSchemaSTACValidator):
        def _get_schema(self, schema_uri: str) -> dict[str, Any]:
            assert schema_uri in self.schema_cache, f"{schema_uri} would be fetched"
            return super()._get_schema(schema_uri)

    local = Local()
    for path in SCHEMAS.glob("*/*/schema.json"):
        uri = f"https://stac-extensions.github.io/{path.relative_to(SCHEMAS).as_posix()}"
        local.schema_cache[uri] = json.loads(path.read_text())
    return local


def read_item(result: Path) -> pystac.Item:
    return pystac.Item.from_file(str(result.with_name("villages.json")))


def test_the_stac_item_fits_stac_and_the_schemas_of_its_extensions(
    result: Path, validator: JsonSchemaSTACValidator
) -> None:
    item = read_item(result)
    extensions = {uri.split("/")[3] for uri in item.stac_extensions}
    assert extensions == {"projection", "processing", "mlm", "raster"}
    assert len(item.validate(validator)) == 1 + len(extensions)


@pytest.mark.parametrize(
    ("field", "wrong"),
    [("proj:transform", [1, 2, 3]), ("processing:software", {"uvsam": 1}), ("mlm:tasks", ["wishing"]), ("mlm:name", 7)],
)
def test_the_schemas_refuse_what_is_wrong(
    field: str, wrong: Any, result: Path, validator: JsonSchemaSTACValidator
) -> None:
    item = read_item(result)
    item.properties[field] = wrong
    with pytest.raises(pystac.STACValidationError):
        item.validate(validator)


def test_the_stac_item_names_what_there_is(result: Path) -> None:
    item = read_item(result)
    hrefs = {key: asset.get_absolute_href() or "" for key, asset in item.assets.items()}
    assert hrefs.pop("model") == "pkg:pypi/uvsam@" + uvsam.__version__ + (
        "#uvsam/data_catalog/models/uvsam-specialist.safetensors"
    )
    assert {Path(href).name for href in hrefs.values()} == {
        "villages.parquet", "villages_coverage.parquet", "villages.parquet.run.json", "scores.tif", "mask.tif", "p.png",
    }  # fmt: skip
    assert all(Path(href).is_file() for href in hrefs.values())
    types = {key: asset.media_type for key, asset in item.assets.items()}
    assert (types["villages"], types["scores"], types["mask"]) == (
        "application/vnd.apache.parquet", pystac.MediaType.COG, pystac.MediaType.COG,
    )  # fmt: skip
    source = item.get_single_link("derived_from")
    assert source is not None
    assert Path(source.get_absolute_href() or "").name == "city_2020.tif"
    assert Path(source.get_absolute_href() or "").is_file()


def test_the_stac_item_says_where_when_and_how(city: Path, result: Path) -> None:
    item = read_item(result)
    coverage = gpd.read_parquet(result.with_name("villages_coverage.parquet"))
    assert item.bbox == pytest.approx(coverage.to_crs(4326).total_bounds, abs=1e-6)
    ground = gpd.GeoSeries([shapely.geometry.shape(item.geometry)], crs=4326).to_crs(coverage.crs).iloc[0]
    assert ground.symmetric_difference(coverage.geometry.iloc[0]).area < 0.01 * ground.area
    acquired = gpd.read_parquet(result)["acquired"].iloc[0]
    assert item.datetime is None
    assert item.properties["start_datetime"] == f"{acquired}T00:00:00Z"
    assert item.properties["end_datetime"] == f"{acquired}T23:59:59Z"
    with rasterio.open(city / "city_2020.tif") as image:
        projection = ProjectionExtension.ext(item)
        assert projection.code == str(image.crs)
        assert projection.shape == list(image.shape)
        assert projection.transform == list(image.transform)[:6]
        assert projection.bbox == list(image.bounds)
    run = read_run(result)
    assert item.properties["processing:software"]["uvsam"] == uvsam.__version__
    assert item.properties["processing:datetime"] == run["computed_at"]
    model, card = MLMExtension.ext(item), load_predict_card("uvsam-specialist")
    assert (model.mlm_name, model.tasks) == ("uvsam-specialist", ["semantic-segmentation"])
    assert model.hyperparameters is not None
    assert model.hyperparameters.to_dict()["threshold"] == json.loads(run["threshold"])
    assert model.input[0].bands == ["red", "green", "blue"]
    assert model.input[0].input.shape == [-1, 3, card.chip_px, card.chip_px]
    scores = item.assets["scores"].extra_fields["bands"][0]
    with rasterio.open(result.with_name("scores.tif")) as dataset:
        assert scores["statistics"]["mean"] == pytest.approx(dataset.read(1, masked=True).mean(), rel=1e-4)
        assert (scores["raster:scale"], scores["raster:offset"]) == (dataset.scales[0], dataset.offsets[0])


def test_the_stac_item_is_valid_of_any_image(
    city: Path, result: Path, tmp_path: Path, validator: JsonSchemaSTACValidator
) -> None:
    """Without a date, without a place, with nothing that was looked at, with a model of one's own."""
    card, scene = load_predict_card("uvsam-specialist"), open_inputs(city / "city_2020.tif")
    run = json.loads(result.with_name("villages.parquet.run.json").read_text())
    coverage = gpd.read_parquet(result.with_name("villages_coverage.parquet"))
    mine = tmp_path / "my model 城.yaml"
    mine.write_text("")
    nowhere = replace(scene, geobox=GeoBox(scene.shape, scene.geobox.affine, None))
    cases = [
        make_item(tmp_path / "a.json", Written(tmp_path / f"villages{suffix}"), coverage, scene, card, run)
        for suffix in SUFFIXES
    ]
    assert len({item["assets"]["villages"]["type"] for item in cases}) == len(SUFFIXES) - 1  # GeoParquet has two names
    undated = run | {"acquired": None, "inputs": ["https://a.example/b.tif?token=secret"]}
    undated["settings"] = run["settings"] | {"model": str(mine)}
    own = card.model_copy(update={"name": "2020 城"})
    cases.append(make_item(tmp_path / "a.json", Written(tmp_path / "v.gpkg"), coverage.iloc[:0], scene, own, undated))
    assert cases[-1]["properties"]["datetime"] == run["computed_at"]
    assert cases[-1]["geometry"] is None
    assert cases[-1]["links"][0]["href"] == "https://a.example/b.tif"
    assert cases[-1]["assets"]["model"]["href"] == f"./{card.weights}"
    local = make_item(tmp_path / "a.json", Written(tmp_path / "v.fgb"), coverage.set_crs(None, allow_override=True),
                      nowhere, card, run)  # fmt: skip
    assert "bbox" not in local
    for item in (*cases, local):
        pystac.validation.validate_dict(item, validator=validator)


@pytest.mark.parametrize("suffix", [".shp", ".kml", ".KMZ"])
def test_formats_that_would_lose_something_are_refused_with_a_way(
    city: Path, tmp_path: Path, suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / f"our villages{suffix}"
    image = str(city / "city_2020.tif")
    assert run(["predict", image, "--out", str(out), *QUICK]) == 4
    told = capsys.readouterr().err.strip().splitlines()[-1]
    made = out.with_suffix(".gpkg")
    assert f"write {made} and convert it" in told
    command = shlex.split(told.partition("or with ")[2])
    assert command == ["ogr2ogr", str(out), str(made), "villages"]
    if shutil.which("ogr2ogr"):
        assert run(["predict", image, "--out", str(made), *QUICK]) == 0
        subprocess.run(command, check=True)
        assert out.exists()


def test_geoparquet_under_its_long_name(city: Path, result: Path, tmp_path: Path) -> None:
    out = tmp_path / "villages.geoparquet"
    assert run(["predict", str(city / "city_2020.tif"), "--out", str(out), "--simplify-m", "0", *QUICK]) == 0
    assert gpd.read_parquet(out).geom_equals(gpd.read_parquet(result)).all()
    assert read_run(out)["threshold"] == read_run(result)["threshold"]
    assert (tmp_path / "villages_coverage.geoparquet").exists()


def test_an_area_elsewhere_is_told_with_both_places(
    city: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    truth = gpd.read_file(city / "truth.gpkg", layer="villages")
    truth.to_crs(4326).translate(1, 0).to_frame("geometry").to_file(tmp_path / "east.geojson")
    truth.set_crs(4326, allow_override=True).to_file(tmp_path / "metres.geojson")
    truth.set_crs(4326, allow_override=True).to_file(tmp_path / "metres.gpkg")
    cases = {
        "east.geojson": r"outside the image: it is longitude [\d.]+ to [\d.]+, latitude .*, and the image longitude",
        "metres.geojson": "GeoJSON is in longitude and latitude, in degrees: save it in EPSG:4326",
        "metres.gpkg": "no degrees, and says that it is in WGS 84; give it the CRS they are of",
    }
    for name, said in cases.items():
        command = ["predict", str(city / "city_2020.tif"), "--aoi", str(tmp_path / name), "--out"]
        assert run([*command, str(tmp_path / "v.gpkg"), *QUICK]) == 1
        assert re.search(said, capsys.readouterr().err)
    aoi = f"{city / 'truth.gpkg'}|layername=villages|subset=period = 2020"
    out = tmp_path / "v.gpkg"
    assert run(["predict", str(city / "city_2020.tif"), "--aoi", aoi, "--out", str(out), *QUICK]) == 0
    inside = truth[truth["period"] == 2020].geometry.area.sum()
    assert gpd.read_file(out, layer="coverage")["area_m2"].sum() == pytest.approx(inside, rel=0.05)
