"""Probes of trends, samples, reviews and evaluations: layers as people have them. Villages are squares of 1 ha, so that
every right number can be computed by hand."""

import datetime
import json
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import geopandas as gpd
import shapely
from probe_commands import EAST, NORTH, Command, image, layer, near, of_json, seen, square, uvsam

HECTARE = 10_000.0
GROUND = shapely.box(EAST - 500, NORTH - 500, EAST + 3000, NORTH + 3000)
FIVE = [square(col, row) for col, row in ((0, 0), (2, 0), (4, 0), (0, 2), (2, 2))]
DAYS = datetime.date(2012, 5, 17), datetime.date(2016, 5, 17)
TREND = ("trends.gpkg",)
PAGE = ("trends.gpkg", "trends.html")


def ha(count: float) -> float:
    """Square metres of the ground of so many squares here."""
    left, bottom, right, top = shapely.box(EAST, NORTH, EAST + 100, NORTH + 100).bounds
    corners = gpd.GeoSeries([shapely.box(left, bottom, right, top)], crs="EPSG:32643").to_crs("EPSG:4326")
    area, _ = gpd.GeoSeries(corners).crs.get_geod().geometry_area_perimeter(corners.iloc[0])
    return count * abs(area)


def two(folder: Path, before: Sequence[Any], after: Sequence[Any], *, ground: bool = True) -> list[str]:
    for name, shapes in (("v_2012.gpkg", before), ("v_2016.gpkg", after)):
        layer(folder / name, list(shapes), layer_name="villages")
        if ground:
            seen(folder / name, GROUND)
    return ["trends", "v_2012.gpkg", "v_2016.gpkg", "--out", "trends.gpkg", "--json"]


def page(folder: Path, before: Sequence[Any], after: Sequence[Any], *, ground: bool = True) -> list[str]:
    return [*two(folder, before, after, ground=ground), "--report", "trends.html"]


def step(**right: float) -> Any:
    def check(folder: Path, printed: str) -> list[str]:
        (found,) = of_json(printed)["steps"]
        return [fault for name, value in right.items() for fault in near(name, found[f"{name}_m2"], ha(value), 20)]

    return check


def areas(*hectares: float, counts: Sequence[int] = (), dates: Sequence[str] = ()) -> Any:
    def check(folder: Path, printed: str) -> list[str]:
        periods = of_json(printed)["periods"]
        faults = [] if len(periods) == len(hectares) else [f"{len(periods)} periods"]
        for found, right in zip(periods, hectares, strict=False):
            faults += near(f"area of {found['date']}", found["area_m2"], ha(right), 20)
        faults += [f"{p['villages']} villages" for p, n in zip(periods, counts, strict=False) if p["villages"] != n]
        return faults + [f"date {p['date']}" for p, day in zip(periods, dates, strict=False) if p["date"] != day]

    return check


def dated(folder: Path, **column: Sequence[Any]) -> list[str]:
    """One file of two periods: three and two villages."""
    layer(folder / "series.gpkg", FIVE, **column)
    return ["trends", "series.gpkg", "--out", "trends.gpkg", "--json"]


def of_day(folder: Path, said: Any, name: str = "acquired") -> list[str]:
    layer(folder / "one.gpkg", FIVE, **{name: [said] * 5})
    layer(folder / "v_2020.gpkg", FIVE[:4])
    return ["trends", "one.gpkg", "v_2020.gpkg", "--out", "trends.gpkg", "--json"]


REPORTS = [
    Command("report: identical layers", lambda f: page(f, FIVE, FIVE), files=PAGE, check=step(gained=0, lost=0)),
    Command("report: nothing before", lambda f: page(f, [], FIVE), files=PAGE, check=step(gained=5, lost=0)),
    Command("report: nothing after", lambda f: page(f, FIVE, []), files=PAGE, check=step(gained=0, lost=5)),
    Command("report: nothing lost", lambda f: page(f, FIVE[:3], FIVE), files=PAGE, check=step(gained=2, lost=0)),
    Command("report: no coverage", lambda f: page(f, FIVE[:3], FIVE, ground=False), files=PAGE, check=step(gained=2)),
]

