"""Jobs that do more than `true`: sources, a cache and an artifact, eight at once."""

import io
import statistics
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing

from coordinator import Coordinator
from docker_api import PATIENCE, Floor
from figures import row
from jobs import count_requests
from pairs import Pairs, timed
from runner import Runner
from sources import Sources

PROJECT = "/builds/bench/app"
AT_ONCE = 8
MEGABYTES = 10


def driver(options) -> list[str]:
    """The argv of ours."""
    return [options.binary, "--settings", options.settings]


def clone(options) -> list[dict]:
    """A job that fetches five files against the floor and git's own time."""
    with closing(Sources()) as sources, closing(Floor(options.image, options.helper_image)) as floor:
        ours = Runner(driver(options), options.image)
        script = sources.script(PROJECT)
        ours.stages = {"get_sources": script}
        pairs = Pairs(
            options.rounds, lambda _: ours.job(), lambda n: floor.pair(f"longshore-bench-pair-{n}", script, "true"),
        )
        seen = count_requests(options, stages=ours.stages)
    name = "job of a 5-file git clone and `true` against the floor with git's own time"
    return [
        row(name, pairs.ratio(), 1.25, "x", **pairs.detail()),
        row("API requests of that job with a clone", len(seen), 22, "requests", requests=seen),
    ]


def kept(options) -> list[dict]:
    """The same with a cache and an artifact of 10 MB each, less the time of compressing them once."""
    make = f"""cd {PROJECT} && mkdir -p cached made
head -c {MEGABYTES * 750_000} /dev/urandom | base64 >made/file
cp made/file cached/file"""
    with ExitStack() as stack:
        stack.callback(forget_caches)
        sources, coordinator = (stack.enter_context(closing(one())) for one in (Sources, Coordinator))
        floor = stack.enter_context(closing(Floor(options.image, options.helper_image)))
        fetch = sources.script(PROJECT)
        ours = keeping(Runner(driver(options), options.image), fetch, coordinator.url)
        pairs = Pairs(
            options.rounds, lambda _: ours.job(make),
            lambda n: floor.pair(f"longshore-bench-kept-{n}", f"{fetch}\n{make}", "true"),
        )
        if coordinator.taken < options.rounds * MEGABYTES * 700_000:
            raise RuntimeError("the artifacts did not arrive")
    once = 2 * compressing()
    name = f"+ cache and artifact of {MEGABYTES} MB, less compressing them once"
    return [row(name, pairs.ratio(once), 1.3, "x", **pairs.detail(compressing_ms=round(once * 1000, 1)))]


def keeping(runner: Runner, fetch: str, url: str) -> Runner:
    """Gives the runner's jobs sources, a cache, and an artifact for the coordinator at this address."""
    cache = "../../../cache/bench/app/key/cache.zip"
    upload = f"--url {url} --token bench-token-as-long-as-theirs --id 1 --path made/ --name bench"
    runner.keys = {
        "cache": [{"key": "key", "policy": "pull-push", "paths": ["cached/"], "when": "on_success"}],
        "artifacts": [{"name": "bench", "paths": ["made/"], "when": "on_success"}],
    }
    runner.stages = {
        "get_sources": fetch,
        "restore_cache": f"cd {PROJECT}\ngitlab-runner cache-extractor --file {cache} --timeout 10 || true",
        "archive_cache": f"cd {PROJECT}\ngitlab-runner cache-archiver --file {cache} --timeout 10 --path cached/",
        "upload_artifacts_on_success": f"cd {PROJECT}\ngitlab-runner artifacts-uploader {upload}",
    }
    return runner


def compressing() -> float:
    """Seconds of deflating that many megabytes on one processor."""
    text = subprocess.run(
        ["base64"], input=subprocess.run(["head", "-c", str(MEGABYTES * 750_000), "/dev/urandom"],
        capture_output=True, check=True).stdout, capture_output=True, check=True,
    ).stdout
    def deflate():
        with zipfile.ZipFile(io.BytesIO(), "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("file", text)
    return statistics.median(timed(deflate) for _ in range(5))


def forget_caches() -> None:
    """Removes the volumes of the bench project's caches; what is left is told and hides no other failure."""
    listed = subprocess.run(
        ["docker", "volume", "ls", "-q", "--filter", "label=longshore.cache=bench/app"],
        check=True, capture_output=True, text=True, timeout=PATIENCE,
    ).stdout.split()
    if listed:
        removed = subprocess.run(
            ["docker", "volume", "rm", *listed], check=False, capture_output=True, text=True, timeout=PATIENCE,
        )
        print(removed.stderr, end="", file=sys.stderr)


def together(options) -> list[dict]:
    """Eight jobs at once against eight floors at once."""
    runners = [Runner(driver(options), options.image) for _ in range(AT_ONCE)]
    for place, runner in enumerate(runners):
        runner.number += (place + 1) * 10_000
    floors = [Floor(options.image, network=f"longshore-bench-floor-{place}") for place in range(AT_ONCE)]
    pool = ThreadPoolExecutor(AT_ONCE)
    def ours(_):
        list(pool.map(lambda runner: runner.job(), runners))
    def floor(number):
        names = (f"longshore-bench-{place}-{number}" for place in range(AT_ONCE))
        list(pool.map(lambda pair: pair[0].job(pair[1]), zip(floors, names)))
    try:
        pairs = Pairs(options.rounds, ours, floor)
    finally:
        pool.shutdown()
        for one in floors:
            one.close()
    return [row(f"{AT_ONCE} jobs at once against as many floors at once", pairs.ratio(), 1.2, "x", **pairs.detail())]
