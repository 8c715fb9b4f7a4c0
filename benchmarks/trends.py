"""Time and memory of `uvsam trends` on many polygons, and of plain geopandas overlays of the same steps.

    python benchmarks/trends.py --villages 1000000 --periods 5 --workers 2

The villages are ragged blobs on a grid, of which a tenth grow or shrink, and some are gone or new, in every period.
Plain is what one would write first: of every pair of consecutive layers the overlays `intersection`, and `difference`
both ways (kept, lost and gained ground) with `geopandas.overlay`, on an equal-area map, written to a GeoPackage. It
does no alignment, tolerance, lineage or hot spots. Its seconds without the writing are told, too.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely

VERTICES, SPACING_M = 32, 220.0
CRS = "EPSG:32643"
OURS = """
import resource, sys
from uvsam.cli.main import run
status = run(sys.argv[1:])
"""
PLAIN = """
import resource, sys, time
import geopandas as gpd
out, *paths = sys.argv[1:]
writing = 0.0
layers = [gpd.read_file(path).to_crs("EPSG:6933") for path in paths]
for step, (before, after) in enumerate(zip(layers, layers[1:])):
    for name, one, other, how in (
        ("kept", before, after, "intersection"), ("lost", before, after, "difference"),
        ("gained", after, before, "difference"),
    ):
        found = gpd.overlay(one, other, how=how)
        started = time.monotonic()
        found.to_file(out, layer=f"{name}_{step}")
        writing += time.monotonic() - started
print("writing_s", writing)
status = 0
"""
PEAK = """
print("peak_kb", resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
print("child_kb", resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(status)
"""


def write_period(path: Path, count: int, period: int) -> None:
    """Villages of a period; most are where they were before."""
    number = np.arange(count)
    side = int(np.ceil(np.sqrt(count)))
    still, now = np.random.default_rng(0), np.random.default_rng(period + 1)
    radius = still.uniform(30, 75, count)
    for past in range(1, period + 1):
        rng = np.random.default_rng(1000 + past)
        radius = np.clip(radius * np.where(rng.random(count) < 0.1, rng.uniform(0.7, 1.3, count), 1), 20, 90)
    there = np.random.default_rng(2000 + period).random(count) > 0.03
    angle = np.linspace(0, 2 * np.pi, VERTICES, endpoint=False)
    reach = radius[:, None] * (1 + 0.15 * np.sin(3 * angle + number[:, None])) + now.normal(0, 0.7, (count, VERTICES))
    x, y = 300_000 + SPACING_M * (number % side), 2_000_000 + SPACING_M * (number // side)
    xy = np.stack([x[:, None] + reach * np.cos(angle), y[:, None] + reach * np.sin(angle)], axis=-1)
    gpd.GeoDataFrame(geometry=shapely.polygons(xy[there]), crs=CRS).to_file(path)


def measured(code: str, arguments: list[str], workers: int = 0) -> dict[str, float]:
    """Seconds by the clock, and peak memory of a process and its workers, as if all had theirs at once."""
    started = time.monotonic()
    done = subprocess.run([sys.executable, "-c", code + PEAK, *arguments], check=True, capture_output=True, text=True)
    seconds = time.monotonic() - started
    own_kb, child_kb = (int(re.findall(rf"{name}_kb (\d+)", done.stdout)[-1]) for name in ("peak", "child"))
    found = {"seconds": round(seconds, 1), "peak_mb": round((own_kb + workers * child_kb) / 1024)}
    if writing := re.findall(r"writing_s (\S+)", done.stdout):
        found["seconds_without_writing"] = round(seconds - float(writing[-1]), 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--villages", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--periods", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--plain-up-to", type=int, default=1_000_000, help="more villages are not overlaid plainly")
    parser.add_argument("--work", type=Path, default=Path("runs/trends"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/trends.json"))
    options = parser.parse_args()
    results = []
    for count in options.villages:
        folder = options.work / str(count)
        folder.mkdir(parents=True, exist_ok=True)
        paths = [folder / f"villages_{2000 + 4 * period}.gpkg" for period in range(options.periods)]
        for period, path in enumerate(paths):
            if not path.exists():
                write_period(path, count, period)
        layers = [str(path) for path in paths]
        out = ["--out", str(folder / "trends.gpkg"), "--overwrite", "--quiet", "--workers", str(options.workers)]
        found = {
            "villages": count,
            "periods": options.periods,
            "ours": measured(OURS, ["trends", *layers, *out], options.workers),
        }
        print(found, flush=True)
        if count <= options.plain_up_to:
            plain_out = folder / "plain.gpkg"
            plain_out.unlink(missing_ok=True)
            found["plain"] = measured(PLAIN, [str(plain_out), *layers])
            found["times_faster"] = round(found["plain"]["seconds"] / found["ours"]["seconds"], 2)
            print(found, flush=True)
        results.append(found)
    options.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