DATES = [
    Command("years as integers", lambda f: dated(f, period=[2012, 2012, 2012, 2016, 2016]), files=TREND,
            check=areas(3, 2, dates=["2012-07-01", "2016-07-01"])),
    Command("years as floats", lambda f: dated(f, period=[2012.0, 2012, 2012, 2016, 2016]), files=TREND,
            check=areas(3, 2, dates=["2012-07-01", "2016-07-01"])),
    Command("years as text", lambda f: dated(f, period=["2012"] * 3 + ["2016"] * 2), files=TREND,
            check=areas(3, 2, dates=["2012-07-01", "2016-07-01"])),
    Command("days as text", lambda f: dated(f, period=["2012-05-17"] * 3 + ["2016-05-17"] * 2), files=TREND,
            check=areas(3, 2, dates=["2012-05-17", "2016-05-17"])),
    Command("two days of one year", lambda f: dated(f, period=["2016-01-01"] * 3 + ["2016-07-01"] * 2), files=TREND,
            check=areas(3, 2, dates=["2016-01-01", "2016-07-01"])),
    Command("days as dates", lambda f: dated(f, period=[DAYS[0]] * 3 + [DAYS[1]] * 2),
            files=TREND, check=areas(3, 2, dates=["2012-05-17", "2016-05-17"])),
    Command("a text with a quote", lambda f: dated(f, period=["l'an 2012"] * 3 + ["l'an 2016"] * 2), files=TREND,
            check=areas(3, 2)),
    Command("rows without a period", lambda f: dated(f, period=["2012", "2012", None, "2016", "2016"]), files=TREND,
            word="period"),
    Command("20120517", lambda f: of_day(f, 20120517), files=TREND, check=areas(5, 4, dates=["2012-05-17"])),
    Command("'20120517'", lambda f: of_day(f, "20120517"), files=TREND, check=areas(5, 4, dates=["2012-05-17"])),
    Command("2012/05/17", lambda f: of_day(f, "2012/05/17"), files=TREND, check=areas(5, 4, dates=["2012-05-17"])),
    Command("17.05.2012", lambda f: of_day(f, "17.05.2012"), files=TREND, check=areas(5, 4, dates=["2012-05-17"])),
    Command("a time with a zone", lambda f: of_day(f, "2012-05-17T23:30:00-05:00"), files=TREND,
            check=areas(5, 4, dates=["2012-05-17"])),
    Command("a date that is none", lambda f: of_day(f, "soon"), status=1, word="soon"),
    Command("05/06/2012, May or June?", lambda f: of_day(f, "05/06/2012"), status=1, word="05/06/2012"),
    Command("--dates for a file of two periods",
            lambda f: [*dated(f, period=[2012] * 3 + [2016] * 2)[:2], layer(f / "v_2020.gpkg", FIVE).name, "--out",
                       "trends.gpkg", "--dates", "2012,2020"], status=1, word="period"),
]  # fmt: skip


def with_null(folder: Path) -> list[str]:
    layer(folder / "v_2012.gpkg", [*FIVE, None])
    layer(folder / "v_2016.gpkg", [*FIVE, shapely.Polygon()])
    return ["trends", "v_2012.gpkg", "v_2016.gpkg", "--out", "trends.gpkg", "--json"]


def with_line(folder: Path) -> list[str]:
    words = two(folder, FIVE, FIVE, ground=False)
    layer(
        folder / "v_2012.gpkg", [*FIVE, shapely.LineString([(EAST, NORTH), (EAST + 9, NORTH)])], layer_name="villages"
    )
    return words


def elsewhere(folder: Path) -> list[str]:
    return two(folder, FIVE, [square(col + 500, 900) for col in range(5)], ground=False)


def degrees_as_metres(folder: Path) -> list[str]:
    degrees = gpd.GeoSeries(FIVE, crs="EPSG:32643").to_crs("EPSG:4326")
    layer(folder / "v_2012.gpkg", list(degrees))
    layer(folder / "v_2016.gpkg", FIVE)
    return ["trends", "v_2012.gpkg", "v_2016.gpkg", "--out", "trends.gpkg"]


def swapped(folder: Path) -> list[str]:
    places = gpd.GeoSeries(FIVE, crs="EPSG:32643").to_crs("EPSG:4326")
    layer(folder / "v_2012.gpkg", list(places), crs="EPSG:4326")
    layer(folder / "v_2016.gpkg", [shapely.transform(one, lambda xy: xy[:, ::-1]) for one in places], crs="EPSG:4326")
    return ["trends", "v_2012.gpkg", "v_2016.gpkg", "--out", "trends.gpkg"]


def metres_in_geojson(folder: Path) -> list[str]:
    text = {"type": "FeatureCollection", "features": [
        {"type": "Feature", "properties": {}, "geometry": shapely.geometry.mapping(one)} for one in FIVE]}  # fmt: skip
    (folder / "v_2012.geojson").write_text(json.dumps(text))
    layer(folder / "v_2016.gpkg", FIVE)
    return ["trends", "v_2012.geojson", "v_2016.gpkg", "--out", "trends.gpkg"]


