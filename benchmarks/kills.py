"""Runs of `uvsam predict` that are killed at random moments and started again: is the result the uninterrupted one?

    python benchmarks/kills.py --kills 30

Each time a run of the same command is killed (SIGKILL) at a moment drawn from the length of a whole run, and started
again until it ends; every second time it is killed a second time on the way. Layers and table `run` must be the same to
the last digit but for the time they were computed at, and nothing may lie about.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import geopandas as gpd
import pandas as pd

from uvsam.simulate import simulate_city

EXISTS = 4
"""Status of a run whose result exists."""


def start(image: Path, out: Path, extra: list[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "uvsam", "--quiet", "predict", str(image), "--out", str(out), *extra]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL)


def content(path: Path) -> list[pd.DataFrame]:
    run = gpd.read_file(path, layer="run").set_index("key").drop("computed_at")
    return [gpd.read_file(path, layer="villages").to_wkb(), gpd.read_file(path, layer="coverage").to_wkb(), run]


def killed(image: Path, out: Path, seconds: list[float], extra: list[str]) -> int:
    """Kill a run after each of some times, then let it end; how many of them came before the end."""
    hit = 0
    for moment in seconds:
        process = start(image, out, extra)
        try:
            process.wait(moment)
            return hit
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            hit += 1
    expected = EXISTS if out.exists() else 0  # killed after it had its name: the same command says so, and tidies up
    if start(image, out, extra).wait() != expected:
        raise SystemExit(f"the run that should go on did not end well; see {out.parent}")
    return hit


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--size-m", type=float, default=700)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/kills.json"))
    parser.add_argument("extra", nargs="*", help="options of `uvsam predict`, after --")
    options = parser.parse_args()
    draw = random.Random(0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        image = simulate_city(folder, size_m=options.size_m, gsd_m=0.6, periods=(2020,), seed=5)[0]
        for name in ("first.gpkg", "whole.gpkg"):  # the first one warms up what the second one is timed with
            started = time.monotonic()
            if start(image, folder / name, options.extra).wait():
                raise SystemExit("an uninterrupted run does not end well")
            length = time.monotonic() - started
        whole = content(folder / "whole.gpkg")
        kills = same = runs = tidy = 0
        while kills < options.kills:
            out = folder / f"{runs}.gpkg"
            moments = [draw.uniform(0, length) for _ in range(1 + runs % 2)]
            kills += killed(image, out, moments, options.extra)
            runs += 1
            same += all(a.equals(b) for a, b in zip(whole, content(out), strict=True))
            tidy += not [*folder.glob(f"{out.name}?*"), *folder.glob(f".{out.stem}.*")]
            print(f"{kills} kills: {same} of {runs} runs gave the result of the uninterrupted one", flush=True)
    result = {"kills": kills, "runs": runs, "the same": same, "nothing left": tidy, "seconds of a whole run": length}
    options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
