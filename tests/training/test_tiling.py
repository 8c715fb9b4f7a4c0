"""Samples on a grid: all tiles in their turn, all ground on one, and embeddings that a second round finds again."""

from collections import Counter
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import torch

from uvsam.training.config import UvSamTraining
from uvsam.training.embeddings import EmbeddingCache
from uvsam.training.sampling import LabelledSource, held_out, open_sources
from uvsam.training.targets import target_table
from uvsam.training.tiling import TiledMixture, TileSampler, find_tiles

VIEWS_ONLY = {"scale": 1, "rotate": 0, "colour": 0, "degrade": 0, "grey": 0}


@pytest.fixture(scope="module")
def labels(city: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    truth = gpd.read_file(city / "truth.gpkg", layer="villages")
    path = tmp_path_factory.mktemp("labels") / "villages.gpkg"
    truth[truth["period"] == 2020].to_file(path)
    return path


def prepare(city: Path, labels: Path, **fields: object) -> tuple[UvSamTraining, list[LabelledSource]]:
    source = {"name": "city", "images": city / "city_2020.tif", "labels": labels, "village_share": 0}
    given = {
        "name": "t", "output": "t", "generalist": "g", "sources": [source], "crop_px": 128, "gsd_m": 0.9,
        "augmentation": VIEWS_ONLY, "validation": {"share": 0}, "batch": 5, "steps_per_epoch": 3,
    }  # fmt: skip
    config = UvSamTraining.model_validate(given | fields)
    return config, open_sources(config, target_table(config.sources, config.classes))


def test_every_labelled_place_lies_on_one_tile(city: Path, labels: Path) -> None:
    config, (source,) = prepare(city, labels, validation={"share": 0.2, "block_m": 150})
    corners, has_village = find_tiles(source, config)
    assert len(corners) == 64  # 900 m, in squares of 115 m
    assert 0 < has_village.sum() < 64
    points = source.ground.labelled
    x, y = points.T / np.array(source.ground.unit)[:, None]
    points = points[~held_out(x, y, config.validation, config.seed)]
    size = config.crop_px * config.gsd_m * np.array(source.ground.unit)
    inside = ((points[:, None] >= corners) & (points[:, None] < corners + size)).all(axis=2)
    assert (inside.sum(axis=1) == 1).all()


def test_an_image_as_large_as_a_tile_is_one(city: Path, labels: Path) -> None:
    config, (source,) = prepare(city, labels, crop_px=992, gsd_m=900 / 992)
    corners, _ = find_tiles(source, config)
    x, y, _ = source.dataset.bounds
    np.testing.assert_allclose(corners, [[x.start, y.start]], atol=1)


def test_all_tiles_come_once_before_one_comes_again(city: Path, labels: Path) -> None:
    config, sources = prepare(city, labels, batch=4, steps_per_epoch=8, views=3)
    sampler = TileSampler(sources, config)
    epochs = []
    for epoch in range(4):
        sampler.set_epoch(epoch)
        epochs.append(list(sampler))
    first, second = epochs[0] + epochs[1], epochs[2] + epochs[3]
    places = [[str(request.query[:2]) for request in part] for part in (first, second)]
    assert set(places[0]) == set(places[1])
    assert len(places[0]) == len(set(places[0])) == 64
    assert places[0] != places[1]
    views = [{place: request.seed for place, request in zip(*pair, strict=True)} for pair in
             ((places[0], first), (places[1], second))]  # fmt: skip
    assert all((views[0][place] + 1) % 3 == views[1][place] for place in views[0])
    resumed = TileSampler(sources, config)
    resumed.set_epoch(3)
    assert list(resumed) == epochs[3]


def test_villages_come_as_often_as_asked(city: Path, labels: Path) -> None:
    source = {"name": "city", "images": city / "city_2020.tif", "labels": labels, "village_share": 0.8}
    config, sources = prepare(city, labels, sources=[source], batch=10, steps_per_epoch=100)
    corners, has_village = find_tiles(sources[0], config)
    village = {tuple(corner) for corner in corners[has_village].tolist()}
    seen = Counter(
        (request.query[0].start, request.query[1].start) in village for request in TileSampler(sources, config)
    )
    assert seen[True] / 1000 == pytest.approx(0.8 + 0.2 * has_village.mean(), abs=0.05)


def test_the_eight_views_are_all_there_are_and_a_second_round_of_them_computes_nothing(
    city: Path, labels: Path, tmp_path: Path
) -> None:
    config, sources = prepare(city, labels, crop_px=512, batch=2, steps_per_epoch=2)
    data, sampler = TiledMixture(sources, config), TileSampler(sources, config)
    cache, rounds = EmbeddingCache(tmp_path, "a" * 64), []
    for epoch in range(16):  # four tiles a round
        sampler.set_epoch(epoch)
        samples = [data[request] for request in sampler]
        image, valid = (torch.stack([sample[name] for sample in samples]) for name in ("image", "valid"))
        cache.get(image, valid, lambda image, valid: image[:, :1, ::7, ::7])
        rounds.append((cache.computed, cache.reused))
    assert rounds[7] == (32, 0)
    assert rounds[15] == (32, 32)
