"""Turn the Dubai scenes (JPG images, colour-coded PNG masks, no position) into GeoTIFFs that training can read.

    python benchmarks/prepare_dubai.py ../shared/data/dubai runs/dubai

The images carry no scale; 0.8 m per pixel is an estimate from the size of villas and cars, which scale augmentation
covers. They are laid out side by side in EPSG:32640 at an arbitrary place. There is no village in them: they teach land
cover, and what is not a village.
"""

import sys
from pathlib import Path

import numpy as np
import rasterio
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


def main(source: Path, target: Path) -> None:
    for folder in ("images", "labels"):
        (target / folder).mkdir(parents=True, exist_ok=True)
    for number, image_path in enumerate(sorted(source.glob("Tile */images/*.jpg"))):
        mask_path = image_path.parent.parent / "masks" / f"{image_path.stem}.png"
        image = np.moveaxis(np.asarray(Image.open(image_path).convert("RGB")), -1, 0)
        colours = np.asarray(Image.open(mask_path).convert("RGB"))
        labels = np.full(colours.shape[:2], UNLABELLED, np.uint8)
        for value, colour in COLOURS.items():
            labels[(colours == colour).all(axis=-1)] = value
        place = from_origin(300_000 + SPACING_M * (number % 9), 2_800_000 + SPACING_M * (number // 9), GSD_M, GSD_M)
        name = f"{image_path.parent.parent.name.replace(' ', '').lower()}_{image_path.stem}.tif"
        for folder, pixels, nodata in (("images", image, None), ("labels", labels[None], UNLABELLED)):
            with rasterio.open(
                target / folder / name, "w", driver="GTiff", count=len(pixels), height=pixels.shape[1],
                width=pixels.shape[2], dtype="uint8", crs="EPSG:32640", transform=place, nodata=nodata,
                compress="deflate", tiled=True,
            ) as dataset:  # fmt: skip
                dataset.write(pixels)
    print(f"{number + 1} scenes in {target}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
