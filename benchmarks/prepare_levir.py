"""Turn the samples of LEVIR-CD (pairs of PNG images, masks of new buildings, no position) into GeoTIFFs for training.

    python benchmarks/prepare_levir.py ../shared/data/change/samples_LEVIR runs/levir

Only the later image of a pair has the buildings that its mask outlines; buildings older than the pair are not outlined.
The images lie side by side in EPSG:32614 at an arbitrary place.
"""

import sys
from pathlib import Path

import numpy as np
from PIL import Image
from prepare_dubai import write_pair
from rasterio.transform import from_origin

GSD_M = 0.5
SPACING_M = 1000


def main(source: Path, target: Path) -> None:
    for number, mask in enumerate(sorted((source / "label").glob("*.png"))):
        image = np.moveaxis(np.asarray(Image.open(source / "B" / mask.name).convert("RGB")), -1, 0)
        new = (np.asarray(Image.open(mask).convert("L")) > 0).astype(np.uint8)
        place = from_origin(600_000 + SPACING_M * number, 3_350_000, GSD_M, GSD_M)
        write_pair(target, mask.stem, image, new, crs="EPSG:32614", transform=place)
    print(f"{number + 1} images in {target}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
