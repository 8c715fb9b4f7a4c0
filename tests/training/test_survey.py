"""What labels say is looked over before the first step, and what cannot teach anything stops the run with a remedy."""

import contextlib
import json
import re
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import yaml
from numpy.typing import NDArray
from rasterio.features import rasterize

from uvsam.catalog import load_card
from uvsam.cli.main import run
from uvsam.training.config import SpecialistTraining, load_training
from uvsam.training.sampling import open_sources
from uvsam.training.survey import Counts
from uvsam.training.targets import target_table


class Labels:
    """Labels of a city in many states, and a training on them."""

    def __init__(self, city: Path, folder: Path) -> None:
        self.image, self.folder = city / "city_2020.tif", folder
        truth = gpd.read_file(city / "truth.gpkg", layer="villages")
        self.truth = truth[truth["period"] == 2020]
        with rasterio.open(self.image) as image:
            self.profile = image.profile | {"count": 1, "dtype": "uint8", "photometric": "minisblack"}
            shape, transform = image.shape, image.transform
        self.burnt: NDArray[np.uint8] = rasterize(self.truth.geometry, shape, transform=transform, dtype="uint8")

    def save(self, values: NDArray[Any], **profile: Any) -> Path:
        path = self.folder / "labels.tif"
        given = self.profile | {"dtype": values.dtype.name} | profile
        with rasterio.open(path, "w", **given) as dataset:
            dataset.write(values if values.ndim == 3 else values[None])
        return path

    def train(self, labels: Path, *words: str, **source: Any) -> int:
        fields = {
            "name": "m", "output": str(self.folder / "run"), "steps": 1, "steps_per_epoch": 1, "batch": 1,
            "crop_px": 64, "precision": "32", "validation": {"share": 0},
            "network": {"arch": "fcn", "encoder": "tf_efficientnet_lite0", "decoder_channels": 16},
            "sources": [{"name": "c", "images": str(self.image), "labels": str(labels)} | source],
        }  # fmt: skip
        (self.folder / "m.yaml").write_text(yaml.safe_dump(fields))
        return run(["train", "specialist", str(self.folder / "m.yaml"), *words])


@pytest.fixture
def labels(city: Path, tmp_path: Path) -> Labels:
    return Labels(city, tmp_path)


def rows(values: NDArray[Any], value: float) -> NDArray[Any]:
    """The same, another value in the first hundred rows."""
    changed = values.copy()
    changed[:100] = value
    return changed


