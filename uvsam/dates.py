"""Days as people write them: one parser for every option, column and file name.

``docs/command_line.md`` says what is read, and how. What could be two days is never guessed.
"""

import datetime
import re
import unicodedata
from collections.abc import Callable
from typing import Any

import numpy as np

MIDDLE_OF_YEAR = (7, 1)
MIDDLE_OF_MONTH = 15
FIRST_YEAR, LAST_YEAR = 1840, 2999
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
NAMED = (
    r"(?:jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?"
    r"|nov(?:ember)?|dec(?:ember)?)\.?"
)
TIME = re.compile(
    r"(?:(?<=\d)(?:[T ]\s*(?:[01]?\d|2[0-4]):[0-5]\d(?::[0-6]\d(?:[.,]\d+)?)?"
    r"|T(?:[01]\d|2[0-4])(?:[0-5]\d(?:[0-6]\d)?)?)\s*(?:[ap]m)?"
    r"\s*(?:Z|UTC|GMT|[+-][01]\d(?::?[0-5]\d)?)?|Z|[+-][01]\d:[0-5]\d)$",
    re.IGNORECASE,
)
"""The time of a day and its zone: the day is the one that is written, whatever the zone."""
SIGNS = str.maketrans({"年": "-", "月": "-", "日": "", "\u2010": "-", "\u2011": "-", "\u2013": "-", "\u2212": "-"})
DAY_IN_NAME = re.compile(r"(?<!\d)((?:19|20)\d\d)([-_.]?)(\d\d)\2(\d\d)(?!\d)")
YEAR_IN_NAME = re.compile(r"(?<!\d)((?:19|20)\d\d)(?!\d)")


class NoDay(ValueError):
    """A text says no day, or could say two; ``doubtful`` where it says one that there is not, or two."""

    def __init__(self, said: str, *, doubtful: bool = False) -> None:
        super().__init__(said)
        self.doubtful = doubtful


def is_missing(value: Any) -> bool:
    """Whether a cell says nothing: NULL, NaN, NaT, or text without a letter or digit."""
    if isinstance(value, str):
        return not any(sign.isalnum() for sign in value)
    try:
        return value is None or bool(value != value)
    except TypeError:  # pandas' NA is neither
        return True


def parse_day(value: Any) -> datetime.date:
    """The day that a value says.

    Read are days (2016-05-17, 2016/5/17, 17.05.2016, 17 May 2016, 20160517, 2016年5月17日), the same with a time, years
    (2016: their middle, 1 July) and months (2016-05: the 15th); text, numbers, and days and times of Python, numpy and
    pandas. Of a time with a zone the day is the one that is written, not that in another zone. 17/05/2016 and
    05/17/2016 are read where only one of the two is possible.

    Raises:
        NoDay: what is wrong with it, with the value.
    """
    if isinstance(value, np.generic):
        value = value.astype("datetime64[D]").item() if isinstance(value, np.datetime64) else value.item()
    if isinstance(value, datetime.datetime):
        return value.date()
    if isinstance(value, datetime.date):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = unicodedata.normalize("NFKC", str(value)).translate(SIGNS).strip().strip("-")
    day = TIME.sub("", re.sub(r"(?<=\d)\.0+$", "", text)).strip()
    for pattern, read in _FORMS:
        if found := re.fullmatch(pattern, day, re.IGNORECASE):
            return read(str(value), *found.groups())
    raise NoDay(f"'{value}' is neither a year nor a day, as 2016 or 2016-05-17")


def day_in(text: str) -> datetime.date | None:
    """The only day in a name, as ``city_20160517`` or ``city-2016-05-17``, else the middle of the only year in it."""
    days = {day for found in DAY_IN_NAME.finditer(text) if (day := _possible(found[1], found[3], found[4]))}
    years = {int(year) for year in YEAR_IN_NAME.findall(text)}
    if len(days) == 1 and years <= {day.year for day in days}:
        return days.pop()
    return datetime.date(years.pop(), *MIDDLE_OF_YEAR) if not days and len(years) == 1 else None


def _possible(year: Any, month: Any, day: Any) -> datetime.date | None:
    try:
        return datetime.date(int(year), int(month), int(day)) if FIRST_YEAR <= int(year) <= LAST_YEAR else None
    except ValueError:
        return None


def _day(said: str, year: Any, month: Any, day: Any) -> datetime.date:
    if found := _possible(year, month, day):
        return found
    raise NoDay(f"'{said}' is no day of the calendar; a day is as 2016-05-17", doubtful=True)


def _either(said: str, one: str, sign: str, other: str, year: str) -> datetime.date:
    """Day and month in one order or the other; with dots the day is first."""
    first, second = _possible(year, other, one), _possible(year, one, other)
    if sign == "." or not second:
        return _day(said, year, other, one)
    if first and first != second:
        raise NoDay(f"'{said}' may be {first} or {second}; write the one that is meant", doubtful=True)
    return second


def _month(name: str) -> int:
    return MONTHS.index(name[:3].lower()) + 1


_FORMS: tuple[tuple[str, Callable[..., datetime.date]], ...] = (
    (r"(\d{4})", lambda said, year: _day(said, year, *MIDDLE_OF_YEAR)),
    (r"(\d{4})(\d\d)(\d\d)", _day),
    (r"(\d{4})([-/. _])(\d{1,2})\2(\d{1,2})", lambda said, year, _, month, day: _day(said, year, month, day)),
    (r"(\d{4})[-/](\d{1,2})", lambda said, year, month: _day(said, year, month, MIDDLE_OF_MONTH)),
    (r"(\d{1,2})([-/. _])(\d{1,2})\2(\d{4})", _either),
    (
        rf"(\d{{1,2}})(?:st|nd|rd|th)?[-/. ]*({NAMED})[-/., ]*(\d{{4}})",
        lambda said, day, month, year: _day(said, year, _month(month), day),
    ),
    (
        rf"({NAMED})[-/. ]*(\d{{1,2}})(?:st|nd|rd|th)?[-/., ]+(\d{{4}})",
        lambda said, month, day, year: _day(said, year, _month(month), day),
    ),
    (
        rf"(\d{{4}})[-/. ]*({NAMED})[-/. ]*(\d{{1,2}})",
        lambda said, year, month, day: _day(said, year, _month(month), day),
    ),
    (rf"({NAMED})[-/., ]*(\d{{4}})", lambda said, month, year: _day(said, year, _month(month), MIDDLE_OF_MONTH)),
    (rf"(\d{{4}})[-/., ]*({NAMED})", lambda said, year, month: _day(said, year, _month(month), MIDDLE_OF_MONTH)),
)
