"""What cleaning up costs: a reap beside many containers of others, and the cleanup call against bare removals."""

import argparse
import statistics
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

from counting_proxy import counted
from docker_api import call
from figures import row
from pairs import timed, until_gone
from runner import Runner

OTHERS = 500
PREFIX = "longshore-bench-other"


def rows(options: argparse.Namespace) -> list[dict]:
    """A reap on a host with 500 containers of others, and the cleanup call against bare removals."""
    return beside_others(options) + cleanup(options)


def beside_others(options: argparse.Namespace) -> list[dict]:
    """A reap that has nothing to do; a first one takes what others left."""
    names = [f"{PREFIX}-{number}" for number in range(OTHERS)]
    with ThreadPoolExecutor(4) as pool:
        try:
            list(pool.map(lambda name: make(name, options.image), names))
            with counted(options.settings) as (proxy, settings):
                reap = Runner([options.binary, "--settings", settings], options.image)
                reap.call(["reap"], {}, "/")
                proxy.requests.clear()
                reap.call(["reap"], {}, "/")
                seen = list(proxy.requests)
            reap = Runner([options.binary, "--settings", options.settings], options.image)
            seconds = [timed(lambda: reap.call(["reap"], {}, "/")) for _ in range(options.rounds)]
        finally:
            list(pool.map(remove, names))
    median = statistics.median(seconds) * 1000
    return [
        row(f"reap beside {OTHERS} containers of others", median, 300, "ms", n=options.rounds),
        row("API requests of that reap", len(seen), 5, "requests", requests=seen),
    ]


def make(name: str, image: str) -> None:
    """A container that never starts."""
    remove(name)
    call("POST", f"/containers/create?name={name}", {"Image": image, "Cmd": ["true"]})


def remove(name: str) -> None:
    """Kills and removes a container; one that is not there is gone."""
    call("DELETE", f"/containers/{name}?force=1&v=1", ok=(204, 404))


def cleanup(options: argparse.Namespace) -> list[dict]:
    """The call, which the runner counts into the job, against killing and removing such a container by hand."""
    runner = Runner([options.binary, "--settings", options.settings], options.image)
    ours, floor = [], []
    for number in range(options.rounds):
        with tempfile.TemporaryDirectory(prefix="custom-executor") as scratch:
            runner.number += 1
            environment = runner._surroundings(scratch, runner.number)  # pylint: disable=protected-access
            for words in (["config"], ["prepare"]):
                runner.call(words, environment, scratch)
            ours.append(timed(lambda: runner.call(["cleanup"], environment, scratch)))
        until_gone()
        name = f"{PREFIX}-floor-{number}"
        remove(name)
        call("POST", f"/containers/create?name={name}", {"Image": options.image, "Cmd": ["sleep", "300"]})
        call("POST", f"/containers/{name}/start")
        time.sleep(0.05)
        floor.append(timed(lambda: remove(name)))
    medians = [statistics.median(seconds) for seconds in (ours, floor)]
    detail = {"ours_ms": round(medians[0] * 1000, 1), "floor_ms": round(medians[1] * 1000, 1), "n": options.rounds}
    return [row("cleanup call against killing and removing its container", medians[0] / medians[1], 1.2, "x", **detail)]
