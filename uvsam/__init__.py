"""Outlines of urban villages and informal settlements from satellite images."""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # `typing` takes milliseconds, in which Ctrl-C would show a traceback: see uvsam/cli/process.py
if TYPE_CHECKING:
    from typing import Any

    from uvsam.api import Model, Trend, load_model, predict, trends

__version__ = "0.1.0"
__all__ = ["Model", "Trend", "load_model", "predict", "trends"]


def __getattr__(name: str) -> Any:
    """What :mod:`uvsam.api` offers, imported when it is used, so that the command line starts fast."""
    if name not in __all__:
        raise AttributeError(f"module 'uvsam' has no attribute '{name}'")
    return getattr(import_module("uvsam.api"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
