"""What each prompt brings on ground the models never saw (table 3 of the UV-SAM paper, on the folds of quality.py).

    uvsam train specialist configs/train/fold_a.yaml               # and fold_c.yaml
    uvsam train generalist configs/train/generalist_fold_a.yaml    # and generalist_fold_c.yaml
    python benchmarks/quality.py
    python benchmarks/ablation.py --train a c
    python benchmarks/ablation.py

For each fold and each thing left out, the mixer is trained again (with the specialist, where `specialist_rate` in
configs/train/uvsam.yaml is above 0); a stopped training goes on. Then `uvsam predict` outlines the fold's test area and
`uvsam evaluate` compares with the labels. All rows of a fold use the threshold and the outline that quality.py fitted
on the other fold, and fuse as configs/train/uvsam.yaml says. The limit of that rule is a round number and not fitted:
``--nudges`` shows what other limits do.
"""

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from areas import Area, test_areas
from quality import Scaling, other

from uvsam.cli.console import progress_display
from uvsam.evaluation.rasters import LabelRaster
from uvsam.mosaic import instances
from uvsam.settings import PredictSettings
from uvsam.training.config import UvSamTraining, load_training
from uvsam.workflows.evaluate import evaluate
from uvsam.workflows.predict import predict
from uvsam.workflows.train import train_uvsam

WITHOUT = {
    "all four prompts": (),
    "without box": ("box",),
    "without mask": ("mask",),
    "without SAM embedding": ("sam",),
    "without specialist embedding": ("specialist",),
}
DEFAULT = "without mask"
"""What configs/train/uvsam.yaml trains."""

TESTS = {"a": ("Mumbai C", "Beijing south"), "c": ("Mumbai A",)}
NUDGES = (0.5, 1.0, 1.5, 2.0, 3.0, 4.0)
MEASURES = ("pixel IoU", "boundary F 2 m", "boundary F 5 m", "object F1 at IoU 0.5", "object F1, paper's rule")


def variant(fold: str, left_out: tuple[str, ...], runs: Path, steps: int | None) -> UvSamTraining:
    name = "-".join([f"uvsam-fold-{fold}", *(f"without-{what}" for what in left_out)])
    changes: dict[str, Any] = {"name": name, "output": runs / name, "without": left_out}
    if steps:
        changes["steps"] = steps
    return load_training(UvSamTraining, Path(f"configs/train/uvsam_fold_{fold}.yaml"), changes)


def measure(area: Area, settings: PredictSettings, out: Path) -> dict[str, float]:
    """Predict and evaluate as the command line does; the scores stay beside ``out``."""
    prediction = predict(area.image, out, settings, save_scores=out.with_suffix(".tif"), overwrite=True)
    found = evaluate(out, LabelRaster(area.labels, (1,), (255,)))
    near, far = found.boundaries
    values = (found.pixels.iou, near.f1, far.f1, found.objects.f1, found.objects_paper.f1)
    scores = dict(zip(MEASURES, (float(value or 0) for value in values), strict=True))
    return scores | {"seconds": prediction.seconds}


@dataclass(frozen=True)
class Fold:
    """What a fold is tested on and with."""

    name: str
    areas: tuple[Area, ...]
    settings: dict[str, Any]  # threshold and outline, fitted on the other fold

    def predict(self, row: str, card: Path, fuse: str | None, work: Path, results: dict[str, Any]) -> None:
        for area in self.areas:
            out = work / f"ablation_{self.name}.gpkg"
            found = measure(area, PredictSettings(model=str(card), fuse=fuse, **self.settings), out)
            results.setdefault(area.name, {})[row] = found
            print(f"{area.name:14s} {row:42s}", *(f"{found[what]:.3f}" for what in MEASURES), flush=True)


@contextmanager
def nudging(limit: float) -> Iterator[None]:
    """Another limit of the rule "nudge"."""
    own = instances.NUDGE
    instances.NUDGE = np.float32(limit)
    try:
        yield
    finally:
        instances.NUDGE = own


