"""Prompts for Segment Anything: where it looks (crops), and what it is asked there (boxes and rough masks)."""

from uvsam.prompts.regions import CELLS, FRAME_PX, MIN_CELLS, Parts, PromptRules, Prompts, find_parts, region_prompts

__all__ = ["CELLS", "FRAME_PX", "MIN_CELLS", "Parts", "PromptRules", "Prompts", "find_parts", "region_prompts"]
