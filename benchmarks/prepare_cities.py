"""Simulated cities with label rasters, for training.

    python benchmarks/prepare_cities.py runs/cities

Seeds 1 to 4; tests and benchmarks use others.
"""

import sys
from pathlib import Path

import geopandas as gpd
import rasterio
from rasterio.features import rasterize

from uvsam.simulate import simulate_city

PERIODS = (2012, 2020)


def main(target: Path) -> None:
    for seed in range(1, 5):
        folder = target / str(seed)
        simulate_city(folder, size_m=1800, gsd_m=0.7, periods=PERIODS, seed=seed, overwrite=True)
        truth = gpd.read_file(folder / "truth.gpkg", layer="villages")
        for period in PERIODS:
            with rasterio.open(folder / f"city_{period}.tif") as image:
                profile = image.profile | {"count": 1, "photometric": "minisblack"}
                outlines = truth[truth["period"] == period].geometry
                burnt = rasterize(outlines, image.shape, transform=image.transform, dtype="uint8")
            with rasterio.open(folder / f"labels_{period}.tif", "w", **profile) as labels:
                labels.write(burnt, 1)
            print(f"city {seed}, {period}: {len(outlines)} villages, {burnt.mean():.1%} of the ground")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
