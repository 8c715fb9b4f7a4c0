"""Polygons of a large ragged mask: uvsam in strips against rasterio.features.shapes and geopandas on the whole array.

    python benchmarks/polygons.py --size 20000

Both label the same score raster, outline every region of it and make a GeoDataFrame. Each runs in its own process;
prints a line of JSON per run with seconds (elapsed, and of the processor) and peak memory.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

from uvsam.mosaic.regions import RegionRules, find_regions, region_strips
from uvsam.mosaic.scores import quantise
from uvsam.raster.writer import RasterWriter
from uvsam.vectors.polygonize import polygonize

GRID = Affine(0.5, 0, 500_000, 0, -0.5, 4_420_000)
RULES = RegionRules(0.5, 0.5)


def write_scores(path: Path, size: int, *, village_px: int = 60, raggedness: float = 0.02, share: float = 0.5) -> None:
    """Villages of noise with ragged outlines, written in strips."""
    rng = np.random.default_rng(1)
    coarse = rng.random((size // village_px + 2, size // village_px + 2), np.float32)
    level = np.quantile(coarse, 1 - share / 2)
    at = np.arange(size, dtype=np.float32) / village_px
    cell, part = at.astype(int), at % 1
    across = coarse[:, cell] * (1 - part) + coarse[:, cell + 1] * part
    with RasterWriter(path, GeoBox((size, size), GRID, "EPSG:32650"), nodata=0) as writer:
        for row in range(0, size, 512):
            rows = slice(row, min(size, row + 512))
            weight = part[rows, None]
            score = across[cell[rows]] * (1 - weight) + across[cell[rows] + 1] * weight - level + 0.5
            score += raggedness * rng.standard_normal(score.shape, np.float32)
            writer.write(quantise(score, np.ones(score.shape, bool)), row, 0)


def with_uvsam(path: Path) -> tuple[int, int, float]:
    import geopandas as gpd
    import shapely

    regions = find_regions(path, RULES, (0.5, 0.5))
    _, polygons = polygonize(region_strips(regions))
    placed = shapely.transform(polygons, lambda xy: xy * [GRID.a, GRID.e] + [GRID.c, GRID.f])
    frame = gpd.GeoDataFrame(geometry=placed, crs="EPSG:32650")
    return len(frame), int(shapely.get_num_coordinates(placed).sum()), float(frame.area.sum())


def with_rasterio(path: Path) -> tuple[int, int, float]:
    import geopandas as gpd
    import rasterio
    import rasterio.features
    import shapely
    from scipy import ndimage

    with rasterio.open(path) as dataset:
        mask = dataset.read(1) >= 128
        labels, _ = ndimage.label(mask)
        outlines = rasterio.features.shapes(labels, mask=mask, connectivity=4, transform=dataset.transform)
        features = ({"geometry": outline, "properties": {"label": label}} for outline, label in outlines)
        frame = gpd.GeoDataFrame.from_features(features, crs=dataset.crs)
    return len(frame), int(shapely.get_num_coordinates(frame.geometry.to_numpy()).sum()), float(frame.area.sum())


METHODS = {"uvsam": with_uvsam, "rasterio": with_rasterio}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=20_000, help="pixels on each side")
    parser.add_argument("--raggedness", type=float, default=0.02, help="noise of a single pixel's score")
    parser.add_argument("--methods", nargs="+", default=list(METHODS), choices=METHODS)
    parser.add_argument("--scores", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.scores:
        start, cpu = time.perf_counter(), time.process_time()
        polygons, vertices, area_m2 = METHODS[options.methods[0]](options.scores)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        memory_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        result = {"method": options.methods[0], "size": options.size, "polygons": polygons, "vertices": vertices}
        result |= {
            "area_m2": area_m2,
            "seconds": round(seconds, 1),
            "cpu_s": round(cpu, 1),
            "peak_mb": round(memory_mb),
        }
        print(json.dumps(result), flush=True)
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "scores.tif"
        write_scores(path, options.size, raggedness=options.raggedness)
        for method in options.methods:
            command = [sys.executable, __file__, "--size", str(options.size), "--methods", method]
            subprocess.run([*command, "--scores", str(path)], check=True)


if __name__ == "__main__":
    main()
