"""A proxy on the Docker socket that counts and times requests and passes every byte on."""

import os
import re
import socket
import tempfile
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass

from docker_api import SOCKET

REQUEST = re.compile(rb"(?:^|\n)(GET|POST|PUT|DELETE|HEAD) (/[^ ]*) HTTP/1\.1\r\n")


@dataclass
class Span:
    """When a request was sent, answered, and, where it became an attach, when that ended."""

    request: str
    began: float
    answered: float = float("inf")
    ended: float = 0.0


class CountingProxy:
    """Listens at `path`; `requests` and `spans` hold what went through."""

    def __init__(self, path: str):
        self.path = path
        self.requests: list[str] = []
        self.spans: list[Span] = []
        if os.path.exists(path):
            os.unlink(path)
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(path)
        self.listener.listen(64)
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            engine = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            engine.connect(SOCKET)
            spans: list[Span] = []
            threading.Thread(target=self._up, args=(client, engine, spans), daemon=True).start()
            threading.Thread(target=self._down, args=(engine, client, spans), daemon=True).start()

    def _up(self, client: socket.socket, engine: socket.socket, spans: list[Span]) -> None:
        for chunk in iter(lambda: _receive(client), b""):
            for match in REQUEST.finditer(chunk):
                request = b" ".join(match.groups()).decode()
                spans.append(Span(request, time.perf_counter()))
                self.spans.append(spans[-1])
                self.requests.append(request)
            engine.sendall(chunk)
        _finish(spans)
        _end(engine, socket.SHUT_WR)

    @staticmethod
    def _down(engine: socket.socket, client: socket.socket, spans: list[Span]) -> None:
        for chunk in iter(lambda: _receive(engine), b""):
            # One request at a time on each connection: what comes answers the last.
            if spans and spans[-1].answered == float("inf"):
                spans[-1].answered = time.perf_counter()
            try:
                client.sendall(chunk)
            except OSError:
                break
        _finish(spans)
        _end(client, socket.SHUT_RDWR)
        _end(engine, socket.SHUT_RDWR)

    def close(self) -> None:
        """Stops listening."""
        self.listener.close()
        os.unlink(self.path)


@contextmanager
def counted(settings: str):
    """A proxy and a copy of the settings file that goes through it."""
    with tempfile.TemporaryDirectory() as scratch:
        path, copy = os.path.join(scratch, "docker.sock"), os.path.join(scratch, "longshore.toml")
        proxy = CountingProxy(path)
        with open(settings, encoding="utf-8") as source, open(copy, "w", encoding="utf-8") as target:
            target.write(source.read().replace(f"unix://{SOCKET}", f"unix://{path}"))
        try:
            yield proxy, copy
        finally:
            proxy.close()


def _finish(spans: list[Span]) -> None:
    if spans and "/attach" in spans[-1].request and not spans[-1].ended:
        spans[-1].ended = time.perf_counter()


def _receive(peer: socket.socket) -> bytes:
    try:
        return peer.recv(65536)
    except OSError:
        return b""


def _end(peer: socket.socket, how: int) -> None:
    try:
        peer.shutdown(how)
    except OSError:
        pass
