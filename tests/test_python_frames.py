"""A trend of frames is that of the same layers in files; or it is said why there is none."""

from pathlib import Path
from typing import Any

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely

import uvsam
from uvsam.errors import LabelError, SettingsError


def layer(year: int, **more: Any) -> gpd.GeoDataFrame:
    x = np.arange(6) * 300.0 + 500_000
    boxes = shapely.box(x, 2_000_000, x + 100 + 5 * (year - 2012), 2_000_100)
    return gpd.GeoDataFrame({"acquired": [f"{year}-05-17"] * 6} | more, geometry=boxes, crs=32643)


def test_frames_of_any_make_give_the_trend_of_plain_ones() -> None:
    before, after = layer(2012), layer(2020)
    expected = uvsam.trends([before, after]).steps
    assert expected["gained_m2"].sum() == pytest.approx(6 * 40 * 100, rel=0.01)
    odd = after.assign(
        acquired=pd.to_datetime(after["acquired"]).dt.tz_localize("Asia/Kolkata"), tags=[["a"]] * 6, number=range(6)
    ).rename_geometry("shape")
    odd["other"] = odd.geometry.centroid
    odd = odd.set_index([odd.index, odd.index[::-1]]).set_geometry(shapely.force_3d(odd["shape"].to_numpy(), 7.0))
    odd = odd.set_crs(32643, allow_override=True)
    days = after.assign(acquired=[pd.Timestamp("2020-05-17").date()] * 6)
    series = after.geometry
    for given in (odd, days, after.assign(acquired=after["acquired"].astype("category"))):
        pd.testing.assert_frame_equal(uvsam.trends([before, given]).steps, expected)
    of_series = uvsam.trends([before.geometry, series], dates=["2012-05-17", "2020-05-17"]).steps
    pd.testing.assert_frame_equal(of_series, expected)


def test_one_layer_of_several_periods_may_stand_alone(tmp_path: Path) -> None:
    both = pd.concat([layer(2012, period=2012), layer(2020, period=2020)], ignore_index=True)
    both.to_file(tmp_path / "both.gpkg")
    expected = uvsam.trends([layer(2012), layer(2020)]).steps
    for given in (both, tmp_path / "both.gpkg", str(tmp_path / "both.gpkg")):
        pd.testing.assert_frame_equal(uvsam.trends(given).steps, expected)


def test_zones_in_memory_are_those_of_a_file(tmp_path: Path) -> None:
    zones = gpd.GeoDataFrame(
        {"name": ["west", "east"], "n": [1, 2]},
        geometry=shapely.box([499_000, 500_900], 1_999_000, [500_900, 503_000], 2_001_000),
        crs=32643,
    )  # fmt: skip
    zones.to_file(tmp_path / "zones.gpkg")
    layers = [layer(2012), layer(2020)]
    of_file, of_frame = (uvsam.trends(layers, zones=given).zones for given in (tmp_path / "zones.gpkg", zones))
    assert set(of_frame["zone"]) == {"west", "east"}
    pd.testing.assert_frame_equal(of_frame.drop(columns="geometry"), of_file.drop(columns="geometry"))


def test_layers_that_are_none_are_said_in_one_line() -> None:
    good = layer(2012)
    wrong: list[tuple[Any, dict[str, Any], type[Exception], str]] = [
        (None, {}, TypeError, "not None"), (5, {}, TypeError, "not 5"), ({2012: good}, {}, TypeError, "dict"),
        ([good, None], {}, TypeError, "number 2 is None"),
        ([good, pd.DataFrame({"a": [1]})], {}, TypeError, "number 2 is pandas.DataFrame"),
        ([good, gpd.GeoDataFrame({"a": [1]})], {}, LabelError, "layer 2 has no geometries"),
        ([good, layer(2020).drop(columns="acquired")], {}, LabelError, r"layer 2 .*dates="),
        ([good, layer(2020)], {"dates": "2012,2020"}, TypeError, "list"),
        ([good, layer(2020)], {"dates": ["then", 2020]}, SettingsError, "then"),
        ([good, layer(2020)], {"reference": layer(2020)}, TypeError, "reference should be a path"),
        ([good, layer(2020)], {"zones": 7}, TypeError, "zones"),
    ]  # fmt: skip
    for layers, more, error, message in wrong:
        with pytest.raises(error, match=message):
            uvsam.trends(layers, **more)
