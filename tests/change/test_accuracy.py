"""Areas from a sample: the example of the paper, and intervals that hold what they promise."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uvsam.change.accuracy import allocate, estimate_areas, estimate_difference
from uvsam.errors import LabelError

HECTARE = 10_000.0


def test_the_example_of_olofsson_2014() -> None:
    """Tables 8 and 9: pixels of 30 m, 640 places."""
    table = np.array([[66, 0, 5, 4], [0, 55, 8, 12], [1, 0, 153, 11], [2, 1, 9, 313]])
    mapped, reference = np.repeat(np.indices(table.shape).reshape(2, -1), table.ravel(), axis=1)
    pixels = np.array([200_000, 150_000, 3_200_000, 6_450_000]) * 900.0
    found = estimate_areas(("loss", "gain", "forest", "other"), pixels, mapped, reference)
    assert [round(one.area_m2 / HECTARE) for one in found] == [21_158, 11_686, 285_770, 581_386]
    assert [round(1.96 * one.error_m2 / HECTARE) for one in found] == [6_158, 3_756, 15_510, 16_282]
    for one in found[2:]:  # classes that the sample is rich in: the plain interval
        plain = one.area_m2 - 1.96 * one.error_m2, one.area_m2 + 1.96 * one.error_m2
        assert one.interval_m2 == pytest.approx(plain, abs=0.5 * one.error_m2)
    for one in found[:2]:  # of the others a few places may have been missed
        low, high = one.interval_m2
        assert high > one.area_m2 + 1.96 * one.error_m2
        assert one.area_m2 - 1.96 * one.error_m2 < low < one.area_m2
    assert [round(one.users or 0, 2) for one in found] == [0.88, 0.73, 0.93, 0.96]
    assert [round(one.producers or 0, 2) for one in found] == [0.75, 0.85, 0.93, 0.96]


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    mapped_m2 = np.array([3e6, 1e6, 96e6])
    truth_of = np.array([[0.85, 0.05, 0.10], [0.10, 0.70, 0.20], [0.01, 0.004, 0.986]])  # of each stratum
    truth_m2 = mapped_m2 @ truth_of
    given = allocate(mapped_m2, 600, 100)
    inside = np.zeros(3)
    for _ in range(400):
        mapped = np.repeat(np.arange(3), given)
        reference = np.concatenate([rng.choice(3, n, p=p) for n, p in zip(given, truth_of, strict=True)])
        for k, one in enumerate(estimate_areas("abc", mapped_m2, mapped, reference)):
            low, high = one.interval_m2
            inside[k] += low <= truth_m2[k] <= high
    assert (inside / 400 > 0.93).all()


CLASSES = ("other", "lost", "gained", "kept")
CITIES = {  # areas of the strata; of each, the shares that are each class in truth; places
    "gained and lost are confused": (
        [5e7, 2e7, 2e7, 1e7],
        [[0.90, 0.04, 0.04, 0.02], [0.10, 0.50, 0.35, 0.05], [0.10, 0.35, 0.50, 0.05], [0.02, 0.10, 0.10, 0.78]],
        [100, 100, 100, 100],
    ),
    "few places": (
        [3e7, 3e7, 3e7, 1e7],
        [[0.90, 0.05, 0.05, 0.00], [0.05, 0.50, 0.45, 0.00], [0.05, 0.45, 0.50, 0.00], [0.00, 0.10, 0.10, 0.80]],
        [50, 50, 50, 50],
    ),
    "rare": (
        [9.7e7, 1e6, 1e6, 1e6],
        [[0.996, 0.002, 0.002, 0], [0.10, 0.60, 0.30, 0], [0.10, 0.30, 0.60, 0], [0, 0.02, 0.02, 0.96]],
        [150, 50, 50, 50],
    ),
}


@pytest.mark.parametrize("city", list(CITIES))
def test_the_interval_of_the_change_holds_the_truth_as_often_as_it_says(city: str) -> None:
    rng = np.random.default_rng(4)
    mapped_m2, truth_of, places = (np.array(values) for values in CITIES[city])
    true = float(mapped_m2 @ (truth_of[:, 2] - truth_of[:, 1]))
    mapped, runs, inside, nets, errors = np.repeat(np.arange(4), places), 1000, 0, [], []
    for _ in range(runs):
        reference = np.concatenate([rng.choice(4, n, p=p) for n, p in zip(places, truth_of, strict=True)])
        one = estimate_difference(CLASSES, mapped_m2, mapped, reference, "gained", "lost")
        inside += one.interval_m2[0] <= true <= one.interval_m2[1]
        nets.append(one.area_m2)
        errors.append(one.error_m2)
    assert inside / runs >= 0.95 - 2 * np.sqrt(0.95 * 0.05 / runs)
    assert np.mean(nets) == pytest.approx(true, abs=4 * np.std(nets) / np.sqrt(runs))
    assert np.sqrt(np.mean(np.square(errors))) == pytest.approx(np.std(nets), rel=0.08)


@given(st.lists(st.lists(st.integers(0, 30), min_size=4, max_size=4), min_size=4, max_size=4), st.integers(0, 99))
def test_the_error_of_the_change_is_that_of_the_multinomial_distribution(table: list[list[int]], seed: int) -> None:
    """By the covariance matrix of all classes in each stratum, diag(p) - p p'."""
    counts = np.array(table) + np.eye(4, dtype=int) * 2
    area = np.random.default_rng(seed).uniform(1, 1e6, 4)
    mapped, reference = np.repeat(np.indices((4, 4)).reshape(2, -1), counts.ravel(), axis=1)
    found = estimate_difference(CLASSES, area, mapped, reference, "gained", "lost")
    variance, contrast = 0.0, np.array([0, -1, 1, 0])
    for n, own, size in zip(counts.sum(axis=1), counts, area, strict=True):
        p = own / n
        variance += size**2 * contrast @ (np.diag(p) - np.outer(p, p)) @ contrast / (n - 1)
    assert found.error_m2 == pytest.approx(np.sqrt(variance), abs=1e-6 * area.sum())
    by_class = {one.name: one for one in estimate_areas(CLASSES, area, mapped, reference)}
    assert found.area_m2 == pytest.approx(by_class["gained"].area_m2 - by_class["lost"].area_m2, abs=1e-3)
    assert found.interval_m2[0] <= found.area_m2 <= found.interval_m2[1]


def test_a_stratum_that_nobody_looked_at_is_an_error() -> None:
    with pytest.raises(LabelError, match="fewer than two places in gained"):
        estimate_areas(("kept", "gained"), np.array([1.0, 1.0]), np.array([0, 0, 1]), np.array([0, 0, 1]))


@given(st.lists(st.floats(0, 1e8), min_size=1, max_size=5).filter(any), st.integers(0, 40), st.integers(0, 300))
def test_every_place_is_given_to_a_stratum_that_has_room(areas: list[float], least: int, more: int) -> None:
    there = np.count_nonzero(areas)
    given = allocate(np.array(areas), least * there + more, least)
    assert given.sum() == least * there + more
    assert (given[np.array(areas) > 0] >= least).all()
    assert (given[np.array(areas) == 0] == 0).all()
    with pytest.raises(LabelError):
        allocate(np.array(areas), least * there - 1, least)
