"""What training reads: places, labels, and the ground that is kept out."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio
import torch
from hypothesis import given
from hypothesis import strategies as st
from rasterio.features import rasterize
from torch.utils.data import DataLoader

from uvsam.errors import LabelError, SettingsError
from uvsam.training.config import (
    GeneralistTraining,
    SpecialistTraining,
    UvSamTraining,
    Validation,
    load_training,
)
from uvsam.training.sampling import (
    Mixture,
    MixtureSampler,
    held_out,
    open_sources,
    query_at,
    validation_requests,
)
from uvsam.training.targets import IGNORE, target_table


@given(st.floats(0, 0.9), st.integers(0, 99), st.floats(10, 1000))
def test_held_out_blocks_are_whole_and_of_the_share_asked_for(share: float, seed: int, block_m: float) -> None:
    rule = Validation(share=share, block_m=block_m)
    corner = np.arange(60)[:, None] * block_m + np.zeros(60), np.arange(60) * block_m + np.zeros((60, 1))
    here = held_out(corner[0] + 0.1 * block_m, corner[1] + 0.1 * block_m, rule, seed)
    there = held_out(corner[0] + 0.9 * block_m, corner[1] + 0.9 * block_m, rule, seed)
    assert (here == there).all()
    assert here.mean() == pytest.approx(share, abs=0.05)


@pytest.fixture(scope="module")
def labels(city: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The truth of 2020 as polygons and as a raster."""
    folder = tmp_path_factory.mktemp("labels")
    truth = gpd.read_file(city / "truth.gpkg", layer="villages")
    truth = truth[truth["period"] == 2020]
    truth.to_file(folder / "villages.gpkg")
    truth.to_file(folder / "villages.fgb")
    truth.to_parquet(folder / "villages.parquet")
    with rasterio.open(city / "city_2020.tif") as image:
        profile = image.profile | {"count": 1, "photometric": "minisblack"}
        burnt = rasterize(truth.geometry, image.shape, transform=image.transform, dtype="uint8")
    with rasterio.open(folder / "villages.tif", "w", **profile) as dataset:
        dataset.write(burnt, 1)
    return folder


def config(city: Path, labels: Path, **fields: object) -> SpecialistTraining:
    source = {"name": "city", "images": city / "city_2020.tif", "labels": labels}
    given = {
        "name": "t", "output": "t", "sources": [source], "crop_px": 128, "gsd_m": 0.9,
        "validation": {"share": 0.3, "block_m": 100, "samples": 6},
    }  # fmt: skip
    return SpecialistTraining.model_validate(given | fields)


def test_polygons_and_rasters_of_the_same_truth_are_the_same_labels(city: Path, labels: Path) -> None:
    samples = []
    for name in ("villages.gpkg", "villages.tif", "villages.fgb", "villages.parquet"):
        run = config(city, labels / name)
        source = open_sources(run, target_table(run.sources, run.classes))[0]
        x, y, _ = source.dataset.bounds
        samples.append(source.read(query_at(x.start, y.start, 600, 600, (0.9, 0.9))))
    (image, rows, valid), (other_image, other_rows, _), *others = samples
    assert valid.all()
    torch.testing.assert_close(image, other_image)
    assert (rows == other_rows).mean() > 0.999
    assert all((rows == of_format).all() for _, of_format, _ in others)
    assert 0.01 < (rows == 2).mean() < 0.9
    with rasterio.open(city / "city_2020.tif") as dataset:  # the same pixels as in the file
        assert np.abs(dataset.read()[:, -600:, :600].astype(float) - image.numpy()).mean() < 1


def test_training_never_sees_the_ground_it_is_judged_on(city: Path, labels: Path) -> None:
    run = config(city, labels / "villages.tif", augmentation={"scale": 1, "rotate": 0, "colour": 0, "degrade": 0})
    sources = open_sources(run, target_table(run.sources, run.classes))
    data = Mixture(sources, run)
    train = [data[request] for request in MixtureSampler(sources, run)][:20]
    judged = [data[request] for request in validation_requests(sources, run)]
    assert len(judged) == 6
    share = np.mean([float((sample["rows"] != IGNORE).float().mean()) for sample in judged])
    assert 0.1 < share < 1
    for sample in train:
        hidden = ~sample["valid"]
        assert (sample["rows"][hidden] == IGNORE).all()
        assert (sample["image"][:, hidden] == 0).all()
    assert np.mean([float((~sample["valid"]).float().mean()) for sample in train]) > 0.1


