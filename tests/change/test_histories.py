"""Histories over several periods: ids that last, gaps that are bridged, and nothing that is told twice."""

import numpy as np
import shapely

from uvsam.change.histories import Histories
from uvsam.change.lineage import Event, Ground, LineageRules, step
from uvsam.change.overlay import Polygons, compare

RULES = LineageRules()
EVERYWHERE = shapely.box(-1000, -1000, 1000, 1000)
WEST = shapely.box(-1000, -1000, 200, 1000)
A, B = shapely.box(0, 0, 100, 100), shapely.box(300, 0, 400, 100)
GROWN = shapely.box(0, 0, 130, 100)


def follow(*periods: tuple[list[shapely.Polygon], shapely.Geometry]) -> Histories:
    """Villages and what was looked at, period by period."""
    layers = [np.array(polygons, dtype=object) for polygons, _ in periods]
    histories = Histories(len(layers[0]), RULES, tolerance_m=3)
    for k in range(1, len(periods)):
        before, after = layers[k - 1], layers[k]
        covers = periods[k - 1][1], periods[k][1]
        common = shapely.intersection(*covers)

        def share(polygons: Polygons, ground: shapely.Geometry) -> np.ndarray:
            return shapely.area(shapely.intersection(polygons, ground)) / shapely.area(polygons)

        clipped = [shapely.intersection(layer, common) for layer in (before, after)]
        found = compare(*clipped, tolerance_m=3)
        grounds = (
            Ground(shapely.area(clipped[0]), shapely.area(found.lost), share(before, covers[1])),
            Ground(shapely.area(clipped[1]), shapely.area(found.gained), share(after, covers[0])),
        )
        histories.advance(
            step(*grounds, found.links, RULES), before.__getitem__, after.__getitem__,
            lambda polygons, ground=covers[1]: share(polygons, ground),
        )  # fmt: skip
    return histories


def told(histories: Histories) -> list[list[tuple[int, str]]]:
    return [
        [(int(i), str(event)) for i, event in zip(ids, events, strict=True)]
        for ids, events in zip(histories.ids, histories.events, strict=True)
    ]


def ends(histories: Histories) -> list[tuple[int, int, str]]:
    return [(end.period, end.history, str(end.event)) for end in histories.ended]


def test_a_village_that_comes_back_keeps_its_id() -> None:
    found = follow(([A, B], EVERYWHERE), ([B], EVERYWHERE), ([B], EVERYWHERE), ([B, A], EVERYWHERE))
    assert told(found) == [
        [(1, "first"), (2, "first")], [(2, "stable")], [(2, "stable")], [(2, "stable"), (1, "reappeared")],
    ]  # fmt: skip
    assert ends(found) == [(1, 1, "demolished")]


def test_a_village_that_was_not_seen_for_a_while_goes_on_as_what_it_is() -> None:
    found = follow(([A, B], EVERYWHERE), ([A], WEST), ([A, B], EVERYWHERE))
    assert told(found)[1:] == [[(1, "stable")], [(1, "stable"), (2, "stable")]]
    assert ends(found) == [(1, 2, "not observed")]
    moved = shapely.box(300, 0, 430, 100)
    assert told(follow(([B], EVERYWHERE), ([], WEST), ([moved], EVERYWHERE)))[2] == [(1, "grown")]


def test_a_village_that_was_gone_when_it_was_seen_again_is_demolished() -> None:
    found = follow(([A, B], EVERYWHERE), ([A], WEST), ([A], EVERYWHERE), ([A, B], EVERYWHERE))
    assert ends(found) == [(1, 2, "not observed"), (2, 2, "demolished")]
    assert told(found)[3] == [(1, "stable"), (2, "reappeared")]
    # and as long as it is not seen, nothing is said of it
    assert ends(follow(([A, B], EVERYWHERE), ([A], WEST), ([A], WEST))) == [(1, 2, "not observed")]


def test_ground_that_is_seen_for_the_first_time_has_no_new_villages() -> None:
    found = follow(([A], WEST), ([A, B], EVERYWHERE), ([GROWN, B], EVERYWHERE))
    assert told(found)[1:] == [[(1, "stable"), (2, "first")], [(1, "grown"), (2, "stable")]]


def test_parts_and_wholes() -> None:
    halves = [shapely.box(0, 0, 60, 100), shapely.box(70, 0, 130, 100)]
    found = follow(([GROWN], EVERYWHERE), (halves, EVERYWHERE), ([GROWN], EVERYWHERE), (halves, EVERYWHERE))
    assert told(found) == [
        [(1, "first")], [(1, "split"), (2, "split")], [(1, "merged")], [(1, "split"), (3, "split")],
    ]  # fmt: skip
    assert [(end.period, end.history, end.into) for end in found.ended] == [(2, 2, 1)]
    assert found.origins[1].tolist() == [1, 1]
    assert found.events[2].tolist() == [Event.MERGED]
