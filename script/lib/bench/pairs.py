"""Longshore's jobs and the floor's, one after the other in turn, so that a loaded machine weighs on both."""

import json
import statistics
import time
from urllib.parse import quote

from docker_api import call

BENCH_JOBS = "longshore.project=bench/app"  # others may run jobs beside


def timed(work) -> float:
    """Seconds that `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def until_gone(label: str = BENCH_JOBS) -> None:
    """Waits until the detached removal of the last job is done, so that it weighs on nobody else."""
    deadline = time.monotonic() + 30
    filters = quote(json.dumps({"label": [label]}))
    while call("GET", f"/containers/json?all=1&filters={filters}"):
        if time.monotonic() > deadline:
            raise RuntimeError("containers of a finished job are still there after 30 s")
        time.sleep(0.01)


class Pairs:
    """Seconds of ours and the floor's, round by round."""

    def __init__(self, rounds: int, ours, floor):
        ours(-1)
        until_gone()
        self.ours, self.floor, self.gone = [], [], []
        for number in range(rounds):
            self.ours.append(timed(lambda n=number: ours(n)))
            self.gone.append(self.ours[-1] + timed(until_gone))
            self.floor.append(timed(lambda n=number: floor(n)))

    def ratio(self, less: float = 0.0) -> float:
        """Median against median; `less` seconds of ours are nobody's to save."""
        return (statistics.median(self.ours) - less) / statistics.median(self.floor)

    def detail(self, **more) -> dict:
        """What stands beside a row: medians, their number, and the median of the rounds' own ratios."""
        medians = {
            "longshore": statistics.median(self.ours),
            "longshore until all is removed": statistics.median(self.gone),
            "floor": statistics.median(self.floor),
        }
        return {
            "medians_ms": {name: round(value * 1000, 1) for name, value in medians.items()},
            "paired": round(statistics.median(a / b for a, b in zip(self.ours, self.floor)), 3),
            "n": len(self.ours),
            **more,
        }
