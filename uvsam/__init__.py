"""Outlines of urban villages and informal settlements from satellite images."""

__version__ = "0.1.0"
