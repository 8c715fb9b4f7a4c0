"""Probes of runs: hostile files, interruption, what lies where a result shall be, other users, training and Python."""

import http.client
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import psutil
import rasterio
import shapely
import yaml
from probe_commands import Command, image, layer, square, uvsam
from probe_files import Files, bomb, pipe, vrt

from uvsam.catalog import card_path

QUICK = ["--model", "uvsam-specialist"]
OUT = ["--out", "out.gpkg"]


class Trial(NamedTuple):
    """A probe of several commands; ``go`` returns what is wrong."""

    name: str
    go: Callable[[Path], list[str]]


# Hostile files


def wrapped(wrap: Callable[[Path, Path], str], make: Callable[[Files], Path] = bomb) -> Any:
    def command(folder: Path) -> list[str]:
        files = Files(folder, folder / "plain.tif")
        return ["predict", wrap(folder, make(files)), *OUT, *QUICK]

    return command


def inline(folder: Path, source: Path) -> str:
    """VRT text where a VRT names its source."""
    files = Files(folder, folder / "plain.tif")
    text = vrt(files, "inner.vrt", source).read_text().replace("<", "&lt;").replace(">", "&gt;")
    return str(vrt(files, "outer.vrt", text))


def in_vrt(folder: Path, name: str) -> str:
    return str(vrt(Files(folder, folder / "plain.tif"), "outer.vrt", name))


def in_index(folder: Path, source: Path) -> str:
    """A GDAL tile index."""
    layer(folder / "index.gti.gpkg", [shapely.box(270_000, 2_076_000, 300_000, 2_106_000)], location=[str(source)])
    return f"GTI:{folder / 'index.gti.gpkg'}"


WRAPS: dict[str, Callable[[Path, Path], str]] = {
    "inline VRT text": inline,
    "vrt://": lambda folder, path: f"vrt://{path}?bands=1,2,3",
    "a VRT of vrt://": lambda folder, path: in_vrt(folder, f"vrt://{path}?bands=1,2,3"),
    "/vsisubfile/": lambda folder, path: in_vrt(folder, f"/vsisubfile/0,{path}"),
    "GTIFF_DIR:": lambda folder, path: in_vrt(folder, f"GTIFF_DIR:1:{path}"),
    "a tile index": in_index,
}
HOSTILE = [
    *(Command(f"one block of 60000 x 60000 in {name}", wrapped(wrap), status=1) for name, wrap in WRAPS.items()),
    *(Command(f"a pipe in {name}", wrapped(wrap, pipe), status=1) for name, wrap in WRAPS.items()),
]


def with_aoi(make: Callable[[Path], Path]) -> Any:
    def command(folder: Path) -> list[str]:
        image(folder / "city.tif")
        return ["predict", "city.tif", *OUT, *QUICK, "--aoi", make(folder).name]

    return command


def vector_pipe(folder: Path) -> Path:
    os.mkfifo(folder / "aoi.geojson")
    return folder / "aoi.geojson"


def vector_vrt(folder: Path) -> Path:
    path = folder / "aoi.vrt"
    path.write_text(
        '<OGRVRTDataSource><OGRVRTLayer name="aoi"><SrcDataSource>/vsicurl/http://127.0.0.1:9/aoi.geojson'
        "</SrcDataSource></OGRVRTLayer></OGRVRTDataSource>"
    )
    return path


def not_numbers(folder: Path) -> Path:
    """A polygon of which a corner is at 1e400."""
    corners = "[1, 1], [1, 2], [2, 1e400], [1, 1]"
    path = folder / "aoi.geojson"
    path.write_text('{"type": "Polygon", "coordinates": [[' + corners + "]]}")
    return path


VECTORS = [
    Command("a pipe as --aoi", with_aoi(vector_pipe), status=1, word="pipe"),
    Command("an OGR VRT as --aoi", with_aoi(vector_vrt), status=1, word="aoi.vrt"),
    Command("coordinates that are no numbers as --aoi", with_aoi(not_numbers), status=1, word="aoi.geojson"),
]

# What lies where a result shall be


def journal_is(make: Callable[[Path], None]) -> Any:
    def command(folder: Path) -> list[str]:
        image(folder / "city.tif")
        make(folder)
        return ["predict", "city.tif", *OUT, *QUICK]

    return command


def precious(folder: Path) -> None:
    folder.mkdir()
    (folder / "thesis.txt").write_text("five years of work")


def linked(folder: Path) -> None:
    precious(folder / "home")
    (folder / "out.gpkg.uvsam").symlink_to("home")


def still_there(folder: Path, printed: str = "") -> list[str]:
    found = list(folder.rglob("thesis.txt"))
    return [] if found and found[0].read_text() == "five years of work" else ["the user's file is gone"]


PLACES = [
    Command("a link where the journal would be", journal_is(linked), status=4, check=still_there),
    Command("a folder where the journal would be", journal_is(lambda f: precious(f / "out.gpkg.uvsam")), status=4,
            check=still_there),
    Command("--out in a folder that is not there", lambda f: ["predict", image(f / "city.tif").name, "--out",
            "no/out.gpkg", *QUICK], status=4, word="no"),
    Command("a name of 300 letters", lambda f: ["predict", image(f / "city.tif").name, "--out", "n" * 300 + ".gpkg",
            *QUICK], status=4, word="too long a name"),
]  # fmt: skip

