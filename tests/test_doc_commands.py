"""The commands of each page are run, from top to bottom, in a folder that has files of the names they use."""

import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import takewhile
from pathlib import Path

import geopandas as gpd
import numpy as np
import pytest
import rasterio.shutil
import shapely
from rasterio.enums import ColorInterp
from rasterio.features import rasterize
from rasterio.windows import Window

from tests.pages import BLOCK, DOCS, FOR_USERS, find_command, name_of, write_yaml
from uvsam.cli.main import run
from uvsam.simulate import simulate_city

TYPED = re.compile(r"^ {4}(uvsam .*)$", re.MULTILINE)
MADE_ELSEWHERE = {DOCS / "index.md"}
"""Its first map is made in ``test_docs.py``."""
WITH_COMMANDS = [page for page in FOR_USERS if TYPED.search(page.read_text("utf-8")) and page not in MADE_ELSEWHERE]
QUICK = ["--model", "uvsam-specialist", "--quiet", "--overwrite"]


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a reader has: images of a small city, maps of three years, the truth, a district, labels as pixels."""
    desk = tmp_path_factory.mktemp("desk")
    simulate_city(desk / "made", size_m=400, gsd_m=0.9, periods=(2012, 2016, 2020), seed=7)
    with contextlib.chdir(desk):
        for year in (2012, 2016, 2020):
            assert run(["predict", f"made/city_{year}.tif", "--out", f"{year}.gpkg", *QUICK]) == 0
        truth = gpd.read_file("made/truth.gpkg", layer="villages")
        truth[truth["period"] == 2020].to_file("truth.gpkg", layer="villages")
        shutil.copy("2020.gpkg", "villages.gpkg")
        for folder in ("tiles", "images", "shared", "villages"):
            Path(folder).mkdir()
        with rasterio.open("made/city_2020.tif") as image:
            pixels, profile, tags, bounds = image.read(), image.profile, image.tags(), image.bounds
            for name, start, width in (("west", 0, 200), ("east", 200, image.width - 200)):
                place = Window(start, 0, width, image.height)
                own = profile | {"width": width, "transform": image.window_transform(place)}
                with rasterio.open(f"tiles/{name}.tif", "w", **own) as tile:
                    tile.write(image.read(window=place))
                    tile.update_tags(**tags)
        with rasterio.open("city.tif", "w", **(profile | {"count": 4})) as four:  # coast, blue, green, red
            four.write(pixels[[2, 2, 1, 0]])
            four.colorinterp = [ColorInterp.undefined, ColorInterp.blue, ColorInterp.green, ColorInterp.red]
            four.update_tags(**tags)
        shutil.copy("made/city_2020.tif", "images/north.tif")
        shutil.make_archive("delivery", "zip", "tiles")
        rasterio.shutil.copy("made/city_2020.tif", "cube.nc", driver="netCDF")
        shape, transform, crs = profile["height"], profile["transform"], profile["crs"]
        drawn = rasterize(truth[truth["period"] == 2020].geometry, (shape, profile["width"]), transform=transform)
        labels = np.where(drawn, 6, 0).astype(np.uint8)
        labels[:5] = 255
        with rasterio.open("labels.tif", "w", **(profile | {"count": 1, "nodata": None})) as dataset:
            dataset.write(labels, 1)
        half = shapely.box(bounds.left, bounds.bottom, (bounds.left + bounds.right) / 2, bounds.top)
        gpd.GeoDataFrame(geometry=[half], crs=crs).to_file("district.gpkg")
        items = [item(name) for name in ("west", "east")]
        Path("item.json").write_text(json.dumps(items[0]))
        Path("items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
        Path("images.txt").write_text("city.tif\n")
    return desk


def item(name: str) -> dict[str, object]:
    """The STAC item of a tile."""
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": name, "properties": {"datetime": "2020-06-01T00:00:00Z"},
        "geometry": None, "links": [],
        "assets": {"visual": {"href": f"tiles/{name}.tif", "type": "image/tiff; application=geotiff"}},
    }  # fmt: skip


def give_verdicts(folder: Path) -> None:
    rows = gpd.read_file(folder / "review.gpkg", layer="corrections")
    rows.assign(verdict="correct").to_file(folder / "review.gpkg", layer="corrections")


def fill_in(folder: Path) -> None:
    rows = gpd.read_file(folder / "sample.gpkg", layer="sample")
    rows["truth"] = np.where(rows["place_id"] % 2, "other", "kept")
    rows.to_file(folder / "sample.gpkg", layer="sample")


BY_HAND: dict[str, Callable[[Path], None]] = {"review": give_verdicts, "sample": fill_in}
"""What the reader does after a command, before the next one."""


def words_of(line: str, replaced: dict[str, str]) -> list[str]:
    """What a shell makes of a line, without where its output goes; what was made before is replaced."""
    words = takewhile(lambda word: word not in {">", ">>", "|"}, shlex.split(line, comments=True))
    found = [name for word in words for name in (sorted(map(str, Path().glob(word))) if "*" in word else [word])]
    given = [replaced.get(word, word) for word in found[1:]]
    command, _ = find_command(list(given))
    options = {name for parameter in command.params for name in parameter.opts}
    given += ["--overwrite"] if "--overwrite" in options and "--overwrite" not in given else []
    return given + (["--steps", "1"] if given[0] == "train" else [])  # the way is shown, not the result


@pytest.fixture(scope="module")
def scheduler() -> Iterator[str]:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        yield cluster.scheduler_address


@pytest.mark.parametrize("page", WITH_COMMANDS, ids=name_of)
def test_commands_of_a_page_run_from_top_to_bottom(
    page: Path, desk: Path, tmp_path: Path, server: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    shutil.copytree(desk, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    for source in (DOCS / "command_line.md", page):
        write_yaml(source, tmp_path)
    text = page.read_text(encoding="utf-8")
    replaced = {"8": "2"}  # processes
    if "tcp://host:8786" in text:
        replaced["tcp://host:8786"] = request.getfixturevalue("scheduler")
    address = "https://example.com/collections/aerial/items/tile-7"
    if address in text:
        replaced[address] = f"{server}/item.json"
    for line in TYPED.findall(text):
        words = words_of(line, replaced)
        if address in line:  # GDAL would keep a server in its own process from answering
            status = subprocess.run([sys.executable, "-m", "uvsam", *words], check=False).returncode
        else:
            status = run(words)
        assert status == 0, f"{line} (as {shlex.join(words)})"
        if words[0] in BY_HAND:
            BY_HAND[words[0]](tmp_path)


def test_no_block_of_commands_is_overlooked() -> None:
    """Commands stand in blocks of four spaces; in another form they would not be run."""
    anywhere = re.compile(r"^[ $>\t]*(uvsam [a-z]+ .*[.](?:tif|gpkg|json|yaml)\b.*)$", re.MULTILINE)
    for page in FOR_USERS:
        text = page.read_text(encoding="utf-8")
        assert set(anywhere.findall(BLOCK.sub("", text))) <= set(TYPED.findall(text))
    assert {"README.md", "docs/cluster.md", "docs/correcting.md"} <= set(map(name_of, WITH_COMMANDS))


def test_the_job_of_an_array_runs(desk: Path, tmp_path: Path) -> None:
    (job,) = [code for language, code in BLOCK.findall((DOCS / "cluster.md").read_text("utf-8")) if language == "sh"]
    shutil.copytree(desk, tmp_path, dirs_exist_ok=True)
    write_yaml(DOCS / "command_line.md", tmp_path)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(
        ["sh", "-c", job], cwd=tmp_path, check=True, env={**os.environ, "PATH": path, "SLURM_ARRAY_TASK_ID": "0"}
    )
    assert json.loads((tmp_path / "villages" / "city.json").read_text())["villages"] >= 1
