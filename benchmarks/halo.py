"""How much context the specialist uses: what changes when the same image is cut into other chips with other halos.

    python benchmarks/halo.py ../shared/data/beijing/city.tif

For each cut, against one with the largest chips: pixels whose decision at the card's threshold differs, the mean
difference of the scores, and how many pixels the network computes per pixel that is kept.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
import rasterio

from uvsam.catalog.cards import BUNDLED_SPECIALIST, load_card
from uvsam.engine.journal import Log
from uvsam.models.specialist import ModelRecipe, load_specialist
from uvsam.raster.radiometry import estimate_stretch
from uvsam.raster.scene import model_scale, open_scene
from uvsam.tiles import plan_tiles
from uvsam.workflows.scoring import Scoring, score_scene

CUTS = ((512, 32), (512, 64), (512, 128), (768, 64), (768, 128), (768, 192), (1024, 128), (1024, 192))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("image")
    parser.add_argument("--model", default=BUNDLED_SPECIALIST)
    options = parser.parse_args()
    card, specialist = load_card(options.model), load_specialist(ModelRecipe(options.model))
    scene = open_scene(options.image)
    stretch, scale = estimate_stretch(scene), model_scale(scene, card.gsd_m)

    def scores(chip_px: int, halo_px: int) -> tuple[np.ndarray, float]:
        plan = plan_tiles(scene.shape, scale, chip_px=chip_px, halo_px=halo_px)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "scores.tif"
            done, _ = score_scene(Scoring(scene, stretch, plan), specialist, path, Log(Path(folder), "tiles"))
            with rasterio.open(path) as dataset:
                values = dataset.read(1).astype(float)
        return values, done.model_pixels * scale[0] * scale[1] / done.pixels

    reference, _ = scores(2048, 256)
    known = reference > 0
    level = 1 + card.calibration.threshold * 254
    print(" chip  halo  decisions changed  mean difference  computed per kept")
    for chip_px, halo_px in CUTS:
        values, work = scores(chip_px, halo_px)
        changed = ((values >= level) != (reference >= level))[known].mean()
        difference = np.abs(values - reference)[known].mean() / 254
        print(f"{chip_px:5d} {halo_px:5d}  {changed:17.3%}  {difference:15.4f}  {work:17.2f}", flush=True)


if __name__ == "__main__":
    main()
