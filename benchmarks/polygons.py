"""A large ragged mask to a GeoPackage: uvsam in strips against rasterio.features.shapes and geopandas on all of it.

    python benchmarks/polygons.py

Both read the same score raster and write the outlines of its regions into a GeoPackage, each in a process of its own:
uvsam in one thread and in two, with the mean score of each region beside its outline. Then both files are read back and
what is in them is counted. Seconds are the median of the repeats, which take turns; the peak is the largest.
"""

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from affine import Affine
from odc.geo.geobox import GeoBox

GRID = Affine(0.5, 0, 500_000, 0, -0.5, 4_420_000)
THRESHOLD = 0.5
RAGGEDNESS = 0.005
"""With it the 20000 x 20000 pixels have about 190,000 regions."""
THREADS = {"uvsam": 1, "uvsam, 2 threads": 2}
PEER = "rasterio.features.shapes and geopandas"


def write_scores(
    path: Path, size: int, *, village_px: int = 60, raggedness: float = RAGGEDNESS, share: float = 0.5
) -> None:
    """Villages of noise with ragged outlines, written in strips."""
    from uvsam.mosaic.scores import quantise
    from uvsam.raster.writer import RasterWriter

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


def with_uvsam(scores: Path, out: Path, threads: int) -> None:
    import rasterio

    from uvsam.engine.executors import open_run
    from uvsam.mosaic.regions import RegionRules
    from uvsam.vectors.outlines import write_outlines

    with rasterio.open(scores) as dataset:
        geobox = GeoBox(dataset.shape, dataset.transform, dataset.crs)
    with open_run(threads) as run:
        write_outlines(out, scores, geobox, (GRID.a, GRID.a), RegionRules(THRESHOLD, THRESHOLD), run=run)


def with_rasterio(scores: Path, out: Path) -> None:
    import geopandas as gpd
    import rasterio
    import rasterio.features

    with rasterio.open(scores) as dataset:
        mask = dataset.read(1) >= 1 + 254 * THRESHOLD
        outlines = rasterio.features.shapes(
            mask.view(np.uint8), mask=mask, connectivity=4, transform=dataset.transform
        )  # fmt: skip
        features = ({"geometry": outline, "properties": {"value": value}} for outline, value in outlines)
        frame = gpd.GeoDataFrame.from_features(features, crs=dataset.crs)
    frame.to_file(out, layer="outlines", driver="GPKG", engine="pyogrio")


def alone(function: Callable[..., Any], *args: Any, **options: Any) -> Any:
    """Call a function in a process of its own. The parent stays small: a child begins with its peak."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(function, *args, **options).result()


def measure(method: str, scores: Path, out: Path) -> dict[str, float]:
    """Of this process, from its start."""
    start = time.perf_counter()
    if method == PEER:
        with_rasterio(scores, out)
    else:
        with_uvsam(scores, out, THREADS[method])
    seconds = time.perf_counter() - start
    used = resource.getrusage(resource.RUSAGE_SELF)
    return {"seconds": seconds, "cpu_s": used.ru_utime + used.ru_stime, "peak_mb": used.ru_maxrss / 1024}


def count(path: Path) -> dict[str, float]:
    import pyogrio
    import shapely

    outlines = pyogrio.read_dataframe(path, layer="outlines").geometry.to_numpy()
    return {
        "polygons": len(outlines),
        "vertices": int(shapely.get_num_coordinates(outlines).sum()),
        "area_m2": float(shapely.area(outlines).sum()),
        "invalid": int((~shapely.is_valid(outlines)).sum()),
        "file_mb": round(path.stat().st_size / 1e6, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=20_000, help="pixels on each side")
    parser.add_argument("--raggedness", type=float, default=RAGGEDNESS, help="noise of a single pixel's score")
    parser.add_argument("--methods", nargs="+", default=[*THREADS, PEER], choices=[*THREADS, PEER])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/polygons.json"))
    options = parser.parse_args()
    runs: dict[str, list[dict[str, float]]] = {method: [] for method in options.methods}
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        scores, out = Path(folder) / "scores.tif", Path(folder) / "outlines.gpkg"
        alone(write_scores, scores, options.size, raggedness=options.raggedness)
        for _ in range(options.repeats):
            for method in options.methods:
                runs[method].append(alone(measure, method, scores, out))
                found[method] = alone(count, out)
                out.unlink()
    results = [{"method": method} | summary(runs[method]) | found[method] for method in options.methods]
    report: dict[str, Any] = {"size_px": options.size, "raggedness": options.raggedness, "results": results}
    if PEER in runs:
        peer = next(result for result in results if result["method"] == PEER)
        report["of_the_peer"] = {
            result["method"]: {key: round(result[key] / peer[key], 3) for key in ("seconds", "cpu_s", "peak_mb")}
            for result in results
            if result is not peer
        }
    print(json.dumps(report, indent=1))
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(report, indent=1) + "\n")


def summary(runs: list[dict[str, float]]) -> dict[str, Any]:
    seconds = [run["seconds"] for run in runs]
    return {
        "seconds": round(statistics.median(seconds), 1),
        "seconds_from_to": [round(min(seconds), 1), round(max(seconds), 1)],
        "cpu_s": round(statistics.median(run["cpu_s"] for run in runs), 1),
        "peak_mb": round(max(run["peak_mb"] for run in runs)),
    }


if __name__ == "__main__":
    main()
