import numpy as np
import pytest
import rasterio
from odc.geo.geobox import GeoBox
from scipy import ndimage

from uvsam.errors import SettingsError
from uvsam.mosaic import regions as regions_module
from uvsam.mosaic.morphology import close_mask, disc_half_widths
from uvsam.mosaic.regions import RegionRules, find_regions, write_regions
from uvsam.mosaic.runs import paint_runs
from uvsam.raster.window import Window


def write(path, values):
    with rasterio.open(
        path, "w", driver="GTiff", height=values.shape[0], width=values.shape[1], count=1, dtype="uint8",
        crs="EPSG:32650", transform=rasterio.Affine(1, 0, 5e5, 0, -1, 4e6),
    ) as dataset:  # fmt: skip
        dataset.write(values, 1)
    return path


def picture(rows):
    """Digits are scores in tenths, a blank was not looked at."""
    return np.array([[0 if c == " " else 1 + round(254 * int(c) / 10) for c in row] for row in rows], np.uint8)


def drawn(regions, shape):
    labels = np.zeros(shape, int)
    for strip in regions.strips:
        labels[strip.rows] = paint_runs(strip.runs(), Window(strip.rows.start, 0, len(strip.rows), shape[1]))
    return labels


@pytest.mark.parametrize("rows", [1, 2, 3, 64])
def test_a_region_is_judged_whole_even_if_its_seed_is_strips_away(tmp_path, rows):
    values = picture([
        "5000660",
        "5005000",
        "5555009",
        "0000000",
        "5500880",
    ])  # fmt: skip
    regions = find_regions(
        write(tmp_path / "scores.tif", values), RegionRules(0.5, 0.6, min_area_m2=8), (2.0, 1.0), rows=rows
    )
    # Two regions of 4 m2 are too small, the left one has no seed, and the U holds together only through its lowest row.
    assert len(regions) == 0
    regions = find_regions(
        write(tmp_path / "scores.tif", values), RegionRules(0.5, 0.5, min_area_m2=8), (2.0, 1.0), rows=rows
    )
    assert regions.pixels.tolist() == [7]
    assert regions.mean_score == pytest.approx(0.5)
    assert (drawn(regions, values.shape) > 0).sum() == 7


def test_the_mean_score_counts_bridged_pixels_and_the_edge_is_seen(tmp_path):
    values = picture([
        "000000000",
        "099009900",
        "099009900",
        "099009900",
        "099009900",
        "099009900",
        "000000000",
        "00000000 ",
        "00000008 ",
        "000000000",
    ])  # fmt: skip
    rules = RegionRules(0.5, 0.5, close_m=4)
    regions = find_regions(write(tmp_path / "scores.tif", values), rules, (1.0, 1.0))
    labels = drawn(regions, values.shape)
    assert len(np.unique(labels[3, 1:7])) == 1
    assert labels[8, 7] > 0
    assert labels[7:9, 8].tolist() == [0, 0]
    first = labels == labels[1, 1]
    assert regions.mean_score[labels[1, 1] - 1] == pytest.approx(((values - 1.0) / 254)[first].mean())
    assert regions.on_edge[labels[8, 7] - 1]


@pytest.mark.parametrize("few", [0, 2**14])
@pytest.mark.parametrize("rows", [7, 64, 700])
def test_regions_in_a_file_are_those_of_the_strips_whatever_its_blocks(tmp_path, monkeypatch, rows, few):
    monkeypatch.setattr(regions_module, "FEW_RUNS", few)
    values = np.ones((700, 600), np.uint8)
    values[500:530, 100:590] = values[200:520, 400:410] = values[690:, :5] = 255
    scores = write(tmp_path / "scores.tif", values)
    regions = find_regions(scores, RegionRules(0.5, 0.5), (1.0, 1.0), rows=rows)
    transform = rasterio.Affine(1, 0, 5e5, 0, -1, 4e6)
    write_regions(regions, GeoBox(values.shape, transform, "EPSG:32650"), tmp_path / "regions.tif")
    with rasterio.open(tmp_path / "regions.tif") as dataset:
        assert dataset.transform == transform
        assert (dataset.read(1) == drawn(regions, values.shape)).all()
    assert len(regions) == 2
    assert regions.bounds_px.tolist() == [[200, 100, 530, 590], [690, 0, 700, 5]]


@pytest.mark.parametrize("rows", [3, 64])
def test_what_the_specialist_was_sure_of_stays_though_refined_scores_are_less_sure(tmp_path, rows):
    rough, refined = np.ones((2, 20, 20), np.uint8)
    rough[2:8, 2:8], rough[12:18, 12:18] = 250, 160
    refined[2:9, 2:9], refined[12:18, 12:18] = 170, 240  # the second was never sure enough
    rules = RegionRules(0.5, 0.9)
    paths = write(tmp_path / "refined.tif", refined), write(tmp_path / "rough.tif", rough)
    regions = find_regions(paths[0], rules, (1.0, 1.0), seeds_path=paths[1], rows=rows)
    assert regions.pixels.tolist() == [49]
    assert regions.mean_score == pytest.approx([169 / 254])
    assert (drawn(regions, refined.shape) == (refined == 170)).all()


def test_gaps_up_to_the_closing_distance_are_bridged_on_the_ground():
    mask = np.zeros((41, 41), bool)
    mask[10:30, 5:10] = mask[10:30, 14:19] = True  # a gap of 4 columns
    assert close_mask(mask, 5.0, (1.0, 1.0))[20, 5:19].all()
    assert (close_mask(mask, 3.0, (1.0, 1.0)) == mask).all()
    # The same picture with pixels of half a metre in x: the gap is 2 m wide.
    assert close_mask(mask, 3.0, (0.5, 1.0))[20, 5:19].all()


@pytest.mark.parametrize("diameter_m", [2.0, 5.0, 7.3])
@pytest.mark.parametrize("gsd_m", [(1.0, 1.0), (0.6, 1.0), (4.0, 1.0)])
def test_closing_parts_near_and_far_is_that_of_scipy(diameter_m, gsd_m):
    rng = np.random.default_rng(0)
    widths = disc_half_widths(diameter_m, gsd_m)
    reach = max(len(widths) - 1, widths[0])
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disc = (abs(y) < len(widths)) & (abs(x) <= np.array([*widths, *[-1] * (reach + 1)])[abs(y)])
    for density in np.repeat([0.002, 0.01, 0.05, 0.3], 10):
        mask = rng.random((20, 80)) < density
        expected = ndimage.binary_closing(np.pad(mask, 2 * reach), disc)[2 * reach : -2 * reach, 2 * reach : -2 * reach]
        assert (close_mask(mask, diameter_m, gsd_m) == expected).all()


def test_the_disc_is_round_on_the_ground():
    assert disc_half_widths(6.0, (1.0, 1.0)) == [3, 2, 2, 0]
    assert disc_half_widths(6.0, (0.5, 1.0)) == [6, 5, 4, 0]
    assert disc_half_widths(0.0, (0.5, 1.0)) == [0]


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold": 1.2, "seed_threshold": 1.2},
        {"threshold": 0.6, "seed_threshold": 0.5},
        {"threshold": 0.5, "seed_threshold": 0.5, "min_area_m2": -1},
        {"threshold": 0.5, "seed_threshold": 0.5, "close_m": float("nan")},
    ],
)
def test_impossible_rules_are_refused(wrong):
    with pytest.raises(SettingsError):
        RegionRules(**wrong)
