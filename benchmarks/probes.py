"""Inputs that trip others up, each through the command line: the right answer, or one line that says what is wrong?

    python benchmarks/probes.py

Images: makes a simulated city, and of it one file for each probe: other types, grids, masks, and files that are
damaged, hostile or no image. A probe with a computable answer is right if its villages cover the ground that the
villages of the plain image cover (intersection over union), and if it looked at the ground that it should; a twin is
right if its layers are those of a file that says the same in a plainer way. Every other one must end with status 1 and
a single line that has the right word in it. Neither may print a traceback, take more than 3 GB, or go on for ever.

Commands: `trends`, `sample`, `evaluate`, `info`, `train` and others on what people have; the right numbers were
computed by hand. Nothing may be left behind that was not asked for.
"""

import argparse
import itertools
import json
import os
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import geopandas as gpd
import rasterio
import shapely
from probe_commands import Command, judge_command
from probe_field import FIELD, TWINS, Twin
from probe_files import ANSWERS, REFUSALS, Answer, Files, Refusal
from probe_layers import LAYERS
from probe_runs import RUNS, TRIALS, Trial

from uvsam.simulate import simulate_city

MOST_BYTES = 3 * 2**30
LONGEST_S = 600
LEAST_IOU = 0.995
"""Of twins: what is resampled near a collar may differ."""
AWAY = {"GDAL_VRT_ENABLE_PYTHON": "YES", "CPL_ALLOW_VSISTDIN": "YES"}
"""What a careless user has in the environment."""


@dataclass
class Ended:
    status: int | None
    seconds: float
    peak_mb: int
    out: str
    error: list[str]

    def faults(self) -> list[str]:
        found = []
        if self.status is None:
            found.append(f"still at work after {LONGEST_S} s")
        if "Traceback" in "\n".join(self.error):
            found.append("traceback")
        if "unexpected" in "\n".join(self.error):
            found.append("an error that nobody thought of")
        if self.peak_mb * 2**20 > MOST_BYTES:
            found.append(f"{self.peak_mb} MB")
        return found


@dataclass
class Verdict:
    probe: str
    what: str
    faults: list[str] = field(default_factory=list)
    numbers: dict[str, float] = field(default_factory=dict)


