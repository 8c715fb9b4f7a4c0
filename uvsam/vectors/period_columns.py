"""Columns of layers that people made: days, ids and numbers, whatever their type."""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from uvsam.dates import NoDay, day_in, is_missing, parse_day
from uvsam.errors import LabelError

SHAPEFILE_NAME = 10
TEXT = pd.ArrowDtype(pa.string())


@dataclass(frozen=True)
class Group:
    """Rows of a column that say the same.

    Attributes:
        value: as it is in the first of them.
        day: that it says; None where it says none.
        problem: why it says none.
        rows: their numbers.
    """

    value: Any
    day: datetime.date | None
    problem: str
    rows: NDArray[np.intp]

    @property
    def said(self) -> str:
        return str(self.value)

    def date(self) -> datetime.date:
        """The day.

        Raises:
            LabelError: it says none.
        """
        if self.day is None:
            raise LabelError(self.problem)
        return self.day


@dataclass(frozen=True)
class DateColumn:
    """A column that says days, periods or years."""

    path: Path
    name: str
    values: "pd.Series[Any]"

    @cached_property
    def _codes(self) -> tuple[NDArray[np.intp], list[Any]]:
        """Number of the value of each row, -1 where it says nothing, and the values."""
        codes, values = pd.factorize(self.values.astype(object).to_numpy())
        return codes.astype(np.intp), list(values)

    @cached_property
    def _said(self) -> list[tuple[Any, datetime.date | None, str]]:
        """What each value means: what tells it from others, its day, and what is wrong with it."""
        found: list[tuple[Any, datetime.date | None, str]] = []
        for value in self._codes[1]:
            try:
                day: datetime.date | None = parse_day(value)
                found.append((day, day, ""))
            except NoDay as error:
                day = None if error.doubtful else day_in(str(value))
                problem = f"{self.path}: in column {self.name} {error}"
                found.append((None if is_missing(value) else str(value).strip(), day, problem))
        return found

    def groups(self, rows: NDArray[np.intp] | None = None) -> list[Group]:
        """Rows that say the same, in the order of time; those that say nothing are in none.

        Args:
            rows: numbers of the rows to look at; default: all.
        """
        rows = np.arange(len(self.values)) if rows is None else rows
        codes, values = self._codes
        own = codes[rows]
        together: dict[Any, list[int]] = {}
        for code in np.unique(own[own >= 0]).tolist():
            if (key := self._said[code][0]) is not None:
                together.setdefault(key, []).append(code)
        found = [
            Group(values[some[0]], *self._said[some[0]][1:], rows[np.isin(own, some)]) for some in together.values()
        ]
        return sorted(found, key=lambda group: (group.day or datetime.date.max, group.said))

    def days(self) -> list[datetime.date]:
        """The different days, in order; what says none is left out."""
        return sorted({group.day for group in self.groups() if group.day})

    def condition(self, group: Group) -> str:
        """SQL that is true for the rows of a group."""
        codes, values = self._codes
        one = [_literal(values[code]) for code in np.unique(codes[group.rows]).tolist()]
        return f"{self.name} = {one[0]}" if len(one) == 1 else f"{self.name} IN ({', '.join(one)})"


def _literal(value: Any) -> str:
    if isinstance(value, int | float | np.number):
        return str(int(value)) if float(value).is_integer() else str(value)
    return "'" + str(value).replace("'", "''") + "'"


def ids(values: "pd.Series[Any] | None", count: int) -> Any:
    """Names or numbers of villages as text; empty where there are none."""
    said: Sequence[Any] = [None] * count if values is None else values.astype(object).tolist()
    texts: Any = [None if is_missing(one) else _id(one) for one in said]
    return pd.array(texts, dtype=TEXT)


def _id(value: Any) -> str:
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if whole else value).strip()


def numbers(values: "pd.Series[Any] | None", count: int, path: Path, name: str) -> NDArray[np.float64]:
    """A column as numbers, NaN where it is empty; texts may have a decimal comma or be percent.

    Raises:
        LabelError: a value is no number.
    """
    if values is None:
        return np.full(count, np.nan)
    if pd.api.types.is_numeric_dtype(values):
        found: NDArray[np.float64] = values.to_numpy(float, na_value=np.nan)
        return found
    return np.array([np.nan if is_missing(one) else _number(one, path, name) for one in values.tolist()], float)


def _number(value: Any, path: Path, name: str) -> float:
    text = str(value).strip()
    percent = text.endswith("%")
    try:
        found = float(text.removesuffix("%").strip().replace(",", "."))
    except ValueError:
        raise LabelError(f"{path}: '{value}' in column {name} is no number") from None
    return found / 100 if percent else found


def columns_of(wanted: Sequence[str], has: Sequence[str]) -> dict[str, str]:
    """What each of the wanted columns is called in a layer, if it is there.

    Shapefiles cut names to ten characters, ``area_low_m2`` to ``area_low_m``, and some programs write capitals.
    """
    low = {name.casefold(): name for name in reversed(has)}
    named = {name: name if name in has else low.get(name, low.get(name[:SHAPEFILE_NAME])) for name in wanted}
    return {name: said for name, said in named.items() if said is not None}
