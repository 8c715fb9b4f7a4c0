"""A web server in a process of its own, as GDAL waits for answers while it holds the lock of Python.

python web_server.py FOLDER LOG HEAD EVERYTHING: the status of each HEAD (0: as to GET), and whether there is a page in
place of what there is not. Prints its port; each request becomes a line of LOG.
"""

import functools
import http.server
import sys
from pathlib import Path

PAGE = b"<html><body>Welcome</body></html>"


class Handler(http.server.SimpleHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    log: Path
    head: int
    everything: bool

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def answer(self) -> None:
        with self.log.open("a") as log:
            log.write(f"{self.command} {Path(self.path).name}\n")
        path = Path(self.translate_path(self.path))
        content = path.read_bytes() if path.is_file() else PAGE
        status = 200 if path.is_file() or self.everything else 404
        if self.command == "HEAD" and self.head:
            status, content = self.head, b""
        size, asked = len(content), self.headers.get("Range")
        if status == 200 and asked:
            first, last = asked.removeprefix("bytes=").split("-")
            content, status = content[int(first) : int(last or size) + 1], 206
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        if status == 206:
            self.send_header("Content-Range", f"bytes {first}-{int(first) + len(content) - 1}/{size}")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


if __name__ == "__main__":
    folder, log, head, everything = sys.argv[1:]
    Handler.log, Handler.head, Handler.everything = Path(log), int(head), everything == "True"
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder))
    server.handle_error = lambda *_: None  # type: ignore[method-assign]  # of clients that hang up
    sys.stdout.write(f"{server.server_port}\n")
    sys.stdout.flush()
    server.serve_forever()
