"""Which village became which: events between two periods, and histories over all of them.

Villages of two periods are paired off by the ground they share, the pair that shares most first: one *continues* in the
other. Of several villages that became one, the others end in it (*merged*); of several that were one, the others begin
in it (*split*). So a history is at most one village at a time, and its id lasts.
"""

from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from uvsam.change.overlay import Links

Floats = NDArray[np.float64]
Index = NDArray[np.intp]

NONE = -1


class Event(StrEnum):
    """What happened to a village between a period and the one before."""

    FIRST = "first"
    """It is there where nobody looked before."""
    NEW = "new"
    STABLE = "stable"
    GROWN = "grown"
    SHRUNK = "shrunk"
    SPLIT = "split"
    MERGED = "merged"
    REAPPEARED = "reappeared"
    DEMOLISHED = "demolished"
    NOT_OBSERVED = "not observed"


@dataclass(frozen=True)
class LineageRules:
    """What counts as the same village, and as a change.

    Attributes:
        link_share: two villages are linked if they share this much of the smaller one's ground.
        change_share, change_m2: a village has grown or shrunk if what it gained less what it lost beyond the tolerance
            reaches this share of its area before, and these square metres.
        observed_share: a village of which less lies on ground that the other image shows is not judged.
    """

    link_share: float = 0.1
    change_share: float = 0.05
    change_m2: float = 100.0
    observed_share: float = 0.5


@dataclass(frozen=True)
class Ground:
    """The villages of one period in a comparison with another, (N,) each.

    Attributes:
        area_m2: on ground that both periods show.
        beyond_m2: of that, what was lost or gained beyond the tolerance.
        observed: share of the whole village on ground that the other period shows.
    """

    area_m2: Floats
    beyond_m2: Floats
    observed: Floats


@dataclass(frozen=True)
class Step:
    """From the villages of a period (B) to those of the next (A).

    Attributes:
        continues: (A,) the village before that it is, or -1.
        origin: (A,) the village before that it comes from, or -1; of a part that split off, the one it was a part of.
        event: (A,) of those after.
        end: (B,) what became of those that do not continue; None for those that do.
        into: (B,) the village after that a merged one became a part of, or -1.
    """

    continues: Index
    origin: Index
    event: NDArray[np.object_]
    end: NDArray[np.object_]
    into: Index


def step(before: Ground, after: Ground, links: Links, rules: LineageRules) -> Step:
    """What happened between two periods."""
    smaller = np.minimum(before.area_m2[links.before], after.area_m2[links.after])
    strong = links.area_m2 >= rules.link_share * smaller
    links = links.where(strong)
    continues = pair_off(links, len(before.area_m2), len(after.area_m2))
    same = continues != NONE
    goes_on = np.zeros(len(before.area_m2), bool)
    goes_on[continues[same]] = True
    heir = _best(links.before, links.after, links.area_m2, len(goes_on))
    origin = np.where(same, continues, _best(links.after, links.before, links.area_m2, len(same)))

    absorbs, divided = np.zeros(len(same), bool), np.zeros(len(goes_on), bool)
    absorbs[heir[~goes_on & (heir != NONE)]] = True
    split = ~same & (origin != NONE)
    divided[origin[split]] = True
    split[same] = divided[continues[same]]
    change = np.zeros(len(origin))
    change[same] = after.beyond_m2[same] - before.beyond_m2[continues[same]]
    least = np.full(len(origin), np.inf)
    least[same] = np.maximum(rules.change_m2, rules.change_share * before.area_m2[continues[same]])
    event = _first_true(
        (absorbs, Event.MERGED),
        (split, Event.SPLIT),
        (change >= least, Event.GROWN),
        (change <= -least, Event.SHRUNK),
        (same, Event.STABLE),
        (after.observed < rules.observed_share, Event.FIRST),
        otherwise=Event.NEW,
    )
    end = _first_true(
        (goes_on, None),
        (heir != NONE, Event.MERGED),
        (before.observed < rules.observed_share, Event.NOT_OBSERVED),
        otherwise=Event.DEMOLISHED,
    )
    return Step(continues, origin, event, end, np.where(goes_on, NONE, heir))


def pair_off(links: Links, before: int, after: int) -> Index:
    """The village before (or -1) of each of ``after`` villages, no village twice, the pair that shares most first."""
    continues = np.full(after, NONE, np.intp)
    while len(links.before):
        heir = _best(links.before, links.after, links.area_m2, before)
        origin = _best(links.after, links.before, links.area_m2, after)
        right = np.flatnonzero(origin != NONE)
        right = right[
            heir[origin[right]] == right
        ]  # each is the other's best: of all links that are left, none is before
        continues[right] = origin[right]
        free = ~np.isin(links.before, origin[right]) & ~np.isin(links.after, right)
        links = links.where(free)
    return continues


def _best(own: Index, other: Index, shared_m2: Floats, count: int) -> Index:
    """For each of ``count`` villages the one of the other period that shares most ground with it, or -1."""
    best = np.full(count, NONE, np.intp)
    order = np.lexsort((-other, -own, shared_m2))  # of places that are assigned again and again, the last stays
    best[own[order]] = other[order]
    return best


def _first_true(*choices: tuple[NDArray[np.bool_], Event | None], otherwise: Event) -> NDArray[np.object_]:
    """For each place the value of the first condition that holds."""
    chosen = np.full(len(choices[0][0]), otherwise, object)
    for condition, value in reversed(choices):
        chosen[condition] = value
    return chosen