GEOMETRY = [
    Command("rows without geometry", with_null, files=TREND, check=areas(5, 5)),
    Command("a line among polygons", with_line, status=1, word="line"),
    Command("other places", elsewhere, status=1, word="ground"),
    Command("degrees that say metres", degrees_as_metres, status=1, word="degrees"),
    Command("swapped axes", swapped, status=1, word="swap"),
    Command("GeoJSON in metres", metres_in_geojson, status=1, word="degrees"),
    Command("a polygon twice", lambda f: two(f, [*FIVE, FIVE[0]], FIVE), files=TREND, word="over others",
            check=step(before=5, after=5, gained=0, lost=0)),
    Command("two that overlap by half",
            lambda f: two(f, [*FIVE, shapely.affinity.translate(FIVE[4], 50, 0)], FIVE), files=TREND,
            word="over others", check=step(before=5.5, after=5, lost=0.5)),
]  # fmt: skip


def zoned(folder: Path, zones: list[Any], suffix: str = ".gpkg", **columns: Any) -> list[str]:
    words = two(folder, FIVE, FIVE)
    layer(folder / f"zones{suffix}", zones, **columns)
    return [*words, "--zones", f"zones{suffix}"]


def of_zones(**right: tuple[float, int]) -> Any:
    def check(folder: Path, printed: str) -> list[str]:
        found = {row["zone"]: row for row in of_json(printed)["zones"]}
        faults = [f"zones {', '.join(found)}"] if set(found) != set(right) else []
        for name in set(found) & set(right):
            hectares, villages = right[name]
            faults += near(f"area of {name}", found[name]["area_m2"], ha(hectares), 20)
            faults += near(f"villages of {name}", found[name]["villages"], villages, 0)
        return faults

    return check


WEST, EASTERN = (shapely.box(EAST - 50, NORTH - 50, EAST + x, NORTH + 900) for x in (550, 950))
FAR = shapely.box(EAST + 9e4, NORTH, EAST + 9.1e4, NORTH + 1000)

ZONES = [
    Command("zones that overlap", lambda f: zoned(f, [WEST, EASTERN], name=["west", "all"]), files=TREND,
            check=of_zones(west=(4, 4), all=(5, 5))),
    Command("a zone without a name", lambda f: zoned(f, [WEST, EASTERN], name=["west", None]), files=TREND,
            check=of_zones(**{"west": (4, 4), "zone 2": (5, 5)})),
    Command("column NAME", lambda f: zoned(f, [WEST], NAME=["Dharavi"]), files=TREND, check=of_zones(Dharavi=(4, 4))),
    Command("names in KML", lambda f: zoned(f, [gpd.GeoSeries([WEST], crs="EPSG:32643").to_crs("EPSG:4326")[0]], ".kml",
            crs="EPSG:4326", Name=["Dharavi"]), files=TREND, check=of_zones(Dharavi=(4, 4))),
    Command("zones elsewhere", lambda f: zoned(f, [FAR], name=["far"]), status=1, word="zone"),
]  # fmt: skip


def cells(folder: Path, printed: str) -> list[str]:
    found = gpd.read_file(folder / "trends.gpkg", layer="hot_spots")
    column = next(name for name in found if name.startswith("area"))
    return near("villages in all cells, m2", float(found[column].sum()), ha(5), 30)


def stray(folder: Path) -> list[str]:
    return two(folder, [*FIVE, square(1800, 0)], [*FIVE, square(1800, 0)], ground=False)


PLACES = [
    Command("a stray village 360 km away", stray, files=TREND, check=areas(6, 6)),
]


def drawn(folder: Path) -> None:
    two(folder, FIVE, [*FIVE[:4], shapely.box(*FIVE[4].bounds).buffer(30, join_style="mitre")])
    ended = uvsam(folder, "sample", "v_2012.gpkg", "v_2016.gpkg", "--out", "sample.gpkg", "--places", "200")
    if ended.returncode:
        raise SystemExit(f"sample fails: {ended.stderr}")


def fill(folder: Path) -> None:
    """Says of each place what the map says."""
    with sqlite3.connect(folder / "sample.gpkg") as base:
        for name in [row[0] for row in base.execute("select name from sqlite_master where type = 'trigger'")]:
            base.execute(f'drop trigger "{name}"')
        base.execute("update sample set truth = (select stratum from drawn where drawn.place_id = sample.place_id)")


