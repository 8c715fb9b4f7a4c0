"""What several tests need: a simulated city, a web server, and the real imagery where it is at hand."""

import functools
import http.server
import os
import threading
from collections.abc import Iterator
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


class RangeServer(http.server.SimpleHTTPRequestHandler):
    """A web server that answers requests for parts of a file, as object stores do."""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            return self.send_error(404)
        content = path.read_bytes()
        first, last = self.headers.get("Range", f"bytes=0-{len(content) - 1}").removeprefix("bytes=").split("-")
        part = content[int(first) : int(last) + 1]
        self.send_response(206 if "Range" in self.headers else 200)
        self.send_header("Content-Length", str(len(part)))
        self.send_header("Content-Range", f"bytes {first}-{int(first) + len(part) - 1}/{len(content)}")
        self.end_headers()
        self.wfile.write(part)
        return None

    def log_message(self, *args: Any) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Address of a web server that has the files of ``tmp_path``."""
    handler = functools.partial(RangeServer, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
