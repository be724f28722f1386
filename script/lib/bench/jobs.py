"""A job of `true` without sources against the floor, and what it asks of the engine."""

import argparse
import os
import statistics
import time

from counting_proxy import counted
from docker_api import Floor
from figures import row
from pairs import timed, until_gone
from runner import Runner

HERE = os.path.dirname(os.path.abspath(__file__))


def jobs(options: argparse.Namespace) -> list[dict]:
    """A job of `true` without sources against the floor and the hand-written driver, interleaved."""
    ours = Runner([options.binary, "--settings", options.settings], options.image)
    hand = Runner([os.path.join(HERE, "hand-written.sh")], options.image)
    floor = Floor(options.image)
    ours.job()
    until_gone()
    seconds: dict[str, list[float]] = {"longshore": [], "floor": [], "hand-written": []}
    stages: list[dict[str, float]] = []
    for number in range(options.rounds):
        stages.append(ours.job())
        seconds["longshore"].append(stages[-1]["total"])
        until_gone()
        seconds["floor"].append(timed(lambda n=number: floor.job(f"longshore-bench-floor-{n}")))
        seconds["hand-written"].append(hand.job()["total"])
    floor.close()
    median = {name: statistics.median(values) for name, values in seconds.items()}
    detail = {"medians_ms": {name: round(value * 1000, 1) for name, value in median.items()}, "n": options.rounds}
    calls = {name: round(statistics.median(stage[name] for stage in stages) * 1000, 1) for name in stages[0]}
    return [
        row("job `true` against the floor", median["longshore"] / median["floor"], 1.25, "x", **detail, calls_ms=calls),
        row("job `true` against a hand-written driver", median["longshore"] / median["hand-written"], 0.75, "x", **detail),
    ]


def count_requests(options: argparse.Namespace, **job) -> list:
    """The API requests of one job, its detached removal included; `job` is what it has besides."""
    with counted(options.settings) as (proxy, settings):
        runner = Runner([options.binary, "--settings", settings], options.image, service=job.get("service"))
        runner.stages = job.get("stages", {})
        seen: list[str] = []
        for _ in range(2):  # the first may have a network to make
            proxy.requests.clear()
            runner.job()
            until_gone()
            time.sleep(0.5)  # the worker's last requests come after the containers are gone
            seen = list(proxy.requests)
    return seen


def requests(options: argparse.Namespace) -> list[dict]:
    """API requests of one such job, its detached removal included."""
    seen = count_requests(options)
    return [row("API requests of that job", len(seen), 14, "requests", requests=seen)]
