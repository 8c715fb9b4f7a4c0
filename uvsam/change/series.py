"""How many and how large over time: rates between periods, and the trend over all of them."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import theilslopes

DAYS_PER_YEAR = 365.2425


@dataclass(frozen=True)
class Rate:
    """Change of an amount between two periods.

    Attributes:
        years: between them.
        per_year: of the amount.
        share_per_year: compound, 0.02 is 2 % a year; None where there was nothing before, or is nothing after.
    """

    years: float
    per_year: float
    share_per_year: float | None


@dataclass(frozen=True)
class Trend:
    """Theil-Sen line through the amounts of all periods (Sen 1968).

    Attributes:
        per_year: the median of the slopes between all pairs of periods.
        low, high: 95 % interval of the slope; with fewer than four periods it holds every slope there is.
    """

    per_year: float
    low: float
    high: float


def years_of(dates: Sequence[datetime.date]) -> NDArray[np.float64]:
    """Years since the first date."""
    return np.array([(date - dates[0]).days / DAYS_PER_YEAR for date in dates])


def rates(dates: Sequence[datetime.date], amounts: Sequence[float]) -> list[Rate]:
    """From each period to the next."""
    found = []
    for years, before, after in zip(np.diff(years_of(dates)), amounts, amounts[1:], strict=False):
        share = (after / before) ** (1 / years) - 1 if before > 0 and after > 0 else None
        found.append(Rate(float(years), float((after - before) / years), None if share is None else float(share)))
    return found


def trend(dates: Sequence[datetime.date], amounts: Sequence[float]) -> Trend:
    """The trend of an amount; at least two periods."""
    slope = theilslopes(amounts, years_of(dates), alpha=0.95)
    return Trend(float(slope.slope), float(slope.low_slope), float(slope.high_slope))
