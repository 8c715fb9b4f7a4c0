"""What happened to villages, checked against their outlines."""

from itertools import combinations, pairwise

import geopandas as gpd
import numpy as np
import pandas as pd
import pytest
import shapely
from affine import Affine
from odc.geo.geobox import GeoBox

from uvsam.simulate import Frame, build_city
from uvsam.simulate.city import truth_frames

FRAME = Frame(2.0, 1000)


@pytest.fixture(scope="module")
def truth() -> tuple[gpd.GeoDataFrame, pd.DataFrame]:
    city = build_city(2000.0, (2010, 2013, 2016, 2019), 4)
    geobox = GeoBox(FRAME.full.shape, Affine(2.0, 0, 440000, 0, -2.0, 4420000), "EPSG:32650")
    return truth_frames(city, FRAME, geobox)


def test_every_event_happens(truth: tuple[gpd.GeoDataFrame, pd.DataFrame]) -> None:
    expected = {"first", "stable", "grown", "shrunk", "split", "merged", "new", "demolished"}
    assert set(truth[1]["event"]) == expected


def test_villages_are_valid_apart_and_of_a_real_size(truth: tuple[gpd.GeoDataFrame, pd.DataFrame]) -> None:
    villages, _ = truth
    assert villages.geometry.is_valid.all()
    assert villages["area_m2"].between(2500, 400_000).all()
    np.testing.assert_allclose(villages["area_m2"], villages.geometry.area)
    assert villages.duplicated(["period", "village_id"]).sum() == 0
    for _, period in villages.groupby("period"):
        shapes = period.geometry.to_numpy()
        pairs = shapely.STRtree(shapes).query(shapes, predicate="intersects").T
        assert all(shapely.intersection(shapes[a], shapes[b]).area == 0 for a, b in pairs if a < b)


def test_events_agree_with_the_outlines(truth: tuple[gpd.GeoDataFrame, pd.DataFrame]) -> None:
    villages, _ = truth
    years = sorted(villages["period"].unique())
    for before_year, year in pairwise(years):
        before = villages[villages["period"] == before_year].set_index("village_id").geometry
        for row in villages[villages["period"] == year].itertuples():
            previous = [int(word) for word in row.previous_ids.split(",") if word]
            overlapping = {i for i, shape in before.items() if shape.intersection(row.geometry).area > 0}
            assert overlapping == set(previous), (year, row.village_id, row.event)
            if row.event == "stable":
                assert row.geometry.equals(before[row.village_id])
            elif row.event == "grown":
                assert row.area_m2 > 1.05 * before[row.village_id].area
                assert row.geometry.covers(before[row.village_id])
            elif row.event == "shrunk":
                assert row.area_m2 < 0.95 * before[row.village_id].area
                assert before[row.village_id].covers(row.geometry)
            elif row.event == "split":
                assert len(previous) == 1
                assert before[previous[0]].covers(row.geometry)
            elif row.event == "merged":
                assert len(previous) == 2
                assert row.geometry.covers(shapely.union_all([before[i] for i in previous]))
            else:
                assert row.event == "new"
                assert not previous


def test_the_table_of_events_tells_where_every_village_went(truth: tuple[gpd.GeoDataFrame, pd.DataFrame]) -> None:
    villages, events = truth
    years = sorted(villages["period"].unique())
    standing = {year: set(villages.loc[villages["period"] == year, "village_id"]) for year in years}
    for before_year, year in pairwise(years):
        now = events[events["period"] == year]
        assert set(now["village_id"]) >= standing[before_year] | standing[year]
        gone = now[~now["village_id"].isin(standing[year])]
        assert set(gone["village_id"]) == standing[before_year] - standing[year]
        assert set(gone["event"]) <= {"demolished", "merged"}
        for row in gone[gone["event"] == "merged"].itertuples():
            assert int(row.related_ids) in standing[year]
    first = events[events["period"] == years[0]]
    assert set(first["village_id"]) == standing[years[0]]
    assert set(first["event"]) == {"first"}


@pytest.mark.parametrize("seed", [1, 7])
def test_the_larger_part_keeps_the_id(seed: int) -> None:
    frame = Frame(5.0, 600)
    geobox = GeoBox(frame.full.shape, Affine(5.0, 0, 440000, 0, -5.0, 4420000), "EPSG:32650")
    villages, events = truth_frames(build_city(3000.0, (2012, 2016, 2020, 2024), seed), frame, geobox)
    area = villages.set_index(["period", "village_id"]).geometry.area
    split = events[events["event"] == "split"]
    begun = split[split["village_id"].astype(str) != split["related_ids"]]
    assert len(begun)
    for row in begun.itertuples():
        assert area[row.period, int(row.related_ids)] > area[row.period, row.village_id]
    for row in events[(events["event"] == "merged") & ~events["related_ids"].str.contains(",")].itertuples():
        before = area.xs(villages["period"][villages["period"] < row.period].max(), level="period")
        assert before[int(row.related_ids)] > before[row.village_id]


def test_a_demolished_village_does_not_come_back_under_its_id(truth: tuple[gpd.GeoDataFrame, pd.DataFrame]) -> None:
    villages, events = truth
    for row in events[events["event"] == "demolished"].itertuples():
        later = villages[(villages["village_id"] == row.village_id) & (villages["period"] >= row.period)]
        assert later.empty


def test_cities_of_many_seeds_have_villages_that_keep_their_distance() -> None:
    for seed in range(3):
        city = build_city(800.0, (2015, 2018), seed)
        assert city.sites
        for a, b in combinations(city.sites, 2):
            assert shapely.box(*a.box).intersection(shapely.box(*b.box)).area < 0.4 * shapely.box(*a.box).area
