"""Runs many jobs in a row and tells what grew; ends with 1 where something did."""

import argparse
import glob
import json
import os
import statistics
import sys
import time
import tomllib
from urllib.parse import quote

from docker_api import Floor, call
from figures import row
from pairs import BENCH_JOBS, timed, until_gone
from runner import Runner
from sources import Sources
from whole_jobs import PROJECT, forget_caches

WARM_UP = 5
SLOWER = 1.25  # what medians of fifty may differ by on a machine that does other things too
CACHE = "../../../cache/bench/app/key/cache.zip"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="script/soak", description=__doc__)
    parser.add_argument("jobs", nargs="?", type=int, default=500, help="jobs in a row (default %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--image", default="longshore-test/busybox:1", help="image of the jobs")
    for hidden in ("--binary", "--settings", "--helper-image"):
        parser.add_argument(hidden, required=True, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.jobs < 10:
        parser.error("fewer than 10 jobs show nothing")
    return options


def labelled(path: str, label: str) -> int:
    """How many objects of a kind carry a label."""
    filters = quote(json.dumps({"label": [label]}))
    listed = call("GET", f"{path}{'&' if '?' in path else '?'}filters={filters}")
    return len(listed["Volumes"] or [] if "Volumes" in listed else listed)


def files_below(directory: str) -> int:
    """Files and directories in a tree."""
    return sum(len(directories) + len(files) for _, directories, files in os.walk(directory))


def lines_of(path: str) -> int:
    """Lines of a file that may not be there yet."""
    if not os.path.exists(path):
        return 0
    with open(path, "rb") as file:
        return sum(1 for _ in file)


def processes(name: str) -> list[str]:
    """Directories in /proc of the processes of a program."""
    found = []
    for path in glob.glob("/proc/[0-9]*/comm"):
        try:
            with open(path, encoding="utf-8") as comm:
                if comm.read().strip() == name:
                    found.append(os.path.dirname(path))
        except OSError:
            continue
    return found


def open_files(name: str) -> int:
    """Open files of all processes of a program."""
    count = 0
    for path in processes(name):
        try:
            count += len(os.listdir(f"{path}/fd"))
        except OSError:  # it has ended
            continue
    return count


def drivers(binary: str) -> int:
    """Processes of this very binary."""
    count = 0
    for path in processes("longshore"):
        try:
            count += os.path.samefile(f"{path}/exe", binary)
        except OSError:  # it has ended
            continue
    return count


class Host:
    """What there is on this host, as numbers by name."""

    # Others use this host too: a leak is one for many jobs, what comes and goes beside is not ours.
    SHARED = {"mounts of the host", "open files of dockerd", "open files of containerd", "networks", "volumes in all"}

    def __init__(self, options: argparse.Namespace):
        self.binary = options.binary
        with open(options.settings, "rb") as file:
            settings = tomllib.load(file)
        self.state, self.run = settings["state_dir"], settings["run_dir"]

    def look(self) -> dict[str, int]:
        """The numbers of now."""
        return {
            "containers": labelled("/containers/json?all=1", BENCH_JOBS),
            "volumes": labelled("/volumes", BENCH_JOBS),
            "volumes in all": len(call("GET", "/volumes")["Volumes"] or []),
            "networks": len(call("GET", "/networks")),
            "mounts of the host": lines_of("/proc/self/mountinfo"),
            "open files of dockerd": open_files("dockerd"),
            "open files of containerd": open_files("containerd"),
            "processes of longshore": drivers(self.binary),
            "files in state_dir": files_below(self.state),
            "files in run_dir": files_below(self.run),
            "directories the runner made": len(glob.glob("/tmp/custom-executor*")),
            "lines of the ledger": lines_of(os.path.join(self.state, "ledger.jsonl")),
        }


def kinds(options: argparse.Namespace, sources: Sources) -> tuple[Runner, Runner]:
    """Jobs without sources, and jobs with sources and a cache that changes each time."""
    driver = [options.binary, "--settings", options.settings]
    plain, full = Runner(driver, options.image), Runner(driver, options.image)
    full.number += 50_000_000
    full.keys = {"cache": [{"key": "key", "policy": "pull-push", "paths": ["cached/"], "when": "on_success"}]}
    full.stages = {
        "get_sources": sources.script(PROJECT),
        "restore_cache": f"cd {PROJECT}\ngitlab-runner cache-extractor --file {CACHE} --timeout 10 || true",
        "build_script": f"cd {PROJECT}\nmkdir -p cached\nhead -c 100000 /dev/urandom >cached/file",
        "archive_cache": f"cd {PROJECT}\ngitlab-runner cache-archiver --file {CACHE} --timeout 10 --path cached/",
    }
    return plain, full


def timed_pairs(runner: Runner, floor: Floor, count: int, name: str) -> list[tuple[float, float]]:
    """Seconds of ours and of the floor beside it, which tells how busy the machine was."""
    pairs = []
    for number in range(count):
        ours = timed(runner.job)
        until_gone()
        pairs.append((ours, timed(lambda n=number: floor.job(f"longshore-soak-{name}-{n}"))))
    return pairs


def soak(options: argparse.Namespace) -> list[dict]:
    """All jobs; one row for each number."""
    sources, floor, host = Sources(), Floor(options.image, network="longshore-soak-floor"), Host(options)
    plain, full = kinds(options, sources)
    try:
        for _ in range(WARM_UP):
            plain.job()
            full.job()
        until_gone()
        before = host.look()
        ends = min(50, options.jobs // 3)
        first = timed_pairs(plain, floor, ends, "first")
        for number in range(options.jobs - 2 * ends):
            (full if number % 2 else plain).job()
            if number % 50 == 49:
                print(f"{ends + number + 1} jobs", file=sys.stderr, flush=True)
        until_gone()
        last = timed_pairs(plain, floor, ends, "last")
        settle(host, before)
        after = host.look()
    finally:
        floor.close()
        sources.close()
        forget_caches()
    return [*grown(options.jobs, before, after), *speed(first, last)]


def settle(host: Host, before: dict[str, int]) -> None:
    """Waits for the last worker, which writes to the ledger when all is gone."""
    deadline = time.monotonic() + 10
    while host.look()["processes of longshore"] > before["processes of longshore"] and time.monotonic() < deadline:
        time.sleep(0.05)


def grown(jobs: int, before: dict[str, int], after: dict[str, int]) -> list[dict]:
    """A row for each number: by how much it grew, and by how much it may."""
    rows = []
    for name, was in before.items():
        allowed = jobs // 10 if name in Host.SHARED else 0
        if name == "lines of the ledger":
            allowed = 12 * jobs  # started, prepared, removing, removed, a line for each stage, a pull or a prune
        rows.append(row(name, after[name] - was, allowed, "more", before=was, after=after[name]))
    return rows


def speed(first: list[tuple[float, float]], last: list[tuple[float, float]]) -> list[dict]:
    """How much slower the last were, once what the machine did beside is taken out."""
    medians = [[statistics.median(part) for part in zip(*pairs)] for pairs in (first, last)]
    (ours_first, floor_first), (ours_last, floor_last) = medians
    ratio = (ours_last / ours_first) / (floor_last / floor_first)
    detail = {name: round(value * 1000, 1) for name, value in (
        ("first_ms", ours_first), ("last_ms", ours_last), ("floor_first_ms", floor_first), ("floor_last_ms", floor_last),
    )}
    return [row(f"the last {len(last)} jobs against the first, over the floor beside them", ratio, SLOWER, "x", **detail)]


def show(rows: list[dict]) -> None:
    """The rows for a person."""
    width = max(len(one["name"]) for one in rows)
    for one in rows:
        seen = f"{one['before']} -> {one['after']}" if "before" in one else f"{one['first_ms']} -> {one['last_ms']} ms"
        verdict = "holds" if one["holds"] else "FAILS"
        print(f"{one['name']:<{width}}  {seen:>20}  {one['value']:>7} {one['unit']:<5} ({one['bound']} {one['limit']})  {verdict}")


def main() -> int:
    """The soak; 1 when something grew."""
    options = arguments()
    rows = soak(options)
    if options.json:
        print(json.dumps({"jobs": options.jobs, "rows": rows}, indent=2))
    else:
        show(rows)
    return 0 if all(one["holds"] for one in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
