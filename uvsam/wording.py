"""How we say what is wrong with a name or a value that was given: what is allowed, and the nearest of what is known."""

from __future__ import annotations

import typing
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from uvsam.errors import UsageError

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError
    from pydantic_core import ErrorDetails

SHOWN = 60
"""Of a longer value, so many characters are repeated to the user."""
LISTED = 30
"""Of more names than these, only the nearest is named."""

NO_SETTING = ("extra_forbidden", "invalid_key")
WORDED = {
    "missing": "missing; it has to be given",
    "int_parsing": "{value} is no whole number",
    "int_parsing_size": "{value} is too large",
    "int_type": "{value} is no whole number",
    "int_from_float": "{value} is no whole number",
    "float_parsing": "{value} is no number",
    "float_type": "{value} is no number",
    "finite_number": "{value} is no finite number",
    "bool_parsing": "{value} is neither true nor false",
    "bool_type": "{value} is neither true nor false",
    "string_type": "{value} is no text; put it in quotes",
    "string_pattern_mismatch": "{value} does not have the form {pattern}",
    "greater_than": "{value} is too small; more than {gt:.15g}",
    "greater_than_equal": "{value} is too small; at least {ge:.15g}",
    "less_than": "{value} is too large; less than {lt:.15g}",
    "less_than_equal": "{value} is too large; at most {le:.15g}",
    "list_type": "{value} is no list, as in [a, b]",
    "tuple_type": "{value} is no list, as in [a, b]",
    "too_short": "{actual_length} values; at least {min_length} wanted",
    "too_long": "{actual_length} values; at most {max_length} wanted",
    "dict_type": "{value} is no list of names and values, as in {{a: b}}",
    "path_type": "{value} is no path",
    "date_type": "{value} is no day, as in 2016-05-17",
    "date_parsing": "{value} is no day, as in 2016-05-17",
    "date_from_datetime_parsing": "{value} is no day, as in 2016-05-17",
    "date_from_datetime_inexact": "{value} is no day, as in 2016-05-17",
}
"""What we say in place of pydantic's messages, by its types of errors."""


def shown(value: Any) -> str:
    """A value in one short line, as a user may have written it."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "nothing"}[value]
    if isinstance(value, Mapping):
        return "{...}" if value else "{}"
    if isinstance(value, list | tuple | set):
        return "[...]" if value else "[]"
    if isinstance(value, int) and value.bit_length() > 8 * SHOWN:  # Python refuses to write very long ones
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, float):
        return f"{value:.15g}"
    text = " ".join((repr(value) if isinstance(value, str) else str(value)).split())
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def nearest(name: object, known: Collection[str]) -> str | None:
    """The known name that is most like what was given, if any is."""
    from difflib import get_close_matches  # only where something is wrong

    folded = {entry.casefold().replace("-", "_"): entry for entry in reversed(list(known))}
    found = get_close_matches(str(name)[:100].casefold().replace("-", "_"), folded, n=1)
    return folded[found[0]] if found else None


def instead(name: object, known: Collection[str]) -> str:
    """What to write in place of ``name``: ``; steps?``, or all there is where nothing is like it."""
    near = nearest(name, known)
    if near is not None:
        return f"; {near}?"
    return f"; known are {', '.join(known)}" if 0 < len(known) <= LISTED else ""


def wrong_setting(error: ValidationError, kind: type[BaseModel], of: str = "") -> UsageError:
    """The first thing that is wrong with settings of a kind; of a misspelt name, not that it is missing.

    Args:
        of: what the message begins with: the file that the settings are from.
    """
    errors = sorted(error.errors(include_url=False), key=lambda found: found["type"] not in NO_SETTING)
    first = errors[0]
    names = tuple(part for part in first["loc"] if part != "[key]")
    return UsageError(_what(first, kind), ".".join(map(str, names)), of)


def _what(error: ErrorDetails, kind: type[BaseModel]) -> str:
    value, limits = error.get("input"), error.get("ctx", {})
    match error["type"]:
        case name if name in NO_SETTING:
            *inside, given = error["loc"]
            return f"no such setting{instead(given, _settings(kind, inside))}"
        case "value_error":
            return str(limits["error"])
        case "literal_error":
            allowed = _choices(kind, error["loc"])
            near = nearest(value, allowed) if isinstance(value, str) else None
            choices = str(limits["expected"]).replace("'", "")
            return f"{shown(value)} is not one of {choices}" + (f"; {near}?" if near else "")
        case "model_type" | "model_attributes_type" | "dataclass_type":
            known = ", ".join(_settings(kind, error["loc"]))
            return f"{shown(value)} is no list of names and values; known are {known}"
        case usual if usual in WORDED:
            return WORDED[usual].format(value=shown(value), **limits)
    return error["msg"]


def _settings(kind: type[BaseModel], place: Iterable[int | str]) -> list[str]:
    """The settings there are at a place in settings of a kind; none where that is no group of settings."""
    return [name for one in _groups(kind, place) for name in one.model_fields]


def _groups(kind: type[BaseModel], place: Iterable[int | str]) -> list[type[BaseModel]]:
    """The kinds of settings that a place in settings of a kind can have."""
    kinds = [kind]
    for part in place:
        if isinstance(part, str):  # a number is an entry of a list, of which all are of one kind
            fields = (one.model_fields[part] for one in kinds if part in one.model_fields)
            kinds = [inner for field in fields for inner in _kinds(field.annotation)]
    return kinds


def _kinds(annotation: Any) -> Iterator[type[BaseModel]]:
    """The models that an annotation speaks of, whatever they are inside of."""
    if hasattr(annotation, "model_fields"):
        yield annotation
    for part in typing.get_args(annotation):
        yield from _kinds(part)


def _choices(kind: type[BaseModel], place: Iterable[int | str]) -> list[str]:
    """The words that are allowed at a place, where it takes words of a list."""
    *inside, name = [part for part in place if isinstance(part, str)] or [""]
    fields = (one.model_fields[name] for one in _groups(kind, inside) if name in one.model_fields)
    return [word for field in fields for word in _words(field.annotation)]


def _words(annotation: Any) -> Iterator[str]:
    if typing.get_origin(annotation) is typing.Literal:
        yield from (str(word) for word in typing.get_args(annotation))
    else:
        for part in typing.get_args(annotation):
            yield from _words(part)
