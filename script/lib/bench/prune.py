"""What the prune after a delivery adds to its job: the same job with something to prune, and with no delivery."""

import argparse
import statistics
import subprocess
import time

from figures import row
from pairs import until_gone
from runner import Runner, _job

# The calls that have to do with it; all others are noise.
CALLS = ("cleanup_file_variables", "cleanup")
REPOSITORY = "registry.example/bench/app"
EMPTY = bytes(1024)  # an archive without a file
SHA = "0123456789abcdef0123456789abcdef01234567"


def docker(*words: str, given: bytes = b"") -> str:
    """What a docker command prints."""
    done = subprocess.run(["docker", *words], input=given, capture_output=True, check=True)
    return done.stdout.decode().strip()


def make_images(number: int) -> None:
    """What a pipeline leaves: one image as `latest`, `test` and the commit, and one of the short commit alone."""
    for kind, tags in (("delivered", ("latest", "test", SHA)), ("own", (SHA[:8],))):
        image = docker("import", "--change", f"LABEL bench={kind}-{number}", "-", given=EMPTY)
        for tag in tags:
            docker("tag", image, f"{REPOSITORY}:{tag}")


def tags() -> list[str]:
    """The repository's tags."""
    return docker("image", "ls", "--format", "{{.Tag}}", REPOSITORY).split()


def until_pruned() -> None:
    """Waits until the detached worker has left nothing but `latest`."""
    deadline = time.monotonic() + 30
    while tags() != ["latest"]:
        if time.monotonic() > deadline:
            raise RuntimeError(f"not pruned after 30 s: {tags()}")
        time.sleep(0.01)


def remove_images() -> None:
    """Takes all of them away."""
    for tag in tags():
        docker("image", "rm", f"{REPOSITORY}:{tag}")
    # The `latest` of each round before: never pushed, so nobody knows whose it was.
    nameless = docker("image", "ls", "--quiet", "--filter", "dangling=true", "--filter", "label=bench").split()
    if nameless:
        docker("image", "rm", *nameless)


def runner(options: argparse.Namespace, stage: str) -> Runner:
    """Plays the runner for jobs of this stage of the project's pipeline."""
    ours = Runner([options.binary, "--settings", options.settings], options.image)
    job = _job(0, options.image, None)
    ours.keys = {
        "job_info": job["job_info"] | {"stage": stage},
        "variables": job["variables"] + [{"key": "CI_REGISTRY_IMAGE", "value": REPOSITORY, "public": True}],
    }
    return ours


def rows(options: argparse.Namespace) -> list[dict]:
    """A delivery with four tags to judge and three to prune against the same job of another stage, in turn."""
    delivery, other = runner(options, "delivery"), runner(options, "test")
    seconds: dict[str, list[float]] = {"delivery": [], "other stage": []}
    other.job()
    until_gone()
    for number in range(options.rounds):
        make_images(number)
        for name, one in (("delivery", delivery), ("other stage", other)):
            one.number += 1000 * (name == "delivery")
            calls = one.job()
            seconds[name].append(sum(calls[call] for call in CALLS))
            until_gone()
        until_pruned()
    remove_images()
    median = {name: round(statistics.median(values) * 1000, 1) for name, values in seconds.items()}
    added = median["delivery"] - median["other stage"]
    return [row("prune of a pipeline's tags within the job", added, 50, "ms", medians_ms=median, n=options.rounds)]
