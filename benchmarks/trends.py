"""Time and memory of `uvsam trends` on many polygons, and of plain geopandas overlays of the same steps.

    python benchmarks/trends.py --villages 1000000 --periods 5 --workers 2

The villages are ragged blobs on a grid, of which a tenth grow or shrink, and some are gone or new, in every period.
Plain is what one would write first: of every pair of consecutive layers the overlays `intersection`, and `difference`
both ways (kept, lost and gained ground) with `geopandas.overlay`, on an equal-area map, written to a GeoPackage. It
does no alignment, tolerance, lineage or hot spots. Its seconds without the writing are told, too. It computes on one
core; where it is stopped (--give-up), how much of it was done is told, and its seconds of the processor are a lower
bound of what it would have taken alone on the machine. Results of other numbers of villages are kept.
"""

import argparse
import json
import os
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
        print("overlay", step, name, flush=True)
        found = gpd.overlay(one, other, how=how)
        started = time.monotonic()
        found.to_file(out, layer=f"{name}_{step}")
        writing += time.monotonic() - started
print("writing_s", writing)
status = 0
"""
PEAK = """
used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print("cpu_s", sum(one.ru_utime + one.ru_stime for one in used))
print("peak_kb", used[0].ru_maxrss)
print("child_kb", used[1].ru_maxrss)
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


def measured(code: str, arguments: list[str], workers: int = 0, give_up_s: float | None = None) -> dict[str, float]:
    """Seconds by the clock and of processors, and peak memory of a process and all its workers."""
    started = time.monotonic()
    with subprocess.Popen(
        [sys.executable, "-c", code + PEAK, *arguments], stdout=subprocess.PIPE, text=True
    ) as process:  # fmt: skip
        while process.poll() is None and (give_up_s is None or cpu_seconds(process.pid) < give_up_s):
            time.sleep(0.1)
        stopped = process.poll() is None
        process.kill()
        said = process.stdout.read() if process.stdout else ""
    seconds = round(time.monotonic() - started, 1)
    if stopped:
        done = len(re.findall(r"^overlay", said, re.MULTILINE)) - 1
        return {"seconds": seconds, "cpu_seconds": round(give_up_s or 0), "stopped_after_overlays": done}
    if process.returncode:
        raise SystemExit(f"a run failed: {process.returncode}")
    told = {name: float(value) for name, value in re.findall(r"^(\w+) ([\d.]+)$", said, re.MULTILINE)}
    found = {
        "seconds": seconds, "cpu_seconds": round(told["cpu_s"], 1),
        "peak_mb": round((told["peak_kb"] + workers * told["child_kb"]) / 1024),
    }  # fmt: skip
    if "writing_s" in told:
        found["seconds_without_writing"] = round(seconds - told["writing_s"], 1)
    return found


def cpu_seconds(pid: int) -> float:
    """Of a process, so far (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--villages", type=int, nargs="+", default=[100_000, 1_000_000])
    parser.add_argument("--periods", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument(
        "--give-up", type=float, metavar="N", default=6,
        help="stop the plain way after N times our seconds, of its processor",
    )  # fmt: skip
    parser.add_argument("--work", type=Path, default=Path("runs/trends"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/trends.json"))
    options = parser.parse_args()
    results = json.loads(options.out.read_text()) if options.out.exists() else []
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
        plain_out = folder / "plain.gpkg"
        plain_out.unlink(missing_ok=True)
        plain = measured(PLAIN, [str(plain_out), *layers], give_up_s=options.give_up * found["ours"]["seconds"])
        stopped = "stopped_after_overlays" in plain
        name, taken = ("at_least_times_faster", "cpu_seconds") if stopped else ("times_faster", "seconds")
        found |= {"plain": plain, name: round(plain[taken] / found["ours"]["seconds"], 2)}
        print(found, flush=True)
        results = [row for row in results if (row["villages"], row["periods"]) != (count, options.periods)] + [found]
        options.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
