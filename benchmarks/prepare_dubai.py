"""Turn the Dubai scenes (JPG images, colour-coded PNG masks, no position) into GeoTIFFs that training can read.

    python benchmarks/prepare_dubai.py ../shared/data/dubai runs/dubai

The images carry no scale; 0.8 m per pixel is an estimate from the size of villas and cars, which scale augmentation
covers. They are laid out side by side in EPSG:32640 at an arbitrary place. There is no village in them: they teach land
cover, and what is not a village.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import rasterio
from numpy.typing import NDArray
from PIL import Image
from rasterio.transform import from_origin

COLOURS = {  # label value: colour in the masks
    1: (60, 16, 152),  # building
    2: (254, 221, 58),  # vegetation
    3: (132, 41, 246),  # land
    4: (226, 169, 41),  # water
    5: (110, 193, 228),  # road
}
UNLABELLED = 255
GSD_M = 0.8
SPACING_M = 5000


def write_pair(target: Path, name: str, image: NDArray[np.uint8], labels: NDArray[np.uint8], **place: Any) -> None:
    """``images/<name>.tif`` (3, H, W) and ``labels/<name>.tif`` (H, W) at one place."""
    for folder, pixels, nodata in (("images", image, None), ("labels", labels[None], UNLABELLED)):
        (target / folder).mkdir(parents=True, exist_ok=True)
        with rasterio.open(
            target / folder / f"{name}.tif", "w", driver="GTiff", count=len(pixels), height=pixels.shape[1],
            width=pixels.shape[2], dtype="uint8", nodata=nodata, compress="deflate", tiled=True, **place,
        ) as dataset:  # fmt: skip
            dataset.write(pixels)


def main(source: Path, target: Path) -> None:
    for number, image_path in enumerate(sorted(source.glob("Tile */images/*.jpg"))):
        mask_path = image_path.parent.parent / "masks" / f"{image_path.stem}.png"
        image = np.moveaxis(np.asarray(Image.open(image_path).convert("RGB")), -1, 0)
        colours = np.asarray(Image.open(mask_path).convert("RGB"))
        labels = np.full(colours.shape[:2], UNLABELLED, np.uint8)
        for value, colour in COLOURS.items():
            labels[(colours == colour).all(axis=-1)] = value
        name = f"{image_path.parent.parent.name.replace(' ', '').lower()}_{image_path.stem}"
        corner = 300_000 + SPACING_M * (number % 9), 2_800_000 + SPACING_M * (number // 9)
        place = from_origin(*corner, GSD_M, GSD_M)
        write_pair(target, name, image, labels, crs="EPSG:32640", transform=place)
    print(f"{number + 1} scenes in {target}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
