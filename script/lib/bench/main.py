"""Measures Longshore in one run and prints rows: name, value, limit, whether it holds. Ratios, medians."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from urllib.parse import quote

import masker
import throughput
import tree
from counting_proxy import CountingProxy
from docker_api import Floor, call
from figures import row
from runner import Runner

HERE = os.path.dirname(os.path.abspath(__file__))
ROUNDS = 12
BENCH_JOBS = "longshore.project=bench/app"  # others may run jobs beside


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="script/bench", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="runs of each figure (default %(default)s)")
    parser.add_argument("--binary", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--settings", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--image", default="longshore-test/busybox:1", help="image of the jobs")
    return parser.parse_args()


def timed(work) -> float:
    """Seconds that `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def until_gone(label: str) -> None:
    """Waits until the detached removal of the last job is done, so that it weighs on nobody else."""
    deadline = time.monotonic() + 30
    filters = quote(json.dumps({"label": [label]}))
    while call("GET", f"/containers/json?all=1&filters={filters}"):
        if time.monotonic() > deadline:
            raise RuntimeError("containers of a finished job are still there after 30 s")
        time.sleep(0.01)


def jobs(options: argparse.Namespace) -> list[dict]:
    """A job of `true` without sources against the floor and the hand-written driver, interleaved."""
    ours = Runner([options.binary, "--settings", options.settings], options.image)
    hand = Runner([os.path.join(HERE, "hand-written.sh")], options.image)
    floor = Floor(options.image)
    ours.job()
    until_gone(BENCH_JOBS)
    seconds: dict[str, list[float]] = {"longshore": [], "floor": [], "hand-written": []}
    stages: list[dict[str, float]] = []
    for number in range(options.rounds):
        stages.append(ours.job())
        seconds["longshore"].append(stages[-1]["total"])
        until_gone(BENCH_JOBS)
        seconds["floor"].append(timed(lambda n=number: floor.job(f"longshore-bench-floor-{n}")))
        seconds["hand-written"].append(hand.job()["total"])
    floor.close()
    median = {name: statistics.median(values) for name, values in seconds.items()}
    detail = {"medians_ms": {name: round(value * 1000, 1) for name, value in median.items()}, "n": options.rounds}
    calls = {name: round(statistics.median(stage[name] for stage in stages) * 1000, 1) for name in stages[0]}
    return [
        row("job `true` against the floor", median["longshore"] / median["floor"], 1.3, "x", **detail, calls_ms=calls),
        row("job `true` against a hand-written driver", median["longshore"] / median["hand-written"], 0.75, "x", **detail),
    ]


def requests(options: argparse.Namespace) -> list[dict]:
    """API requests of one such job, its detached removal included."""
    with tempfile.TemporaryDirectory() as scratch:
        path = os.path.join(scratch, "docker.sock")
        proxy = CountingProxy(path)
        settings = os.path.join(scratch, "longshore.toml")
        with open(options.settings, encoding="utf-8") as source, open(settings, "w", encoding="utf-8") as target:
            target.write(source.read().replace("unix:///var/run/docker.sock", f"unix://{path}"))
        runner = Runner([options.binary, "--settings", settings], options.image)
        runner.job()
        until_gone(BENCH_JOBS)
        time.sleep(0.5)  # the worker's last requests come after the containers are gone
        proxy.requests.clear()
        runner.job()
        until_gone(BENCH_JOBS)
        time.sleep(0.5)
        seen = list(proxy.requests)
        proxy.close()
    return [row("API requests of that job", len(seen), 16, "requests", requests=seen)]


def start_up(options: argparse.Namespace) -> list[dict]:
    """What `config` takes over a process that does nothing, and the size of the binary."""
    runner = Runner([options.binary, "--settings", options.settings], options.image)
    with tempfile.TemporaryDirectory() as scratch:
        environment = runner._surroundings(scratch, 1)  # pylint: disable=protected-access
        rounds = max(options.rounds, 30)
        config, nothing = [], []
        for _ in range(rounds):
            config.append(timed(lambda: runner.call(["config"], environment, scratch)))
            nothing.append(timed(lambda: subprocess.run(["/bin/true"], check=True, capture_output=True)))
    over = (statistics.median(config) - statistics.median(nothing)) * 1000
    size = os.path.getsize(options.binary) / 1e6
    return [
        row("config above /bin/true", over, 4, "ms", n=rounds),
        row("size of the binary", size, 20, "MB"),
    ]


def show(rows: list[dict]) -> None:
    """The rows for a person."""
    width = max(len(one["name"]) for one in rows)
    for one in rows:
        verdict = "holds" if one["holds"] else "FAILS"
        print(f"{one['name']:<{width}}  {one['value']:>9} {one['unit']:<8} ({one['bound']} {one['limit']})  {verdict}")


def main() -> int:
    """All figures; 1 when one does not hold."""
    options = arguments()
    rows = []
    for part in (jobs, requests, start_up, tree.rows, masker.rows, throughput.rows):
        print(f"measuring: {(part.__doc__ or '').splitlines()[0]}", file=sys.stderr, flush=True)
        rows += part(options)
    if options.json:
        print(json.dumps({"rows": rows}, indent=2))
    else:
        show(rows)
    return 0 if all(one["holds"] for one in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
