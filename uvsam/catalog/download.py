"""Getting the weights of a generalist from their publisher: resumable, checked, by one process at a time.

Not imported by the package itself: requests is needed only where something is fetched.
"""

import datetime
import email.utils
import io
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import requests
import urllib3
from filelock import FileLock, Timeout

from uvsam.catalog.cache import cache_path, is_whole, source_of
from uvsam.catalog.generalists import GeneralistCard, Source
from uvsam.errors import CatalogError, OutputError, UvsamError
from uvsam.progress import Progress, silent

PIECE_BYTES = 1 << 16
TIMEOUT_S = (10.0, 60.0)  # to connect; between two pieces
OK, PARTIAL, RANGE_NOT_SATISFIABLE = 200, 206, 416
BUSY = {429, 502, 503, 504}
"""Answers of a publisher who will have time later (RFC 6585, RFC 9110)."""
TRIES, FIRST_WAIT_S, MOST_WAIT_S = 5, 1.0, 60.0
SLOW_S, SLOW_BYTES = 60.0, 300_000
"""A connection that brings less than so much in so long is given up: the largest file takes a week at most."""


class TooSlow(requests.RequestException):
    """Bytes come, but too slowly to wait for the last."""


REASONS = {  # the first that fits; what requests says itself is long and about its own inside
    requests.exceptions.SSLError: "its certificate is not trusted",
    requests.Timeout: "no answer",
    requests.ConnectionError: "no connection",
    TooSlow: f"less than {SLOW_BYTES // 1000} kB came in {SLOW_S:.0f} s",
    requests.exceptions.ChunkedEncodingError: "the connection broke",
}


def fetch(card: GeneralistCard, cache: Path | None = None, progress: Progress = silent) -> Path:
    """Path of the weights of ``card``, which are fetched if they are not here yet.

    An interrupted download goes on where it stopped, if the publisher still has the same file. The file has its name
    only when size and sha256 are those of the card. Processes that fetch the same file wait for each other.

    Args:
        cache: folder of fetched weights; default: the user's cache folder.

    Raises:
        CatalogError: nothing to fetch, no connection, or what came is not the file of the card.
        OutputError: the folder cannot be written, or the disk is full.
    """
    source, path = source_of(card), cache_path(card, cache)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path, progress):
            if not is_whole(path, source):
                _download(source, path, lambda done: progress(f"{card.name} (MB)", _mb(done), _mb(source.bytes)))
    except UvsamError:
        raise
    except OSError as error:
        why = error.strerror or error
        raise OutputError(f"cannot write {path}: {why}; name another folder with UVSAM_CACHE") from error
    return path


@contextmanager
def _alone(path: Path, progress: Progress) -> Iterator[None]:
    """Only one process at a time is inside for ``path``; the system frees the lock of one that dies."""
    lock, waited_s = FileLock(path.with_name(f".{path.name}.lock")), 0
    while not lock.is_locked:
        try:
            lock.acquire(timeout=1)
        except Timeout:
            waited_s += 1
            progress(f"another process fetches {path.name}, waiting (s)", waited_s, 0)
    try:
        yield
    finally:
        lock.release()


def _download(source: Source, path: Path, report: Callable[[int], None]) -> None:
    part = path.with_name(f"{path.name}.part")
    if not is_whole(part, source):
        try:
            _receive(source, part, report)
        except requests.RequestException as error:
            raise CatalogError(_no_connection(source, path, part, error)) from error
        if not is_whole(part, source):
            _forget(part)
            raise CatalogError(f"{source.url} is not the file of the card (sha256 differs); it was removed")
    part.replace(path)
    _forget(part)


def _receive(source: Source, part: Path, report: Callable[[int], None]) -> None:
    """Write the bytes that ``part`` still lacks."""
    done, validator = _kept(part, source)
    with requests.Session() as session:
        session.hooks["response"].append(_drop_body_of_redirect)
        response = _ask_patiently(session, source.url, done, validator)
        if response.status_code in (PARTIAL, RANGE_NOT_SATISFIABLE) and not _continues(response, done, validator):
            response.close()
            done = 0
            response = _ask_patiently(session, source.url)
        if response.status_code == OK:
            done = 0
        with response:
            if response.status_code != (PARTIAL if done else OK):
                raise requests.HTTPError(f"{response.status_code} {response.reason}", response=response)
            _check_size(source, part, _announced(response), done)
            if not done:
                _forget(part)
                _validator_path(part).write_text(_validator(response), encoding="latin-1")
            with part.open("ab") as file:
                for piece in _pieces(response):
                    done += len(piece)
                    if done > source.max_bytes:
                        _forget(part)
                        raise CatalogError(f"{source.url} sends more bytes than its card says; stopped")
                    file.write(piece)
                    report(done)
                file.flush()
                os.fsync(file.fileno())
    if not source.fits(done):
        raise requests.exceptions.ChunkedEncodingError("fewer bytes came than the card says")


