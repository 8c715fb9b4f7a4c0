"""Every error a user can meet. Each is also the built-in it resembles."""

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
