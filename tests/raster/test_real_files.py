"""Real imagery as people have it; not part of the package, so these tests are skipped where it is absent."""

import os
from pathlib import Path

import numpy as np
import pytest

from uvsam.errors import GeoreferencingError, SceneError
from uvsam.raster.chips import Chip, SceneReader
from uvsam.raster.radiometry import IDENTITY, estimate_stretch, survey
from uvsam.raster.scene import Scene, check_resolution, open_scene
from uvsam.raster.window import Window

DATA = Path(os.environ.get("UVSAM_DATA", Path(__file__).parents[2].parent / "shared" / "data"))
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="real imagery is not here; set UVSAM_DATA to its folder")


def whole(scene: Scene) -> Chip:
    with SceneReader(scene, estimate_stretch(scene)) as reader:
        return reader.read(Window(0, 0, *scene.shape))


@pytest.mark.parametrize(
    ("name", "gsd_m", "valid_share"),
    [
        ("beijing/city.tif", (0.915, 0.911), 0.680),
        ("mumbai/images/jp22_1.1.tif", (0.565, 0.565), 1.0),
        ("jakarta/image.tif", (1.0, 1.0), 1.0),
        ("rasters/cog_rgb_mask.tif", (0.150, 0.150), 0.969),
        ("rasters/cog_rgba.tif", (0.150, 0.150), 0.887),
        ("rasters/pix4d_alpha_nodata.tif", (0.353, 0.353), 0.876),
        ("rasters/vegas.tif", (0.243, 0.300), 1.0),
        ("rasters/ramp_sdt/test_img.tif", (0.243, 0.300), 1.0),
        ("rasters/naip_nd_timeseries/m_4709963_se_14_1_20150926.tif", (5.0, 5.0), 1.0),
    ],
)
def test_real_files_read(name: str, gsd_m: tuple[float, float], valid_share: float) -> None:
    scene = open_scene(DATA / name)
    assert scene.gsd_m == pytest.approx(gsd_m, rel=0.005)
    assert scene.acquired is None
    assert survey(scene).valid_share == pytest.approx(valid_share, abs=0.001)
    chip = whole(scene)
    assert chip.valid.mean() == pytest.approx(valid_share, abs=0.001)
    assert chip.pixels[:, chip.valid].std() > 4


def test_uint16_fills_the_range() -> None:
    scene = open_scene(DATA / "jakarta" / "image.tif")
    chip = whole(scene)
    assert estimate_stretch(scene) != IDENTITY
    assert np.percentile(chip.pixels, [2, 98]) == pytest.approx([0, 255], abs=6)


def test_real_files_that_cannot_be_used() -> None:
    with pytest.raises(SceneError, match="has 1 band"):
        open_scene(DATA / "beijing" / "labels.tif")
    with pytest.raises(GeoreferencingError, match="no georeferencing"):
        open_scene(DATA / "dubai" / "Tile 1" / "images" / "image_part_001.jpg")
    naip = open_scene(DATA / "rasters" / "naip_nd_timeseries" / "m_4709963_se_14_1_20150926.tif")
    with pytest.raises(GeoreferencingError, match="5 m pixels"):
        check_resolution(naip, 0.9)
