"""Truth that is a raster: every value, mask and placement a user's file may have."""

from pathlib import Path

import numpy as np
import pytest
import rasterio
import shapely
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pyproj import CRS
from rasterio.transform import Affine, from_origin

from uvsam.errors import LabelError
from uvsam.evaluation import rasters
from uvsam.evaluation.rasters import LabelRaster, compare_with_raster
from uvsam.vectors.polygon_files import PolygonLayer

UTM = CRS.from_epsg(32643)
NORTH_UP = from_origin(300_000, 2_100_000, 2, 2)
ROTATED = NORTH_UP * Affine.rotation(30)
SHAPE = (9, 7)


def write(path: Path, labels: np.ndarray, transform: Affine = NORTH_UP, **profile: object) -> Path:
    height, width = labels.shape
    with rasterio.open(
        path, "w", driver="GTiff", height=height, width=width, count=1, dtype=labels.dtype, transform=transform,
        **{"crs": "EPSG:32643", **profile},
    ) as dataset:  # fmt: skip
        dataset.write(labels, 1)
    return path


def cells(mask: np.ndarray, transform: Affine) -> PolygonLayer:
    """Every pixel of a mask as a square of its own."""
    squares = [shapely.affinity.affine_transform(shapely.box(c, r, c + 1, r + 1), transform.to_shapely())
               for r, c in zip(*np.nonzero(mask), strict=True)]  # fmt: skip
    return PolygonLayer(np.array(squares, dtype=object), UTM)


def components(mask: np.ndarray) -> int:
    """4-connected components, by flooding."""
    left = {(int(r), int(c)) for r, c in zip(*np.nonzero(mask), strict=True)}
    number = 0
    while left:
        number += 1
        front = [left.pop()]
        while front:
            r, c = front.pop()
            near = {(r + 1, c), (r - 1, c), (r, c + 1), (r, c - 1)} & left
            left -= near
            front += near
    return number


@given(
    hnp.arrays(np.uint8, SHAPE, elements=st.sampled_from([0, 1, 6, 9, 255])),
    hnp.arrays(np.bool_, SHAPE),
    hnp.arrays(np.bool_, SHAPE),
    st.sampled_from([NORTH_UP, ROTATED]),
)
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_pixels_and_objects_are_those_of_the_array(
    tmp_path: Path, labels: np.ndarray, predicted: np.ndarray, looked_at: np.ndarray, transform: Affine
) -> None:
    truth, unlabelled = np.isin(labels, [6, 9]), np.isin(labels, [0, 255])
    path = write(tmp_path / "labels.tif", labels, transform, nodata=255)
    raster = LabelRaster(path, (6, 9), ignore=(0,))
    found = compare_with_raster(raster, cells(predicted, transform), [cells(looked_at, transform)])
    valid = looked_at & ~unlabelled
    counts = found.pixels
    assert counts.tp == (predicted & truth & valid).sum()
    assert counts.fp == (predicted & ~truth & valid).sum()
    assert counts.fn == (~predicted & truth & valid).sum()
    assert len(found.villages.polygons) == components(truth)
    assert shapely.area(found.villages.polygons).sum() == pytest.approx(4 * truth.sum())
    assert shapely.area(found.ignored.polygons).sum() == pytest.approx(4 * unlabelled.sum())


def test_strips_do_not_change_anything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(3)
    labels = np.kron(rng.integers(0, 3, (12, 10)), np.ones((16, 16))).astype(np.uint8)
    path = write(tmp_path / "labels.tif", labels, nodata=2, tiled=True, blockxsize=16, blockysize=16)
    predicted = cells(labels[:60, :60] == 1, NORTH_UP)
    whole = compare_with_raster(LabelRaster(path), predicted, [])
    seen: list[tuple[int, int]] = []
    monkeypatch.setattr(rasters, "STRIP_PX", 16 * 160)
    in_strips = compare_with_raster(LabelRaster(path), predicted, [], lambda _, done, total: seen.append((done, total)))
    assert seen == [(row, 12) for row in range(1, 13)]
    assert in_strips.pixels == whole.pixels
    assert shapely.equals(in_strips.villages.polygons, whole.villages.polygons).all()


def test_an_unknown_value_is_not_taken_for_background(tmp_path: Path) -> None:
    raster = LabelRaster(write(tmp_path / "labels.tif", np.array([[0, 1], [1, 255]], np.uint8)))
    with pytest.raises(LabelError, match="has the value 255: name the village class with --truth-value"):
        compare_with_raster(raster, cells(np.zeros((2, 2), bool), NORTH_UP), [])
    named = LabelRaster(raster.path, ignore=(255,))
    assert compare_with_raster(named, cells(np.ones((2, 2), bool), NORTH_UP), []).pixels.tp == 2


def test_an_image_is_not_a_label_raster(tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    with rasterio.open(
        path, "w", driver="GTiff", height=4, width=4, count=3, dtype="uint8", transform=NORTH_UP
    ) as image:
        image.write(np.zeros((3, 4, 4), np.uint8))
    with pytest.raises(LabelError, match="has 3 bands"):
        LabelRaster(path).crs()


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    path.write_bytes(b"no raster")
    with pytest.raises(LabelError, match=r"labels.tif cannot be read as a raster"):
        LabelRaster(path).extent()