@pytest.mark.parametrize(
    ("values", "profile", "said"),
    [
        (lambda b: b * 255, {}, "have 255, which 'values' does not name; .* as in values: {0: other, 255: village}"),
        (lambda b: b + 4, {}, "have 4, 5, which 'values' does not name"),
        (lambda b: rows(b, 7), {}, r"have 7, .* as in values: {0: other, 1: village, 7: ignore}"),
        (lambda b: b.astype("float32") * np.float32(0.7), {}, "have fractions; label values are whole numbers"),
        (lambda b: rows(b.astype("int16"), -9999), {}, "have -9999; .*gdal_edit.py -a_nodata"),
        (lambda b: b.astype("uint16") * 1000, {}, "have 1000; .* reclassify"),
        (lambda b: b * 0, {}, "its value for village, 1, is nowhere in .*, which has 0; "),
        (lambda b: b * 0 + 1, {}, "all of the 0.81 km2 with labels is village"),
        (lambda b: b, {"nodata": 0}, "all of the .*gdal_edit.py -unsetnodata"),
        (lambda b: b, {"nodata": 0, "crs": None}, "no coordinate reference system"),
        (lambda b: np.stack([b * 255] * 3), {"count": 3}, "has 3 bands; labels are a raster of one band"),
    ],
)  # fmt: skip
def test_labels_that_cannot_teach_stop_the_run_with_a_remedy(
    labels: Labels, values: Any, profile: dict[str, Any], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert labels.train(labels.save(values(labels.burnt), **profile)) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("Error: ")
    assert re.search(said, error)
    assert not (labels.folder / "run" / "last.ckpt").exists()


def test_the_table_is_what_the_raster_holds(labels: Labels, capsys: pytest.CaptureFixture[str]) -> None:
    """Counted by hand on the raster's own grid."""
    values = rows(labels.burnt, 7)
    path = labels.save(values)
    assert labels.train(path, "--json", values={0: "other", 1: "village", 7: "ignore", 9: "other"}) == 0
    said = capsys.readouterr()
    told = json.loads(said.out)
    (source,) = told["sources"]
    with rasterio.open(path) as dataset:
        pixel_km2 = abs(dataset.transform.a * dataset.transform.e) / 1e6
    known = values != 7
    assert source["images"] == 1
    assert source["labelled_km2"] == pytest.approx(known.sum() * pixel_km2, rel=0.02)
    assert source["village_share"] == pytest.approx((values[known] == 1).mean(), rel=0.05)
    for value in (0, 1, 7):
        assert source["values"][str(value)] == pytest.approx((values == value).mean(), rel=0.05)
    assert source["values_not_found"] == [9]
    assert re.search(r"^source +images +labelled", said.err, re.MULTILINE)
    assert told["next"].startswith(f"uvsam predict {labels.image} --model ")


def test_a_village_of_one_pixel_occurs(labels: Labels, capsys: pytest.CaptureFixture[str]) -> None:
    """The look-over may miss it; that it is nowhere would be false."""
    values = labels.burnt * 0
    values[501, 503] = 1
    assert labels.train(labels.save(values)) == 1
    assert "none of the 0.81 km2 with labels is village" in capsys.readouterr().err


def test_no_number_is_no_label_and_polygons_need_no_values(labels: Labels, tmp_path: Path) -> None:
    assert labels.train(labels.save(rows(labels.burnt.astype("float32"), np.nan))) == 0
    labels.truth.to_file(tmp_path / "labels.gpkg")
    assert labels.train(tmp_path / "labels.gpkg", "--restart") == 0


def test_the_command_that_is_advised_works(
    labels: Labels, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import shlex

    assert labels.train(labels.save(labels.burnt)) == 0
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("use it: "))
    with contextlib.chdir(labels.folder):
        assert run(shlex.split(line.removeprefix("use it: "))[1:]) == 0
        assert (labels.folder / "villages.gpkg").exists()


def test_counts_add_up() -> None:
    counts = Counts()
    counts.add(np.array([0, 1, 1, 7]), np.array([0, 1, 1], np.float32))
    counts.add(np.array([7]), np.array([], np.float32))
    assert (counts.values, counts.labelled, counts.village) == ({0: 1, 1: 2, 7: 2}, 3, 2)


def test_the_threshold_that_was_best_is_in_the_card(labels: Labels, capsys: pytest.CaptureFixture[str]) -> None:
    """As if the bundled model were only measured: it begins from there, and a step changes next to nothing."""
    path = labels.save(labels.burnt)
    assert labels.train(path) == 0
    fields = yaml.safe_load((labels.folder / "m.yaml").read_text())
    del fields["network"]
    fields |= {
        "specialist": "uvsam-specialist", "learning_rate": 1e-9, "crop_px": 256,
        "validation": {"share": 0.5, "block_m": 150, "samples": 8},
    }  # fmt: skip
    (labels.folder / "m.yaml").write_text(yaml.safe_dump(fields))
    capsys.readouterr()
    assert run(["train", "specialist", str(labels.folder / "m.yaml"), "--restart"]) == 0
    said = capsys.readouterr().out
    card, bundled = load_card(labels.folder / "run" / "m.yaml"), load_card("uvsam-specialist")
    metrics = (labels.folder / "run" / "metrics.csv").read_text().splitlines()
    measured = dict(zip(metrics[0].split(","), metrics[-1].split(","), strict=True))
    log_odds = np.log(float(measured["val_threshold"]) / (1 - float(measured["val_threshold"])))
    calibrated = log_odds / bundled.calibration.temperature + bundled.calibration.offset
    assert card.calibration.threshold == pytest.approx(1 / (1 + np.exp(-calibrated)), abs=1e-3)
    assert card.calibration.temperature == bundled.calibration.temperature
    assert card.calibration.seed_threshold >= card.calibration.threshold or (
        bundled.calibration.seed_threshold < bundled.calibration.threshold
    )
    assert float(measured["val_iou"]) > 0.5
    assert f"threshold: {card.calibration.threshold:g}, the best on held-out ground" in said
    assert f"at threshold {card.calibration.threshold:.2f}" in card.quality[0].measure


def test_our_own_settings_name_every_value_of_the_real_labels(real_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = Path(__file__).parents[2]
    monkeypatch.chdir(root)
    settings = load_training(SpecialistTraining, root / "configs" / "train" / "specialist.yaml")
    there = tuple(source for source in settings.sources if source.images.exists())
    if not there:
        pytest.skip("the images of the settings are not beside the repository")
    settings = settings.model_copy(update={"sources": there})
    surveys = [source.survey for source in open_sources(settings, target_table(there, settings.classes))]
    assert all(set(survey.values) <= set(source.values) for survey, source in zip(surveys, there, strict=True))
    assert any(survey.village_share for survey in surveys)
