"""Time, speed and peak memory of `uvsam simulate` for one period.

    python benchmarks/simulate.py 6000 12000 30000

Each size (pixels, at 0.6 m) runs in a process of its own, so that its peak memory is its own.
"""

import argparse
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from uvsam.simulate import simulate_city


def measure(size_px: int, gsd_m: float, seed: int, folder: Path) -> str:
    """One line of results for one city."""
    start, busy = time.perf_counter(), time.process_time()
    written = simulate_city(folder, size_m=size_px * gsd_m, gsd_m=gsd_m, periods=[2020], seed=seed)
    elapsed, busy = time.perf_counter() - start, time.process_time() - busy
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    size_mb = written[0].stat().st_size / 2**20
    mpx = size_px**2 / 1e6
    return (
        f"{size_px:>6} px {elapsed:8.1f} s  {busy:8.1f} s of one core  {mpx / elapsed:5.2f} Mpx/s  "
        f"{mpx / busy:5.2f} Mpx per core second  {peak:6.0f} MB peak  {size_mb:7.0f} MB file"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sizes", type=int, nargs="*", default=[6000], help="width and height in pixels")
    parser.add_argument("--gsd", type=float, default=0.6)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    for size in options.sizes:
        if options.alone:
            with tempfile.TemporaryDirectory() as folder:
                print(measure(size, options.gsd, options.seed, Path(folder)), flush=True)
        else:
            arguments = [str(size), "--gsd", str(options.gsd), "--seed", str(options.seed), "--alone"]
            subprocess.run([sys.executable, __file__, *arguments], check=True)


if __name__ == "__main__":
    main()