def predict(image: str, out: Path, *options: str) -> Ended:
    """A run in a process of its own, with what it printed and its peak memory."""
    command = [sys.executable, "-m", "uvsam", "--quiet", "predict", image, "--out", str(out), *options]
    started = time.monotonic()
    with tempfile.TemporaryFile("w+") as said, tempfile.TemporaryFile("w+") as complained:
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=said, stderr=complained, env={**os.environ, **AWAY}
        )
        timer = threading.Timer(LONGEST_S, process.kill)
        timer.start()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        timer.cancel()
        for file in (said, complained):
            file.seek(0)
        code = None if process.returncode == -9 else process.returncode
        lines = [line for line in complained.read().splitlines() if line]
        return Ended(code, time.monotonic() - started, usage.ru_maxrss // 1024, said.read(), lines)


def ground(path: Path, layer: str, crs: Any) -> Any:
    frame = gpd.read_file(path, layer=layer)
    outlines = frame.geometry if frame.crs is None or frame.crs == crs else frame.to_crs(crs).geometry
    return shapely.union_all(outlines.to_numpy())


def judge_answer(probe: Answer, files: Files, plain: Path) -> Verdict:
    image, options = probe.make(files)
    out = files.folder / f"{probe.name.replace(' ', '_')}.gpkg"
    ended = predict(str(image), out, *options)
    faults = ended.faults()
    if ended.status != 0:
        return Verdict(probe.name, " ".join(ended.error[-1:]), [*faults, f"status {ended.status}"])
    with rasterio.open(files.plain) as dataset:
        crs = dataset.crs
    looked, expected_ground = ground(out, "coverage", crs), ground(plain, "coverage", crs)
    if probe.part:
        expected_ground = shapely.intersection(expected_ground, probe.part(files))
    if probe.other_place:
        with rasterio.open(image) as dataset:
            expected_ground = shapely.box(*dataset.bounds)
    found, expected = (
        ground(out, "villages", crs),
        shapely.intersection(ground(plain, "villages", crs), expected_ground),
    )
    if probe.all_village:
        expected = expected_ground
    union = shapely.union(found, expected).area
    numbers = {
        "iou": shapely.intersection(found, expected).area / union if union else 1.0,
        "area": found.area / expected.area if expected.area else float(found.area == 0),
        "ground": looked.area / expected_ground.area,
        "outside": shapely.difference(found, shapely.buffer(expected_ground, 2.0)).area,
    }
    if numbers["iou"] < probe.least_iou:
        faults.append(f"IoU below {probe.least_iou}")
    if abs(numbers["ground"] - 1) > 0.01 or numbers["outside"] > 0:
        faults.append("other ground than it should be")
    warned = [line for line in ended.error if line.startswith("Warning")]
    if probe.warns and not any(probe.warns in line for line in warned):
        faults.append("no warning")
    what = f"IoU {numbers['iou']:.3f}, area {numbers['area']:.3f}, ground {numbers['ground']:.4f} of the plain image's"
    return Verdict(
        probe.name,
        "; ".join([what, *warned]).replace(f"{files.folder}/", ""),
        faults,
        {k: round(v, 4) for k, v in numbers.items()},
    )


def judge_twin(probe: Twin, files: Files) -> Verdict:
    grounds, said = [], []
    for number, make in enumerate((probe.make, probe.plainer)):
        made, options = make(files)
        out = files.folder / f"twin_{probe.name.replace(' ', '_')}_{number}.gpkg"
        ended = predict(str(made), out, *options, "--model", "uvsam-specialist")
        if ended.status != 0 or ended.faults():
            return Verdict(probe.name, " ".join(ended.error[-1:]), [*ended.faults(), f"status {ended.status}"])
        grounds.append(
            [ground(out, layer, gpd.read_file(out, layer="coverage").crs) for layer in ("villages", "coverage")]
        )
        said.append([line for line in ended.error if line.startswith("Warning")])
    numbers = {
        name: round(shapely.intersection(one, other).area / shapely.union(one, other).area, 5)
        for name, one, other in zip(("villages", "coverage"), *grounds, strict=True)
    }
    faults = [f"IoU of {name} is {iou}" for name, iou in numbers.items() if iou < LEAST_IOU]
    if probe.warns and not any(probe.warns in line for line in said[0]):
        faults.append("no warning")
    what = f"IoU of villages {numbers['villages']:.4f}, of coverage {numbers['coverage']:.4f}"
    return Verdict(probe.name, "; ".join([what, *said[0]]).replace(f"{files.folder}/", ""), faults, numbers)


def judge_commands(probe: Command, folder: Path) -> Verdict:
    said, faults = judge_command(probe, folder)
    return Verdict(probe.name, said, faults)


def judge_trial(probe: Trial, folder: Path) -> Verdict:
    folder.mkdir(parents=True)
    return Verdict(probe.name, "", probe.go(folder))


def judge_refusal(probe: Refusal, files: Files) -> Verdict:
    out = files.folder / "refused" / f"{probe.name.replace(' ', '_')}.gpkg"
    out.parent.mkdir(exist_ok=True)
    ended = predict(str(probe.make(files)), out)
    faults = ended.faults()
    if ended.status != 1 or len(ended.error) != 1:
        faults.append(f"status {ended.status}, {len(ended.error)} lines")
    if probe.word not in " ".join(ended.error):
        faults.append(f"'{probe.word}' is not said")
    if files.owned.exists():
        faults.append("code of the file was run")
    if [*out.parent.glob(f"{out.name}*")]:
        faults.append("something was left behind")
    return Verdict(
        probe.name,
        " ".join(ended.error[-1:]).replace(f"{files.folder}/", "").replace(str(files.folder), "folder"),
        faults,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size-m", type=float, default=600)
    parser.add_argument("--jobs", type=int, default=2, help="probes at a time")
    parser.add_argument("--only", default="", help="probes with this in their name")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/probes.json"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = Files(
            folder, simulate_city(folder / "city", size_m=options.size_m, gsd_m=0.6, periods=(2020,), seed=7)[0]
        )
        plain = folder / "plain.gpkg"
        ended = predict(str(files.plain), plain)
        if ended.status != 0:
            raise SystemExit(f"the plain image fails: {ended.error}")
        print(f"plain image: {ended.out.splitlines()[0]}", flush=True)
        places = (folder / "commands" / f"{number:03}" for number in itertools.count())
        every: list[tuple[str, Callable[[], Verdict]]] = [
            *((probe.name, partial(judge_answer, probe, files, plain)) for probe in ANSWERS),
            *((probe.name, partial(judge_twin, probe, files)) for probe in TWINS),
            *((probe.name, partial(judge_refusal, probe, files)) for probe in REFUSALS),
            *((probe.name, partial(judge_commands, probe, next(places))) for probe in [*FIELD, *LAYERS, *RUNS]),
            *((probe.name, partial(judge_trial, probe, next(places))) for probe in TRIALS),
        ]
        work = [judge for name, judge in every if options.only in name]
        verdicts = []
        with ThreadPoolExecutor(options.jobs) as pool:
            for verdict in pool.map(lambda judge: judge(), work):
                verdicts.append(verdict)
                print(f"{'FAIL' if verdict.faults else 'ok  '} {verdict.probe:<34} {verdict.what}", flush=True)
                for fault in verdict.faults:
                    print(f"       {fault}", flush=True)
    failed = [verdict.probe for verdict in verdicts if verdict.faults]
    print(f"{len(verdicts) - len(failed)} of {len(verdicts)} probes as they should be")
    result = {
        "command": shlex.join(["python", "benchmarks/probes.py", *sys.argv[1:]]),
        "plain": ended.out.splitlines()[0],
        "failed": failed,
        "probes": [vars(verdict) for verdict in verdicts],
    }
    options.out.write_text(json.dumps(result, indent=1) + "\n")
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
