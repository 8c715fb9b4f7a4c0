"""Fetching weights: whatever the network does, a file of the cache is the file of its card or is not there."""

import hashlib
import random
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.catalog.web import File, Site, serve
from uvsam.catalog import GeneralistCard, cache_path, cached_weights, download
from uvsam.catalog.download import PIECE_BYTES, TRIES, fetch
from uvsam.errors import CatalogError, OutputError, UvsamError

WEIGHTS = random.Random(0).randbytes(3_000_000)
OTHERS = random.Random(1).randbytes(3_000_000)
DATES = "Wed, 05 Apr 2023 10:00:00 GMT", "Thu, 06 Apr 2023 10:00:00 GMT"


@pytest.fixture
def site() -> Iterator[Site]:
    with serve() as running:
        yield running


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def card_of(address: str, data: bytes = WEIGHTS, size: int | None = None, **source: object) -> GeneralistCard:
    described = {
        "url": f"{address}/weights.pth", "bytes": size or len(data), "sha256": hashlib.sha256(data).hexdigest()
    }  # fmt: skip
    return GeneralistCard.model_validate(
        {
            "name": "mine", "task": "generalist", "summary": "a test", "encoder": "vit_b", "licence": "CC0",
            "source": described | source,
        }
    )  # fmt: skip


def left(cache: Path) -> set[str]:
    """Names of the files in the cache; the empty file of a lock is none of the user's business."""
    return {path.name for path in cache.glob("*") if not path.name.startswith(".")}


def refused(card: GeneralistCard, cache: Path, kind: type[UvsamError] = CatalogError) -> str:
    """The message of a fetch that fails: one line."""
    with pytest.raises(kind) as caught:
        fetch(card, cache)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_file_is_fetched_once_and_found_again(site: Site, cache: Path) -> None:
    site.files["/weights.pth"] = File(WEIGHTS)
    card, seen = card_of(site.address), []
    path = fetch(card, cache, lambda stage, done, total: seen.append((done, total)))
    assert path.read_bytes() == WEIGHTS
    assert (path, left(cache)) == (cached_weights(card, cache), {path.name})
    assert seen == sorted(seen)
    assert seen[-1] == (3, 3)
    assert fetch(card, cache) == path
    assert site.asked == [("/weights.pth", None)]


@pytest.mark.parametrize("cut", [PIECE_BYTES, 1_000_000, len(WEIGHTS) - 1])
def test_an_interrupted_download_goes_on_where_it_stopped(site: Site, cache: Path, cut: int) -> None:
    site.files["/weights.pth"] = File(WEIGHTS, stop_after=cut)
    card = card_of(site.address)
    assert "goes on" in refused(card, cache)
    assert not cache_path(card, cache).exists()
    site.files["/weights.pth"].stop_after = None
    assert fetch(card, cache).read_bytes() == WEIGHTS
    assert site.asked[1:] == [("/weights.pth", f"bytes={cut}-")]
    assert site.sent - len(WEIGHTS) < PIECE_BYTES
    assert left(cache) == {cache_path(card, cache).name}


def test_a_server_without_ranges_starts_over(site: Site, cache: Path) -> None:
    site.files["/weights.pth"] = File(WEIGHTS, stop_after=1_000_000, ranges=False)
    card = card_of(site.address)
    refused(card, cache)
    site.files["/weights.pth"].stop_after = None
    assert fetch(card, cache).read_bytes() == WEIGHTS


@pytest.mark.parametrize("etag", [None, 'W/"weak"'])
def test_where_nothing_tells_two_files_apart_no_part_is_asked_for(site: Site, cache: Path, etag: str | None) -> None:
    site.files["/weights.pth"] = File(OTHERS, etag=etag, stop_after=1_000_000)
    card = card_of(site.address)
    refused(card, cache)
    site.files["/weights.pth"] = File(WEIGHTS, etag=etag, looks_at_if_range=False)
    assert fetch(card, cache).read_bytes() == WEIGHTS


