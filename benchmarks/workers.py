"""How much faster `uvsam predict` is with two Dask workers of one thread each than with one.

    python benchmarks/workers.py --side 20000

A simulated city at 0.6 m, that of `overhead.py`. Seconds are those of the whole command, start and outlines included;
the results must be the same. Both run in turn, as often as asked for: machines change with the hour, so the ratio is
that of all seconds, beside that of each pair. Peak memory is that of the process that gives the command.
"""

import argparse
import json
import re
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import geopandas as gpd
from predict import MEASURED

from uvsam.simulate import simulate_city


def run(image: Path, out: Path, workers: int, extra: list[str]) -> tuple[float, float]:
    """Seconds, and the peak memory in MB."""
    shutil.rmtree(f"{out}.uvsam", ignore_errors=True)  # else it goes on where one was that was stopped
    arguments = ["predict", str(image), "--out", str(out), "--overwrite", "--quiet", "--workers", str(workers), *extra]
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", MEASURED, *arguments], check=True, stdout=subprocess.PIPE, text=True)
    return time.perf_counter() - started, int(re.findall(r"peak_kb (\d+)", done.stdout)[-1]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=20_000, help="pixels")
    parser.add_argument("--villages-per-km2", type=float, default=1.85, help="1.85 are about 5 %% of the ground")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--add", action="store_true", help="keep the pairs that --out has of earlier runs here")
    parser.add_argument("--work", type=Path, default=Path("runs/workers"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/workers.json"))
    parser.add_argument("extra", nargs="*", help="options of `uvsam predict`, after --")
    options = parser.parse_args()
    density = options.villages_per_km2
    folder = options.work / f"{options.side}_{density:g}"
    image = folder / "city_2020.tif"
    if not image.exists():
        simulate_city(
            folder, size_m=0.6 * options.side, gsd_m=0.6, periods=(2020,), seed=1,
            villages_per_km2=density,
        )  # fmt: skip
    about = {"side_px": options.side, "villages_per_km2": density, "options": options.extra}
    taken: dict[int, list[float]] = {1: [], 2: []}
    peaks: list[float] = []
    if options.add:
        earlier = json.loads(options.out.read_text())
        if {name: earlier[name] for name in about} != about:
            raise SystemExit(f"{options.out} is of another image or other options")
        taken = {workers: earlier["seconds"][str(workers)] for workers in taken}
        peaks.append(earlier["peak_mb"])
    for _ in range(options.repeats):
        for workers, times in taken.items():
            seconds, peak_mb = run(image, folder / f"by_{workers}.gpkg", workers, options.extra)
            times.append(seconds)
            peaks.append(peak_mb)
    for layer in ("villages", "coverage"):
        one, two = (gpd.read_file(folder / f"by_{workers}.gpkg", layer=layer).to_wkb() for workers in taken)
        if not one.equals(two):
            raise SystemExit(f"two workers found something else than one: {layer}")
    ratios = [one / two for one, two in zip(taken[1], taken[2], strict=True)]
    found = about | {
        "seconds": {str(workers): [round(value, 1) for value in times] for workers, times in taken.items()},
        "times_faster": round(sum(taken[1]) / sum(taken[2]), 2),
        "median_pair": round(statistics.median(ratios), 2),
        "of_each_pair": [round(ratio, 2) for ratio in ratios],
        "peak_mb": round(max(peaks)),
    }  # fmt: skip
    print(json.dumps(found, indent=1))
    options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
