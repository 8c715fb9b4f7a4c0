"""The prompts of the UV-SAM paper (AAAI 2024) as its experiments made them, for comparison only.

They differ from :func:`uvsam.prompts.regions.region_prompts`: every contour of the binary map is a prompt, those around
holes included; the mask is the village logit alone, of the whole image, the same for every box; small contours are
dropped by their area in pixels, and so is every box that ends near the image's upper or left border.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from uvsam.prompts.regions import CELLS, FRAME_PX, Floats, Prompts, pool_to_cells

MIN_CONTOUR_PX = 10_000
MIN_CORNER_PX = 100

_EIGHT = np.ones((3, 3), bool)


class Contour(NamedTuple):
    """A border of a binary map, as a polygon through the centres of the foreground pixels along it.

    Attributes:
        bounds_xyxy: x1, y1, x2, y2 of these pixels along their edges.
        area_px: area of the polygon, less than what the pixels cover: a line of pixels has none.
        component: number of the 8-connected component it belongs to, from 1.
        hole: the border of a hole.
    """

    bounds_xyxy: tuple[int, int, int, int]
    area_px: float
    component: int
    hole: bool


def find_contours(mask: NDArray[np.bool_]) -> list[Contour]:
    """All borders of a binary map: of its 8-connected components and of their 4-connected holes.

    The same borders, rectangles and areas as those of Suzuki and Abe (1985), without following them: a square between
    four pixel centres lies inside the polygon, or one half of it, or not at all, by how many of the four are inside.
    """
    labels, _ = ndimage.label(np.pad(mask, 1), _EIGHT)
    contours = []
    for component, place in enumerate(ndimage.find_objects(labels), start=1):
        rows, cols = (slice(part.start - 1, part.stop + 1) for part in place)
        own = labels[rows, cols] == component
        filled = ndimage.binary_fill_holes(own)
        height, width = own.shape
        y, x = rows.start - 1, cols.start - 1  # of this piece, in the map without its padding
        area = np.maximum(0, _inside_of_four(filled) / 2 - 1).sum()
        contours.append(Contour((x + 1, y + 1, x + width - 1, y + height - 1), float(area), component, hole=False))

        holes, _ = ndimage.label(filled & ~own)
        for number, (hole_rows, hole_cols) in enumerate(ndimage.find_objects(holes), start=1):
            around = holes[hole_rows.start - 1 : hole_rows.stop + 1, hole_cols.start - 1 : hole_cols.stop + 1]
            area = np.minimum(1, _inside_of_four(around == number) / 2).sum()
            bounds = (x + hole_cols.start - 1, y + hole_rows.start - 1, x + hole_cols.stop + 1, y + hole_rows.stop + 1)
            contours.append(Contour(bounds, float(area), component, hole=True))
    return contours


def legacy_prompts(
    logits: Floats, *, min_area_px: float = MIN_CONTOUR_PX, min_corner_px: float = MIN_CORNER_PX
) -> Prompts:
    """Prompts of one image from the specialist's logits, with the paper's rules.

    A contour is kept if its area is above ``min_area_px`` and its box ends beyond ``min_corner_px`` in x and in y. (The
    paper means width and height; its code asks for the lower right corner.) Boxes reach the prompt encoder as the
    bounding rectangle's x, y, x + width, y + height, half a pixel to the lower right of the pixel edges.

    Args:
        logits: (2, 1024, 1024) of other and village.

    Returns:
        Prompts whose ``region_id`` is the number of the 8-connected component.
    """
    if logits.shape != (2, FRAME_PX, FRAME_PX):
        raise ValueError(f"logits should be (2, {FRAME_PX}, {FRAME_PX}), not {logits.shape}")
    other, village = logits
    kept = [
        contour
        for contour in find_contours(village > other)
        if contour.area_px > min_area_px and min(contour.bounds_xyxy[2:]) > min_corner_px
    ]
    boxes = np.array([contour.bounds_xyxy for contour in kept], np.float32).reshape(-1, 4) + np.float32(0.5)
    masks = np.broadcast_to(pool_to_cells(village), (len(kept), 1, CELLS, CELLS))
    return Prompts(boxes, masks, np.array([contour.component for contour in kept], np.int32))


def _inside_of_four(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many of the four pixels around each pixel corner are set, corners on the rim left out."""
    count = mask.astype(np.int64)
    return count[:-1, :-1] + count[:-1, 1:] + count[1:, :-1] + count[1:, 1:]
