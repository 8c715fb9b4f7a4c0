"""Areas with their error, from a map and a reference sample (Olofsson et al. 2014, doi:10.1016/j.rse.2014.02.015).

A map has errors, and the areas on it are biased by them. Where somebody looks at a stratified random sample of places
and says what is really there, the areas can be corrected, and have a standard error.

The interval is not the estimate plus and minus 1.96 standard errors: of a class that is rare in a large stratum, the
sample often holds nothing, and then that interval is far too narrow. It joins the intervals of the strata instead
(Wilson's, by the method of Zou and Donner 2008), which is the same where the sample is rich. The standard error is that
of the paper.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm

from uvsam.errors import LabelError

Floats = NDArray[np.float64]

Z95 = float(norm.ppf(0.975))
LEAST = 2
"""Places of a stratum, so that something can be said of its error."""
NO_STRATUM_M2 = 1.0
"""A stratum of less ground is what rounding leaves of none: no places are drawn there, and its area is 0."""


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


@dataclass(frozen=True)
class _Strata:
    """What a sample says of each stratum (K,).

    Attributes:
        total_m2: area of all strata.
        weight: share of each in it.
        places: looked at in each.
        share: (K, K) of the places of stratum i that are class j.
        low, high: 95 % interval of each share.
    """

    total_m2: float
    weight: Floats
    places: Floats
    share: Floats
    low: Floats
    high: Floats

    @classmethod
    def of(
        cls, classes: Sequence[str], mapped_m2: Floats, mapped: NDArray[np.intp], reference: NDArray[np.intp]
    ) -> "_Strata":
        table = np.zeros((len(classes), len(classes)))
        np.add.at(table, (mapped, reference), 1)
        places = table.sum(axis=1)
        thin = [name for name, area, n in zip(classes, mapped_m2, places, strict=True) if area > 0 and n < LEAST]
        if thin:
            raise LabelError(f"the sample has fewer than two places in {', '.join(thin)}; draw more there")
        total = float(mapped_m2.sum())
        low, high = _wilson(table, places)
        return cls(total, mapped_m2 / total, places, table / np.maximum(places, 1)[:, None], low, high)

    def error_m2(self, spread: Floats) -> Floats:
        """Standard error of a sum over strata, from the spread (variance of one place, (K, ...)) in each."""
        scale = self.weight**2 / np.maximum(self.places - 1, 1)
        return np.asarray(self.total_m2 * np.sqrt((scale * spread.T).sum(axis=-1)))

    def over_all_m2(self, parts: Floats) -> Floats:
        """Distance of an end of the interval of a sum over strata, from those in each (K, ...)."""
        return np.asarray(self.total_m2 * np.sqrt(((self.weight * parts.T) ** 2).sum(axis=-1)))


def estimate_areas(
    classes: Sequence[str], mapped_m2: Floats, mapped: NDArray[np.intp], reference: NDArray[np.intp]
) -> list[AreaEstimate]:
    """Corrected areas; the classes of the map are the strata of the sample.

    Args:
        classes: names (K,).
        mapped_m2: area of each class on the map (K,); 0 for a class that was not sampled.
        mapped, reference: for each place of the sample (N,) the number of its class on the map, and in truth. Places of
            a class are drawn with equal chances from its area.

    Raises:
        LabelError: a class with an area has fewer than two places, so that nothing can be said of its error.
    """
    strata = _Strata.of(classes, mapped_m2, mapped, reference)
    share, total = strata.share, strata.total_m2
    proportion = strata.weight[:, None] * share
    found = total * proportion.sum(axis=0)
    error = strata.error_m2(share * (1 - share))
    below, above = strata.over_all_m2(share - strata.low), strata.over_all_m2(strata.high - share)
    estimates = []
    for k, name in enumerate(classes):
        interval = max(0.0, float(found[k] - below[k])), min(total, float(found[k] + above[k]))
        users = float(share[k, k]) if strata.places[k] else None
        producers = float(total * proportion[k, k] / found[k]) if found[k] > 0 else None
        estimates.append(
            AreaEstimate(name, float(mapped_m2[k]), float(found[k]), float(error[k]), interval, users, producers)
        )
    return estimates


def estimate_difference(
    classes: Sequence[str], mapped_m2: Floats, mapped: NDArray[np.intp], reference: NDArray[np.intp], plus: str,
    minus: str,
) -> AreaEstimate:  # fmt: skip
    """The area of one class less that of another, as gained less lost ground.

    Within a stratum a place that is the one is not the other, so that their shares are negatively correlated: the
    variance of the difference of one place is ``p (1 - p) + q (1 - q) + 2 p q``, more than that of both alone. The
    interval is that of Zou & Donner (2008) for the difference of correlated shares in each stratum, joined over them.

    Args:
        plus, minus: names of the classes; everything else as :func:`estimate_areas`.
    """
    strata = _Strata.of(classes, mapped_m2, mapped, reference)
    p, q = list(classes).index(plus), list(classes).index(minus)
    gain, loss = strata.share[:, p], strata.share[:, q]
    error = strata.error_m2(gain * (1 - gain) + loss * (1 - loss) + 2 * gain * loss)
    rest = (1 - gain) * (1 - loss)
    together = -np.sqrt(np.divide(gain * loss, rest, out=np.ones_like(rest), where=rest > 0))
    below = _apart(gain - strata.low[:, p], strata.high[:, q] - loss, together)
    above = _apart(strata.high[:, p] - gain, loss - strata.low[:, q], together)
    net = float(strata.total_m2 * (strata.weight * (gain - loss)).sum())
    interval = net - float(strata.over_all_m2(below)), net + float(strata.over_all_m2(above))
    return AreaEstimate(
        f"{plus} - {minus}", float(mapped_m2[p] - mapped_m2[q]), net, float(error), interval, None, None
    )  # fmt: skip


def _apart(one: Floats, other: Floats, correlation: Floats) -> Floats:
    return np.asarray(np.sqrt(one**2 + other**2 - 2 * correlation * one * other))


def _wilson(hits: Floats, tries: Floats) -> tuple[Floats, Floats]:
    """Wilson's 95 % interval of each share of a table (K, K) of hits in rows of ``tries`` (K,)."""
    n = np.maximum(tries, 1)[:, None]
    share = hits / n
    centre = (share + Z95**2 / (2 * n)) / (1 + Z95**2 / n)
    half = Z95 / (1 + Z95**2 / n) * np.sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    return np.minimum(centre - half, share), np.maximum(centre + half, share)


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
