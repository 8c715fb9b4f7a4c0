"""Laws of regions and polygons: strips never show, and polygons say what the pixels say."""

import math

import numpy as np
import pytest
import rasterio
import shapely
from affine import Affine
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from rasterio.features import rasterize
from rasterio.io import MemoryFile
from scipy import ndimage

from uvsam.mosaic import regions as regions_module
from uvsam.mosaic.regions import RegionRules, find_regions
from uvsam.mosaic.runs import paint_runs
from uvsam.mosaic.scores import quantise
from uvsam.raster.window import Window
from uvsam.vectors.polygonize import polygonize, polygonize_mask

masks = hnp.arrays(np.bool_, hnp.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14))
blobs = st.builds(
    lambda seed, size, level: ndimage.gaussian_filter(np.random.default_rng(seed).random((size, size)), 1.2) > level,
    st.integers(0, 10_000),
    st.integers(4, 40),
    st.floats(0.45, 0.55),
)
grids = st.builds(
    lambda x, y, angle, flip: (
        Affine.translation(500_000, 4_000_000) @ Affine.rotation(angle) @ Affine.scale(x, y if flip else -y)
    ),
    st.floats(0.1, 30),
    st.floats(0.1, 30),
    st.one_of(st.just(0.0), st.floats(-180, 180)),
    st.booleans(),
)


def split(labels, rows):
    return [(row, labels[row : row + rows]) for row in range(0, len(labels), rows)]


@settings(max_examples=200, deadline=None)
@given(st.one_of(masks, blobs), grids)
def test_polygonise_then_rasterise_is_the_mask_on_any_grid(mask, grid):
    polygons = polygonize_mask(mask)
    placed = shapely.transform(polygons, lambda xy: np.stack(grid @ (xy[:, 0], xy[:, 1]), axis=1))
    shapes = [(polygon, 1) for polygon in placed]
    drawn = rasterize(shapes, mask.shape, transform=grid, dtype="uint8") if shapes else np.zeros(mask.shape)
    assert (drawn == mask).all()


@settings(max_examples=200, deadline=None)
@given(st.one_of(masks, blobs), st.integers(1, 9))
def test_polygons_are_valid_apart_minimal_and_those_of_gdal_whatever_the_strips(mask, rows):
    labels, count = ndimage.label(mask)
    found, whole = (
        [(label, polygon) for part in polygonize(strips) for label, polygon in zip(*part, strict=True)]
        for strips in (split(labels, rows), [(0, labels)])
    )
    found.sort(key=lambda pair: pair[0])
    ids, polygons = (np.array(list(part)) for part in zip(*found, strict=True)) if found else np.zeros((2, 0), object)
    assert ids.tolist() == list(range(1, count + 1))
    assert [polygon.wkb for polygon in polygons] == [
        polygon.wkb for _, polygon in sorted(whole, key=lambda pair: pair[0])
    ]
    assert shapely.is_valid(polygons).all()
    assert math.isclose(shapely.area(polygons).sum(), mask.sum())
    assert shapely.union_all(polygons).area == mask.sum()
    gdal = {
        int(value): shapely.geometry.shape(outline)
        for outline, value in rasterio.features.shapes(labels.astype(np.int32), mask=mask, connectivity=4)
    }
    for label, polygon in zip(ids, polygons, strict=True):
        assert shapely.equals(shapely.make_valid(gdal[label]), polygon)
        # Nothing left to drop: every vertex is a turn.
        assert len(shapely.get_coordinates(polygon)) == len(shapely.get_coordinates(shapely.simplify(polygon, 0)))


