"""Addresses without what only their owner may know: for all that is written or printed.

A query may hold a signature (``X-Amz-Signature``, a SAS token, ``?token=``), and what stands before the host a
password. Which queries are harmless cannot be told, so none is kept.
"""

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote

_END = r"""(?=[.,:;)\]}]*(?:[\s'"<>]|$))"""  # a sentence may go on behind an address
_ADDRESS = re.compile(
    r"""(?<![a-z0-9+.-])(?P<scheme>(?!vrt:|file:)[a-z][a-z0-9+.-]*://|(?:https?|ftps?|s3|gs|az|adls?|oss):/)(?P<user>[^\s/?#'"<>]*@)?"""
    rf"""(?P<place>[^\s?#'"<>]*)(?P<query>[?#][^\s'"<>]*?{_END})?""",
    re.IGNORECASE,
)
"""With one slash it is what a path makes of an address."""
_GDAL = re.compile(rf"""(?P<reader>/vsi[a-z0-9_]+)\?(?P<options>[^\s'"<>]*?){_END}""", re.IGNORECASE)
_PASSWORD = re.compile(r"[^/\[:]*:(?!\d*(?:[/:.,;)\]}\s]|$))")  # what is no port, before a password with ? or # in it


def without_secrets(text: str) -> str:
    """A text with every address in it cut to scheme, host and path.

    GDAL's ``/vsicurl?option=value&url=address`` becomes ``/vsicurl/address``. Paths of this machine stay as they are.
    """
    if ":/" not in text and "/vsi" not in text:
        return text
    return _ADDRESS.sub(_shown, _GDAL.sub(_plain, text))


def cleaned(value: Any) -> Any:
    """The same of all texts in a value of dicts, lists and tuples."""
    if isinstance(value, str):
        return without_secrets(value)
    if isinstance(value, Mapping):
        return {key: cleaned(part) for key, part in value.items()}
    if isinstance(value, list | tuple) and type(value) in (list, tuple):
        return type(value)(map(cleaned, value))
    return value


def _plain(found: re.Match[str]) -> str:
    options = found["options"].replace("&amp;", "&").split("&")
    named = next((unquote(option[4:]) for option in options if option.lower().startswith("url=")), None)
    return found["reader"] if named is None else f"{found['reader']}/{named}"


def _shown(found: re.Match[str]) -> str:
    hidden = not found["user"] and _PASSWORD.match(found["place"])
    return found["scheme"] + ("..." if hidden else found["place"])
