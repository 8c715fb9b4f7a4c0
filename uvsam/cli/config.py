"""``--config FILE``: options of a command from a YAML file, as if they had been typed."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from uvsam.documents import DocumentError, read_yaml
from uvsam.wording import instead, shown


class ConfigError(click.ClickException):
    """A file of options that cannot be used: one line, and the status of wrong usage."""

    exit_code = 2


def read_config(path: str, params: Iterable[click.Parameter]) -> dict[str, Any]:
    """Defaults for click's parameters from a file with the names of options, with ``-`` or ``_``.

    Values mean what they mean on the command line: relative paths are relative to the current folder, and a list may
    also be written as YAML has lists.

    Raises:
        ConfigError: the file cannot be read, or names what is no option.
    """
    options = {_key(name): option for option in params if isinstance(option, click.Option) for name in option.opts}
    for never in ("config", "help", "version"):
        options.pop(never, None)
    found: dict[str, Any] = {}
    for name, value in _read(path).items():
        option = options.get(_key(str(name)))
        if option is None:
            known = sorted(key.replace("_", "-") for key in options if len(key) > 1)
            raise ConfigError(f"{path}: {shown(name)} is no option{instead(name, known)}")
        assert option.name is not None
        if option.name in found:
            raise ConfigError(f"{path}: '{name}' stands there twice")
        if value is not None:
            found[option.name] = _as_typed(path, str(name), value, option)
    return found


def _key(name: str) -> str:
    return name.lstrip("-").replace("-", "_")


def _read(path: str) -> dict[Any, Any]:
    try:
        given = read_yaml(Path(path))
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror}") from error
    except DocumentError as error:
        raise ConfigError(str(error)) from error
    if given is None:
        return {}
    if not isinstance(given, dict):
        raise ConfigError(f"{path} must have one option a line, as in 'min-area: 5000'")
    return given


def _as_typed(path: str, name: str, value: Any, option: click.Option) -> Any:
    """A value of the file as the words that the command line would have."""
    parts = value if isinstance(value, list) else [value]
    if any(isinstance(part, dict | list) for part in parts):
        raise ConfigError(f"{path}: '{name}' needs a value or a list of values")
    if option.is_flag and isinstance(value, bool):
        return value
    words = [_word(path, name, part) for part in parts]
    return words if option.multiple else ",".join(words)


def _word(path: str, name: str, value: Any) -> str:
    """A value as it would be typed."""
    try:
        word = str(value)
    except ValueError:  # Python refuses to write numbers of thousands of digits
        word = "\0"
    if value is None or "\0" in word:
        raise ConfigError(f"{path}: '{name}' cannot be {shown(value)}")
    return word
