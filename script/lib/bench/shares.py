"""Whose time a job takes: the daemon's, the agent's and ours, as seen from the engine's socket."""

import statistics
import time

from counting_proxy import counted
from figures import row
from pairs import until_gone
from runner import Runner


def length(spans: list[tuple[float, float]]) -> float:
    """Seconds in which at least one of these was under way."""
    total, end = 0.0, float("-inf")
    for began, ended in sorted(spans):
        total += max(0.0, ended - max(began, end))
        end = max(end, ended)
    return total


def rows(options) -> list[dict]:
    """Fractions of a job's wall time that are the daemon's, the agent's and ours."""
    with counted(options.settings) as (proxy, settings):
        runner = Runner([options.binary, "--settings", settings], options.image)
        runner.job()
        parts = []
        for _ in range(options.rounds):
            until_gone()
            time.sleep(0.2)  # the worker's last requests
            proxy.spans.clear()
            began = time.perf_counter()
            wall = runner.job()["total"]
            within = [span for span in list(proxy.spans) if span.began < began + wall]
            daemon = [(one.began, min(one.answered, began + wall)) for one in within]
            agent = [(one.answered, min(one.ended, began + wall)) for one in within if one.ended > one.answered]
            parts.append((length(daemon) / wall, (length(daemon + agent) - length(daemon)) / wall))
        until_gone()  # the last worker's socket ends with this block
    daemon, agent = (statistics.median(part) for part in zip(*parts))
    detail = {"daemon": round(daemon, 3), "agent": round(agent, 3), "ours": round(1 - daemon - agent, 3)}
    return [row("share of job `true` that is neither the daemon's nor the agent's", 1 - daemon - agent, 0.2, "", **detail)]