def test_a_date_does_where_there_is_no_etag(site: Site, cache: Path) -> None:
    site.files["/weights.pth"] = File(WEIGHTS, etag=None, modified=DATES[0], stop_after=1_000_000)
    card = card_of(site.address)
    refused(card, cache)
    site.files["/weights.pth"].stop_after = None
    assert fetch(card, cache).read_bytes() == WEIGHTS
    assert site.asked[1:] == [("/weights.pth", "bytes=1000000-")]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"etag": '"first"'}, {"etag": '"second"'}),
        ({"etag": '"first"'}, {"etag": '"second"', "looks_at_if_range": False}),
        ({"etag": None, "modified": DATES[0]}, {"etag": None, "modified": DATES[1]}),
    ],
)
@pytest.mark.parametrize("first", [OTHERS, OTHERS + b"longer", OTHERS[:-100]])
def test_parts_of_two_files_are_never_glued(
    site: Site, cache: Path, first: bytes, before: dict[str, Any], after: dict[str, Any]
) -> None:
    site.files["/weights.pth"] = File(first, announced=False, stop_after=2_000_000, **before)
    card = card_of(site.address)
    refused(card, cache)
    site.files["/weights.pth"] = File(WEIGHTS, **after)
    assert fetch(card, cache).read_bytes() == WEIGHTS


def test_a_whole_attempt_of_other_bytes_is_replaced(site: Site, cache: Path) -> None:
    """Nothing is left to ask for: the server answers 416."""
    card = card_of(site.address)
    part = cache_path(card, cache).with_suffix(".pth.part")
    cache.mkdir()
    part.write_bytes(OTHERS)
    part.with_name(f"{part.name}.etag").write_text('"first"')
    site.files["/weights.pth"] = File(WEIGHTS)
    assert fetch(card, cache).read_bytes() == WEIGHTS
    assert [range_ for _, range_ in site.asked] == [f"bytes={len(OTHERS)}-", None]


def test_other_bytes_of_the_right_size_are_an_error_and_removed(site: Site, cache: Path) -> None:
    site.files["/weights.pth"] = File(OTHERS)
    assert "sha256 differs" in refused(card_of(site.address), cache)
    assert left(cache) == set()


@pytest.mark.parametrize("data", [WEIGHTS[:-1], WEIGHTS + b"1", b""])
def test_another_announced_size_is_an_error_before_a_byte_is_kept(site: Site, cache: Path, data: bytes) -> None:
    site.files["/weights.pth"] = File(data)
    assert f"{len(data)} bytes" in refused(card_of(site.address), cache)
    assert left(cache) == set()


def test_a_server_that_never_stops_is_cut_off(site: Site, cache: Path) -> None:
    site.files["/weights.pth"] = File(WEIGHTS, announced=False, endless=True)
    assert "more bytes" in refused(card_of(site.address), cache)
    assert left(cache) == set()


def test_a_rounded_size_leaves_room_for_the_true_one_only(site: Site, cache: Path) -> None:
    site.files["/weights.pth"] = File(WEIGHTS)
    near = card_of(site.address, size=2_999_000, rounded_to=2_000)
    assert fetch(near, cache).read_bytes() == WEIGHTS
    assert "another file" in refused(card_of(site.address, size=2_998_999, rounded_to=2_000), cache / "elsewhere")


def test_a_file_larger_than_the_disk_is_not_begun(site: Site, cache: Path) -> None:
    site.files["/weights.pth"] = File(WEIGHTS, announced=False)
    assert "no room" in refused(card_of(site.address, size=10**16), cache, OutputError)
    assert left(cache) == set()


@pytest.mark.parametrize("status", [403, 404, 503])
def test_a_server_that_refuses_is_one_line_that_says_what_to_do(site: Site, cache: Path, status: int) -> None:
    if status != 404:
        site.files["/weights.pth"] = File(b"no", status=status)
    card = card_of(site.address)
    message = refused(card, cache)
    assert str(status) in message
    assert f"{site.address}/weights.pth" in message
    assert str(cache_path(card, cache)) in message


