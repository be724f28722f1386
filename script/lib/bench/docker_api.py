"""The Docker Engine API by hand over its unix socket: the floor that nothing can be faster than."""

import http.client
import json
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor

SOCKET = "/var/run/docker.sock"
PATIENCE = 120  # seconds that no request takes
API = "/v1.41"


class UnixConnection(http.client.HTTPConnection):
    """An HTTP connection over a unix socket."""

    def __init__(self, path: str = SOCKET):
        super().__init__("docker")
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(PATIENCE)
        self.sock.connect(self.path)


def call(method: str, path: str, body: object = None, ok: tuple = (200, 201, 204)) -> object:
    """One request on a connection of its own; raises where the engine says no."""
    connection = UnixConnection()
    payload = None if body is None else json.dumps(body)
    headers = {"Content-Type": "application/json"} if payload else {}
    connection.request(method, API + path, payload, headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    if answer.status not in ok:
        raise RuntimeError(f"{method} {path}: {answer.status} {content[:300]!r}")
    return json.loads(content) if content[:1] in (b"{", b"[") else None


def attach(name: str) -> socket.socket:
    """Attaches to a container's three streams; the socket after the engine's answer."""
    connection = UnixConnection()
    connection.connect()
    path = f"{API}/containers/{name}/attach?stream=1&stdin=1&stdout=1&stderr=1"
    request = f"POST {path} HTTP/1.1\r\nHost: docker\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n\r\n"
    connection.sock.sendall(request.encode())
    head = b""
    while b"\r\n\r\n" not in head:
        byte = connection.sock.recv(1)
        if not byte:
            raise RuntimeError(f"attach to {name}: {head!r}")
        head += byte
    return connection.sock


def wait_for_port(name: str, network: str, port: int = 8080) -> None:
    """Waits until a container answers on a port; from this host, which reaches its bridges."""
    shown = call("GET", f"/containers/{name}/json")
    address = shown["NetworkSettings"]["Networks"][network]["IPAddress"]
    deadline = time.monotonic() + 30
    while True:
        try:
            socket.create_connection((address, port), timeout=1).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)


class Floor:
    """The containers of one job by bare calls: created, started, attached, killed, removed."""

    def __init__(self, image: str, helper_image: str = "", network: str = "longshore-bench-floor"):
        self.image = image
        self.helper_image = helper_image
        self.network = network
        self.pool = ThreadPoolExecutor(4)
        call("DELETE", f"/networks/{self.network}", ok=(204, 404))
        call("POST", "/networks/create", {"Name": self.network, "Driver": "bridge"})

    def body(self, network: str, image: str = "") -> dict:
        """What the driver's own containers look like to the engine."""
        return {
            "Image": image or self.image,
            "Entrypoint": ["/bin/sh"],
            "OpenStdin": True,
            "AttachStdin": True,
            "AttachStdout": True,
            "AttachStderr": True,
            "HostConfig": {"NetworkMode": network, "LogConfig": {"Type": "none"}, "CapDrop": ["ALL"]},
        }

    def job(self, name: str) -> None:
        """One container, for a job without sources."""
        call("POST", f"/containers/create?name={name}", self.body(self.network))
        call("POST", f"/containers/{name}/start")
        attach(name).close()
        self._remove(name)

    def pair(self, name: str, script: str = "", after: str = "") -> None:
        """Two containers, for a job with sources: the one with git joins the other's network and is made
        beside it. `script` runs in it, `after` in the job's."""
        helper = f"{name}-helper"
        call("POST", f"/containers/create?name={name}", self.body(self.network))
        body = self.body(f"container:{name}", self.helper_image)
        body["HostConfig"]["Mounts"] = [{"Type": "volume", "Target": "/builds"}]
        created = self.pool.submit(call, "POST", f"/containers/create?name={helper}", body)
        call("POST", f"/containers/{name}/start")
        created.result()
        call("POST", f"/containers/{helper}/start")
        for container, text in ((helper, script), (name, after)):
            stream = attach(container)
            if text:
                run(stream, text)
            stream.close()
        list(self.pool.map(self._remove, (name, helper)))

    @staticmethod
    def _remove(name: str) -> None:
        call("POST", f"/containers/{name}/kill")
        call("DELETE", f"/containers/{name}?force=1&v=1", ok=(204, 409))

    def job_with_service(self, name: str, service: str) -> None:
        """The same and a container that runs what its image says, side by side."""
        other = f"{name}-service"
        body = {"Image": service, "HostConfig": {"NetworkMode": self.network, "CapDrop": ["ALL"]}}

        def beside() -> None:
            call("POST", f"/containers/create?name={other}", body)
            call("POST", f"/containers/{other}/start")
            wait_for_port(other, self.network)

        thread = threading.Thread(target=beside)
        thread.start()
        call("POST", f"/containers/create?name={name}", self.body(self.network))
        call("POST", f"/containers/{name}/start")
        attach(name).close()
        thread.join()
        remove = threading.Thread(target=call, args=("DELETE", f"/containers/{other}?force=1&v=1", None, (204, 409)))
        remove.start()
        call("POST", f"/containers/{name}/kill")
        call("DELETE", f"/containers/{name}?force=1&v=1", ok=(204, 409))
        remove.join()

    def close(self) -> None:
        """Takes the network away."""
        self.pool.shutdown()
        call("DELETE", f"/networks/{self.network}", ok=(204, 404))


def run(stream: socket.socket, script: str) -> None:
    """Has the shell at the other end of an attach run a script to its end."""
    stream.sendall(f"( set -e\n{script}\n) </dev/null && echo all $((40 + 2)) done\n".encode())
    stream.settimeout(60)
    seen = b""
    while b"all 42 done" not in seen:
        got = stream.recv(65536)
        if not got:
            raise RuntimeError(f"the shell ended: {seen[-500:]!r}")
        seen += got
