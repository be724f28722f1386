"""Log throughput of a stage against a bare attach of the same bytes, and the memory it takes."""

import os
import statistics
import subprocess
import tempfile
import time

from docker_api import Floor, attach, call
from figures import row
from runner import SCRIPT, Runner, _private

BYTES = 256 * 1024 * 1024
LONG = 1024 * 1024 * 1024
CHUNK = 1 << 20


def bare(floor: Floor, name: str) -> float:
    """MB/s of `BYTES` through an attach that does nothing else."""
    call("POST", f"/containers/create?name={name}", floor.body("none"))
    try:
        stream = attach(name)
        call("POST", f"/containers/{name}/start")
        began = time.perf_counter()
        stream.sendall(f"head -c {BYTES} /dev/zero\n".encode())
        seen = 0
        while seen < BYTES:
            chunk = stream.recv(CHUNK)
            if not chunk:
                raise RuntimeError("the attach ended early")
            seen += len(chunk)
        return BYTES / 1e6 / (time.perf_counter() - began)
    finally:
        call("DELETE", f"/containers/{name}?force=1&v=1")


def peak_memory(pid: int) -> int:
    """KiB. What wait4 tells would be no less than this interpreter's own, which the child shares until it executes."""
    with open(f"/proc/{pid}/status", encoding="utf-8") as status:
        return next((int(line.split()[1]) for line in status if line.startswith("VmHWM")), 0)


class Job:
    """A prepared job whose stages can be run again and again."""

    def __init__(self, options, runner: Runner):
        self.runner = runner
        self.binary = [options.binary, "--settings", options.settings]
        self.directory = tempfile.TemporaryDirectory()
        runner.number += 1
        self.environment = runner._surroundings(self.directory.name, runner.number)  # pylint: disable=protected-access
        for words in (["config"], ["prepare"]):
            runner.call(words, self.environment, self.directory.name)

    def stage(self, size: int) -> tuple[float, int]:
        """MB/s of a stage that prints `size` bytes, and the driver's peak memory in KiB."""
        path = os.path.join(self.directory.name, "script")
        with open(path, "w", encoding="utf-8", opener=_private) as file:
            file.write(SCRIPT.format(f"head -c {size} /dev/zero"))
        began = time.perf_counter()
        driver = subprocess.Popen(  # pylint: disable=consider-using-with
            [*self.binary, "run", path, "build_script"], env=self.environment, cwd=self.directory.name,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        )
        seen = peak = chunks = 0
        while chunk := os.read(driver.stdout.fileno(), CHUNK):
            seen += len(chunk)
            chunks += 1
            if chunks % 256 == 0:
                peak = peak_memory(driver.pid)
        driver.stdout.close()
        if driver.wait() or seen < size:
            raise RuntimeError(f"the stage ended with {driver.returncode} after {seen} bytes")
        return size / 1e6 / (time.perf_counter() - began), peak

    def agent_peak(self) -> int:
        """Peak memory of PID 1 in the job container, KiB."""
        for one in call("GET", "/containers/json"):
            if any(f"-{self.runner.number}-" in name for name in one["Names"]):
                return peak_memory(call("GET", f"/containers/{one['Id']}/json")["State"]["Pid"])
        raise RuntimeError("the job container is not there")

    def close(self) -> None:
        """Ends the job."""
        self.runner.call(["cleanup"], self.environment, self.directory.name)
        self.directory.cleanup()


def rows(options) -> list[dict]:
    """Log throughput of a stage against a bare attach, and the memory of driver and agent."""
    runner = Runner([options.binary, "--settings", options.settings], options.image)
    floor = Floor(options.image)
    job = Job(options, runner)
    try:
        pairs = [(job.stage(BYTES)[0], bare(floor, f"longshore-bench-attach-{number}")) for number in range(options.rounds)]
        _, driver_peak = job.stage(LONG)
        agent_peak = job.agent_peak()
    finally:
        job.close()
        floor.close()
    ratio = statistics.median(ours / theirs for ours, theirs in pairs)
    speeds = {"stage": statistics.median(one for one, _ in pairs), "attach": statistics.median(one for _, one in pairs)}
    medians = {name: round(value, 1) for name, value in speeds.items()}
    return [
        row("log throughput against a bare attach", ratio, 0.7, "x", at_least=True, n=options.rounds, medians_mb_s=medians),
        row("driver's memory at 1 GiB of output", driver_peak / 1024, 64, "MiB"),
        row("agent's memory at 1 GiB of output", agent_peak / 1024, 64, "MiB"),
    ]
