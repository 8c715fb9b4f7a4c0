"""What Python gets is what the command line writes, under the same names."""

import inspect
import subprocess
import sys
from pathlib import Path

import geopandas as gpd
import lightning as L
import numpy as np
import pytest
import rasterio
import torch
from geopandas.testing import assert_geodataframe_equal
from numpy.typing import NDArray
from pandas.testing import assert_frame_equal
from torch.utils.data import DataLoader
from torchgeo.datasets import stack_samples
from torchgeo.samplers import RandomGeoSampler

import uvsam
from uvsam.cli.main import cli, run
from uvsam.errors import SceneError, SettingsError
from uvsam.models.specialist import ModelRecipe, load_specialist
from uvsam.raster.scene import open_scene
from uvsam.simulate import simulate_city
from uvsam.workflows.for_torchgeo import UNKNOWN, VillageDataset, VillageTask

SPECIALIST = "uvsam-specialist"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("api")
    simulate_city(folder, size_m=500, gsd_m=0.8, periods=(2016, 2020), seed=5)
    return folder


@pytest.fixture(scope="module")
def villages(folder: Path) -> list[gpd.GeoDataFrame]:
    return [
        uvsam.predict(folder / f"city_{year}.tif", model=SPECIALIST, out=folder / f"villages_{year}.gpkg")
        for year in (2016, 2020)
    ]


@pytest.mark.parametrize("name", ["predict", "trends"])
def test_names_and_defaults_are_those_of_the_command_line(name: str) -> None:
    command = cli.get_command(None, name)  # type: ignore[arg-type]
    assert command is not None
    options = {parameter.name: parameter for parameter in command.params if parameter.param_type_name == "option"}
    shown = {max(option.opts, key=len).removeprefix("--").replace("-", "_"): option for option in options.values()}
    given = inspect.signature(getattr(uvsam, name)).parameters
    of_arrays = {"transform", "crs", "nodata"}
    assert set(given) - {"images", "layers", "progress"} - of_arrays == set(shown) - {"verbose", "quiet"} - of_arrays
    for option, parameter in ((shown[key], given[key]) for key in shown if key in given):
        if option.default not in (None, ()) and isinstance(option.default, str | int | float | bool):
            assert str(parameter.default) == str(option.default), parameter


def test_predict_gives_what_the_command_writes(folder: Path, villages: list[gpd.GeoDataFrame], tmp_path: Path) -> None:
    said: list[str] = []
    image, out = folder / "city_2020.tif", tmp_path / "villages.gpkg"
    again = uvsam.predict(image, model=SPECIALIST, progress=lambda stage, done, total: said.append(stage))
    assert run(["predict", str(image), "--model", SPECIALIST, "--out", str(out), "-q"]) == 0
    written = gpd.read_file(out, layer="villages")
    assert len(written) > 0
    assert said
    for found in (again, villages[1]):
        assert_geodataframe_equal(found, written, check_dtype=False, check_like=True)
        assert found.attrs["run"]["model"] == SPECIALIST
    with pytest.raises(SettingsError, match="threshold"):
        uvsam.predict(image, threshold=2)


def test_trends_of_frames_are_those_of_files(folder: Path, villages: list[gpd.GeoDataFrame]) -> None:
    files = [folder / f"villages_{year}.gpkg" for year in (2016, 2020)]
    of_files, of_frames = uvsam.trends(files), uvsam.trends(villages)
    assert len(of_files.histories) > 0
    assert_geodataframe_equal(of_files.histories, of_frames.histories, check_less_precise=True)
    assert_frame_equal(of_files.steps, of_frames.steps)
    assert of_files.zones.empty


def test_ground_that_a_frame_did_not_look_at_lost_nothing(villages: list[gpd.GeoDataFrame]) -> None:
    before, after = villages[0].copy(), villages[1].iloc[:0].copy()
    largest = before.loc[before.area.idxmax(), "geometry"]
    before.attrs, after.attrs = villages[0].attrs, {"coverage": largest.wkt}
    seen = uvsam.trends([before, after], dates=[2016, 2020], align=False).steps
    after.attrs = {}
    all_seen = uvsam.trends([before, after], dates=[2016, 2020], align=False).steps
    assert seen["lost_m2"].sum() == pytest.approx(largest.area, rel=0.02)
    assert all_seen["lost_m2"].sum() == pytest.approx(before.area.sum(), rel=0.02)


