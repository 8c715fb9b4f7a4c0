"""Time, rate and peak memory of `uvsam predict` on simulated cities of growing size.

    python benchmarks/predict.py --sides 3000 6000 12000

The peak is that of the whole process, from the operating system's account of it.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from pathlib import Path

from uvsam.simulate import simulate_city

MEASURED = """
import resource, sys
from uvsam.cli.main import run
status = run(sys.argv[1:])
used = resource.getrusage(resource.RUSAGE_SELF)
print("cpu_s", used.ru_utime + used.ru_stime)
print("peak_kb", used.ru_maxrss)
sys.exit(status)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sides", type=int, nargs="+", default=[3000, 6000, 12000], help="pixels")
    parser.add_argument("--gsd", type=float, default=0.9)
    parser.add_argument("--work", type=Path, default=Path("runs/predict"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/predict.json"))
    options = parser.parse_args()
    results = []
    for side in options.sides:
        folder = options.work / str(side)
        image = folder / "city_2020.tif"
        if not image.exists():
            simulate_city(folder, size_m=side * options.gsd, gsd_m=options.gsd, periods=(2020,), seed=77)
        arguments = ["predict", str(image), "--out", str(folder / "villages.gpkg"), "--overwrite", "--quiet"]
        started = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, *arguments], check=True, capture_output=True, text=True
        )  # fmt: skip
        seconds = time.monotonic() - started
        peak_mb = int(re.findall(r"peak_kb (\d+)", done.stdout)[-1]) / 1024
        results.append({"side_px": side, "seconds": round(seconds, 1), "mpx_per_s": round(side**2 / 1e6 / seconds, 2),
                        "peak_mb": round(peak_mb)})  # fmt: skip
        print(results[-1], flush=True)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
