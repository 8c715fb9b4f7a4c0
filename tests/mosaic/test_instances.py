"""Masks of crops become one score per pixel, whatever the order and the blocks."""

import itertools
import tempfile
from pathlib import Path

import numpy as np
import pytest
import rasterio
from hypothesis import given, settings
from hypothesis import strategies as st
from odc.geo.geobox import GeoBox
from scipy import ndimage
from scipy.special import expit

from uvsam.mosaic.instances import (
    FUSE,
    Instance,
    Instances,
    Support,
    fuse_block,
    fuse_scores,
    ground_window,
    log_odds,
    outline_log_odds,
)
from uvsam.mosaic.regions import RegionRules, find_regions, write_regions
from uvsam.mosaic.scores import lowest_level, quantise
from uvsam.raster.window import Window

TRANSFORM = rasterio.Affine(1, 0, 5e5, 0, -1, 4e6)


def test_bytes_survive_their_log_odds():
    values = np.arange(256, dtype=np.uint8)
    assert (quantise(expit(log_odds(values)), values > 0) == values).all()
    assert (np.diff(log_odds(values[1:])) > 0).all()


@given(st.integers(1, 999).map(lambda n: n / 1000))
def test_the_outline_runs_between_the_bytes_of_the_threshold(threshold):
    values = np.arange(1, 256, dtype=np.uint8)
    inside = log_odds(values) > outline_log_odds(threshold)
    assert (inside == (values >= max(2, lowest_level(threshold)))).all()
    assert quantise(expit(np.float32([outline_log_odds(threshold) + 1e-3])), np.ones(1, bool)) >= lowest_level(
        threshold
    )


@given(
    st.tuples(*[st.floats(0, 60)] * 4), st.tuples(*[st.floats(0.3, 4)] * 2), st.tuples(*[st.integers(1, 90)] * 2)
)  # fmt: skip
def test_ground_is_the_pixels_whose_centres_lie_inside(edges, cell_xy, shape):
    top, left = edges[:2]
    bottom, right = top + edges[2], left + edges[3]
    rows, cols = (np.arange(size) + 0.5 for size in shape)
    inside_rows = (rows >= top * cell_xy[1]) & (rows < bottom * cell_xy[1])
    inside_cols = (cols >= left * cell_xy[0]) & (cols < right * cell_xy[0])
    window = ground_window((top, left, bottom, right), cell_xy, shape)
    assert window.height == inside_rows.sum()
    assert window.width == inside_cols.sum()
    if window.height:
        assert inside_rows[window.row]


def smooth(rng, size=256):
    rows, cols = rng.uniform(0.02, 0.1, 2)
    y, x = np.mgrid[:size, :size]
    return (8 * np.sin(rows * y + rng.uniform(0, 6)) * np.cos(cols * x)).astype(np.float32)


def several(rng):
    """Five masks of three regions, two regions in two crops half a crop apart."""
    crops = [(0, 0), (0, 128), (0, 0), (100, 90), (228, 90)]
    regions = [1, 1, 2, 3, 3]
    for region, (row, col) in zip(regions, crops, strict=True):
        ground = Window(row + int(rng.integers(0, 60)), col + int(rng.integers(0, 60)), 180, 190)
        yield Instance(region, Window(row, col, 256, 256), ground), smooth(rng)


