"""Measures Longshore in one run and prints rows: name, value, limit, whether it holds. Ratios, medians."""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile

import broker
import masker
import prune
import reap
import services
import shares
import throughput
import tree
import vault
import whole_jobs
from figures import row
from jobs import jobs, requests
from pairs import timed
from runner import Runner

ROUNDS = 12


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="script/bench", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="runs of each figure (default %(default)s)")
    parser.add_argument("--part", action="append", choices=PARTS, help="only this one; can be given again")
    parser.add_argument("--binary", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--settings", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--helper-image", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--docker-image", required=True, help=argparse.SUPPRESS)
    parser.add_argument("--image", default="longshore-test/busybox:1", help="image of the jobs")
    return parser.parse_args()


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


PARTS = {
    "job": jobs, "requests": requests, "clone": whole_jobs.clone, "artifacts": whole_jobs.kept, "together": whole_jobs.together,
    "service": services.rows, "shares": shares.rows, "prune": prune.rows, "reap": reap.rows, "start-up": start_up,
    "tree": tree.rows, "masker": masker.rows, "vault": vault.rows, "throughput": throughput.rows,
    "broker": broker.rows,
}


def main() -> int:
    """All figures, or those of the parts asked for; 1 when one does not hold."""
    options = arguments()
    rows = []
    try:
        for name in options.part or PARTS:
            print(f"measuring: {(PARTS[name].__doc__ or '').splitlines()[0]}", file=sys.stderr, flush=True)
            rows += PARTS[name](options)
    finally:  # what was measured before something broke is told all the same
        if options.json:
            print(json.dumps({"rows": rows}, indent=2))
        elif rows:
            show(rows)
    return 0 if all(one["holds"] for one in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
