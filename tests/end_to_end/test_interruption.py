"""Runs that are stopped, and go on; parts that cannot be read; and where a run computes: the result is the same."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import geopandas as gpd
import pandas as pd
import pytest
import rasterio

from uvsam.cli.main import run
from uvsam.engine.journal import Journal, Log
from uvsam.errors import CatalogError
from uvsam.settings import PredictSettings
from uvsam.tiles import Tile
from uvsam.vectors.formats import outputs, read_run
from uvsam.workflows.computing import facts_of
from uvsam.workflows.recipe import ModelsRecipe
from uvsam.workflows.scoring import ReadTile, read_tile

QUICK = ["--model", "uvsam-specialist"]


def content(path: Path) -> list[pd.DataFrame]:
    """All that a result says, but for the time it was computed at and how it was shared out."""
    table = pd.Series(read_run(path)).drop(["computed_at", "settings"])
    villages, coverage = (rings(gpd.read_file(path, layer=layer)) for layer in ("villages", "coverage"))
    return [villages, coverage, table.to_frame()]


def rings(frame: gpd.GeoDataFrame) -> pd.DataFrame:
    """The rows, wherever their rings begin and whichever way they run, which is a matter of the format."""
    return frame.set_geometry(frame.normalize()).to_wkb()


def content_of_fgb(path: Path) -> list[pd.DataFrame]:
    """The same of FlatGeobuf, whose rows are in an order of their places."""
    table = pd.Series(read_run(path)).drop(["computed_at", "settings"])
    villages, coverage = (rings(gpd.read_file(file)) for file in outputs(path)[:2])
    return [villages.sort_values("village_id", ignore_index=True), coverage, table.to_frame()]


def same(one: Path, other: Path) -> bool:
    read = content_of_fgb if one.suffix == ".fgb" else content
    return all(a.equals(b) for a, b in zip(read(one), content(other), strict=True))


@pytest.fixture(scope="module")
def image(city: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A city in blocks of 256 pixels without compression, so that single blocks can be spoilt."""
    path = tmp_path_factory.mktemp("image") / "city.tif"
    with rasterio.open(city / "city_2020.tif") as source:
        profile = source.profile | {"blockxsize": 256, "blockysize": 256, "compress": "deflate", "tiled": True}
        with rasterio.open(path, "w", **profile) as out:
            out.write(source.read())
            out.update_tags(**source.tags())
    return path


