"""A web server with byte ranges, redirects and faults, as publishers of weights have them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class File:
    """A file on the server, and how the server behaves when it is asked for it.

    Attributes:
        modified: date of the last change.
        stop_after: the connection ends after so many bytes of an answer.
        hold_after: the answer waits there until ``go_on`` is set.
        announced: whether the size is sent before the bytes.
        endless: zeros without end follow.
        busy: the first so many answers are "too many requests" and "unavailable", by turns.
        retry_after: what these say.
        drips: after ``hold_after`` one byte comes at a time, without end.
    """

    data: bytes
    etag: str | None = '"first"'
    modified: str | None = None
    ranges: bool = True
    looks_at_if_range: bool = True
    status: int = 200
    location: str | None = None
    stop_after: int | None = None
    hold_after: int | None = None
    announced: bool = True
    endless: bool = False
    busy: int = 0
    retry_after: str | None = None
    drips: bool = False
    go_on: threading.Event = field(default_factory=threading.Event)
    reached: threading.Event = field(default_factory=threading.Event)


@dataclass
class Site:
    """What the server has, and what it was asked for."""

    address: str
    files: dict[str, File] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    sent: int = 0


@contextmanager
def serve() -> Iterator[Site]:
    """A site on a free port of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site = Site(f"http://127.0.0.1:{server.server_port}")
    server.site = site  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield site
    finally:
        for file in site.files.values():
            file.go_on.set()
        server.shutdown()
        server.server_close()
        thread.join()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        site: Site = self.server.site  # type: ignore[attr-defined]
        site.asked.append((self.path, self.headers["Range"]))
        file = site.files.get(self.path)
        self.close_connection = True
        if file is None:
            self.send_error(404)
            return
        with suppress(ConnectionError):  # the other side may leave before the end
            self.answer(site, file)

    def answer(self, site: Site, file: File) -> None:
        if file.busy:
            file.busy -= 1
            self.send_response(429 if file.busy % 2 else 503)
            if file.retry_after is not None:
                self.send_header("Retry-After", file.retry_after)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        start = self.first_byte(file)
        if start > len(file.data) - 1 and start:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(file.data)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        self.send_response(206 if start else file.status)
        if file.etag:
            self.send_header("ETag", file.etag)
        if file.modified and not start:  # a part need not repeat it (RFC 9110, 15.3.7)
            self.send_header("Last-Modified", file.modified)
        if file.location:
            self.send_header("Location", file.location)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(file.data) - 1}/{len(file.data)}")
        if file.announced:
            self.send_header("Content-Length", str(len(file.data) - start))
        self.end_headers()
        body = file.data[start:][: file.stop_after]
        held = len(body) if file.hold_after is None else file.hold_after
        self.send(site, body[:held])
        while file.drips and not file.go_on.wait(0.02):
            self.send(site, b"x")
        if file.hold_after is not None:
            file.reached.set()
            file.go_on.wait(60)
        self.send(site, body[held:])
        while file.endless:
            self.send(site, bytes(1 << 16))

    def send(self, site: Site, data: bytes) -> None:
        self.wfile.write(data)
        site.sent += len(data)

    def first_byte(self, file: File) -> int:
        wanted, condition = self.headers["Range"], self.headers["If-Range"]
        if (
            not wanted
            or not file.ranges
            or file.location
            or (file.looks_at_if_range and condition not in (None, file.etag, file.modified))
        ):
            return 0
        return int(wanted.removeprefix("bytes=").rstrip("-"))
