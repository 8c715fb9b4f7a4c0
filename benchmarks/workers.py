"""How much faster `uvsam predict` is with two Dask workers of one thread each than with one.

    python benchmarks/workers.py --side 10000

A simulated city at 0.6 m. Seconds are those of the whole command, start and outlines included; the results must be
the same. Both run in turn, as often as asked for.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import geopandas as gpd

from uvsam.simulate import simulate_city


def seconds(image: Path, out: Path, workers: int, extra: list[str]) -> float:
    command = [sys.executable, "-m", "uvsam", "predict", str(image), "--out", str(out), "--overwrite", "--quiet"]
    started = time.perf_counter()
    subprocess.run([*command, "--workers", str(workers), *extra], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=10_000, help="pixels")
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("runs/workers"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/workers.json"))
    parser.add_argument("extra", nargs="*", help="options of `uvsam predict`, after --")
    options = parser.parse_args()
    folder = options.work / str(options.side)
    image = folder / "city_2020.tif"
    if not image.exists():
        simulate_city(folder, size_m=0.6 * options.side, gsd_m=0.6, periods=(2020,), seed=1)
    taken: dict[int, list[float]] = {1: [], 2: []}
    for _ in range(options.repeats):
        for workers, times in taken.items():
            times.append(seconds(image, folder / f"by_{workers}.gpkg", workers, options.extra))
    one, two = (gpd.read_file(folder / f"by_{workers}.gpkg").to_wkb() for workers in taken)
    if not one.equals(two):
        raise SystemExit("two workers found something else than one")
    found = {
        "side_px": options.side, "options": options.extra,
        "seconds": {str(workers): [round(value, 1) for value in times] for workers, times in taken.items()},
        "times_faster": round(statistics.median(taken[1]) / statistics.median(taken[2]), 2),
    }  # fmt: skip
    print(json.dumps(found, indent=1))
    options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
