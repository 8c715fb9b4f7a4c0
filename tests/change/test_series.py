"""Rates and trends of amounts that are known."""

import datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uvsam.change.series import rates, trend, years_of

DATES = [datetime.date(year, 7, 1) for year in (2012, 2014, 2016, 2020, 2024)]


@given(st.floats(-0.2, 0.3), st.floats(1, 1e6))
def test_a_constant_rate_is_found_between_any_dates(share: float, start: float) -> None:
    amounts = start * (1 + share) ** years_of(DATES)
    for rate in rates(DATES, amounts.tolist()):
        assert rate.share_per_year == pytest.approx(share, abs=1e-9)
        assert np.sign(rate.per_year) == np.sign(share) or abs(share) < 1e-12


def test_from_and_to_nothing_has_no_rate() -> None:
    first, second = rates(DATES[:3], [0, 40, 0])
    assert first.share_per_year is None
    assert second.share_per_year is None
    assert first.per_year == pytest.approx(20, rel=1e-3)


@given(st.floats(-50, 50), st.integers(0, 4))
def test_one_wrong_year_does_not_turn_the_trend(slope: float, wrong: int) -> None:
    amounts = 1000 + slope * years_of(DATES)
    assert trend(DATES, amounts.tolist()).per_year == pytest.approx(slope, abs=1e-6)
    amounts[wrong] += 5000
    found = trend(DATES, amounts.tolist())
    assert found.low - 1e-6 <= slope <= found.high + 1e-6