def fuse_in_blocks(path, values, labels, masks, block, rule="sam", outline=0.0):
    """Scores and owners of a scene of cells of 1 x 1 pixel."""
    fused, owner = np.zeros_like(values), np.zeros_like(labels)
    with Instances(path, (1.0, 1.0)) as instances:
        for instance, mask in masks:
            instances.add(instance, mask)
        numbers = instances.by_block(block)
        for row, col in itertools.product(range(-(-500 // block[0])), range(-(-400 // block[1]))):
            window = Window(row * block[0], col * block[1], *block).intersection(Window(0, 0, 500, 400))
            part = window.slices
            if (row, col) in numbers:
                fused[part], owner[part] = fuse_block(
                    values[part], labels[part], window, instances, numbers[row, col], FUSE[rule], outline
                )
            else:
                fused[part] = values[part]
    return fused, owner


@settings(max_examples=15, deadline=None)
@given(
    st.integers(0, 1000), st.permutations(range(5)), st.tuples(st.integers(40, 500), st.integers(40, 400)),
    st.sampled_from(sorted(FUSE)),
)  # fmt: skip
def test_neither_order_nor_blocks_show(tmp_path_factory, seed, order, block, rule):
    path = tmp_path_factory.mktemp("masks") / "masks.bin"
    rng = np.random.default_rng(seed)
    masks = list(several(rng))
    values = rng.integers(0, 256, (500, 400), dtype=np.uint8)
    labels = np.zeros((500, 400), np.int32)
    labels[:, :150], labels[:, 150:230], labels[200:, 230:300] = 1, 2, 7
    labels[values == 0] = 0
    expected = fuse_in_blocks(path, values, labels, masks, (500, 400), rule)
    found = fuse_in_blocks(path, values, labels, [masks[i] for i in order], block, rule)
    assert (found[0] == expected[0]).all()
    assert (found[1] == expected[1]).all()
    assert ((found[0] == 0) == (values == 0)).all()
    covered = np.zeros((500, 400), bool)
    for instance, _ in masks:
        covered[instance.ground.slices] = True
    assert (found[0] == values)[~covered].all()
    if rule == "specialist":
        assert (found[0] == values).all()


@pytest.mark.parametrize("order", [[0, 1, 2, 3], [2, 0, 3, 1], [3, 2, 1, 0]])
def test_crops_are_added_in_the_order_of_their_place(tmp_path, order):
    """To the last bit, which bytes would hide."""
    crops = [Window(row, col, 256, 256) for row in (0, 128) for col in (0, 128)]
    rng = np.random.default_rng(1)
    masks = [smooth(rng) for _ in crops]
    block = Window(128, 128, 128, 128)

    def said(path, order):
        with Instances(path, (1.0, 1.0)) as instances:
            for index in order:
                instances.add(Instance(5, crops[index], block), masks[index])
            return next(instances.of_regions(instances.by_block((128, 128))[1, 1], block))[2]

    assert (said(tmp_path / "one.bin", order) == said(tmp_path / "two.bin", range(4))).all()


@pytest.mark.parametrize("cell_xy", [(1.0, 1.0), (1.7, 0.6), (0.45, 3.2)])
def test_a_mask_is_bilinear_between_the_centres_of_its_cells_up_to_its_rim(tmp_path, cell_xy):
    mask, crop = smooth(np.random.default_rng(4)), Window(31, 17, 256, 256)
    ground = ground_window((31, 17, 31 + 256, 17 + 256), cell_xy, (2000, 2000))
    with Instances(tmp_path / "masks.bin", cell_xy) as instances:
        instances.add(Instance(1, crop, ground), mask)
        [(region, window, found)] = instances.of_regions([0], Window(0, 0, 2000, 2000))
    rows = (np.arange(window.row, window.row_stop) + 0.5) / cell_xy[1] - 31.5
    cols = (np.arange(window.col, window.col_stop) + 0.5) / cell_xy[0] - 17.5
    expected = ndimage.map_coordinates(mask, np.meshgrid(rows, cols, indexing="ij"), order=1, mode="nearest")
    assert (region, window) == (1, ground)
    assert np.allclose(found, expected, atol=0.01)


def test_crops_of_a_region_hand_over_smoothly(tmp_path):
    values = np.full((500, 400), 128, np.uint8)
    labels = np.ones((500, 400), np.int32)
    flat = [np.full((256, 256), level, np.float32) for level in (-2, 2)]
    crops = [Window(0, 0, 256, 256), Window(0, 128, 256, 256)]
    masks = [(Instance(1, crop, crop), mask) for crop, mask in zip(crops, flat, strict=True)]
    fused, _ = fuse_in_blocks(tmp_path / "masks.bin", values, labels, masks, (64, 64))
    ramp = -2 + 4 * (np.arange(128) + 0.5) / 128
    assert np.allclose(fused[100, :128], 1 + 254 * expit(-2), atol=0.5)
    assert np.allclose(fused[100, 128:256], 1 + 254 * expit(ramp), atol=1)
    assert np.allclose(fused[100, 256:384], 1 + 254 * expit(2), atol=0.5)
    assert (fused[:, 384:] == 128).all()


def test_no_region_takes_another_ones_ground_by_saying_no(tmp_path):
    """Regions 1 and 2 have masks whose grounds overlap, region 3 has none, and between them lies nothing."""
    labels = np.zeros((500, 400), np.int32)
    labels[:200, :40], labels[:200, 40:80], labels[:200, 100:120] = 1, 2, 3
    values = np.where(labels > 0, 200, 40).astype(np.uint8)
    crop = Window(0, 0, 256, 256)
    one, two = np.full((2, 256, 256), -5, np.float32)
    one[:100, :30] = 5  # region 1 loses columns 30-39 ...
    two[:100, 40:105] = 3  # ... region 2 grows over nothing and five columns of region 3
    masks = [(Instance(1, crop, Window(0, 0, 100, 250)), one), (Instance(2, crop, Window(0, 20, 100, 230)), two)]
    fused, owner = fuse_in_blocks(tmp_path / "masks.bin", values, labels, masks, (500, 400))
    sure, yes, no = (int(quantise(expit(np.float32([x])), np.ones(1, bool))[0]) for x in (5, 3, -5))
    expected = [sure] * 30 + [no] * 10 + [yes] * 65 + [200] * 15 + [no] * 130 + [40] * 150
    assert fused[50].tolist() == expected
    assert owner[50].tolist() == [1] * 40 + [2] * 65 + [0] * 15 + [1] * 130 + [0] * 150
    assert (fused[100:] == values[100:]).all()

    mean, _ = fuse_in_blocks(tmp_path / "masks.bin", values, labels, masks, (500, 400), "mean")
    half = (5 + log_odds(np.uint8(200))) / 2
    assert mean[50, 10] == quantise(expit(np.float32([half])), np.ones(1, bool))[0]
    assert mean[50, 110] == 200


@given(st.floats(0.05, 0.95), st.floats(-20, 20))
def test_a_nudge_turns_what_is_in_doubt_and_nothing_else(threshold, said):
    outline = outline_log_odds(threshold)
    values = np.arange(256, dtype=np.uint8)[None]
    labels, crop = (values > 0).astype(np.int32), Window(0, 0, 256, 256)
    block = Window(0, 0, 1, 256)
    with tempfile.TemporaryDirectory() as folder, Instances(Path(folder) / "masks.bin", (1.0, 1.0)) as instances:
        instances.add(Instance(1, crop, block), np.full((256, 256), said, np.float32))
        fused, _ = fuse_block(values, labels, block, instances, [0], FUSE["nudge"], outline)
    before, after = (log_odds(given)[0, 1:] - np.float32(outline) for given in (values, fused))
    assert (np.diff(fused.astype(int)) >= 0).all()
    assert (np.sign(after - before) * np.sign(said) >= 0).all()
    assert ((after > 0) == (before > 0))[np.abs(before) > 1.5].all()
    inside = np.abs(before) < 1.5 * np.tanh(np.abs(said) / 1.5) - 0.2
    assert ((after > 0) == (said > 0))[inside].all()


def test_a_region_whose_own_masks_do_not_reach_a_place_keeps_it(tmp_path):
    labels = np.zeros((500, 400), np.int32)
    labels[:100, :90] = 1
    values = np.where(labels > 0, 200, 40).astype(np.uint8)
    crop, no = Window(0, 0, 256, 256), np.full((256, 256), -5, np.float32)
    masks = [(Instance(1, crop, Window(0, 0, 100, 30)), no), (Instance(2, crop, Window(0, 20, 100, 100)), no)]
    fused, _ = fuse_in_blocks(tmp_path / "masks.bin", values, labels, masks, (500, 400))
    assert (fused[:100, :30] < 10).all()
    assert (fused[:100, 30:90] == 200).all()
    assert (fused[:100, 90:120] < 10).all()


def test_a_village_gets_the_mean_of_what_was_said_of_its_pixels(tmp_path):
    geobox = GeoBox((500, 400), TRANSFORM, "EPSG:32650")

    def write(name, values):
        with rasterio.open(
            tmp_path / name, "w", driver="GTiff", height=500, width=400, count=1, dtype=values.dtype, nodata=0,
            crs="EPSG:32650", transform=TRANSFORM, tiled=True, blockxsize=64, blockysize=48,
        ) as dataset:  # fmt: skip
            dataset.write(values, 1)
        return tmp_path / name

    values = np.full((500, 400), 20, np.uint8)
    values[10:50, 10:50] = values[10:50, 60:100] = values[300:340, 300:340] = 230
    scores, rules = write("scores.tif", values), RegionRules(0.5, 0.5)
    regions = find_regions(scores, rules, (1.0, 1.0))
    write_regions(regions, geobox, tmp_path / "regions.tif")
    crop = Window(0, 0, 256, 256)
    joined, grown = np.full((2, 256, 256), -5, np.float32)
    joined[10:50, 10:60], grown[10:40, 60:100] = 5, 5
    with Instances(tmp_path / "masks.bin", (1.0, 1.0)) as instances:
        instances.add(Instance(1, crop, Window(5, 5, 50, 57)), joined)
        instances.add(Instance(2, crop, Window(5, 55, 50, 50)), grown)
        pixels = fuse_scores(
            scores,
            tmp_path / "regions.tif",
            instances,
            geobox,
            "sam",
            0.0,
            tmp_path / "out.tif",
            tmp_path / "owner.tif",
        )
    assert pixels == 50 * 100
    refined = find_regions(tmp_path / "out.tif", rules, (1.0, 1.0))
    assert refined.pixels.tolist() == [40 * 50 + 30 * 40, 40 * 40]
    support = Support(tmp_path / "owner.tif", {"iou": np.array([np.nan, 0.9, 0.5, np.nan])})
    assert support.means(refined)["iou"] == pytest.approx([(2000 * 0.9 + 1200 * 0.5) / 3200, np.nan], nan_ok=True)
