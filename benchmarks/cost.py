"""Time and memory of `uvsam predict` with and without a generalist, per square kilometre.

    OMP_NUM_THREADS=1 python benchmarks/cost.py

One simulated city at 0.6 m. Published generalists have random weights here: what they answer
means nothing, what it costs does. Seconds are those of the CPU, of all threads together; the peak is that of the whole
process, from the operating system's account of it. A generalist sees crops around regions only; without that gate it
would see at least as many as tile the scene. Results of generalists that are not measured (--sam) are kept.
"""

import argparse
import json
import math
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from predict import MEASURED
from safetensors.torch import save_file

from uvsam.catalog.cards import DEFAULT_MODEL
from uvsam.models.encoders import ENCODERS
from uvsam.models.sam.network import GeneralistNetwork
from uvsam.simulate import simulate_city
from uvsam.vectors.geopackage import read_run

SIZE_M, GSD_M = 3000, 0.6


def random_checkpoint(encoder: str, folder: Path) -> Path:
    """A file as the encoder's authors publish it, with random weights."""
    path = folder / f"{encoder}.safetensors"
    if not path.exists():
        state = GeneralistNetwork(ENCODERS[encoder].build()).state_dict()
        save_file({name: value.contiguous() for name, value in state.items()}, path)
    return path


def measure(image: Path, options: list[str], out: Path) -> dict[str, Any]:
    arguments = ["predict", str(image), "--out", str(out), "--overwrite", "--quiet", *options]
    done = subprocess.run([sys.executable, "-c", MEASURED, *arguments], check=True, capture_output=True, text=True)
    cpu_s, peak_kb = (float(re.findall(rf"{name} (\S+)", done.stdout)[-1]) for name in ("cpu_s", "peak_kb"))
    km2 = (SIZE_M / 1000) ** 2
    return {"cpu_s": round(cpu_s, 1), "cpu_s_per_km2": round(cpu_s / km2, 2), "peak_mb": round(peak_kb / 1024)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--whole", default=DEFAULT_MODEL, help="UV-SAM model to measure: a name, or a card")
    parser.add_argument(
        "--sam", nargs="*", default=["efficientvit_l0", "vit_b"], choices=list(ENCODERS), metavar="NAME"
    )
    parser.add_argument("--work", type=Path, default=Path("runs/cost"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/cost.json"))
    options = parser.parse_args()
    image = options.work / "city_2020.tif"
    if not image.exists():
        simulate_city(options.work, size_m=SIZE_M, gsd_m=GSD_M, periods=(2020,), seed=78)
    out = options.work / "villages.gpkg"
    specialist = ["--model", "uvsam-specialist"]
    ways = {"specialist alone": specialist, Path(options.whole).stem: ["--model", options.whole]}
    for encoder in options.sam:
        ways[encoder] = [*specialist, "--sam", str(random_checkpoint(encoder, options.work))]
    results: dict[str, dict[str, Any]] = json.loads(options.out.read_text()) if options.out.exists() else {}
    for name, arguments in ways.items():
        found = measure(image, arguments, out)
        run = read_run(out)
        if name != "specialist alone":
            refined = json.loads(run["refined"])
            tiles = math.ceil(SIZE_M / float(run["window_m"])) ** 2
            per_crop = (found["cpu_s"] - results["specialist alone"]["cpu_s"]) / refined["crops"]
            saved = (tiles - refined["crops"]) * per_crop
            found |= {
                "window_m": float(run["window_m"]), "crops": refined["crops"], "crops_without_gate": tiles,
                "cpu_s_per_crop": round(per_crop, 2), "gate_saves_cpu_s": round(saved, 1),
            }  # fmt: skip
        results[name] = found
        print(name, found, flush=True)
    options.out.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
