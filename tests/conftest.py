"""What several tests need: a simulated city, a web server, and the real imagery where it is at hand."""

import functools
import http.server
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

settings.register_profile("any machine", deadline=None)  # a busy machine is not a bug
settings.load_profile("any machine")


@pytest.fixture(scope="session")
def city(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a small simulated city: ``city_2016.tif``, ``city_2020.tif``, ``truth.gpkg``."""
    from uvsam.simulate import simulate_city

    folder = tmp_path_factory.mktemp("city")
    simulate_city(folder, size_m=900, gsd_m=0.9, periods=(2016, 2020), seed=11)
    return folder


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Real imagery with labels, which is not ours to publish."""
    folder = Path(os.environ.get("UVSAM_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not folder.is_dir():
        pytest.skip(f"real imagery is not at {folder}; set UVSAM_DATA to its folder")
    return folder


@dataclass
class Site:
    """A web server that has the files of a folder.

    Attributes:
        sent: bytes of each file that went out.
        asked: requests for each of them, those for what there is not too.
        etag: what it says of every file; None where it says nothing.
        head: the status with which it answers each HEAD; None where it answers as to GET.
    """

    address: str
    sent: Counter[str] = field(default_factory=Counter)
    asked: Counter[str] = field(default_factory=Counter)
    etag: str | None = None
    head: int | None = None


class RangeServer(http.server.SimpleHTTPRequestHandler):
    """Answers requests for parts of a file, as object stores do, and counts what it sends."""

    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        site = self.server.site  # type: ignore[attr-defined]
        site.asked[Path(self.path).name] += 1
        if site.head is not None:
            self.send_response(site.head)
            self.send_header("Content-Length", "0")
            return self.end_headers()
        return super().do_HEAD()

    def end_headers(self) -> None:
        if etag := self.server.site.etag:  # type: ignore[attr-defined]
            self.send_header("ETag", etag)
        super().end_headers()

    def do_GET(self) -> None:
        path, site = Path(self.translate_path(self.path)), self.server.site  # type: ignore[attr-defined]
        site.asked[path.name] += 1
        if not path.is_file():
            return self.send_error(404)
        size = path.stat().st_size
        first, last = self.headers.get("Range", f"bytes=0-{size - 1}").removeprefix("bytes=").split("-")
        with path.open("rb") as file:
            file.seek(int(first))
            part = file.read(int(last) + 1 - int(first))
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{size}")
        self.end_headers()
        self.wfile.write(part)
        site.sent[path.name] += len(part)
        return None

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """A web server that has the files of ``tmp_path``, and counts."""
    handler = functools.partial(RangeServer, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        running.daemon_threads = True
        running.handle_error = lambda *_: None  # type: ignore[method-assign]  # of clients that hang up
        running.site = Site(f"http://127.0.0.1:{running.server_port}")  # type: ignore[attr-defined]
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield running.site  # type: ignore[attr-defined]
        running.shutdown()


@pytest.fixture
def server(site: Site) -> str:
    """Address of a web server that has the files of ``tmp_path``."""
    return site.address


class OtherSite:
    """A web server in a process of its own, as GDAL asks for some things while it holds the lock of Python."""

    def __init__(self, address: str, log: Path) -> None:
        self.address, self.log = address, log

    def asked(self) -> Counter[str]:
        """Requests for each name."""
        return Counter(line.split()[1] for line in self.log.read_text().splitlines())


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., OtherSite]]:
    """Starts web servers that have the files of ``tmp_path``, see ``web_server.py``."""
    running = []

    def start(head: int = 0, everything: bool = False) -> OtherSite:
        log = tmp_path / f"{len(running)}.log"
        log.touch()
        script = Path(__file__).with_name("web_server.py")
        command = [sys.executable, str(script), str(tmp_path), str(log), str(head), str(everything)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        running.append(process)
        assert process.stdout is not None
        return OtherSite(f"http://127.0.0.1:{process.stdout.readline().strip()}", log)

    yield start
    for process in running:
        process.kill()
        process.wait()
