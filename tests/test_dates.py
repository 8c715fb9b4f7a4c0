"""Days as people write them: right, or an error; never the wrong one of two."""

import datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from uvsam.dates import NoDay, day_in, is_missing, parse_day

DAY = datetime.date(2012, 5, 17)
YEAR = datetime.date(2012, 7, 1)
MONTH = datetime.date(2012, 5, 15)


@pytest.mark.parametrize(
    "written",
    [
        "2012-05-17", "2012/05/17", "2012/5/17", "2012.05.17", "2012 05 17", "20120517", 20120517, 20120517.0,
        np.int64(20120517), "17.05.2012", "17.5.2012", "17/05/2012", "05/17/2012", "17-05-2012", "17 May 2012",
        "17th May 2012", "17-MAY-2012", "May 17, 2012", "2012 May 17", "2012年5月17日", " 2012-05-17 ",
        "\uff12\uff10\uff11\uff12/05/17",  # digits as wide as Chinese signs
        "2012-05-17T10:00:00Z", "2012-05-17 10:00", "2012-05-17T23:30:00+05:30", "2012-05-17T00:30:00.000+0530",
        "2012-05-17 00:00:00 UTC", "20120517T101500Z", "5/17/2012 10:00:00 AM", "2012-05-17Z", DAY,
        datetime.datetime(2012, 5, 17, 23, 59), np.datetime64("2012-05-17T23:59:59.999999999"),
        pd.Timestamp("2012-05-17 00:30", tz="Asia/Kolkata"), pd.Timestamp("2012-05-17 23:30", tz="America/Lima"),
    ],
)  # fmt: skip
def test_a_day_is_a_day_however_it_is_written(written: Any) -> None:
    assert parse_day(written) == DAY


@pytest.mark.parametrize("written", [2012, 2012.0, "2012", "2012.0", np.float32(2012), np.int16(2012), "2012年"])
def test_a_year_is_its_middle_whatever_its_type(written: Any) -> None:
    assert parse_day(written) == YEAR


@pytest.mark.parametrize("written", ["2012-05", "2012/5", "May 2012", "2012 May", "2012年5月"])
def test_a_month_is_its_middle(written: str) -> None:
    assert parse_day(written) == MONTH


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("05/06/2012", "'05/06/2012' may be 2012-06-05 or 2012-05-06"),
        ("2012-02-30", "no day of the calendar"),
        ("2012-13", "no day of the calendar"),
        ("31/31/2012", "no day of the calendar"),
        (20121399, "no day of the calendar"),
        *[(one, "neither a year nor a day") for one in
          ("2012-2016", "201205", "12-05-17", "17.05.12", "2012.5", 2012.5, True, 41046, 1337212800, "2012 0517",
           "2012-138", "2012-05-17T99:00:00Z", "2012-05-17 10:61", "2012-05-17T9900", "2012-05-17+99:00", "soon",
           "20x6", b"2012", [2012])],
    ],
)  # fmt: skip
def test_what_says_no_day_or_two_is_an_error(written: Any, said: str) -> None:
    with pytest.raises(NoDay, match=said) as caught:
        parse_day(written)
    assert caught.value.doubtful == ("neither" not in said)


@given(st.dates(datetime.date(1840, 1, 1), datetime.date(2999, 12, 31)))
def test_every_day_comes_back_from_every_form(day: datetime.date) -> None:
    forms = ["%Y-%m-%d", "%Y/%m/%d", "%d.%m.%Y", "%d %B %Y", "%b %d, %Y", "%Y-%m-%dT%H:%M:%S"]
    assert {parse_day(day.strftime(form)) for form in forms} == {day}
    assert parse_day(int(f"{day:%Y%m%d}")) == day


@pytest.mark.parametrize(
    ("name", "day"),
    [
        ("villages_2012", YEAR), ("v20120517", DAY), ("city-2012-05-17_v2", DAY), ("S2A_20120517T101010_2012", DAY),
        ("O'Brien 2012", YEAR), ("dry season 2012", YEAR), ("2012_2016", None), ("20120517_20160101", None),
        ("20120517_2016", None), ("mumbai", None), ("20121399", None), ("120120517", None),
    ],
)  # fmt: skip
def test_the_only_day_in_a_name(name: str, day: datetime.date | None) -> None:
    assert day_in(name) == day


def test_a_cell_that_says_nothing_is_missing() -> None:
    empty = [None, float("nan"), pd.NaT, pd.NA, np.datetime64("NaT"), "", "  ", "-"]
    assert all(map(is_missing, empty))
    assert not any(map(is_missing, [0, 2012, "0", "x", DAY, pd.Timestamp(DAY)]))
