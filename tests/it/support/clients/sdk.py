"""Docker's Python SDK at its usual work."""

import io
import tarfile
import threading

import docker
from docker.errors import ContainerError, ImageNotFound, NotFound

BUSYBOX = "longshore-test/busybox:1"
SERVICE = "longshore-test/service:1"


def system(client):
    assert client.ping()
    assert client.version()["ApiVersion"]
    assert client.info()["OSType"] == "linux"


def images(client):
    assert BUSYBOX in client.images.get(BUSYBOX).tags
    assert any(BUSYBOX in image.tags for image in client.images.list())
    dockerfile = f"FROM {BUSYBOX}\nARG WORD\nRUN echo built with $WORD >/word\nCMD cat /word\n"
    image, log = client.images.build(
        fileobj=io.BytesIO(dockerfile.encode()), tag="sdk:1", buildargs={"WORD": "this"}, rm=True
    )
    assert any("Successfully built" in line.get("stream", "") for line in log)
    assert client.containers.run("sdk:1", remove=True) == b"built with this\n"
    assert image.tag("sdk", "2")
    assert image.history()
    client.images.remove("sdk:2")
    client.images.remove("sdk:1")
    try:
        client.images.get("sdk:1")
    except ImageNotFound:
        return
    raise AssertionError("the image is still there")


def containers(client):
    assert client.containers.run(BUSYBOX, "echo hello", remove=True) == b"hello\n"
    try:
        client.containers.run(BUSYBOX, ["sh", "-c", "echo broken >&2; exit 7"], remove=True)
    except ContainerError as error:
        assert error.exit_status == 7 and b"broken" in error.stderr
    else:
        raise AssertionError("a container that failed did not")
    web = client.containers.run(SERVICE, "/serve", detach=True, name="web", labels={"of": "sdk"})
    assert [one.id for one in client.containers.list(filters={"label": "of=sdk"})] == [web.id]
    for line in web.logs(stream=True, follow=True):
        if line == b"service: ready\n":
            break
    code, output = web.exec_run(late("cat /tmp/healthy"))
    assert (code, output) == (0, b"yes\n")
    code, (out, err) = web.exec_run(late("echo out; echo err >&2; exit 3"), demux=True)
    assert (code, out, err) == (3, b"out\n", b"err\n")
    web.reload()
    assert web.status == "running" and web.attrs["Config"]["Labels"]["of"] == "sdk"
    assert web.top()["Processes"]
    assert web.stats(stream=False)["pids_stats"]["current"] >= 1
    archives(web)
    stream(client, web)
    web.pause()
    web.unpause()
    web.rename("site")
    web.restart(timeout=1)
    web.stop(timeout=1)
    assert web.wait()["StatusCode"] >= 0
    web.remove()
    try:
        client.containers.get("site")
    except NotFound:
        return
    raise AssertionError("the container is still there")


def late(script):
    """The SDK loses what it reads along with the answer's head, on the bare socket too; it has no event to wait for."""
    return ["sh", "-c", f"sleep 1; {script}"]


def archives(container):
    content = bytes(range(256)) * 4096
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        entry = tarfile.TarInfo("content")
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    assert container.put_archive("/tmp", packed.getvalue())
    chunks, stat = container.get_archive("/tmp/content")
    assert stat["size"] == len(content)
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        assert archive.extractfile("content").read() == content


def stream(client, container):
    """Input to a command through the connection itself, which ends while its output goes on."""
    made = client.api.exec_create(container.id, "cat", stdin=True)
    connection = client.api.exec_start(made["Id"], socket=True)
    raw = getattr(connection, "_sock", connection)
    raw.sendall(b"through the socket\n")
    raw.shutdown(1)
    answer = b""
    while chunk := raw.recv(4096):
        answer += chunk
    assert b"through the socket\n" in answer, answer


def networks(client):
    inner = client.networks.create("inner", driver="bridge", labels={"of": "sdk"})
    server = client.containers.run(SERVICE, "/serve", detach=True, name="server", network="inner")
    inner.reload()
    assert [one.id for one in inner.containers] == [server.id]
    address = server.attrs["NetworkSettings"]["Networks"]["inner"]["IPAddress"]
    if not address:
        server.reload()
        address = server.attrs["NetworkSettings"]["Networks"]["inner"]["IPAddress"]
    page = client.containers.run(
        BUSYBOX, ["wget", "-qO-", f"http://{address}:8080/"], network="inner", remove=True
    )
    assert page.startswith(b"hello from "), page
    other = client.containers.create(BUSYBOX, "true", name="other")
    inner.connect(other, aliases=["more"])
    inner.disconnect(other)
    other.remove()
    assert "inner" in [one.name for one in client.networks.list()]
    server.remove(force=True)
    inner.remove()


def volumes(client):
    store = client.volumes.create("store", labels={"of": "sdk"})
    mounted = {"store": {"bind": "/store", "mode": "rw"}}
    client.containers.run(BUSYBOX, "sh -c 'echo kept >/store/word'", volumes=mounted, remove=True)
    read = docker.types.Mount(target="/store", source="store", type="volume", read_only=True)
    assert client.containers.run(BUSYBOX, "cat /store/word", mounts=[read], remove=True) == b"kept\n"
    assert [one.name for one in client.volumes.list(filters={"label": "of=sdk"})] == ["store"]
    store.remove()


def events(client):
    seen = []
    heard = threading.Event()

    def listen():
        for event in client.events(decode=True, filters={"type": "container"}):
            seen.append(event["Action"])
            if event["Action"] == "destroy":
                heard.set()
                return

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    # The stream begins with what happens after the daemon has it: told again until it is heard.
    for _ in range(30):
        docker.from_env().containers.run(BUSYBOX, "true", remove=True)
        if heard.wait(2):
            break
    assert {"create", "start", "die", "destroy"} & set(seen) and heard.is_set(), seen


def main():
    client = docker.from_env()
    for work in (system, images, containers, networks, volumes, events):
        work(client)
        print(work.__name__, "works", flush=True)
    assert client.containers.list(all=True) == []


main()
