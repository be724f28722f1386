"""A job with one service that has a TCP port, against the same two containers by bare calls."""

import argparse
import statistics

from docker_api import Floor
from figures import row
from jobs import count_requests
from pairs import timed, until_gone
from runner import Runner

SERVICE = "longshore-test/service:1"


def rows(options: argparse.Namespace) -> list[dict]:
    """A job of `true` with a service against the floor with one more container, interleaved."""
    ours = Runner([options.binary, "--settings", options.settings], options.image, service=SERVICE)
    floor = Floor(options.image)
    ours.job()
    until_gone()
    seconds: dict[str, list[float]] = {"longshore": [], "floor": []}
    stages: list[dict[str, float]] = []
    for number in range(options.rounds):
        stages.append(ours.job())
        seconds["longshore"].append(stages[-1]["total"])
        until_gone()
        name = f"longshore-bench-floor-s{number}"
        seconds["floor"].append(timed(lambda n=name: floor.job_with_service(n, SERVICE)))
    floor.close()
    median = {name: statistics.median(values) for name, values in seconds.items()}
    detail = {"medians_ms": {name: round(value * 1000, 1) for name, value in median.items()}, "n": options.rounds}
    calls = {name: round(statistics.median(stage[name] for stage in stages) * 1000, 1) for name in stages[0]}
    seen = count_requests(options, service=SERVICE)
    return [
        row("job with a service against the floor", median["longshore"] / median["floor"], 1.3, "x", **detail, calls_ms=calls),
        row("API requests of a job with a service", len(seen), 32, "requests", requests=seen),
    ]
