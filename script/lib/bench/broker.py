"""The brokered Docker socket against the bare one, in jobs that differ in nothing else."""

import base64
import contextlib
import json
import os
import statistics
import subprocess
import tempfile

from figures import row
from pairs import until_gone
from runner import SCRIPT, Runner, _private

MEGABYTES = 200
CALLS = 300  # a round; the pace of a job holds from 400 at once on
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))

# Runs in the job: seconds of calls that each have a connection of their own, as a docker command's have.
PROBE = """
import http.client, json, socket, sys, time

class Connection(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.connect("/var/run/docker.sock")

def call(method, path, body=None):
    connection = Connection("docker")
    connection.request(method, "/v1.41" + path, body and json.dumps(body), {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    connection.close()
    assert answer.status < 300, (method, path, answer.status, text)
    return json.loads(text) if text else None

image, calls = sys.argv[1], int(sys.argv[2])
one = call("POST", "/containers/create", {"Image": image, "Cmd": ["true"]})["Id"]
seconds = []
for _ in range(calls):
    began = time.perf_counter()
    call("GET", f"/containers/{one}/json")
    seconds.append(time.perf_counter() - began)
call("DELETE", f"/containers/{one}")
print(json.dumps(seconds))
"""


class Job:
    """A prepared job with one kind of socket, whose stage can be run again and again."""

    def __init__(self, options, mode: str, image: str, files: str):
        self.runner = Runner([options.binary, "--settings", self.settings(options, mode, files)], image)
        # so that two live side by side
        self.runner.number += {"raw": 100, "brokered": 200}[mode] + 10 * (image == options.docker_image)
        self.directory = tempfile.TemporaryDirectory(prefix="custom-executor")
        self.environment = self.runner._surroundings(self.directory.name, self.runner.number)  # pylint: disable=protected-access
        for words in (["config"], ["prepare"]):
            self.runner.call(words, self.environment, self.directory.name)

    @staticmethod
    def settings(options, mode: str, files: str) -> str:
        """A copy of the settings with this mode."""
        path = os.path.join(files, f"{mode}.toml")
        with open(options.settings, encoding="utf-8") as source, open(path, "w", encoding="utf-8") as copy:
            copy.write(source.read().replace("[docker]\n", f'[docker]\ndocker_socket = "{mode}"\n'))
            copy.write('shared_images = ["**"]\n[broker]\nallowed_images = ["**"]\n')
        return path

    def stage(self, script: str) -> list[float]:
        """Runs a stage; the numbers that it prints on a line of their own."""
        path = os.path.join(self.directory.name, "script")
        with open(path, "w", encoding="utf-8", opener=_private) as file:
            file.write(SCRIPT.format(script))
        said = self.runner.call(["run", path, "build_script"], self.environment, self.directory.name)
        lists = [line for line in said.decode().splitlines() if line.startswith("[") and line.endswith("]")]
        return json.loads(lists[-1]) if lists else []

    def close(self) -> None:
        """Ends the job."""
        self.runner.call(["cleanup"], self.environment, self.directory.name)
        self.directory.cleanup()


def rows(options) -> list[dict]:
    """Small calls, an upload and a build through the brokered socket against the bare one."""
    return small_calls(options) + builds(options)


@contextlib.contextmanager
def both(options, image: str):
    """The same job with each kind of socket, side by side."""
    with contextlib.ExitStack() as stack:
        files = stack.enter_context(tempfile.TemporaryDirectory())
        stack.callback(until_gone)  # the detached removal reads the settings too
        jobs = {}
        for mode in ("raw", "brokered"):
            jobs[mode] = Job(options, mode, image, files)
            stack.callback(jobs[mode].close)
        yield jobs


