"""Exact truth: masks, polygons and what happened to every village."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import shapely
from affine import Affine
from numpy.typing import NDArray
from rasterio import features

from uvsam.raster.window import Window
from uvsam.simulate.frame import Frame
from uvsam.simulate.render import City, parts_in_window
from uvsam.simulate.villages import Site


class Event(NamedTuple):
    """What happened to one village between a period and the one before.

    Attributes:
        part: which part of its site the village covers in this period, 0 where it is gone.
        event: first, stable, grown, shrunk, split, merged, new or demolished.
        related: villages of the period before that it comes from; for a village that is gone by merging, the one it
            became part of.
    """

    village_id: int
    part: int
    event: str
    related: tuple[int, ...]


def site_events(site: Site, period: int) -> list[Event]:
    """Everything that happened on a site in a period.

    Of the parts of a split village the larger keeps its id; a merged village keeps the id of the larger part.
    """
    first, second = 2 * site.index + 1, 2 * site.index + 2
    ids = {0: (), 1: (first,), 2: (first, second)}
    now = ids[site.states[period].parts]
    before = ids[site.states[period - 1].parts] if period else ()
    event = site.events[period]
    if event == "none":
        return []
    if event == "demolished":
        return [Event(village, 0, event, ()) for village in before]
    if event == "split":
        return [Event(village, part, event, before) for part, village in enumerate(now, start=1)]
    if event == "merged":
        return [Event(first, 1, event, before), Event(second, 0, event, now)]
    return [
        Event(village, part, event, (village,) if village in before else ())
        for part, village in enumerate(now, start=1)
    ]


def truth_mask(city: City, frame: Frame, period: int, window: Window) -> NDArray[np.bool_]:
    """True where a pixel of the window is village, (H, W); the function the renderer paints by."""
    mask = np.zeros(window.shape, bool)
    for index, site in enumerate(city.sites):
        part = frame.window(*site.box).intersection(window)
        if site.states[period].parts and part.height and part.width:
            inside = Window(part.row - window.row, part.col - window.col, part.height, part.width)
            mask[inside.slices] |= parts_in_window(city, frame, period, index, part) > 0
    return mask


def truth_polygons(
    city: City, frame: Frame, period: int, transform: Affine
) -> Iterator[tuple[Event, shapely.Polygon | shapely.MultiPolygon]]:
    """(event, outline along pixel edges, in the coordinates of ``transform``) of every village of a period."""
    for index, site in enumerate(city.sites):
        window = frame.window(*site.box).intersection(frame.full)
        if not site.states[period].parts or not window.height or not window.width:
            continue
        parts = parts_in_window(city, frame, period, index, window)
        place = transform * Affine.translation(window.col, window.row)
        for event in site_events(site, period):
            if event.part:
                shapes = features.shapes(parts, mask=parts == event.part, connectivity=4, transform=place)
                outline = shapely.union_all([shapely.geometry.shape(geometry) for geometry, _ in shapes])
                if not outline.is_empty:
                    yield event, outline
