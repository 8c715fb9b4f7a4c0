"""What `uvsam predict` takes over its bare models, and what part of the pixels the generalist sees.

    python benchmarks/overhead.py --side 20000

The bare models look at as many chips as `predict` did, and the generalist at as many crops with as many prompts, with
pixels from memory, in as many threads, and nothing else is done: no reading, no resampling, no writing, no outlines.
What the generalist decides on are its masks; it sees some ground around these.
Each runs in a process of its own; the seconds of `predict` have its start in them, those of the bare models have not.
Both run in turn, `predict` first and last, and their means count: machines get faster and slower.
"""

import argparse
import json
import re
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import torch
from affine import Affine
from odc.geo.geobox import GeoBox
from predict import MEASURED

from uvsam.catalog.uvsam import load_predict_card
from uvsam.engine.executors import here
from uvsam.prompts import FRAME_PX, Prompts
from uvsam.raster.chips import Chip
from uvsam.settings import PredictSettings
from uvsam.simulate import simulate_city
from uvsam.vectors.geopackage import read_run
from uvsam.workflows.computing import open_computing
from uvsam.workflows.loading import load_models
from uvsam.workflows.recipe import ModelsRecipe
from uvsam.workflows.scoring import one_core


def bare(chips: int, crops: int, prompts: int) -> dict[str, float]:
    """Seconds of the models of a default run alone, elapsed and of all processors."""
    settings = PredictSettings()
    recipe = ModelsRecipe(settings, load_predict_card(settings.model).sha256)
    models = load_models(recipe)
    with open_computing(recipe, models, here) as computing:
        threads = computing.tiles().threads
    side, refiner = models.specialist.card.chip_px, models.refiner
    assert refiner is not None
    small = refiner.generalist.input_px
    boxes = np.tile(np.float32([[200, 200, 800, 800]]) * FRAME_PX / 1024, (max(1, round(prompts / max(1, crops))), 1))
    whole = GeoBox((small, small), Affine.identity(), None)
    asked = Prompts(boxes, None, np.arange(len(boxes)))

    def score(_: int) -> None:
        models.specialist.scores(torch.rand(1, 3, side, side) * 255, torch.ones(1, side, side, dtype=torch.bool))

    def outline(_: int) -> None:
        pixels, valid = torch.rand(1, 3, small, small) * 255, torch.ones(1, small, small, dtype=torch.bool)
        tokens = refiner.tokens and refiner.tokens(Chip(pixels[0].numpy(), valid[0].numpy(), whole))
        refiner.generalist.decode(refiner.generalist.embed(pixels, valid)[0], asked, tokens=tokens)

    with ThreadPoolExecutor(threads, initializer=one_core) as pool:
        list(pool.map(score, range(threads)))  # compiled
        list(pool.map(outline, range(threads)))
        started, used = time.perf_counter(), time.process_time()
        list(pool.map(score, range(chips)))
        list(pool.map(outline, range(crops)))
        return {"seconds": time.perf_counter() - started, "cpu_s": time.process_time() - used}


def predicted(image: Path, out: Path) -> dict[str, Any]:
    arguments = ["predict", str(image), "--out", str(out), "--overwrite", "--quiet"]
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", MEASURED, *arguments], check=True, capture_output=True, text=True)
    seconds = time.perf_counter() - started
    cpu_s, peak_kb = (float(re.findall(rf"{name} (\S+)", done.stdout)[-1]) for name in ("cpu_s", "peak_kb"))
    return {"seconds": seconds, "cpu_s": cpu_s, "peak_mb": peak_kb / 1024}


def _means(runs: list[dict[str, Any]]) -> dict[str, float]:
    return {name: sum(one[name] for one in runs) / len(runs) for name in runs[0]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=20_000, help="pixels of 0.6 m")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--villages-per-km2", type=float, default=1.85, help="1.85 are about 5 %% of the ground")
    parser.add_argument("--turns", type=int, default=2, help="of the bare models; predict runs once more")
    parser.add_argument("--work", type=Path, default=Path("runs/overhead"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/overhead.json"))
    parser.add_argument("--bare", type=int, nargs=3, metavar=("CHIPS", "CROPS", "PROMPTS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.bare:
        print(json.dumps(bare(*options.bare)))
        return
    folder = options.work / str(options.side)
    image, out = folder / "city_2020.tif", folder / "villages.gpkg"
    if not image.exists():
        simulate_city(
            folder, size_m=0.6 * options.side, gsd_m=0.6, periods=(2020,), seed=options.seed,
            villages_per_km2=options.villages_per_km2,
        )  # fmt: skip
    around = [predicted(image, out)]
    run = {name: json.loads(value) for name, value in read_run(out).items() if name in ("tiles", "refined")}
    tiles, refined = run["tiles"], run["refined"]
    counts = [str(tiles["computed"]), str(refined["crops"]), str(refined.get("prompts", refined["refined"]))]
    alone = []
    for _ in range(options.turns):
        done = subprocess.run([sys.executable, __file__, "--bare", *counts], check=True, capture_output=True, text=True)
        alone.append(json.loads(done.stdout.splitlines()[-1]))
        around.append(predicted(image, out))
        print([f"{one['seconds']:.0f} s" for one in around], [f"{one['seconds']:.0f} s" for one in alone], flush=True)
    whole, bare_s = _means(around), _means(alone)
    village_m2 = float(gpd.read_file(folder / "truth.gpkg", layer="villages").area.sum())
    found = {
        "side_px": options.side, "village_share": village_m2 / (0.6 * options.side) ** 2,
        "predict": whole, "bare": bare_s,
        "predict_seconds": [one["seconds"] for one in around], "bare_seconds": [one["seconds"] for one in alone],
        "overhead": whole["seconds"] / bare_s["seconds"] - 1, "overhead_cpu": whole["cpu_s"] / bare_s["cpu_s"] - 1,
        "chips": tiles["computed"], "crops": refined["crops"], "regions": refined["regions"],
        "generalist_sees_of_ground": refined["seen"] / options.side**2,
        "generalist_decides_on": refined["pixels"] / options.side**2,
        "generalist_sees_of_model_pixels": refined["model_pixels"] / tiles["model_pixels"],
    }  # fmt: skip
    print(json.dumps(found, indent=1))
    options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