def test_scores_are_those_of_the_command(folder: Path, tmp_path: Path) -> None:
    image, scores = folder / "city_2020.tif", tmp_path / "scores.tif"
    arguments = ["predict", str(image), "--model", SPECIALIST, "--out", str(tmp_path / "villages.gpkg"), "-q"]
    assert run([*arguments, "--save-scores", str(scores), "--score-type", "float16"]) == 0
    with rasterio.open(scores) as written, rasterio.open(image) as source:
        expected, pixels = written.read(1), source.read()
        crs, corner, gsd = source.crs.to_wkt(), source.transform, open_scene(image).gsd_m[0]
    model = uvsam.load_model(SPECIALIST)
    found = model.scores(pixels, gsd=gsd)
    np.testing.assert_allclose(found, expected, atol=1e-3)

    import odc.geo.xr
    from odc.geo.geobox import GeoBox

    array = odc.geo.xr.wrap_xr(pixels, GeoBox(pixels.shape[1:], corner, crs), axis=1)
    placed = model.scores(array)
    assert placed.dims == array.dims[1:]
    assert placed.odc.geobox == array.odc.geobox
    np.testing.assert_allclose(placed.values, expected, atol=1e-3)

    holed = pixels.astype(np.float32)
    holed[:, :100, :100] = np.nan
    assert np.isnan(model.scores(holed, gsd=gsd)[:100, :100]).all()
    with pytest.raises(SettingsError, match="gsd"):
        model.scores(pixels)
    with pytest.raises(SceneError, match="three bands"):
        model.scores(pixels[0], gsd=gsd)


def test_torchgeo_trains_what_predict_uses(folder: Path, villages: list[gpd.GeoDataFrame], tmp_path: Path) -> None:
    data = VillageDataset(folder / "city_2020.tif", folder / "villages_2020.gpkg")
    whole = data[data.bounds]
    assert whole["image"].shape[1:] == whole["mask"].shape
    assert set(whole["mask"].unique().tolist()) == {0, 1}
    area = float((whole["mask"] == 1).sum()) * data.res[0] * data.res[1]
    assert area == pytest.approx(villages[1].area.sum(), rel=0.01)

    sampler = RandomGeoSampler(data, size=160, length=4, generator=torch.Generator().manual_seed(0))
    loader = DataLoader(data, batch_size=2, sampler=sampler, collate_fn=stack_samples)
    task = VillageTask(SPECIALIST, lr=2e-3)
    before = probability(task, whole["image"])
    np.testing.assert_allclose(before, scores(SPECIALIST, whole["image"]), atol=1e-5)
    trainer = L.Trainer(
        max_epochs=1, accelerator="cpu", logger=False, enable_checkpointing=False, enable_progress_bar=False,
        enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(task, loader, loader)
    assert np.isfinite(float(trainer.callback_metrics["val_loss"]))
    after = probability(task, whole["image"])
    learned = np.abs(after - before).max()
    assert learned > 0.02
    card = task.save(tmp_path, "mine")
    assert np.abs(scores(card, whole["image"]) - after).max() < learned / 3  # weights have 16 bits
    assert uvsam.load_model(card).card.classes == task.card.classes


def probability(task: VillageTask, image: torch.Tensor) -> NDArray[np.float32]:
    with torch.no_grad():
        other, village = task.eval()(image[None, :, :256, :256])[0]
    calibration = task.card.calibration
    return torch.sigmoid((village - other) / calibration.temperature + calibration.offset).numpy()  # type: ignore[no-any-return]


def scores(model: str | Path, image: torch.Tensor) -> NDArray[np.float32]:
    pixels, valid = image[None, :, :256, :256], torch.ones(1, 256, 256, dtype=torch.bool)
    return load_specialist(ModelRecipe(model)).scores(pixels, valid)[0].numpy()  # type: ignore[no-any-return]


def test_labels_of_rasters_leave_what_they_do_not_name(folder: Path, tmp_path: Path) -> None:
    with rasterio.open(folder / "city_2020.tif") as image:
        profile = image.profile | {"count": 1, "nodata": None, "photometric": None}
        labels = np.zeros((1, *image.shape), np.uint8)
    labels[:, 100:200, 100:200], labels[:, 300:, :] = 7, 9
    profile = {name: profile[name] for name in ("driver", "width", "height", "dtype", "crs", "transform", "count")}
    with rasterio.open(tmp_path / "labels.tif", "w", **profile) as file:
        file.write(labels)
    data = VillageDataset(folder / "city_2020.tif", tmp_path / "labels.tif", values={0: "fields", 7: "village"})
    mask = data[data.bounds]["mask"].numpy()
    np.testing.assert_array_equal(mask, np.select([labels[0] == 7, labels[0] == 9], [1, UNKNOWN], 0))


def test_rio_has_the_commands(folder: Path) -> None:
    rio = [str(Path(sys.executable).with_name("rio")), "uvsam"]
    told = subprocess.run([*rio, "info", str(folder / "city_2020.tif")], capture_output=True, text=True, check=False)
    assert told.returncode == 0
    assert "0.8" in told.stdout
    refused = subprocess.run([*rio, "info", "missing.tif"], capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert "missing.tif" in refused.stderr
    assert "Traceback" not in refused.stderr
