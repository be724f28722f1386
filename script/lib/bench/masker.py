"""The masker: against one pass per phrase and against memchr, its memory, and how soon a prompt arrives."""

import json
import os
import statistics
import subprocess
import time

from docker_api import call
from figures import row
from runner import SCRIPT, Runner, _private
from throughput import Job

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
PROMPT = b"Continue? [y/N] "
PROMPTS = 30
VALUES = 10
ASKING = """n=0
while [ $n -lt {values} ]; do
  head -c 24 /dev/urandom | base64 | longshore mask add; n=$((n + 1))
done
mkfifo /tmp/ask
echo ready
while read -r line; do printf '%s' '{prompt}'; done </tmp/ask
"""


def measured() -> dict:
    """What the benchmark program tells."""
    command = ["cargo", "bench", "--locked", "--quiet", "--bench", "masker"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def pid_of(job: Job) -> int:
    """The agent of the job container."""
    for one in call("GET", "/containers/json"):
        if any(f"-{job.runner.number}-" in name for name in one["Names"]):
            return call("GET", f"/containers/{one['Id']}/json")["State"]["Pid"]
    raise RuntimeError("the job container is not there")


def until(stream: int, words: bytes) -> None:
    """Reads up to these words."""
    seen = b""
    while words not in seen:
        chunk = os.read(stream, 65536)
        if not chunk:
            raise RuntimeError(f"the stage ended without {words!r}: {seen!r}")
        seen += chunk


def prompts(job: Job) -> list[float]:
    """Seconds from asking a process of the job to having its prompt, which ends no line, in the job log."""
    path = os.path.join(job.directory.name, "script")
    with open(path, "w", encoding="utf-8", opener=_private) as file:
        file.write(SCRIPT.format(ASKING.format(values=VALUES, prompt=PROMPT.decode())))
    driver = subprocess.Popen(  # pylint: disable=consider-using-with
        [*job.binary, "run", path, "build_script"], env=job.environment, cwd=job.directory.name,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
    )
    stream = driver.stdout.fileno()
    until(stream, b"ready\n")
    seconds = []
    with open(f"/proc/{pid_of(job)}/root/tmp/ask", "wb", buffering=0) as ask:
        for _ in range(PROMPTS):
            began = time.perf_counter()
            ask.write(b"?\n")
            until(stream, PROMPT)
            seconds.append(time.perf_counter() - began)
            time.sleep(0.02)
    driver.communicate()
    return seconds


def rows(options) -> list[dict]:
    """The masker against one pass per phrase and against memchr, its memory, and a prompt's way."""
    told = measured()
    job = Job(options, Runner([options.binary, "--settings", options.settings], options.image))
    try:
        seconds = prompts(job)
    finally:
        job.close()
    middle = statistics.median(seconds) * 1000
    detail = {"medians_mb_s": told["medians_mb_s"], "n": told["rounds"]}
    return [
        row("masker, 50 secrets, against one pass per phrase", told["against_per_phrase"], 4, "x", at_least=True, **detail),
        row("masker, 10 secrets, against memchr", told["against_memchr"], 0.5, "x", at_least=True, **detail),
        row("masker's memory, a line of 1 GiB among it", told["memory_kib"] / 1024, 64, "MiB"),
        row("a prompt's way into the job log", middle, 10, "ms", n=PROMPTS, slowest_ms=round(max(seconds) * 1000, 3)),
    ]
