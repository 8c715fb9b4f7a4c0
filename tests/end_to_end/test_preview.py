"""The picture of a result: what a person sees as village is village."""

from pathlib import Path

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from rasterio.transform import from_origin

from uvsam.raster.radiometry import estimate_stretch
from uvsam.raster.scene import open_scene
from uvsam.workflows.preview import LINE, write_preview

X, Y, SIZE = 300_000, 2_100_000, 120


def draw(folder: Path, villages: list[shapely.Polygon]) -> tuple[np.ndarray, np.ndarray]:
    """An image and its preview, (3, H, W) both, pixel by pixel the same ground."""
    grey = np.random.default_rng(4).integers(60, 180, (3, SIZE, SIZE), dtype=np.uint8)
    with rasterio.open(
        folder / "city.tif", "w", driver="GTiff", count=3, height=SIZE, width=SIZE, dtype="uint8", crs="EPSG:32643",
        transform=from_origin(X, Y + SIZE, 1, 1),
    ) as image:  # fmt: skip
        image.write(grey)
    scene = open_scene(folder / "city.tif")
    frame = gpd.GeoDataFrame(geometry=villages, crs="EPSG:32643")
    write_preview(folder / "city.png", scene, estimate_stretch(scene), frame)
    with rasterio.open(folder / "city.png") as picture:
        return grey, picture.read()


def test_village_is_tinted_and_outlined_and_a_hole_is_neither(tmp_path: Path) -> None:
    outer, hole = shapely.box(X + 20, Y + 20, X + 100, Y + 100), shapely.box(X + 50, Y + 50, X + 70, Y + 70)
    image, picture = draw(tmp_path, [outer - hole])
    changed = (image != picture).any(axis=0)
    assert not changed[50:70, 50:70].any()
    assert changed[30:48, 30:90].all()
    assert not changed[:15].any()
    yellow = (picture == np.array(LINE)[:, None, None]).all(axis=0)
    assert yellow[20, 20:100].all()
    assert not yellow[24:96, 24:96].any()


def test_only_what_was_looked_at_is_shown(tmp_path: Path) -> None:
    image, _ = draw(tmp_path, [])
    scene = open_scene(tmp_path / "city.tif")
    seen = gpd.GeoDataFrame(geometry=[shapely.box(X + 30, Y + 20, X + 90, Y + 60)], crs="EPSG:32643")
    villages = gpd.GeoDataFrame(geometry=[shapely.box(X + 40, Y + 30, X + 50, Y + 40)], crs="EPSG:32643")
    write_preview(tmp_path / "part.png", scene, estimate_stretch(scene), villages, seen)
    with rasterio.open(tmp_path / "part.png") as file:
        picture = file.read()
    assert picture.shape == (3, 40, 60)
    changed = (picture != image[:, 60:100, 30:90]).any(axis=0)
    rows, cols = np.nonzero(changed)
    assert (rows.min(), rows.max(), cols.min(), cols.max()) == (18, 31, 8, 21)  # the village, and its line around


def test_a_picture_without_a_village_is_the_image(tmp_path: Path) -> None:
    image, picture = draw(tmp_path, [])
    assert (image == picture).all()