def referenced(folder: Path) -> list[str]:
    drawn(folder)
    fill(folder)
    return ["trends", "v_2012.gpkg", "v_2016.gpkg", "--out", "trends.gpkg", "--reference", "sample.gpkg", "--json"]


def corrected(folder: Path, printed: str) -> list[str]:
    rows = {row["of"].partition(",")[0]: row["area_m2"] for row in of_json(printed)["corrected"]}
    gained = ha(((160 * 160) - HECTARE) / HECTARE)
    return near("corrected gain", rows.get("gained"), gained, 60) + near("corrected loss", rows.get("lost"), 0, 60)


def drawn_again(folder: Path) -> list[str]:
    drawn(folder)
    fill(folder)
    return ["sample", "v_2012.gpkg", "v_2016.gpkg", "--out", "sample.gpkg", "--places", "200", "--overwrite"]


def keeps_answers(folder: Path, printed: str = "") -> list[str]:
    given = gpd.read_file(folder / "sample.gpkg", layer="sample")["truth"]
    return [] if given.fillna("").ne("").sum() >= 200 else ["answers are lost"]


def moved_east(folder: Path) -> list[str]:
    where = [(0, 0), (2, 1), (4, 0), (0, 2), (2, 3), (5, 2), (7, 0), (7, 3), (9, 1), (9, 4)]
    base = [square(col, row) for col, row in where]
    later = [shapely.affinity.translate(one, 6, 0) for one in base]
    for name, shapes in (("a_2012", base), ("b_2016", later), ("c_2020", later[:2])):
        layer(folder / f"{name}.gpkg", shapes)
    return ["trends", "a_2012.gpkg", "b_2016.gpkg", "c_2020.gpkg", "--out", "trends.gpkg", "--json"]


def no_gain(folder: Path, printed: str) -> list[str]:
    last = of_json(printed)["steps"][-1]
    return near("gained", last["gained_m2"], 0, 5) + near("lost", last["lost_m2"], ha(8), 40)


WORK = [
    Command("a sample that was filled in", referenced, files=TREND, check=corrected),
    Command("--overwrite of a filled-in sample", drawn_again, status=0, check=keeps_answers),
    Command("shifted layers, the last of few villages", moved_east, files=TREND, check=no_gain),
]


def text_ids(folder: Path) -> list[str]:
    words = two(folder, FIVE, FIVE, ground=False)
    layer(folder / "v_2012.gpkg", FIVE, layer_name="villages", village_id=[f"A-{k}" for k in range(5)],
          confidence=["0.8"] * 5)  # fmt: skip
    return words


def in_place(command: str) -> Any:
    def make(folder: Path) -> list[str]:
        two(folder, FIVE, FIVE)
        return [command, "v_2012.gpkg", "v_2016.gpkg", "--out", "./v_2016.gpkg", "--overwrite"]

    return make


def still_villages(folder: Path, printed: str = "") -> list[str]:
    return [] if len(gpd.read_file(folder / "v_2016.gpkg", layer="villages")) == 5 else ["the input is gone"]


def merged_truth(folder: Path) -> list[str]:
    layer(folder / "series.gpkg", FIVE, period=[2012] * 3 + [2016] * 2)
    layer(folder / "truth.gpkg", FIVE[:3])
    return ["evaluate", "series.gpkg", "truth.gpkg", "--json"]


def metres_as_aoi(folder: Path) -> list[str]:
    metres_in_geojson(folder)
    image(folder / "city.tif")
    return ["predict", "city.tif", "--out", "out.gpkg", "--aoi", "v_2012.geojson", "--model", "uvsam-specialist"]


def geoparquet(folder: Path) -> list[str]:
    layer(folder / "v_2012.geoparquet", FIVE)
    layer(folder / "v_2016.shp", FIVE)
    return ["trends", "v_2012.geoparquet", "v_2016.shp", "--out", "trends.gpkg", "--json"]


FILES = [
    Command("ids and confidences as text", text_ids, files=TREND, check=areas(5, 5)),
    Command("trends into its input", in_place("trends"), status=4, word="input", check=still_villages),
    Command("sample into its input", in_place("sample"), status=4, word="input", check=still_villages),
    Command("evaluate two periods as one", merged_truth, status=1, word="period"),
    Command("GeoJSON in metres as --aoi", metres_as_aoi, status=1, word="longitude"),
    Command(".geoparquet and Shapefile", geoparquet, files=TREND, check=areas(5, 5)),
]

LAYERS = [*REPORTS, *DATES, *GEOMETRY, *ZONES, *PLACES, *WORK, *FILES]
