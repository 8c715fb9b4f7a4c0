"""The day that an image was taken, as its file says it."""

import datetime
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from uvsam.dates import parse_day
from uvsam.raster.access import name_of, open_dataset, sources

OURS = "ACQUIRED"
KEYS = (
    OURS, "ACQUISITIONDATETIME", "ACQUISITIONDATE", "DATEACQUIRED", "ACQUISITIONTIME", "ACQUIREDDATE", "ACQUIREDAT",
    "IMAGINGDATE", "IMAGINGDATETIME", "FIRSTLINETIME", "EARLIESTACQTIME", "SENSINGTIME", "SENSINGSTART",
    "DATATAKE1DATATAKESENSINGSTART", "PRODUCTSTARTTIME", "STARTDATETIME", "SCENEDATE", "SCENEACQUISITIONDATE",
    "DATEOFPASS", "CAPTUREDATE", "CAPTURETIME", "CAPTUREDATETIME", "COLLECTIONDATE", "IMAGEDATE", "PHOTODATE",
    "FLIGHTDATE", "DATETIMEORIGINAL", "EXIFDATETIMEORIGINAL", "NITFIDATIM",
)  # fmt: skip
"""Names of what says when an image was taken, the surest first: letters and digits of the last part of a name.

ACQUISITIONDATETIME is what GDAL makes of the metadata of many providers; IMAGING_DATE is of DIMAP (SPOT, Pleiades),
FIRSTLINETIME and EARLIESTACQTIME of Maxar, DATE_ACQUIRED of Landsat, PRODUCT_START_TIME of Sentinel, DateOfPass of IRS,
DateTimeOriginal of cameras, IDATIM of NITF. TIFFTAG_DATETIME is not among them: it is when a program wrote the file.
"""
NAMESPACES = (None, "IMAGERY", "IMD", "EXIF")
WRITTEN = "TIFFTAG_DATETIME"
EARLIEST = datetime.date(1910, 1, 1)
"""Before, there are no aerial photographs of cities, but dates that stand for nothing: 1900-01-01, 1899-12-30."""
NO_DAYS = {datetime.date(1970, 1, 1), datetime.date(1980, 1, 1), datetime.date(1980, 1, 6)}
"""Where computers, file systems and GPS begin to count."""

TEXT = re.compile(
    r"(?P<day>\d{4}(?P<mark>[-:/.]?)\d\d(?P=mark)\d\d)"
    r"(?:[T _]?(?P<time>\d\d:?\d\d(?::?\d\d(?:[.,]\d+)?)?)\s*(?P<zone>Z|UTC|[+-]\d\d(?::?\d\d)?)?)?"
)


def acquired_day(dataset: Any) -> datetime.date | None:
    """The day (UTC) that an image was taken, by the tags of an open dataset; None where they do not say.

    A day in the future, and one that only stands for "not known", is none.
    """
    told = {name: value for namespace in reversed(NAMESPACES) for name, value in _named(dataset.tags(ns=namespace))}
    for key in KEYS:
        day = parse_time(told.get(key, ""))
        if day is not None and is_likely(day):
            return day
        if day is not None and day > datetime.date.today():
            warnings.warn(
                f"{name_of(dataset.name)} says that it was taken on {day}, which is yet to come; this is not believed",
                stacklevel=3,
            )
    return None


def warn_of_written_day(uri: str) -> None:
    """Say of an image without a day that the date in its file is not taken for one, if there is such a date."""
    first = sources(uri)[0]
    with open_dataset(first) as dataset:
        written = parse_time(dataset.tags().get(WRITTEN, ""))
    if written is not None:
        warnings.warn(
            f"{name_of(first)} does not say when it was taken; {written} is when a program wrote the file. "
            "Say the day with --date (trends: --dates)",
            stacklevel=3,
        )


def is_likely(day: datetime.date) -> bool:
    """Whether an image can be of a day: not one that has begun nowhere yet, nor one that stands for "not known"."""
    today = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=14)).date()
    return EARLIEST <= day <= today and day not in NO_DAYS


def parse_time(text: str) -> datetime.date | None:
    """The day of a time as programs write it: ISO 8601, with other marks or none between the numbers, else a day.

    With a time zone it is the day in UTC. None where the text is no time, or a month or a year alone.
    """
    text = text.strip().strip("\"';").strip()
    found = TEXT.match(text)
    try:
        if not found:
            return parse_day(text) if len(re.findall(r"\d+", text)) > 1 else None
        day = datetime.date.fromisoformat(re.sub(r"\D", "", found["day"]))
        if found["time"] is None or found["zone"] in (None, "Z", "UTC"):
            return day
        time = datetime.time.fromisoformat(found["time"].replace(",", ".").partition(".")[0])
        zone = datetime.datetime.strptime(found["zone"].replace(":", "").ljust(5, "0"), "%z").tzinfo
        return datetime.datetime.combine(day, time, zone).astimezone(datetime.UTC).date()
    except (ValueError, OverflowError):
        return None


def _named(tags: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    for name, value in tags.items():
        yield re.sub("[^A-Z0-9]", "", name.rpartition(".")[2].upper()), value
