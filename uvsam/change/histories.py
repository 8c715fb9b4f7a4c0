"""Villages followed over all periods: a history has an id that lasts, through years in which nobody could see it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import shapely
from numpy.typing import NDArray

from uvsam.change.lineage import NONE, Event, Ground, Index, LineageRules, Step, step
from uvsam.change.overlay import Polygons, compare

Read = Callable[[Index], Polygons]
"""From numbers of villages of a period to their polygons."""

Shows = Callable[[Polygons], NDArray[np.float64]]
"""From polygons to the share of each that the image of a period shows."""


@dataclass(frozen=True)
class Ended:
    """A history that did not go on.

    Attributes:
        period: the first one without it.
        history: its id.
        event: demolished, merged or not observed.
        into: the history that a merged one became a part of, or 0.
    """

    period: int
    history: int
    event: Event
    into: int = 0


@dataclass
class _Dormant:
    """Histories without a village at present that may come back: (N,) each."""

    history: Index = field(default_factory=lambda: np.empty(0, np.intp))
    polygons: Polygons = field(default_factory=lambda: np.empty(0, object))
    unseen: NDArray[np.bool_] = field(default_factory=lambda: np.empty(0, bool))

    def keep(self, chosen: NDArray[np.bool_]) -> None:
        self.history, self.polygons, self.unseen = self.history[chosen], self.polygons[chosen], self.unseen[chosen]

    def add(self, history: Index, polygons: Polygons, unseen: NDArray[np.bool_]) -> None:
        self.history = np.concatenate([self.history, history])
        self.polygons = np.concatenate([self.polygons, polygons])
        self.unseen = np.concatenate([self.unseen, unseen])


class Histories:
    """Collects what happened, period by period.

    Args:
        villages: how many there are in the first period.
        rules: see :class:`LineageRules`.
        tolerance_m: as in :func:`uvsam.change.overlay.compare`.

    Attributes:
        ids: for each period the history of each village (N,), from 1.
        events: for each period the event of each village (N,).
        origins: for each period the history that each village comes from (N,): its own, the one it left, or 0.
        ended: what did not go on, in the order of periods.
    """

    def __init__(self, villages: int, rules: LineageRules, tolerance_m: float) -> None:
        self.rules, self.tolerance_m = rules, tolerance_m
        self.ids: list[Index] = [np.arange(1, villages + 1)]
        self.events: list[NDArray[np.object_]] = [np.full(villages, Event.FIRST, object)]
        self.origins: list[Index] = [np.zeros(villages, np.intp)]
        self.ended: list[Ended] = []
        self._dormant = _Dormant()
        self._last = villages

    def advance(self, found: Step, read_before: Read, read_after: Read, shows: Shows) -> None:
        """Go on to the next period.

        Args:
            found: what happened since the one before.
            read_before, read_after: polygons of villages of both periods.
            shows: what the next period shows.
        """
        period = len(self.ids)
        before = self.ids[-1]
        ids = np.zeros(len(found.event), np.intp)
        events, origins = found.event.copy(), np.zeros(len(ids), np.intp)
        goes_on = found.continues != NONE
        ids[goes_on] = before[found.continues[goes_on]]
        known = found.origin != NONE
        origins[known] = before[found.origin[known]]

        unknown = np.flatnonzero(~goes_on & ~known)
        self._wake(period, unknown, read_after, shows, ids, events, origins)
        begun = np.flatnonzero(ids == 0)
        ids[begun] = self._last + 1 + np.arange(len(begun))
        self._last += len(begun)

        gone = np.flatnonzero([end is not None for end in found.end])
        for village in gone:
            into = int(ids[found.into[village]]) if found.into[village] != NONE else 0
            self.ended.append(Ended(period, int(before[village]), found.end[village], into))
        may_return = gone[[found.end[village] != Event.MERGED for village in gone]] if len(gone) else gone
        if len(may_return):
            unseen = np.array([found.end[village] == Event.NOT_OBSERVED for village in may_return])
            self._dormant.add(before[may_return], read_before(may_return), unseen)
        self.ids.append(ids)
        self.events.append(events)
        self.origins.append(origins)

    def _wake(
        self, period: int, unknown: Index, read_after: Read, shows: Shows, ids: Index, events: NDArray[np.object_],
        origins: Index,
    ) -> None:  # fmt: skip
        """Villages that come from nowhere may be those of a history that was lost sight of."""
        dormant = self._dormant
        if not len(dormant.history):
            return
        polygons = read_after(unknown)
        between = compare(dormant.polygons, polygons, tolerance_m=self.tolerance_m)
        asleep = Ground(shapely.area(dormant.polygons), shapely.area(between.lost), shows(dormant.polygons))
        arrived = Ground(shapely.area(polygons), shapely.area(between.gained), np.ones(len(unknown)))
        found = step(asleep, arrived, between.links, self.rules)

        known = found.origin != NONE
        came_from, village = found.origin[known], unknown[known]
        origins[village] = dormant.history[came_from]
        events[village] = np.where(dormant.unseen[came_from], found.event[known], Event.REAPPEARED)
        goes_on = found.continues[known] != NONE
        ids[village[goes_on]] = dormant.history[came_from[goes_on]]

        # ground that is seen again and has no village any more
        lost = dormant.unseen & (found.end == Event.DEMOLISHED)
        self.ended += [Ended(period, int(history), Event.DEMOLISHED) for history in dormant.history[lost]]
        dormant.unseen &= ~lost
        awake = np.zeros(len(dormant.history), bool)
        awake[came_from] = True
        dormant.keep(~awake)
