"""Turn the tiles of the UV-SAM paper (PNG or JPG images, indexed PNG masks, no position) into GeoTIFFs for training.

    python benchmarks/prepare_uvsam.py IMAGES MASKS runs/paper-beijing/train --gsd 0.914

Masks have the names of their images; 0 is other, 1 is village. Neighbouring tiles of the paper overlap by half, and
their masks disagree on a tenth of what they share. So they are laid out side by side at an arbitrary place: every tile
keeps its own mask. A pixel is one of zoom 17 in web mercator: 0.914 m on the ground in Beijing, 0.987 m in Xi'an.
"""

import argparse
from pathlib import Path

import numpy as np
import rasterio
from PIL import Image
from rasterio.transform import from_origin

SPACING_M = 5000
COLUMNS = 20


def main(images: Path, masks: Path, target: Path, gsd_m: float) -> None:
    for folder in ("images", "labels"):
        (target / folder).mkdir(parents=True, exist_ok=True)
    paths = sorted(path for path in images.iterdir() if path.suffix.lower() in {".png", ".jpg", ".jpeg"})
    for number, path in enumerate(paths):
        image = np.moveaxis(np.asarray(Image.open(path).convert("RGB")), -1, 0)
        mask = np.asarray(Image.open(masks / f"{path.stem}.png"))[None].astype(np.uint8)
        row, column = divmod(number, COLUMNS)
        # about the easting at which a metre of this CRS is one on the ground, so that samples keep the tile's pixels
        place = from_origin(270_000 + SPACING_M * column, 4_400_000 + SPACING_M * row, gsd_m, gsd_m)
        for folder, pixels in (("images", image), ("labels", mask)):
            with rasterio.open(
                target / folder / f"{path.stem}.tif", "w", driver="GTiff", count=len(pixels), height=pixels.shape[1],
                width=pixels.shape[2], dtype="uint8", crs="EPSG:32650", transform=place, compress="deflate", tiled=True,
            ) as dataset:  # fmt: skip
                dataset.write(pixels)
    print(f"{len(paths)} tiles in {target}; with a batch of 4 an epoch has {-(-len(paths) // 4)} steps")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("images", "masks", "target"):
        parser.add_argument(name, type=Path)
    parser.add_argument("--gsd", type=float, required=True, help="metres on the ground per pixel")
    given = parser.parse_args()
    main(given.images, given.masks, given.target, given.gsd)
