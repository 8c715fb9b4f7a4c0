"""Do the histories of villages come out as they were? Simulated cities, whose histories are known.

    python benchmarks/lineage.py --seeds 100

The true outlines of four periods are made as wrong as outlines of careful people are: every village is moved by up to
3 m, its border is cut into pieces of 3 m whose ends are moved by 1 m (standard deviation), and each period as a whole
lies up to 5 m beside the others. Then `uvsam.workflows.following.follow` tells what happened, and every event of every
village is compared with what did. So is the change of the city's area from the first to the last period, and the 95 %
interval that the tables of `uvsam trends` state for each step and for the whole.
"""

import argparse
import json
import tempfile
from collections import Counter
from itertools import pairwise
from pathlib import Path

import geopandas as gpd
import numpy as np
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from uvsam.simulate.city import DEFAULT_CRS, ORIGIN, truth_frames
from uvsam.simulate.frame import Frame
from uvsam.simulate.render import build_city
from uvsam.vectors.periods import find_periods
from uvsam.workflows.following import Followed, follow
from uvsam.workflows.trend_layers import TrendLayers, TrendSettings

YEARS = (2012, 2016, 2020, 2024)
SIZE_M, GSD_M = 3000.0, 1.0
JITTER_M, RAGGED_M, PIECE_M, SHIFT_M = 3.0, 1.0, 3.0, 5.0


def worsened(outline: shapely.Geometry, rng: np.random.Generator) -> shapely.Geometry:
    """Moved by up to 3 m, its border ragged."""
    angle, way = rng.uniform(0, 2 * np.pi), JITTER_M * np.sqrt(rng.uniform())
    by = way * np.array([np.cos(angle), np.sin(angle)])
    parts = []
    for part in shapely.get_parts(outline):
        rings = [
            shapely.get_exterior_ring(part),
            *(shapely.get_interior_ring(part, k) for k in range(shapely.get_num_interior_rings(part))),
        ]
        moved = []
        for ring in rings:
            xy = shapely.get_coordinates(shapely.segmentize(shapely.simplify(ring, 0.8), PIECE_M))[:-1]
            moved.append(xy + by + rng.normal(0, RAGGED_M, xy.shape))
        parts.append(shapely.Polygon(moved[0], moved[1:]))
    return shapely.make_valid(shapely.union_all([shapely.buffer(part, 0) for part in parts]))


def truth_of(seed: int) -> tuple[gpd.GeoDataFrame, "gpd.pd.DataFrame"]:
    frame = Frame(GSD_M, round(SIZE_M / GSD_M))
    geobox = GeoBox(frame.full.shape, Affine(GSD_M, 0, ORIGIN[0], 0, -GSD_M, ORIGIN[1]), DEFAULT_CRS)
    return truth_frames(build_city(SIZE_M, YEARS, seed), frame, geobox)


def given(truth: gpd.GeoDataFrame, path: Path, rng: np.random.Generator) -> None:
    """The truth as somebody may have drawn it."""
    outlines = np.array([worsened(outline, rng) for outline in truth.geometry])
    for period in YEARS:
        own = (truth["period"] == period).to_numpy()
        by = rng.uniform(-SHIFT_M, SHIFT_M, 2)
        outlines[own] = shapely.transform(outlines[own], lambda xy, by=by: xy + by)
    drawn = truth[["period", "acquired", "village_id"]].set_geometry(gpd.GeoSeries(outlines, crs=truth.crs))
    drawn.to_file(path, layer="villages")


def compare_events(truth: gpd.GeoDataFrame, followed: Followed) -> tuple[int, Counter[tuple[str, str]]]:
    """How many events are right, and which were taken for which."""
    wrong: Counter[tuple[str, str]] = Counter()
    right = 0
    by_history: dict[int, int] = {}
    last: set[int] = set()
    for k, (year, period) in enumerate(zip(YEARS, followed.periods, strict=True)):
        told = period.store.table()["village_id"].astype(int)
        events = dict(zip(told, followed.histories.events[k], strict=True))
        ids = dict(zip(told, followed.histories.ids[k], strict=True))
        own = truth[truth["period"] == year]
        # by the rules a merger ends a history; the truth calls what splits off again by the number that it had before
        by_history = {village: history for village, history in by_history.items() if village in last}
        last = set(own["village_id"])
        for village, event in zip(own["village_id"], own["event"], strict=True):
            said = str(events[village])
            lasts = by_history.setdefault(village, ids[village]) == ids[village]
            if k and said == event and lasts:
                right += 1
            elif k:
                wrong[(event, said if lasts else f"{said}, other history")] += 1
    return right, wrong


def intervals(truth: gpd.GeoDataFrame, followed: Followed) -> dict[str, bool]:
    """Whether the true change of the city's area lies in the interval: of each step, and from the first to the last."""
    tables = TrendLayers(followed, TrendSettings(), truth.crs).tables(gpd.pd.DataFrame())
    area = truth.geometry.area.groupby(truth["period"]).sum().reindex(YEARS, fill_value=0.0).to_numpy()
    told = tables.steps["after_m2"] - tables.steps["before_m2"]
    inside = {
        f"{before} to {after}": bool(abs(told[k] - (area[k + 1] - area[k])) <= tables.steps["change_half_m2"][k])
        for k, (before, after) in enumerate(pairwise(YEARS))
    }
    periods = tables.periods
    half = np.hypot(periods["area_half_m2"].iloc[0], periods["area_half_m2"].iloc[-1])
    whole = periods["area_m2"].iloc[-1] - periods["area_m2"].iloc[0]
    return inside | {"whole": bool(abs(whole - (area[-1] - area[0])) <= half)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/lineage.json"))
    options = parser.parse_args()
    right, wrong = 0, Counter()
    inside: Counter[str] = Counter()
    for seed in range(options.seeds):
        truth, _ = truth_of(seed)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "drawn.gpkg"
            given(truth, path, np.random.default_rng(seed))
            followed = follow(find_periods([path]), Path(folder) / "followed")
            found = compare_events(truth, followed)
            inside.update(name for name, holds in intervals(truth, followed).items() if holds)
        right, wrong = right + found[0], wrong + found[1]
        print(
            f"{seed}: {right} of {right + wrong.total()} ({right / (right + wrong.total()):.4f}) {dict(inside)}",
            flush=True,
        )
        worst = {" taken for ".join(pair): count for pair, count in wrong.most_common()}
        result = {"seeds": seed + 1, "villages": right + wrong.total(), "right": right, "wrong": worst}
        result["change of the area inside its 95 % interval, seeds"] = dict(inside)
        options.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
