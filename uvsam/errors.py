"""Every error a user can meet. Each is also the built-in it resembles."""

from typing import Any

from uvsam.addresses import without_secrets


class UvsamError(Exception):
    """Base of all errors the command line reports in one line; addresses in it are told without their secrets."""

    def __str__(self) -> str:
        return without_secrets(super().__str__())


class SceneError(UvsamError, OSError):
    """An image cannot be opened or read."""


class GeoreferencingError(SceneError):
    """An image has no usable position on the ground, or a resolution that does not fit."""


class SettingsError(UvsamError, ValueError):
    """A setting has an impossible value, or two settings contradict each other."""


class UsageError(SettingsError):
    """A setting that does not exist, a value that it cannot have, or a file that holds no settings.

    Attributes:
        what: what is wrong with it.
        setting: its name; empty where it is none of one setting.
        of: the file that it is from, if it is from one.
    """

    def __init__(self, what: str, setting: str = "", of: str = "") -> None:
        super().__init__(": ".join(part for part in (of, setting, what) if part))
        self.what, self.setting, self.of = what, setting, of

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.what, self.setting, self.of)


class CatalogError(UvsamError, LookupError):
    """A model or data set card is missing, malformed, or does not match its file."""


class LabelError(UvsamError, ValueError):
    """Labels or vector inputs cannot be used: no features, wrong CRS, no overlap."""


class IncompleteError(SceneError):
    """Parts of an image could not be read or computed; what was found elsewhere is kept."""


class WorkerError(UvsamError, RuntimeError):
    """Workers of a run died or can no longer be reached."""


class OutputError(UvsamError, OSError):
    """A result cannot be written: it exists, the folder is missing, the disk is full."""
