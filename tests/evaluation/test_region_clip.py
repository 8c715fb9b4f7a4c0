"""Only common ground is compared."""

import numpy as np
import shapely
from hypothesis import given
from hypothesis import strategies as st

from uvsam.evaluation.region import Region

corners = st.tuples(*[st.integers(0, 20)] * 2, *[st.integers(1, 8)] * 2)
boxes = st.lists(corners.map(lambda c: shapely.box(c[0], c[1], c[0] + c[2], c[1] + c[3])), max_size=6).map(
    lambda found: np.array(found, dtype=object)
)


@given(boxes, boxes, st.one_of(st.none(), corners))
def test_what_is_left_is_what_is_inside_and_not_ignored(
    objects: np.ndarray, ignored: np.ndarray, frame: tuple[int, int, int, int] | None
) -> None:
    inside = None if frame is None else shapely.box(frame[0], frame[1], frame[0] + frame[2], frame[1] + frame[3])
    before = objects.copy()
    clipped = Region(inside, ignored).clip(objects)
    expected = [shape if inside is None else shape.intersection(inside) for shape in objects]
    expected = [shape.difference(shapely.union_all(ignored)) for shape in expected]
    kept = [shape for shape, whole in zip(expected, objects, strict=True) if shape.area > 0.01 * whole.area]
    assert len(clipped) == len(kept)
    assert all(ours.equals(theirs) for ours, theirs in zip(clipped, kept, strict=True))
    assert (objects == before).all()


def test_a_sliver_is_no_object() -> None:
    village = shapely.box(0, 0, 100, 100)
    assert len(Region(shapely.box(99.5, 0, 300, 100)).clip(np.array([village]))) == 0
    assert len(Region(shapely.box(98, 0, 300, 100)).clip(np.array([village]))) == 1