@pytest.fixture(scope="module")
def whole(image: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The result of a run that nothing disturbs."""
    out = tmp_path_factory.mktemp("whole") / "out.gpkg"
    assert run(["predict", str(image), "--out", str(out), *QUICK]) == 0
    return out


def begin(image: Path, out: Path, *extra: str) -> subprocess.Popen[str]:
    """A run that has begun to look at tiles; here it has done a first one."""
    process = subprocess.Popen(
        [sys.executable, "-m", "uvsam", "predict", str(image), "--out", str(out), *QUICK, *extra],
        stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    assert process.stderr.readline().startswith("looking for villages")
    return process


@pytest.mark.parametrize("shared", [["--batch", "3"], ["--workers", "2"]])
def test_where_and_how_many_at_once_changes_nothing(
    image: Path, whole: Path, tmp_path: Path, shared: list[str]
) -> None:
    out = tmp_path / "out.gpkg"
    assert run(["predict", str(image), "--out", str(out), *QUICK, *shared]) == 0
    assert same(out, whole)


def test_a_process_that_leaves_computing_to_others_builds_no_model_and_they_end_in_silence(
    image: Path, tmp_path: Path
) -> None:
    here, there = tmp_path / "here.gpkg", tmp_path / "there.gpkg"
    assert run(["predict", str(image), "--out", str(here)]) == 0
    code = "import sys; from uvsam.cli.main import run; print(run(sys.argv[1:]), 'torch' in sys.modules)"
    command = [sys.executable, "-c", code, "predict", str(image), "--out", str(there), "--workers", "1", "--quiet"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.stdout.splitlines()[-1] == "0 False"
    assert done.stderr == ""
    assert same(here, there)


def test_workers_with_other_weights_are_refused() -> None:
    with pytest.raises(CatalogError, match="'uvsam-specialist' has other weights on a worker"):
        facts_of(ModelsRecipe(PredictSettings(model="uvsam-specialist"), "0" * 64))


@pytest.mark.parametrize(
    ("sent", "status", "said"), [(signal.SIGINT, 130, "Interrupted."), (signal.SIGTERM, 143, "Terminated.")]
)
def test_what_was_stopped_goes_on(image: Path, whole: Path, tmp_path: Path, sent: int, status: int, said: str) -> None:
    out = tmp_path / "out.gpkg"
    process = begin(image, out)
    process.send_signal(sent)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == status
    assert errors.splitlines()[-2] == said
    assert errors.splitlines()[-1] == (f"What was done is kept in {out}.uvsam; the same command goes on from there.")
    assert "Traceback" not in errors
    assert [path.name for path in tmp_path.iterdir()] == ["out.gpkg.uvsam"]
    assert run(["predict", str(image), "--out", str(out), *QUICK]) == 0
    assert same(out, whole)
    assert [path.name for path in tmp_path.iterdir()] == ["out.gpkg"]


@pytest.mark.parametrize("name", ["out.gpkg", "out.fgb"])
def test_what_was_killed_goes_on(
    image: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    out = tmp_path / name
    process = begin(image, out)
    process.kill()
    process.wait()
    assert not out.exists()
    assert [path.name for path in tmp_path.iterdir()] == [f"{name}.uvsam"]
    known = set(Log(tmp_path / f"{name}.uvsam", "tiles").places)
    assert known
    read: list[int] = []

    def counted(reader: Any, plan: Any, tile: Tile, area_px: Any) -> ReadTile:
        read.append(tile.index)
        return read_tile(reader, plan, tile, area_px)

    monkeypatch.setattr("uvsam.workflows.scoring.read_tile", counted)
    assert run(["predict", str(image), "--out", str(out), *QUICK]) == 0
    assert sorted({*read, *known}) == list(range(len(read) + len(known)))
    assert same(out, whole)
    assert sorted(tmp_path.iterdir()) == sorted(outputs(out))


def test_a_worker_that_dies_changes_nothing(image: Path, whole: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.gpkg"
    process = begin(image, out, "--workers", "2")
    worker = wait_for_worker(out)
    os.kill(worker, signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    assert "Traceback" not in errors
    assert same(out, whole)


def test_a_cluster_that_is_gone_is_one_line_and_the_run_goes_on_elsewhere(
    image: Path, whole: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.gpkg"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    scheduler = start("distributed.cli.dask_scheduler", "--host", address, "--no-dashboard")
    helper = start("distributed.cli.dask_worker", address, "--no-dashboard", "--no-nanny")
    try:
        process = begin(image, out, "--dask", address)
        wait_for_worker(out)
        scheduler.kill()
        _, errors = process.communicate(timeout=120)
    finally:
        for one in (scheduler, helper):
            one.kill()
            one.wait()
    assert process.returncode == 3
    assert errors.splitlines()[-2:] == [
        "Error: the connection to the Dask scheduler is lost",
        f"What was done is kept in {out}.uvsam; the same command goes on from there.",
    ]
    assert "Traceback" not in errors
    assert run(["predict", str(image), "--out", str(out), *QUICK]) == 0
    assert same(out, whole)


def start(module: str, *arguments: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-m", module, *arguments], stderr=subprocess.DEVNULL)


def wait_for_worker(out: Path) -> int:
    """The process of a worker that has begun: the name of its log says it."""
    for _ in range(600):
        if found := list(out.with_name(f"{out.name}.uvsam").glob("tiles.*.log")):
            return int(found[0].stem.rsplit("-", 1)[1])
        time.sleep(0.1)
    raise AssertionError("no worker has begun")


def test_a_generalist_says_the_same_anywhere(image: Path, tmp_path: Path) -> None:
    here, there = tmp_path / "here.gpkg", tmp_path / "there.gpkg"
    assert run(["predict", str(image), "--out", str(here)]) == 0
    assert run(["predict", str(image), "--out", str(there), "--workers", "2"]) == 0
    assert same(here, there)


def test_other_settings_start_over(image: Path, whole: Path, tmp_path: Path) -> None:
    out, other = tmp_path / "out.gpkg", tmp_path / "other.gpkg"
    process = begin(image, out)
    process.kill()
    process.wait()
    for path in (out, other):
        assert run(["predict", str(image), "--out", str(path), *QUICK, "--min-area", "9000"]) == 0
    assert same(out, other)
    assert not same(out, whole)


def test_a_second_run_on_one_result_refuses(image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.gpkg"
    with Journal(out):  # of another process
        assert run(["predict", str(image), "--out", str(out)]) == 4
    assert "another run is at work on" in capsys.readouterr().err
    assert not out.exists()


def spoilt(image: Path, path: Path) -> Path:
    """The image with a block in a corner that cannot be decoded."""
    with rasterio.open(image) as dataset:
        offset = int(dataset.get_tag_item("BLOCK_OFFSET_0_0", "TIFF", bidx=1))
        size = int(dataset.get_tag_item("BLOCK_SIZE_0_0", "TIFF", bidx=1))
    data = bytearray(image.read_bytes())
    data[offset : offset + size] = b"?" * size
    path.write_bytes(data)
    return path


def test_what_cannot_be_read_is_named_and_the_rest_is_kept(
    image: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.gpkg"
    damaged = spoilt(image, tmp_path / "damaged.tif")
    assert run(["predict", str(damaged), "--out", str(out), *QUICK]) == 3
    error = capsys.readouterr().err
    assert "Error: rows" in error
    assert "--allow-failures" in error
    assert not out.exists()
    kept = tmp_path / "out.gpkg.uvsam" / "out.gpkg"
    assert str(kept) in error
    assert len(gpd.read_file(kept, layer="coverage")) == 1
    assert run(["predict", str(damaged), "--out", str(out), *QUICK, "--allow-failures"]) == 0
    assert "could not be read or computed" in capsys.readouterr().err
    failed = read_run(out)["failed"]
    assert "window" in failed
    seen = gpd.read_file(out, layer="coverage").area.sum()
    with rasterio.open(image) as dataset:
        area = dataset.width * dataset.height * abs(dataset.transform.determinant)
    assert 0.1 * area < seen < 0.95 * area
    assert sorted(path.name for path in tmp_path.iterdir()) == ["damaged.tif", "out.gpkg"]


@pytest.mark.skipif(sys.platform != "linux", reason="file size limits stand in for a full disk")
@pytest.mark.parametrize("kilobytes", [20, 90])
def test_a_full_disk_is_one_line_and_the_run_goes_on_later(
    image: Path, whole: Path, tmp_path: Path, kilobytes: int
) -> None:
    def limit() -> None:
        import resource

        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (kilobytes * 1024, kilobytes * 1024))

    command = [sys.executable, "-m", "uvsam", "predict", str(image), "--out", "out.gpkg", "-q", *QUICK]
    options: dict[str, Any] = {"cwd": tmp_path, "capture_output": True, "text": True, "check": False}
    done = subprocess.run(command, preexec_fn=limit, **options)
    assert done.returncode == 4
    assert "Error: cannot write" in done.stderr
    assert "report it" not in done.stderr
    assert not (tmp_path / "out.gpkg").exists()
    assert subprocess.run(command, **options).returncode == 0
    assert same(tmp_path / "out.gpkg", whole)
    assert [path.name for path in tmp_path.iterdir()] == ["out.gpkg"]
