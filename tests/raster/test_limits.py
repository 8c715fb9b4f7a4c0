"""Files from strangers: what they ask for is refused before it is read, and nothing in them runs."""

import os
import subprocess
import sys
import threading
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import rasterio
from affine import Affine

from uvsam.errors import SceneError
from uvsam.raster import limits
from uvsam.raster.chips import SceneReader
from uvsam.raster.radiometry import IDENTITY
from uvsam.raster.scene import open_scene
from uvsam.raster.window import Window

PLACE = {"crs": "EPSG:32643", "transform": Affine(0.5, 0, 270000, 0, -0.5, 2106000)}
PYTHON = """<PixelFunctionType>f</PixelFunctionType><PixelFunctionLanguage> python</PixelFunctionLanguage>
<PixelFunctionCode><![CDATA[
open({owned!r}, "w")
def f(in_ar, out_ar, *rest, **more):
    out_ar[:] = in_ar[0]
]]></PixelFunctionCode>"""


@pytest.fixture(autouse=True)
def careless_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is forbidden is forbidden whatever the environment says."""
    monkeypatch.setenv("GDAL_VRT_ENABLE_PYTHON", "YES")
    monkeypatch.setenv("CPL_ALLOW_VSISTDIN", "YES")


def write(path: Path, size: int = 64, *, written: bool = True, **profile: object) -> Path:
    profile = {"driver": "GTiff", "dtype": "uint8", **PLACE} | profile
    with rasterio.open(path, "w", count=3, height=size, width=size, **profile) as dataset:
        if written:
            dataset.write(np.full((3, size, size), 9, np.uint8))
    return path


def vrt(path: Path, source: Path | str, code: str = "") -> Path:
    kind = ' subClass="VRTDerivedRasterBand"' if code else ""
    band = f"<SimpleSource><SourceFilename>{source}</SourceFilename><SourceBand>1</SourceBand></SimpleSource>"
    bands = "".join(f'<VRTRasterBand dataType="Byte" band="{n}"{kind}>{code}{band}</VRTRasterBand>' for n in (1, 2, 3))
    path.write_text(
        '<VRTDataset rasterXSize="64" rasterYSize="64"><SRS>EPSG:32643</SRS>'
        f"<GeoTransform>270000,0.5,0,2106000,0,-0.5</GeoTransform>{bands}</VRTDataset>"
    )
    return path


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_python_inside_of_a_vrt_is_refused_and_never_runs(tmp_path: Path, depth: int) -> None:
    owned = tmp_path / "owned"
    path = vrt(tmp_path / "1.vrt", write(tmp_path / "a.tif"), PYTHON.format(owned=str(owned)))
    for level in range(2, depth + 1):
        path = vrt(tmp_path / f"{level}.vrt", path)
    with pytest.raises(SceneError, match=r"1\.vrt computes its pixels with Python code, which is never run"):
        open_scene(path)
    assert not owned.exists()


def test_python_that_no_check_sees_does_not_run_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever thread reads: options of GDAL hold in the thread that sets them."""
    owned = tmp_path / "owned"
    path = vrt(tmp_path / "1.vrt", write(tmp_path / "a.tif"), PYTHON.format(owned=str(owned)))
    monkeypatch.setattr(limits, "_check", lambda dataset: None)
    failed: list[BaseException] = []

    def read_in_another_thread(reader: SceneReader) -> None:
        with pytest.raises(SceneError) as caught:
            reader.read(Window(0, 0, 64, 64))
        failed.append(caught.value)

    def work() -> None:
        with SceneReader(open_scene(path), IDENTITY) as reader:
            reading = threading.Thread(target=read_in_another_thread, args=(reader,))
            reading.start()
            reading.join()

    worker = threading.Thread(target=work)
    worker.start()
    worker.join()
    assert len(failed) == 1
    assert not owned.exists()


def test_pipes_are_refused_and_nothing_waits(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe.tif"
    os.mkfifo(pipe)
    for path in (pipe, vrt(tmp_path / "a.vrt", pipe)):
        with pytest.raises(SceneError, match=r"pipe\.tif is a pipe or a device"):
            open_scene(path)
    with pytest.raises(SceneError, match="cannot come from a pipe"):
        open_scene("/vsistdin/")
    silent, said = os.pipe()  # somebody who never says a word
    command = [sys.executable, "-m", "uvsam", "info", str(vrt(tmp_path / "b.vrt", "/vsistdin/"))]
    done = subprocess.run(command, stdin=silent, capture_output=True, text=True, check=False, timeout=120)
    os.close(said)
    os.close(silent)
    assert done.returncode == 1
    assert "vsistdin" in done.stderr


def test_a_block_larger_than_memory_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """A few kB on disk, 6 GB in memory: as the image, and as a source of a VRT."""
    block = {"tiled": True, "blockxsize": 48000, "blockysize": 48000, "compress": "deflate", "sparse_ok": True}
    bomb = write(tmp_path / "bomb.tif", 48000, written=False, **block)
    assert bomb.stat().st_size < 10_000
    tracemalloc.start()
    for path in (bomb, vrt(tmp_path / "a.vrt", bomb)):
        with pytest.raises(SceneError, match=r"bomb\.tif keeps 48000 x 48000 .* takes 6\.44 GB .* TILED=YES"):
            open_scene(path)
    assert tracemalloc.get_traced_memory()[1] < 10_000_000
    tracemalloc.stop()


def test_masks_and_overviews_are_checked_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path / "a.tif", 512, tiled=True, blockxsize=64, blockysize=64)
    with rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True), rasterio.open(path, "r+") as dataset:
        dataset.write_mask(np.full((512, 512), 255, np.uint8))
    monkeypatch.setattr(limits, "MAX_BLOCK_BYTES", 64 * 64 * 3)
    open_scene(path)
    with rasterio.Env(GDAL_TIFF_OVR_BLOCKSIZE=128), rasterio.open(path, "r+") as dataset:
        dataset.build_overviews([2])
    with pytest.raises(SceneError, match="128 x 128 pixels in one block"):
        open_scene(path)


def test_rows_of_a_large_untiled_image_are_no_large_block(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    shape = {"count": 3, "height": 40_000, "width": 100_000}
    with rasterio.open(
        path, "w", driver="GTiff", dtype="uint8", sparse_ok=True, blockysize=1, **PLACE, **shape
    ) as rows:
        rows.write(np.ones((3, 1, 100_000), np.uint8), window=rasterio.windows.Window(0, 39_999, 100_000, 1))
    assert open_scene(path).shape == (40_000, 100_000)  # 12 GB, of which one row was written


def test_a_tiff_without_a_written_block_is_empty_and_one_with_a_single_one_is_not(tmp_path: Path) -> None:
    profile = {"tiled": True, "blockxsize": 16, "blockysize": 16, "sparse_ok": True, "nodata": 0}
    path = write(tmp_path / "a.tif", 1600, written=False, **profile)
    with pytest.raises(SceneError, match="none of its 1600 x 1600 pixels was written"):
        open_scene(path)
    with rasterio.open(path, "r+") as dataset:
        dataset.write(np.ones((3, 16, 16), np.uint8), window=rasterio.windows.Window(16, 160, 16, 16))
    assert open_scene(path).shape == (1600, 1600)