@settings(max_examples=100, deadline=None)
@given(blobs, st.integers(1, 9))
def test_a_polygon_comes_as_soon_as_its_label_ends(mask, rows):
    labels, count = ndimage.label(mask)
    assume(count)
    taken = 0

    def strips():
        nonlocal taken
        for strip in split(labels, rows):
            taken += 1
            yield strip

    due = {label + 1: place[0].stop // rows + 1 for label, place in enumerate(ndimage.find_objects(labels))}
    last = -(-len(labels) // rows)
    for ids, _ in polygonize(strips()):
        assert [min(due[label], last) for label in ids.tolist()] == [taken] * len(ids)


def whole_array_regions(values, rules, gsd_m):
    """Regions of a whole array by scipy alone: (labels, mean score per region)."""
    radius = rules.close_m / 2
    reach = [int(radius / g + 1e-9) for g in gsd_m]
    y, x = np.mgrid[-reach[1] : reach[1] + 1, -reach[0] : reach[0] + 1]
    disc = np.hypot(x * gsd_m[0], y * gsd_m[1]) <= radius + 1e-9
    scores = (values - 1.0) / 254
    mask = (values > 0) & (scores >= rules.threshold)
    far = np.pad(mask, 2 * max(reach) + 1)
    closed = ndimage.binary_closing(far, disc)[tuple(slice(2 * max(reach) + 1, -2 * max(reach) - 1) for _ in range(2))]
    labels, count = ndimage.label(closed & (values > 0))
    result, means = np.zeros_like(labels), []
    for label in range(1, count + 1):
        inside = labels == label
        if inside.sum() * gsd_m[0] * gsd_m[1] >= rules.min_area_m2 and scores[inside].max() >= rules.seed_threshold:
            means.append(scores[inside].mean())
            result[inside] = len(means)
    return result, means


@settings(max_examples=150, deadline=None)
@given(
    shape=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    seed=st.integers(0, 10_000),
    smooth=st.sampled_from([0, 0.7, 1.5]),
    nodata=st.sampled_from([0, 0.02, 0.3]),
    rows=st.integers(1, 17),
    few=st.sampled_from([0, 20, 2**14]),
    gsd_m=st.sampled_from([(1.0, 1.0), (0.5, 0.8), (2.0, 1.0)]),
    rules=st.builds(
        RegionRules,
        threshold=st.sampled_from([76 / 254, 0.5]),
        seed_threshold=st.sampled_from([0.5, 0.6, 0.75]),
        min_area_m2=st.sampled_from([0, 3, 8, 20]),
        close_m=st.sampled_from([0, 2, 3.0, 4.4, 9]),
    ),
)
def test_regions_in_strips_are_those_of_the_whole_array(shape, seed, smooth, nodata, rows, few, gsd_m, rules):
    rng = np.random.default_rng(seed)
    score = ndimage.gaussian_filter(rng.random(shape), smooth).astype(np.float32)
    score = 0.5 + (score - score.mean()) * (0.2 / max(score.std(), 1e-6))
    values = quantise(score, rng.random(shape) >= nodata)
    with MemoryFile() as memory, pytest.MonkeyPatch.context() as patch:
        patch.setattr(regions_module, "FEW_RUNS", few)
        with memory.open(driver="GTiff", height=shape[0], width=shape[1], count=1, dtype="uint8") as dataset:
            dataset.write(values, 1)
        regions = find_regions(memory.name, rules, gsd_m, rows=rows)
        labels = np.zeros(shape, np.int32)
        for strip in regions.strips:
            labels[strip.rows] = paint_runs(strip.runs(), Window(strip.rows.start, 0, len(strip.rows), shape[1]))
    expected, means = whole_array_regions(values.astype(int), rules, gsd_m)
    assert (labels == expected).all()
    assert np.allclose(regions.mean_score, means)
    assert (labels[values == 0] == 0).all()
    beyond = np.pad(values, 1) == 0
    near_edge = ndimage.binary_dilation(beyond)[1:-1, 1:-1]
    assert regions.on_edge.tolist() == [bool(near_edge[expected == i + 1].any()) for i in range(len(regions))]
    assert regions.pixels.tolist() == np.bincount(expected.ravel(), minlength=len(regions) + 1)[1:].tolist()
    found = ndimage.find_objects(expected)
    assert regions.bounds_px.tolist() == [[rows.start, cols.start, rows.stop, cols.stop] for rows, cols in found]
