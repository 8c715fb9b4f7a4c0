"""A synthetic city with exact truth, any size, several dates."""

from uvsam.simulate.city import simulate_city
from uvsam.simulate.frame import Frame
from uvsam.simulate.render import City, build_city, draw_window
from uvsam.simulate.truth import truth_mask, truth_polygons

__all__ = ["City", "Frame", "build_city", "draw_window", "simulate_city", "truth_mask", "truth_polygons"]
