"""Events between two periods, by hand and by their laws."""

import numpy as np
import pytest
import shapely
from hypothesis import given, settings
from hypothesis import strategies as st

from uvsam.change.lineage import NONE, Event, Ground, LineageRules, Step, pair_off, step
from uvsam.change.overlay import Links, compare

RULES = LineageRules()


def happened(before: list[shapely.Polygon], after: list[shapely.Polygon], seen: float = 1.0) -> Step:
    layers = [np.array(polygons, dtype=object) for polygons in (before, after)]
    found = compare(*layers, tolerance_m=3)
    grounds = [
        Ground(shapely.area(layer), shapely.area(beyond), np.full(len(layer), seen))
        for layer, beyond in zip(layers, (found.lost, found.gained), strict=True)
    ]
    return step(*grounds, found.links, RULES)


LEFT, RIGHT, WHOLE = shapely.box(0, 0, 60, 100), shapely.box(70, 0, 120, 100), shapely.box(0, 0, 120, 100)


@pytest.mark.parametrize(
    ("before", "after", "events", "ends"),
    [
        ([LEFT], [LEFT], ["stable"], [None]),
        ([LEFT], [shapely.box(2, 2, 62, 102)], ["stable"], [None]),
        ([LEFT], [WHOLE], ["grown"], [None]),
        ([WHOLE], [LEFT], ["shrunk"], [None]),
        ([LEFT], [], [], ["demolished"]),
        ([], [LEFT], ["new"], []),
        ([LEFT], [RIGHT], ["new"], ["demolished"]),
        ([LEFT, RIGHT], [WHOLE], ["merged"], [None, "merged"]),
        ([WHOLE], [RIGHT, LEFT], ["split", "split"], [None]),
        # a corner in common is no link
        ([LEFT], [shapely.box(55, 95, 115, 195)], ["new"], ["demolished"]),
    ],
)
def test_by_hand(
    before: list[shapely.Polygon], after: list[shapely.Polygon], events: list[str], ends: list[str | None]
) -> None:
    found = happened(before, after)
    assert found.event.tolist() == events
    assert found.end.tolist() == ends


def test_the_larger_part_continues() -> None:
    split = happened([WHOLE], [RIGHT, LEFT])
    assert split.continues.tolist() == [NONE, 0]
    assert split.origin.tolist() == [0, 0]
    merged = happened([RIGHT, LEFT], [WHOLE])
    assert merged.continues.tolist() == [1]
    assert merged.into.tolist() == [0, NONE]


def test_what_the_other_image_does_not_show_is_neither_new_nor_demolished() -> None:
    found = happened([LEFT], [shapely.box(500, 0, 600, 100)], seen=0.4)
    assert found.event.tolist() == [Event.FIRST]
    assert found.end.tolist() == [Event.NOT_OBSERVED]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.integers(1, 3)), max_size=20, unique_by=lambda x: x[:2])
)
def test_pairs_are_those_of_taking_the_best_link_again_and_again(pairs: list[tuple[int, int, int]]) -> None:
    links = Links(*(np.array([pair[k] for pair in pairs], kind) for k, kind in enumerate((np.intp, np.intp, float))))
    expected = np.full(6, NONE)
    left = sorted(pairs, key=lambda pair: (-pair[2], pair[0], pair[1]))
    while left:
        before, after, _ = left[0]
        expected[after] = before
        left = [pair for pair in left if pair[0] != before and pair[1] != after]
    found = pair_off(links, 6, 6)
    assert sum(shared for before, after, shared in pairs if found[after] == before) == sum(
        shared for before, after, shared in pairs if expected[after] == before
    )
    used = found[found != NONE]
    assert len(np.unique(used)) == len(used)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_every_village_has_one_fate(data: st.DataObject) -> None:
    boxes = st.lists(st.tuples(st.integers(0, 4), st.integers(0, 2), st.integers(60, 160)), max_size=6)

    def layer() -> list[shapely.Polygon]:
        ground, chosen = shapely.Polygon(), []
        for x, y, size in data.draw(boxes):
            free = shapely.difference(shapely.box(100 * x, 100 * y, 100 * x + size, 100 * y + 90), ground)
            if free.area > 100:
                chosen.append(free)
                ground = shapely.union(ground, free)
        return chosen

    before, after = layer(), layer()
    found = happened(before, after)
    continued = found.continues[found.continues != NONE]
    assert len(np.unique(continued)) == len(continued)
    assert {i for i, end in enumerate(found.end) if end is None} == set(continued.tolist())
    for end, into in zip(found.end, found.into, strict=True):
        assert (end == Event.MERGED) == (into != NONE)
        if into != NONE:
            assert found.event[into] == Event.MERGED
    begun = found.event[found.continues == NONE]
    assert set(begun.tolist()) <= {Event.NEW, Event.SPLIT, Event.FIRST}
    assert (found.origin[found.event == Event.SPLIT] != NONE).all()