def _ask(session: requests.Session, url: str, start: int = 0, validator: str = "") -> requests.Response:
    """Ask for the file from ``start`` on if it is still the one of ``validator``, else for all (RFC 9110, 13.1.5)."""
    headers = {"Accept-Encoding": "identity"}
    if start:
        headers |= {"Range": f"bytes={start}-", "If-Range": validator}
    return session.get(url, headers=headers, stream=True, timeout=TIMEOUT_S)


def _ask_patiently(session: requests.Session, url: str, start: int = 0, validator: str = "") -> requests.Response:
    """Ask again, later and later, where the publisher is busy; not more than a few times, and not for ever."""
    wait_s = FIRST_WAIT_S
    for _ in range(TRIES - 1):
        response = _ask(session, url, start, validator)
        if response.status_code not in BUSY:
            return response
        response.close()
        time.sleep(min(_wished_wait_s(response) or wait_s, MOST_WAIT_S))
        wait_s *= 2
    return _ask(session, url, start, validator)


def _wished_wait_s(response: requests.Response) -> float | None:
    """How long the publisher wants us to wait: seconds, or until a date (RFC 9110, 10.2.3)."""
    wish = response.headers.get("Retry-After", "").strip()
    if wish.isdecimal():
        return float(wish)
    try:
        then = email.utils.parsedate_to_datetime(wish)
    except ValueError:
        return None
    return max(0.0, (then - datetime.datetime.now(then.tzinfo)).total_seconds())


def _pieces(response: requests.Response) -> Iterator[bytes]:
    """The bytes of an answer as they come.

    Raises:
        RequestException: the connection broke, or brings next to nothing.
    """
    since, came = time.monotonic(), 0
    while True:
        try:
            piece = response.raw.read1(PIECE_BYTES)
        except urllib3.exceptions.ReadTimeoutError as error:
            raise requests.ReadTimeout(error) from error
        except (urllib3.exceptions.HTTPError, OSError) as error:
            raise requests.exceptions.ChunkedEncodingError(error) from error
        if not piece:
            return
        yield piece
        came += len(piece)
        if (now := time.monotonic()) - since > SLOW_S:
            if came < SLOW_BYTES:
                raise TooSlow
            since, came = now, 0


def _drop_body_of_redirect(response: requests.Response, *args: Any, **kwargs: Any) -> None:
    """Requests would read it into memory, whatever its size."""
    if response.is_redirect:
        response.close()
        response.raw = io.BytesIO()


def _continues(response: requests.Response, start: int, validator: str) -> bool:
    """Whether an answer is the rest of the same file; some servers do not look at If-Range."""
    range_ = response.headers.get("Content-Range", "")
    return start > 0 and range_.startswith(f"bytes {start}-") and _validator(response) in ("", validator)


def _announced(response: requests.Response) -> int | None:
    """Size of the whole file as the server says it, if it does."""
    if response.status_code == PARTIAL:
        text = response.headers.get("Content-Range", "").rpartition("/")[2]
    else:
        text = response.headers.get("Content-Length", "")
    return int(text) if text.isdecimal() else None


def _check_size(source: Source, part: Path, size: int | None, done: int) -> None:
    """Before a byte is written: whether it can be the file, and whether the disk has room for it."""
    if size is not None and not source.fits(size):
        _forget(part)
        raise CatalogError(f"{source.url} has {size} bytes, the card says {source.bytes}: it is another file")
    if shutil.disk_usage(part.parent).free < source.max_bytes - done:
        raise OutputError(f"no room for {_mb(source.bytes)} MB in {part.parent}; name another folder with UVSAM_CACHE")


def _validator(response: requests.Response) -> str:
    """What If-Range takes: a strong ETag, else the date of the last change; nothing where the bytes are encoded."""
    if response.headers.get("Content-Encoding", "identity") != "identity":
        return ""
    etag = response.headers.get("ETag", "")
    return etag if etag.startswith('"') else response.headers.get("Last-Modified", "")


def _validator_path(part: Path) -> Path:
    return part.with_name(f"{part.name}.etag")


def _kept(part: Path, source: Source) -> tuple[int, str]:
    """Bytes of an earlier attempt, and what tells whether the publisher still has the same file."""
    size = part.stat().st_size if part.is_file() else 0
    validator = _validator_path(part).read_text(encoding="latin-1") if _validator_path(part).is_file() else ""
    return (size, validator) if validator and size <= source.max_bytes else (0, "")


def _forget(part: Path) -> None:
    """Remove an attempt; the bytes first, so that they never stand beside the validator of others."""
    part.unlink(missing_ok=True)
    _validator_path(part).unlink(missing_ok=True)


def _no_connection(source: Source, path: Path, part: Path, error: requests.RequestException) -> str:
    host = urlsplit(source.url).hostname
    why = next((text for kind, text in REASONS.items() if isinstance(error, kind)), str(error))
    done = _kept(part, source)[0]
    again = f"the same command goes on after {_mb(done)} of {_mb(source.bytes)} MB; or " if done else ""
    return f"cannot fetch from {host}: {why}; {again}get {source.url} another way and save it as {path}"


def _mb(size: int) -> int:
    return -(-size // 1_000_000)