# Words


def training(text: str) -> Any:
    def command(folder: Path) -> list[str]:
        (folder / "my.yaml").write_text(text)
        return ["train", "specialist", "my.yaml"]

    return command


SOURCE = "name: mine\noutput: models\nsources:\n- name: city\n  images: city.tif\n  labels: labels.gpkg\n"
WORDS = [
    Command("stepz", training(SOURCE + "stepz: 5\n"), status=2, word="steps?"),
    Command("steps: many", training(SOURCE + "steps: many\n"), status=2, word="steps"),
    Command("a day that is none", training(SOURCE + "steps: 2020-02-30\n"), status=2),
    Command("steps: 1e400", training(SOURCE + "steps: 1e400\n"), status=2, word="steps"),
    Command("an image without a name", lambda f: ["predict", "", *OUT], status=2, word="is empty"),
    Command("a command that is none", lambda f: ["predct", "city.tif"], status=2, word="predict"),
    Command("a model that is none", lambda f: ["predict", image(f / "city.tif").name, *OUT, "--model", "uvsam-tny"],
            status=1, word="uvsam-tiny"),
]  # fmt: skip


def labelled(**columns: Any) -> Any:
    """A training of one step on polygons that lie elsewhere."""

    def command(folder: Path) -> list[str]:
        image(folder / "city.tif", size=512)
        layer(folder / "labels.gpkg", [square(900, 900)], **columns)
        (folder / "my.yaml").write_text(SOURCE + "steps: 1\n")
        return ["train", "specialist", "my.yaml"]

    return command


LABELS = [Command("labels elsewhere", labelled(), status=1, word="do not overlap")]

# Runs of several commands


def own_card(folder: Path, offset: float) -> Path:
    """The bundled specialist with another offset."""
    source = card_path("uvsam-specialist")
    fields = yaml.safe_load(source.read_text())
    fields["calibration"]["offset"] = offset
    (folder / "own.yaml").write_text(yaml.safe_dump(fields))
    weights = folder / fields["weights"]
    if not weights.exists():
        weights.symlink_to(source.with_name(fields["weights"]))
    return folder / "own.yaml"


def stopped(folder: Path, *words: str) -> bool:
    """A run that is killed when some of its tiles are done; whether it was before it ended."""
    process = subprocess.Popen(
        [sys.executable, "-m", "uvsam", *words], cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    while process.poll() is None:
        if sum(path.stat().st_size for path in folder.glob("out.gpkg.uvsam/tiles.*")) > 300_000:
            process.send_signal(signal.SIGKILL)
            process.wait()
            return True
        time.sleep(0.02)
    return False


def other_model(folder: Path) -> list[str]:
    """A card whose calibration changes while a run is stopped."""
    image(folder / "city.tif", size=3000)
    words = ["predict", "city.tif", *OUT, "--save-scores", "scores.tif", "--model", "own.yaml"]
    own_card(folder, 0.0)
    if not stopped(folder, *words):
        return ["the run could not be stopped"]
    own_card(folder, 3.0)
    uvsam(folder, *words)
    with rasterio.open(folder / "scores.tif") as dataset:
        resumed = dataset.read(1)
    uvsam(folder, *words, "--overwrite")
    with rasterio.open(folder / "scores.tif") as dataset:
        return [] if np.array_equal(resumed, dataset.read(1)) else ["scores of two models in one result"]


def other_users(folder: Path) -> list[str]:
    """What another user of this machine can do with a run that has workers."""
    image(folder / "city.tif", size=3000)
    process = subprocess.Popen(
        [sys.executable, "-m", "uvsam", "predict", "city.tif", *OUT, *QUICK, "--workers", "2"], cwd=folder,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    faults: dict[str, None] = {}
    try:
        asked: set[int] = set()
        while process.poll() is None and len(asked) < 4:
            family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
            ports = {
                place.laddr.port for one in family for place in one.net_connections("inet") if place.status == "LISTEN"
            }  # fmt: skip
            for port in ports - asked:
                asked.add(port)
                faults |= dict.fromkeys(answers(port))
            time.sleep(0.3)
        return [*faults] if asked else ["no port was found"]
    finally:
        process.terminate()
        process.wait()


def answers(port: int) -> list[str]:
    code = (
        "from distributed import Client\n"
        f"with Client('tcp://127.0.0.1:{port}', timeout=3) as client:\n    print(client.submit(sum, [40, 2]).result(5))"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    found = ["code of another user runs in the workers"] if "42" in ended.stdout else []
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=3)
    try:
        connection.request("GET", "/")
        connection.getresponse()
        found.append("a web server answers")
    except (OSError, http.client.HTTPException):
        pass
    finally:
        connection.close()
    return found


TRIALS = [Trial("a card changed while a run was stopped", other_model), Trial("workers and other users", other_users)]
RUNS = [*HOSTILE, *VECTORS, *PLACES, *WORDS, *LABELS]
