"""Areas with their error, from a map and a reference sample (Olofsson et al. 2014, doi:10.1016/j.rse.2014.02.015).

A map has errors, and the areas on it are biased by them. Where somebody looks at a stratified random sample of places
and says what is really there, the areas can be corrected, and have a standard error.

The interval is not the estimate plus and minus 1.96 standard errors: of a class that is rare in a large stratum, the
sample often holds nothing, and then that interval is far too narrow. It joins the intervals of the strata instead
(Wilson's, by the method of Zou and Donner 2008), which is the same where the sample is rich.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from uvsam.errors import LabelError

Floats = NDArray[np.float64]

Z95 = float(norm.ppf(0.975))


@dataclass(frozen=True)
class AreaEstimate:
    """The area of a class.

    Attributes:
        mapped_m2: on the map.
        area_m2: corrected by the sample.
        error_m2: its standard error.
        interval_m2: 95 % confidence interval.
        users, producers: of what is mapped as the class, the share that is it; of what is the class, the share that is
            mapped as it. None where there is nothing.
    """

    name: str
    mapped_m2: float
    area_m2: float
    error_m2: float
    interval_m2: tuple[float, float]
    users: float | None
    producers: float | None


def estimate_areas(
    classes: Sequence[str], mapped_m2: Floats, mapped: NDArray[np.intp], reference: NDArray[np.intp]
) -> list[AreaEstimate]:
    """Corrected areas; the classes of the map are the strata of the sample.

    Args:
        classes: names (K,).
        mapped_m2: area of each class on the map (K,).
        mapped, reference: for each place of the sample (N,) the number of its class on the map, and in truth. Places of
            a class are drawn with equal chances from its area.

    Raises:
        LabelError: a class with an area has fewer than two places, so that nothing can be said of its error.
    """
    count = len(classes)
    table = np.zeros((count, count))
    np.add.at(table, (mapped, reference), 1)
    per_stratum = table.sum(axis=1)
    thin = [name for name, area, n in zip(classes, mapped_m2, per_stratum, strict=True) if area > 0 and n < 2]
    if thin:
        raise LabelError(f"the sample has fewer than two places in {', '.join(thin)}; draw more there")
    total = mapped_m2.sum()
    weight = mapped_m2 / total
    share = table / np.maximum(per_stratum, 1)[:, None]  # of stratum i that is class j
    proportion = weight[:, None] * share
    variance = (weight[:, None] ** 2 * share * (1 - share) / np.maximum(per_stratum - 1, 1)[:, None]).sum(axis=0)
    found = proportion.sum(axis=0)
    low, high = _wilson(table, per_stratum)
    below = np.sqrt(((weight[:, None] * (share - low)) ** 2).sum(axis=0))
    above = np.sqrt(((weight[:, None] * (high - share)) ** 2).sum(axis=0))
    estimates = []
    for k, name in enumerate(classes):
        interval = float(total * max(0.0, found[k] - below[k])), float(total * min(1.0, found[k] + above[k]))
        users = float(share[k, k]) if per_stratum[k] else None
        producers = float(proportion[k, k] / found[k]) if found[k] > 0 else None
        area, error = float(total * found[k]), float(total * np.sqrt(variance[k]))
        estimates.append(AreaEstimate(name, float(mapped_m2[k]), area, error, interval, users, producers))
    return estimates


def _wilson(hits: Floats, tries: Floats) -> tuple[Floats, Floats]:
    """Wilson's 95 % interval of each share of a table (K, K) of hits in rows of ``tries`` (K,)."""
    n = np.maximum(tries, 1)[:, None]
    share = hits / n
    centre = (share + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * np.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    return np.minimum(centre - half, share), np.maximum(centre + half, share)


def net_change(gained: AreaEstimate, lost: AreaEstimate) -> tuple[float, tuple[float, float]]:
    """Gained less lost ground and its 95 % interval, from those of both (Zou & Donner 2008)."""
    net = gained.area_m2 - lost.area_m2
    below = np.hypot(gained.area_m2 - gained.interval_m2[0], lost.interval_m2[1] - lost.area_m2)
    above = np.hypot(gained.interval_m2[1] - gained.area_m2, lost.area_m2 - lost.interval_m2[0])
    return net, (float(net - below), float(net + above))


def allocate(mapped_m2: Floats, places: int, least: int) -> NDArray[np.intp]:
    """How many places each stratum gets: at least ``least`` where it has an area, the rest by area.

    Raises:
        LabelError: there are too few for that.
    """
    there = mapped_m2 > 0
    rest = places - least * int(there.sum())
    if rest < 0:
        raise LabelError(f"{places} places are too few for {int(there.sum())} strata with at least {least} each")
    wanted = rest * mapped_m2 / mapped_m2.sum()
    given: NDArray[np.intp] = np.floor(wanted).astype(np.intp)
    by_rest = np.argsort(given - wanted, kind="stable")
    given[by_rest[: rest - given.sum()]] += 1
    given[there] += least
    return given
