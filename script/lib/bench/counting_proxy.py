"""A proxy on the Docker socket that counts requests and passes every byte on."""

import os
import re
import socket
import threading

from docker_api import SOCKET

REQUEST = re.compile(rb"(?:^|\n)(GET|POST|PUT|DELETE|HEAD) (/[^ ]*) HTTP/1\.1\r\n")


class CountingProxy:
    """Listens at `path`; `requests` holds what went through."""

    def __init__(self, path: str):
        self.path = path
        self.requests: list[str] = []
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
            threading.Thread(target=self._up, args=(client, engine), daemon=True).start()
            threading.Thread(target=self._down, args=(engine, client), daemon=True).start()

    def _up(self, client: socket.socket, engine: socket.socket) -> None:
        for chunk in iter(lambda: _receive(client), b""):
            for match in REQUEST.finditer(chunk):
                self.requests.append(b" ".join(match.groups()).decode())
            engine.sendall(chunk)
        _end(engine, socket.SHUT_WR)

    @staticmethod
    def _down(engine: socket.socket, client: socket.socket) -> None:
        for chunk in iter(lambda: _receive(engine), b""):
            try:
                client.sendall(chunk)
            except OSError:
                break
        _end(client, socket.SHUT_RDWR)
        _end(engine, socket.SHUT_RDWR)

    def close(self) -> None:
        """Stops listening."""
        self.listener.close()
        os.unlink(self.path)


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