def small_calls(options) -> list[dict]:
    """What the inspection of a container takes longer."""
    script = f"python3 - {options.image} {CALLS} <<'EOS'\n{PROBE}\nEOS"
    seconds: dict[str, list[float]] = {"raw": [], "brokered": []}
    with both(options, options.helper_image) as jobs:
        for _ in range(options.rounds):
            for mode, job in jobs.items():
                seconds[mode] += job.stage(script)
    ms = {mode: [round(_share(values, share) * 1000, 3) for share in (0.5, 0.99)] for mode, values in seconds.items()}
    over = [ours - bare for ours, bare in zip(ms["brokered"], ms["raw"])]
    detail = {"n": CALLS * options.rounds, "p50_p99_ms": ms}
    return [
        row("small call through the broker above the bare socket, p50", over[0], 1, "ms", **detail),
        row("the same, p99", over[1], 5, "ms", **detail),
    ]


def builds(options) -> list[dict]:
    """A large context, and the build of the living example."""
    upload = _timed(f"""cd /tmp/context && printf 'FROM {options.image}\\n' >Dockerfile
DOCKER_BUILDKIT=0 docker build -q . >/dev/null 2>&1""")
    # Without a cache, and by the builder that the broker offers.
    app = _timed("cd /tmp/app && DOCKER_BUILDKIT=0 docker build --no-cache -q --build-arg COMMIT_SHA=0 --build-arg VERSION=0 .")
    pairs: dict[str, dict[str, list[float]]] = {"upload": {"raw": [], "brokered": []}, "app": {"raw": [], "brokered": []}}
    with both(options, options.docker_image) as jobs:
        for job in jobs.values():
            job.stage(_furnish())
            job.stage(upload)
            job.stage(app)
        for number in range(max(options.rounds // 2, 3)):
            for mode in ("raw", "brokered") if number % 2 else ("brokered", "raw"):
                pairs["upload"][mode] += jobs[mode].stage(upload)
                pairs["app"][mode] += jobs[mode].stage(app)
    _forget_builds()
    ratio = {name: _ratio(one) for name, one in pairs.items()}
    detail = {
        name: {"medians_s": {mode: round(statistics.median(values), 3) for mode, values in one.items()}, "n": len(one["raw"])}
        for name, one in pairs.items()
    }
    return [
        row(f"upload of a {MEGABYTES} MB context, speed against the bare socket", 1 / ratio["upload"], 0.6, "x",
            at_least=True, **detail["upload"]),
        row("docker build of the app against the bare socket", ratio["app"], 1.05, "x", **detail["app"]),
    ]


def _furnish() -> str:
    """A script that puts the living example and a large file into the job."""
    archive = subprocess.run(
        ["git", "-C", ROOT, "archive", "HEAD", "Dockerfile", ".dockerignore", "app"], check=True, capture_output=True
    ).stdout
    text = base64.encodebytes(archive).decode()
    return f"""mkdir -p /tmp/app /tmp/context
base64 -d <<'EOS' | tar -x -C /tmp/app
{text}EOS
head -c {MEGABYTES * 1_000_000} /dev/urandom >/tmp/context/file"""


def _forget_builds() -> None:
    """The nameless images of the living example's stages, of which every build leaves two."""
    for title in ("longshore-app", "longshore-app-deps"):
        label = f"label=org.opencontainers.image.title={title}"
        subprocess.run(["docker", "image", "prune", "--force", "--filter", label], check=True, capture_output=True)


def _timed(script: str) -> str:
    """The script, and the seconds it took as a list."""
    return f"""cat >/tmp/timed <<'EOS'
set -e
{script}
EOS
read began rest </proc/uptime
sh /tmp/timed
read ended rest </proc/uptime
echo "$ended $began" | awk '{{ print "[" $1 - $2 "]" }}'"""


def _share(values: list[float], share: float) -> float:
    return sorted(values)[int(len(values) * share)]


def _ratio(one: dict[str, list[float]]) -> float:
    return statistics.median(ours / bare for ours, bare in zip(one["brokered"], one["raw"]))
