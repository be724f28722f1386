"""What GitLab is to an upload of artifacts: takes the bytes and answers that they were created."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from sources import bridge_address


class _Taker(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):  # pylint: disable=invalid-name
        """Reads the whole body, chunked or not."""
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            while size := int(self.rfile.readline().split(b";")[0], 16):
                self._take(size + 2)
            self.rfile.readline()
        else:
            self._take(int(self.headers.get("Content-Length", 0)))
        self.send_response(201)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def _take(self, size: int) -> None:
        while size > 0:
            got = self.rfile.read(min(size, 1 << 20))
            if not got:
                return
            size -= len(got)
            self.server.taken += len(got)

    def log_message(self, *_args):
        """Says nothing."""


class Coordinator:
    """Listens where containers reach it; `taken` counts the bytes."""

    def __init__(self):
        self.server = ThreadingHTTPServer((bridge_address(), 0), _Taker)
        self.server.taken = 0
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://{self.server.server_address[0]}:{self.server.server_address[1]}"

    @property
    def taken(self) -> int:
        """Bytes of all uploads."""
        return self.server.taken

    def close(self) -> None:
        """Stops listening."""
        self.server.shutdown()
        self.server.server_close()
