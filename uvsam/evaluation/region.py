"""Where prediction and truth can be compared: looked at by the one, known to the other."""

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import shapely
from numpy.typing import NDArray
from shapely.geometry.base import BaseGeometry

from uvsam.vectors.polygon_files import polygons_only

MIN_SHARE_INSIDE = 0.01


def no_polygons() -> NDArray[np.object_]:
    """An empty array of geometries."""
    return np.empty(0, dtype=object)


@dataclass(frozen=True)
class Region:
    """The ground that is evaluated.

    Args:
        inside: polygon or multipolygon; None is everywhere.
        ignored: (N,) polygons that are left out, for instance pixels without a label.
    """

    inside: BaseGeometry | None = None
    ignored: NDArray[np.object_] = field(default_factory=no_polygons)

    @cached_property
    def _tree(self) -> shapely.STRtree:
        return shapely.STRtree(self.ignored)

    def clip(self, objects: NDArray[np.object_]) -> NDArray[np.object_]:
        """The parts of ``objects`` inside, in their order; an object stays one, in several parts if need be.

        An object of which less than 1 % is inside is left out: such slivers come from borders that coincide, and nobody
        can find or miss them.
        """
        if len(objects) == 0:
            return objects
        clipped = objects.copy()
        if self.inside is not None:
            shapely.prepare(self.inside)
            crossing = ~shapely.contains(self.inside, objects)
            clipped[crossing] = shapely.intersection(objects[crossing], self.inside)
        hit, ignored = self._tree.query(clipped, predicate="intersects")
        order = np.argsort(hit, kind="stable")
        indices, starts = np.unique(hit[order], return_index=True)
        for index, members in zip(indices, np.split(ignored[order], starts[1:]), strict=False):
            clipped[index] = shapely.difference(clipped[index], shapely.union_all(self.ignored[members]))
        inside: NDArray[np.object_] = clipped[shapely.area(clipped) > MIN_SHARE_INSIDE * shapely.area(objects)]
        return polygons_only(inside)

    def border(self) -> NDArray[np.object_]:
        """The lines where the region ends."""
        outer = [] if self.inside is None else [shapely.boundary(self.inside)]
        return np.array([*outer, *shapely.boundary(self.ignored)], dtype=object)