def open_fold(name: str, areas: dict[str, Area], fits: dict[str, Any]) -> Fold:
    fit = fits[other(f"fold-{name}")]
    scaling = Scaling(fit["temperature"], fit["offset"])  # the cards of the folds are not calibrated
    settings: dict[str, Any] = {key: fit[key] for key in ("close_m", "min_hole_m2", "min_area_m2")}
    for key in ("threshold", "seed_threshold"):
        settings[key] = scaling.uncalibrated(max(fit["threshold"], fit[key]))
    return Fold(name, tuple(areas[area] for area in TESTS[name]), settings)


def write_quality(card: Path, results: dict[str, Any]) -> None:
    """Put what was measured with the default's prompts, and with the specialist alone, into a card."""
    seen = {area: "block C without Beijing" if area == "Mumbai A" else "block A and the north of Beijing"
            for area in ("Mumbai C", "Mumbai A", "Beijing south")}  # fmt: skip
    fields = yaml.safe_load(card.read_text())
    fields["quality"] = [
        {
            "measure": f"{what}{who}", "value": round(results[area][row][what], 3),
            "tested_on": f"{area}, by models trained on Mumbai {known}", "command": "python benchmarks/ablation.py",
        }
        for area, known in seen.items()
        for what in MEASURES[:3]
        for row, who in ((DEFAULT, ""), ("without SAM", ", its specialist alone"))
    ]  # fmt: skip
    card.write_text(yaml.safe_dump(fields, sort_keys=False, allow_unicode=True, width=120))


def train(options: argparse.Namespace) -> None:
    """Finished steps are not repeated."""
    for name in options.train:
        for row in options.rows:
            config = variant(name, WITHOUT[row], options.runs, options.steps)
            with progress_display() as progress:
                train_uvsam(config, command=f"python benchmarks/ablation.py --train {name}", progress=progress)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--runs", type=Path, default=Path("runs"))
    parser.add_argument("--rows", nargs="+", choices=list(WITHOUT), default=list(WITHOUT))
    parser.add_argument("--train", nargs="+", choices=list(TESTS), help="train what is measured of these folds")
    parser.add_argument("--steps", type=int, help="of each training [default: as in the configuration]")
    parser.add_argument("--nudges", action="store_true", help="with the default's prompts, nudge by other limits, too")
    parser.add_argument("--fitted", type=Path, default=Path("benchmarks/results/quality.json"))
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/ablation.json"))
    parser.add_argument("--card", type=Path, help="measure nothing, write what --out has into this card")
    options = parser.parse_args()
    if options.train:
        train(options)
        return
    if options.card:
        write_quality(options.card, json.loads(options.out.read_text()))
        return
    work = options.runs / "quality"
    work.mkdir(parents=True, exist_ok=True)
    areas = {area.name: area for area in test_areas(options.data, options.runs, work, "uvsam-specialist")}
    fits = json.loads(options.fitted.read_text())["fits"]
    folds = {name: open_fold(name, areas, fits) for name in TESTS}
    results: dict[str, Any] = json.loads(options.out.read_text()) if options.out.exists() else {}

    def save() -> None:
        options.out.write_text(json.dumps(results, indent=1) + "\n")

    for name, fold in folds.items():
        fold.predict("without SAM", options.runs / f"fold-{name}" / f"fold-{name}.yaml", None, work, results)
    for row in options.rows:
        for name, fold in folds.items():
            config = variant(name, WITHOUT[row], options.runs, options.steps)
            card = config.output / f"{config.name}.yaml"
            fold.predict(row, card, config.fuse, work, results)
            if row == DEFAULT:
                for rule in ("sam", "mean"):
                    fold.predict(f"{row}, fused by '{rule}'", card, rule, work, results)
                for limit in NUDGES if options.nudges else ():
                    with nudging(limit):
                        fold.predict(f"{row}, nudged by at most {limit}", card, "nudge", work, results)
            save()


if __name__ == "__main__":
    main()
