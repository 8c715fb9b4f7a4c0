"""Do histories come out of images? Simulated cities, predicted by a model, followed, and compared with what happened.

    python benchmarks/lineage_predicted.py --seeds 5

As a user would: `uvsam trends city_*.tif`, then once more with a sample of the first and the last period whose places
are filled in from the truth (`uvsam sample`, `--reference`). A true village is found where a predicted one of that
period has an IoU of 0.5 with it, and its event can be told where its predecessor was found, too, if it has one.
"""

import argparse
import contextlib
import io
import json
from collections import Counter
from itertools import pairwise
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely

from uvsam.cli.main import run
from uvsam.simulate import simulate_city

YEARS = (2012, 2016, 2020, 2024)
SIZE_M, GSD_M = 2000.0, 0.7
FIRST_SEED = 2000  # training uses small ones


def uvsam(*arguments: str | Path) -> None:
    with contextlib.redirect_stdout(io.StringIO()):
        status = run([*map(str, arguments), "--overwrite", "--quiet"])
    if status:
        raise SystemExit(f"uvsam {' '.join(map(str, arguments))} ended with {status}")


def followed(folder: Path, seed: int, model: list[str]) -> Path:
    """Trends of a simulated city from its images, with a reference sample that is right."""
    if not (folder / "truth.gpkg").exists():
        simulate_city(folder, size_m=SIZE_M, gsd_m=GSD_M, periods=YEARS, seed=seed)
    images = [folder / f"city_{year}.tif" for year in YEARS]
    out, sample = folder / "trends.gpkg", folder / "sample.gpkg"
    uvsam("trends", *images, "--out", out, "--tables", folder / "tables", *model)
    layers = [folder / "trends_villages" / f"{image.stem}.gpkg" for image in (images[0], images[-1])]
    uvsam("sample", *layers, "--out", sample)
    fill_in(sample, gpd.read_file(folder / "truth.gpkg", layer="villages"))
    uvsam("trends", *images, "--out", out, "--tables", folder / "tables", "--reference", sample, *model)
    return out


def fill_in(sample: Path, truth: gpd.GeoDataFrame) -> None:
    places = gpd.read_file(sample, layer="sample")
    first, last = (
        shapely.intersects(places.geometry.to_numpy(), truth.geometry[truth["period"] == year].union_all())
        for year in (YEARS[0], YEARS[-1])
    )
    places["truth"] = np.select([first & last, first, last], ["kept", "lost", "gained"], "other")
    places.to_file(sample, layer="sample", driver="GPKG")


def matches(true: gpd.GeoDataFrame, told: gpd.GeoDataFrame) -> dict[int, int]:
    """Row of the predicted village that each true one (by its id) is."""
    own, other = true.geometry.to_numpy(), told.geometry.to_numpy()
    a, b = shapely.STRtree(other).query(own, predicate="intersects")
    both = shapely.area(shapely.intersection(own[a], other[b]))
    iou = both / (shapely.area(own[a]) + shapely.area(other[b]) - both)
    ids = true["village_id"].to_numpy()
    return {int(ids[k]): int(n) for k, n in zip(a[iou > 0.5], b[iou > 0.5], strict=True)}


def compare(truth: gpd.GeoDataFrame, told: gpd.GeoDataFrame) -> tuple[Counter[str], Counter[tuple[str, str]]]:
    """Villages: all, found; events: that can be told, told right; and which were taken for which."""
    counts: Counter[str] = Counter()
    wrong: Counter[tuple[str, str]] = Counter()
    periods = sorted(told["valid_from"].unique())
    before: dict[int, int] = {}
    for k, (year, period) in enumerate(zip(YEARS, periods, strict=True)):
        own, other = truth[truth["period"] == year], told[told["valid_from"] == period].reset_index(drop=True)
        found = matches(own, other)
        now = {village: int(other["history_id"][row]) for village, row in found.items()}
        counts.update(villages=len(own), found=len(found), predicted=len(other))
        for village, event, previous in zip(own["village_id"], own["event"], own["previous_ids"], strict=True):
            needed = [int(word) for word in previous.split(",") if word]
            if not k or village not in found or any(one not in before for one in needed):
                continue
            said = str(other["event"][found[village]])
            if village in needed and now[village] != before[village]:
                said += ", other history"
            counts.update(told=1, right=said == event)
            if said != event:
                wrong[(event, said)] += 1
        before = now
    return counts, wrong


def intervals(truth: gpd.GeoDataFrame, folder: Path) -> dict[str, bool]:
    """Whether the true change of the city's area lies in the interval: of each step, and by the reference sample."""
    area = truth["area_m2"].groupby(truth["period"]).sum().reindex(YEARS, fill_value=0.0).to_numpy()
    steps = gpd.pd.read_csv(folder / "tables" / "steps.csv")
    told = (steps["after_m2"] - steps["before_m2"]).to_numpy()
    inside = {
        f"{before} to {after}": bool(abs(told[k] - (area[k + 1] - area[k])) <= steps["change_half_m2"][k])
        for k, (before, after) in enumerate(pairwise(YEARS))
    }
    corrected = gpd.pd.read_csv(folder / "tables" / "corrected.csv").iloc[-1]
    return inside | {
        "first to last, by a sample of 400": bool(corrected["low_m2"] <= area[-1] - area[0] <= corrected["high_m2"])
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--model", help="name or card.yaml; default: as `uvsam predict`")
    parser.add_argument("--work", type=Path, default=Path("runs/lineage"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/lineage_predicted.json"))
    options = parser.parse_args()
    counts: Counter[str] = Counter()
    wrong: Counter[tuple[str, str]] = Counter()
    inside: Counter[str] = Counter()
    for number in range(options.seeds):
        folder = options.work / str(FIRST_SEED + number)
        out = followed(folder, FIRST_SEED + number, ["--model", options.model] if options.model else [])
        truth = gpd.read_file(folder / "truth.gpkg", layer="villages")
        found = compare(truth, gpd.read_file(out, layer="histories"))
        counts, wrong = counts + found[0], wrong + found[1]
        inside.update({name: int(holds) for name, holds in intervals(truth, folder).items()})
        print(dict(counts), dict(inside), flush=True)
        worst = {" taken for ".join(pair): count for pair, count in wrong.most_common()}
        result = {"seeds": number + 1, "model": options.model or "default", **counts, "wrong": worst}
        result["change of the area inside its 95 % interval, seeds"] = dict(inside)
        options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