def test_no_connection_is_one_line_that_says_what_to_do(cache: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        card = card_of(f"http://127.0.0.1:{unused.getsockname()[1]}")
        message = refused(card, cache)
    assert "no connection" in message
    assert message.endswith(
        f"get {card.source and card.source.url} another way and save it as {cache_path(card, cache)}"
    )


def test_redirects_lead_to_other_hosts(site: Site, cache: Path) -> None:
    with serve() as mirror:
        mirror.files["/far/away"] = File(WEIGHTS, stop_after=1_000_000)
        address = mirror.address.replace("127.0.0.1", "localhost")
        site.files["/weights.pth"] = File(
            b"", status=302, location=f"{address}/far/away", endless=True, announced=False
        )
        card = card_of(site.address)
        refused(card, cache)
        mirror.files["/far/away"].stop_after = None
        assert fetch(card, cache).read_bytes() == WEIGHTS
        assert mirror.asked[1:] == [("/far/away", "bytes=1000000-")]


@pytest.mark.parametrize("target", ["file:///etc/passwd", "ftp://127.0.0.1/weights.pth", "/weights.pth"])
def test_redirects_to_files_or_in_circles_are_refused(site: Site, cache: Path, target: str) -> None:
    site.files["/weights.pth"] = File(b"", status=302, location=target)
    refused(card_of(site.address), cache)
    assert left(cache) == set()


def test_a_damaged_file_is_an_error_and_fetched_again(site: Site, cache: Path) -> None:
    site.files["/weights.pth"] = File(WEIGHTS)
    card = card_of(site.address)
    path = fetch(card, cache)
    path.write_bytes(OTHERS)
    with pytest.raises(CatalogError, match="uvsam models fetch mine"):
        cached_weights(card, cache)
    assert fetch(card, cache).read_bytes() == WEIGHTS


def test_a_cache_that_cannot_be_written_is_named(site: Site, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "UVSAM_CACHE" in refused(card_of(site.address), tmp_path / "file" / "cache", OutputError)


def test_two_that_fetch_one_file_at_once_ask_for_it_once(site: Site, cache: Path) -> None:
    file = site.files["/weights.pth"] = File(WEIGHTS, hold_after=1_000_000)
    card, found = card_of(site.address), []
    first = threading.Thread(target=lambda: found.append(fetch(card, cache)))
    first.start()
    assert file.reached.wait(60)

    def once_waiting(stage: str, done: int, total: int) -> None:
        if "another process" in stage:
            file.go_on.set()

    found.append(fetch(card, cache, once_waiting))
    first.join()
    assert found == [cache_path(card, cache)] * 2
    assert found[0].read_bytes() == WEIGHTS
    assert site.asked == [("/weights.pth", None)]


def test_the_lock_of_a_killed_process_holds_nobody_up(site: Site, cache: Path, tmp_path: Path) -> None:
    file = site.files["/weights.pth"] = File(WEIGHTS, hold_after=2_500_000)
    card = card_of(site.address)
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(card.model_dump(mode="json")))
    code = (
        "import sys; from pathlib import Path; from uvsam.catalog import load_generalist_card;"
        "from uvsam.catalog.download import fetch;"
        "fetch(load_generalist_card(sys.argv[1]), Path(sys.argv[2]), lambda *_: print('piece', flush=True))"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path / "mine.yaml"), str(cache)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGKILL)
    process.communicate()
    file.hold_after = None
    assert (
        fetch(card, cache, lambda stage, *_: pytest.fail(stage) if "another" in stage else None).read_bytes() == WEIGHTS
    )


@pytest.mark.parametrize("retry_after", ["0", "Wed, 05 Apr 2023 10:00:00 GMT"])
def test_a_busy_publisher_is_asked_again(site: Site, cache: Path, retry_after: str) -> None:
    site.files["/weights.pth"] = File(WEIGHTS, busy=TRIES - 1, retry_after=retry_after)
    assert fetch(card_of(site.address), cache).read_bytes() == WEIGHTS
    assert len(site.asked) == TRIES


def test_a_publisher_who_stays_busy_is_one_line(site: Site, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(download, "MOST_WAIT_S", 0.02)
    site.files["/weights.pth"] = File(WEIGHTS, busy=1000, retry_after="86400")  # a day: nobody waits so long
    said = refused(card_of(site.address), cache)
    assert "429 Too Many Requests" in said or "503 Service Unavailable" in said
    assert len(site.asked) == TRIES
    site.files["/weights.pth"] = File(WEIGHTS, busy=2, retry_after="soon")
    assert fetch(card_of(site.address), cache).read_bytes() == WEIGHTS


def test_a_connection_that_drips_is_given_up_and_what_came_is_kept(
    site: Site, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "SLOW_S", 0.2)
    site.files["/weights.pth"] = File(WEIGHTS, hold_after=2_000_000, drips=True)
    assert "kB came in" in refused(card_of(site.address), cache)
    (part,) = (name for name in left(cache) if name.endswith(".part"))
    assert (cache / part).stat().st_size >= 2_000_000
