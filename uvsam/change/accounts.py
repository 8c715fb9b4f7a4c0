"""The books of a trend: every village of every period, every change, and the sums, as tables."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import shapely
from numpy.typing import NDArray

from uvsam.change.histories import Ended, Histories
from uvsam.change.lineage import Event
from uvsam.change.overlay import Polygons
from uvsam.change.series import rates, trend
from uvsam.change.steps import Compared

Floats = NDArray[np.float64]
Index = NDArray[np.intp]

STEP_SUMS = ("before_m2", "kept_m2", "gained_m2", "lost_m2", "border_m2", "after_m2")


def village_table(histories: Histories, steps: Sequence[Compared], period: int) -> pd.DataFrame:
    """What happened to each village of a period since the one before, row by row of its store.

    Columns: ``history_id``; ``event``; ``from_history`` (its own, the one it split off from, or 0); and, on ground that
    both periods show, in m2: ``before_m2`` and ``after_m2``, areas of the history in both periods; ``gained_m2`` and
    ``lost_m2``, ground beyond the tolerance that no village had before, or has now; ``exchanged_m2``, what came from
    other histories less what went to them; and ``border_m2``, what is within the tolerance.

    Law: ``after = before + gained - lost + exchanged + border``; of the first period all of these are NaN.
    """
    ids = histories.ids[period]
    table = pd.DataFrame(
        {"history_id": ids, "event": histories.events[period].astype(str), "from_history": histories.origins[period]}
    )
    if not period:
        return table.assign(**dict.fromkeys((*STEP_SUMS, "exchanged_m2"), np.nan)).drop(columns="kept_m2")
    found = steps[period - 1]
    before_of = {int(history): row for row, history in enumerate(histories.ids[period - 1])}
    origin = np.array([before_of.get(int(history), -1) for history in ids], np.intp)
    same = origin >= 0
    lost_m2, gained_m2 = shapely.area(found.before.beyond), shapely.area(found.after.beyond)
    given, taken = _exchanged(found, origin)
    before, lost, gone = np.zeros(len(ids)), np.zeros(len(ids)), np.zeros(len(ids))
    before[same], lost[same], gone[same] = (part[origin[same]] for part in (found.before.area_m2, lost_m2, given))
    exchanged = taken - gone
    border = found.after.area_m2 - before - gained_m2 + lost - exchanged
    return table.assign(
        before_m2=before, gained_m2=gained_m2, lost_m2=lost, border_m2=border, after_m2=found.after.area_m2,
        exchanged_m2=exchanged,
    )  # fmt: skip


def _exchanged(found: Compared, origin: Index) -> tuple[Floats, Floats]:
    """Ground that villages before gave to other histories (B,), and that those after took from others (A,)."""
    foreign = origin[found.links.after] != found.links.before
    links = found.links.where(foreign)
    given: Floats = np.bincount(links.before, links.area_m2, minlength=len(found.before.rows)).astype(float)
    taken: Floats = np.bincount(links.after, links.area_m2, minlength=len(found.after.rows)).astype(float)
    return given, taken


@dataclass(frozen=True)
class Changes:
    """Ground that villages gained or lost between two periods, (N,) each, beyond the tolerance."""

    history_id: Index
    kind: NDArray[np.object_]
    event: NDArray[np.object_]
    polygons: Polygons


def changes(histories: Histories, steps: Sequence[Compared], period: int) -> Changes:
    """What was gained and lost since the period before."""
    found = steps[period - 1]
    before, after = histories.ids[period - 1], histories.ids[period]
    events = dict(zip(after.tolist(), histories.events[period].tolist(), strict=True))
    events |= {end.history: end.event for end in histories.ended if end.period == period}
    lost, gained = (np.flatnonzero(~shapely.is_empty(side.beyond)) for side in (found.before, found.after))
    ids = np.concatenate([before[lost], after[gained]])
    return Changes(
        ids,
        np.array(["lost"] * len(lost) + ["gained"] * len(gained), object),
        np.array([str(events[history]) for history in ids.tolist()], object),
        np.concatenate([found.before.beyond[lost], found.after.beyond[gained]]),
    )


def step_table(
    dates: Sequence[datetime.date], histories: Histories, steps: Sequence[Compared], ended: Sequence[Ended]
) -> pd.DataFrame:
    """The sums of each step, on ground that both its periods show, with rates per year and how often what happened.

    Law: ``before + gained - lost + border = after``.
    """
    rows = []
    for number, found in enumerate(steps, start=1):
        before, after = float(found.before.area_m2.sum()), float(found.after.area_m2.sum())
        gained, lost = (float(shapely.area(side.beyond).sum()) for side in (found.after, found.before))
        events = pd.Series(histories.events[number]).value_counts()
        ends = pd.Series([str(end.event) for end in ended if end.period == number], dtype=object).value_counts()
        (rate,) = rates(dates[number - 1 : number + 1], (before, after))
        rows.append(
            {"from": dates[number - 1], "to": dates[number], "years": rate.years}
            | dict(zip(STEP_SUMS, (before, float(found.links.area_m2.sum()), gained, lost,
                                   after - before - gained + lost, after), strict=True))
            | {"m2_per_year": rate.per_year, "share_per_year": rate.share_per_year}
            | {f"villages_{event.replace(' ', '_')}": int(events.get(event, 0) + ends.get(event, 0))
               for event in Event if event is not Event.MERGED}
            | {"villages_merged": int(events.get(Event.MERGED, 0)), "villages_absorbed": int(ends.get(Event.MERGED, 0))}
        )  # fmt: skip
    return pd.DataFrame(rows)


def period_table(
    dates: Sequence[datetime.date], areas_m2: Sequence[Floats], ground_m2: Sequence[float], seen_m2: Sequence[float]
) -> pd.DataFrame:
    """Of each period: villages, their area, their mean and median size, and their share of the ground that was seen.

    Args:
        areas_m2: of the villages of each period.
        ground_m2: of all of them; where outlines overlap, less than the sum.
        seen_m2: ground that its image shows; NaN where nobody said.
    """
    return pd.DataFrame(
        {
            "date": list(dates),
            "villages": [len(areas) for areas in areas_m2],
            "area_m2": list(ground_m2),
            "mean_m2": [float(areas.mean()) if len(areas) else np.nan for areas in areas_m2],
            "median_m2": [float(np.median(areas)) if len(areas) else np.nan for areas in areas_m2],
            "seen_m2": list(seen_m2),
            "share": [ground / seen for ground, seen in zip(ground_m2, seen_m2, strict=True)],
        }
    )


def trend_rows(dates: Sequence[datetime.date], amounts: dict[str, Sequence[float]]) -> pd.DataFrame:
    """Theil-Sen slope a year of each named amount, with its 95 % interval."""
    found = {name: trend(dates, values) for name, values in amounts.items()}
    return pd.DataFrame(
        [{"of": name, "per_year": one.per_year, "low": one.low, "high": one.high} for name, one in found.items()]
    )
