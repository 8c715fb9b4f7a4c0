"""What it costs to read an image that lies in many files: time and memory beside the same image in one.

    python benchmarks/mosaic.py [--tiles 20] [--side-px 512]

Chips are read as `predict` reads them for the bundled model's tiles, without the network. Prints JSON.
"""

import argparse
import json
import resource
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import rasterio
from rasterio.transform import from_origin
from rasterio.windows import Window as RioWindow

from uvsam.raster.chips import SceneReader
from uvsam.raster.inputs import open_inputs
from uvsam.raster.radiometry import estimate_stretch
from uvsam.tiles import plan_tiles

PROFILE = {
    "driver": "GTiff", "count": 3, "dtype": "uint8", "crs": "EPSG:32643", "tiled": True, "blockxsize": 256,
    "blockysize": 256, "compress": "deflate",
}  # fmt: skip


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def write(folder: Path, tiles: int, side_px: int) -> tuple[Path, list[Path]]:
    """The same pixels in one file and in ``tiles`` x ``tiles`` files."""
    rng, size, paths = np.random.default_rng(0), tiles * side_px, []
    whole = folder / "whole.tif"
    with rasterio.open(whole, "w", width=size, height=size, transform=from_origin(5e5, 2e6, 1, 1), **PROFILE) as image:
        for row in range(0, size, side_px):
            for col in range(0, size, side_px):
                coarse = rng.integers(1, 255, (3, side_px // 4, side_px // 4), dtype=np.uint8)
                pixels = coarse.repeat(4, axis=1).repeat(4, axis=2)
                image.write(pixels, window=RioWindow(col, row, side_px, side_px))
                paths.append(folder / f"{row:06d}_{col:06d}.tif")
                place = from_origin(5e5 + col, 2e6 - row, 1, 1)
                with rasterio.open(paths[-1], "w", width=side_px, height=side_px, transform=place, **PROFILE) as piece:
                    piece.write(pixels)
    return whole, paths


def measure(inputs: list[Path]) -> dict[str, float]:
    started, started_cpu = time.monotonic(), cpu_s()
    scene = open_inputs(inputs)
    opened = time.monotonic()
    stretch = estimate_stretch(scene)
    checksum = 0.0
    with SceneReader(scene, stretch) as reader:
        for tile in plan_tiles(scene.shape, (1.0, 1.0), chip_px=768, halo_px=128):
            checksum += float(reader.read(tile.chip).pixels[:, ::5, ::5].sum())
    return {
        "files": len(inputs), "open_s": round(opened - started, 2), "read_s": round(time.monotonic() - opened, 2),
        "cpu_s": round(cpu_s() - started_cpu, 2), "scene_kb": round(len(scene.uri) / 1024, 1), "checksum": checksum,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--tiles", type=int, default=20, help="files along each side")
    parser.add_argument("--side-px", type=int, default=512)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        whole, paths = write(Path(name), options.tiles, options.side_px)
        results = [measure([whole]), measure(paths), measure([whole]), measure(paths)]
    assert len({result.pop("checksum") for result in results}) == 1
    json.dump(results, sys.stdout, indent=2)


if __name__ == "__main__":
    main()
