"""Leaf by leaf is the same as all at once."""

from pathlib import Path
from typing import Any

import dask_geopandas
import geopandas as gpd
import numpy as np
import pytest
import shapely

from uvsam.change.overlay import Polygons, compare
from uvsam.change.steps import clip, compare_periods, share_seen
from uvsam.change.store import Leaves, Store, store
from uvsam.engine.executors import open_run

CRS = "EPSG:32643"


def city(seed: int, count: int = 90) -> Polygons:
    """Ragged blobs on a grid of 300 m that touch neither each other nor themselves."""
    rng = np.random.default_rng(seed)
    place = np.random.default_rng(0).permutation(count)
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    radius = np.random.default_rng(1).uniform(40, 140, (count, 1)) * rng.choice([1, 1, 1, 0.7], (count, 1))
    radius = radius + rng.uniform(-2, 2, (count, 24))
    x, y = 300.0 * (place % 10), 300.0 * (place // 10)
    blobs = shapely.polygons(np.stack([x[:, None] + radius * np.cos(angle), y[:, None] + radius * np.sin(angle)], -1))
    blobs[rng.random(count) < 0.2] = shapely.Polygon()
    return blobs[~shapely.is_empty(blobs)]


def stored(villages: Polygons, leaves: Leaves, folder: Path) -> Store:
    frame = gpd.GeoDataFrame({"name": [str(n) for n in range(len(villages))]}, geometry=villages, crs=CRS)
    return store(dask_geopandas.from_geopandas(frame, npartitions=3), leaves, folder)


def written(ground: shapely.Geometry, path: Path) -> Path:
    path.write_bytes(shapely.to_wkb(ground))
    return path


def test_leaves_hold_every_village_once(tmp_path: Path) -> None:
    villages = city(1)
    centres = shapely.get_coordinates(shapely.centroid(villages))
    leaves = Leaves.of(centres, per_leaf=9)
    assert len(leaves) == 9
    counts = np.bincount(leaves.leaf_of(centres), minlength=9)
    assert counts.min() >= 0.5 * counts.max()
    found = stored(villages, leaves, tmp_path / "s")
    assert len(found) == len(villages)
    table = found.table()
    rows = np.arange(len(villages))
    in_order = villages[table["name"].astype(int).to_numpy()]
    assert shapely.equals(found.polygons(rows[::-1]), in_order[::-1]).all()
    for leaf in range(9):
        part = found.read(leaf)
        assert shapely.equals(part.polygons, in_order[part.rows]).all()
    assert len(Leaves.of(np.empty((0, 2)))) == 1


@pytest.mark.parametrize("place", [{}, {"workers": 2}], ids=["here", "threads"])
@pytest.mark.parametrize("per_leaf", [1000, 12])
def test_leaf_by_leaf_is_all_at_once(tmp_path: Path, per_leaf: int, place: dict[str, Any]) -> None:
    layers = city(1), city(2)
    leaves = Leaves.of(shapely.get_coordinates(shapely.centroid(layers[0])), per_leaf)
    stores = [stored(layer, leaves, tmp_path / str(k)) for k, layer in enumerate(layers)]
    # what the images show ends in the middle of villages, and is not the same
    seen = shapely.box(-200, -200, 2450, 2350), shapely.box(400, -200, 2900, 2900)
    files = [written(ground, tmp_path / f"{k}.wkb") for k, ground in enumerate(seen)]
    with open_run(**place) as run:
        found = compare_periods(
            *stores, tolerance_m=3, min_change_m2=20, seen_before=files[0], seen_after=files[1], run=run
        )

    common = shapely.intersection(*seen)
    layers = tuple(each.polygons(np.arange(len(each))) for each in stores)  # in the order of the rows
    clipped = [clip(layer, common) for layer in layers]
    whole = compare(*clipped, tolerance_m=3, min_change_m2=20)
    assert found.links.before.tolist() == whole.links.before.tolist()
    assert found.links.after.tolist() == whole.links.after.tolist()
    np.testing.assert_allclose(found.links.area_m2, whole.links.area_m2, atol=1e-6)
    for k, (side, beyond) in enumerate(((found.before, whole.lost), (found.after, whole.gained))):
        assert side.rows.tolist() == list(range(len(layers[k])))
        np.testing.assert_allclose(side.area_m2, shapely.area(clipped[k]), atol=1e-6)
        np.testing.assert_allclose(shapely.area(side.beyond), shapely.area(beyond), atol=1e-6)
        np.testing.assert_allclose(side.observed, share_seen(layers[k], seen[1 - k]), atol=1e-9)
    assert ((found.after.observed > 0) & (found.after.observed < 1)).any()
