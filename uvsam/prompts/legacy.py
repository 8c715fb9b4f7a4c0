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
        filled: the pixels of the border and all inside it, (y2 - y1, x2 - x1) bool.
    """

    bounds_xyxy: tuple[int, int, int, int]
    area_px: float
    component: int
    hole: bool
    filled: NDArray[np.bool_]


def find_contours(mask: NDArray[np.bool_]) -> list[Contour]:
    """All borders of a binary map: of its 8-connected components and of their 4-connected holes.

    The same borders, rectangles, areas and fillings as those of Suzuki and Abe (1985), without following them: a square
    between four pixel centres lies inside the polygon, or one half of it, or not at all, by how many of the four are
    inside. They come in the order of OpenCV's tree: what lies inside a border follows it, and of borders side by side
    the one whose first pixel is the last comes first.
    """
    padded = np.pad(mask, 1)
    components, _ = ndimage.label(padded, _EIGHT)
    gaps, _ = ndimage.label(~padded)  # the first one is what is around everything
    first_of = {False: _first_pixels(components), True: _first_pixels(gaps)}
    # what is left of the first pixel of a component or of a hole is what it lies in
    inside: dict[tuple[bool, int], list[int]] = {}
    for hole, around in ((False, gaps), (True, components)):
        for number in range(2 if hole else 1, len(first_of[hole])):
            parent = int(around.ravel()[first_of[hole][number] - 1])
            inside.setdefault((not hole, parent), []).append(number)

    boxes = {False: ndimage.find_objects(components), True: ndimage.find_objects(gaps)}
    contours = []
    waiting = [(False, number) for number in inside.get((True, 1), [])]
    while waiting:
        hole, number = waiting.pop()
        place = boxes[hole][number - 1]
        if hole:
            contours.append(_hole_border(gaps, number, place, int(components.ravel()[first_of[True][number] - 1])))
        else:
            contours.append(_outer_border(components, number, place))
        waiting += [(not hole, child) for child in inside.get((hole, number), [])]
    return contours


def _first_pixels(labels: NDArray[np.int32]) -> NDArray[np.intp]:
    """The place of the first pixel of every label, row by row, in the flat array; labels number them in this order."""
    first = np.zeros(int(labels.max()) + 1, np.intp)
    flat = labels.ravel()
    # of places that are assigned again and again, the last stays
    first[flat[::-1]] = np.arange(flat.size)[::-1]
    return first


def _outer_border(components: NDArray[np.int32], number: int, place: tuple[slice, slice]) -> Contour:
    rows, cols = place
    filled = ndimage.binary_fill_holes(components[place] == number)
    area = np.maximum(0, _inside_of_four(np.pad(filled, 1)) / 2 - 1).sum()
    bounds = (cols.start - 1, rows.start - 1, cols.stop - 1, rows.stop - 1)
    return Contour(bounds, float(area), number, False, filled)


def _hole_border(gaps: NDArray[np.int32], number: int, place: tuple[slice, slice], component: int) -> Contour:
    rows, cols = place
    gap = np.pad(ndimage.binary_fill_holes(gaps[place] == number), 1)
    area = np.minimum(1, _inside_of_four(gap) / 2).sum()
    bounds = (cols.start - 2, rows.start - 2, cols.stop, rows.stop)
    return Contour(bounds, float(area), component, True, ndimage.binary_dilation(gap))


def is_kept(contour: Contour, min_area_px: float = MIN_CONTOUR_PX, min_corner_px: float = MIN_CORNER_PX) -> bool:
    """Whether a contour has an area above ``min_area_px`` and its box ends beyond ``min_corner_px`` in x and in y.

    (The paper means width and height; its code asks for the lower right corner.)
    """
    return contour.area_px > min_area_px and min(contour.bounds_xyxy[2:]) > min_corner_px


def legacy_prompts(
    logits: Floats, *, min_area_px: float = MIN_CONTOUR_PX, min_corner_px: float = MIN_CORNER_PX
) -> Prompts:
    """Prompts of one image from the specialist's logits, with the paper's rules.

    Boxes reach the prompt encoder as the
    bounding rectangle's x, y, x + width, y + height, half a pixel to the lower right of the pixel edges.

    Args:
        logits: (2, 1024, 1024) of other and village.

    Returns:
        Prompts whose ``region_id`` is the number of the 8-connected component.
    """
    if logits.shape != (2, FRAME_PX, FRAME_PX):
        raise ValueError(f"logits should be (2, {FRAME_PX}, {FRAME_PX}), not {logits.shape}")
    other, village = logits
    kept = [contour for contour in find_contours(village > other) if is_kept(contour, min_area_px, min_corner_px)]
    boxes = np.array([contour.bounds_xyxy for contour in kept], np.float32).reshape(-1, 4) + np.float32(0.5)
    masks = np.broadcast_to(pool_to_cells(village), (len(kept), 1, CELLS, CELLS))
    return Prompts(boxes, masks, np.array([contour.component for contour in kept], np.int32))


def _inside_of_four(mask: NDArray[np.bool_]) -> NDArray[np.int64]:
    """How many of the four pixels around each pixel corner are set, corners on the rim left out."""
    count = mask.astype(np.int64)
    return count[:-1, :-1] + count[:-1, 1:] + count[1:, :-1] + count[1:, 1:]