def test_an_epoch_is_repeatable_and_epochs_differ(city: Path, labels: Path) -> None:
    run = config(city, labels / "villages.tif", steps_per_epoch=2, batch=2)
    sources = open_sources(run, target_table(run.sources, run.classes))
    first, again, second = (MixtureSampler(sources, run) for _ in range(3))
    second.set_epoch(1)
    assert list(first) == list(again) != list(second)
    data = Mixture(sources, run)
    request = next(iter(first))
    torch.testing.assert_close(data[request]["image"], data[request]["image"])


def test_polygons_of_any_crs_are_the_same_labels(city: Path, labels: Path, tmp_path: Path) -> None:
    truth = gpd.read_file(labels / "villages.gpkg")
    truth.to_crs(4326).to_file(tmp_path / "degrees.geojson")
    rows = []
    for path in (labels / "villages.gpkg", tmp_path / "degrees.geojson"):
        run = config(city, path)
        source = open_sources(run, target_table(run.sources, run.classes))[0]
        x, y, _ = source.dataset.bounds
        rows.append(source.read(query_at(x.start + 300, y.start + 300, 500, 500, (0.9, 0.9)))[1])
    assert (rows[0] == rows[1]).mean() > 0.9999


def test_polygons_that_cannot_be_used_say_why(city: Path, labels: Path, tmp_path: Path) -> None:
    truth = gpd.read_file(labels / "villages.gpkg")
    truth.set_crs(None, allow_override=True).to_file(tmp_path / "plane.gpkg")
    truth.iloc[:0].to_file(tmp_path / "empty.gpkg")
    truth.set_geometry(truth.centroid).to_file(tmp_path / "points.gpkg")
    cases = {"plane": "no coordinate reference system", "empty": "no polygon", "points": "no layer of polygons"}
    for name, message in cases.items():
        run = config(city, tmp_path / f"{name}.gpkg")
        with pytest.raises(LabelError, match=f"source 'city': .*{name}.gpkg has {message}"):
            open_sources(run, target_table(run.sources, run.classes))


def test_processes_read_the_same_samples(city: Path, labels: Path) -> None:
    run = config(city, labels / "villages.tif", steps_per_epoch=4, batch=2)
    sources = open_sources(run, target_table(run.sources, run.classes))
    here, there = (
        list(DataLoader(Mixture(sources, run), 2, sampler=MixtureSampler(sources, run), num_workers=workers))
        for workers in (0, 2)
    )
    assert len(here) == len(there) == 4
    for ours, theirs in zip(here, there, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_labels_elsewhere_are_an_error(city: Path, labels: Path, tmp_path: Path) -> None:
    away = gpd.read_file(labels / "villages.gpkg")
    away.geometry = away.translate(50_000, 0)
    away.to_file(tmp_path / "away.gpkg")
    run = config(city, tmp_path / "away.gpkg")
    with pytest.raises(LabelError, match="do not overlap"):
        open_sources(run, target_table(run.sources, run.classes))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("name: a", "output"),
        ("name: a\noutput: b\nsources: []", "sources"),
        ("name: a\noutput: b\nsources: [{name: s, images: i, labels: l, values: {1: slum}}]", "slum"),
        ("name: a\noutput: b\nsteps: -1\nsources: [{name: s, images: i, labels: l}]", "steps"),
        ("name: a\noutput: b\nsources: [{name: s, images: i, labels: l, values: {300: village}}]", "values.300"),
        ("name: a\noutput: b\nhalo_px: 400\nsources: [{name: s, images: i, labels: l}]", "halo_px"),
        ("- a list", "settings"),
        ("base: nowhere.yaml", "nowhere.yaml"),
        ("name: a\noutput: b\nsources: [nowhere.yaml]", "nowhere.yaml"),
        ("name: a\noutput: b\nsources: [run.yaml]", "circle"),
    ],
)
def test_a_wrong_training_file_is_one_line_that_names_the_setting(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "run.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=named) as caught:
        load_training(SpecialistTraining, path)
    assert "\n" not in str(caught.value)


WHOLE = [path for path in sorted(Path("configs/train").glob("*.yaml")) if not path.stem.startswith("sources_")]
"""The others are parts of these."""


@pytest.mark.parametrize("path", WHOLE, ids=lambda path: path.stem)
def test_every_shipped_training_file_is_valid(path: Path) -> None:
    kinds = {"generalist": GeneralistTraining, "uvsam": UvSamTraining}
    kind = kinds.get(path.stem.split("_")[0], SpecialistTraining)
    assert load_training(kind, path).classes[-1] == "village"
