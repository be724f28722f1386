"""Plays GitLab Runner for a custom executor: the calls of one job, one process after another."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

SCRIPT = "#!/usr/bin/env bash\nset -o errexit\n{}\nexit 0\n"

# Seconds that no call takes: one that hangs must not hang the benchmark.
PATIENCE = 120

ORDER = [
    "prepare_script", "get_sources", "restore_cache", "build_script", "archive_cache",
    "upload_artifacts_on_success", "cleanup_file_variables",
]


class Runner:
    """Calls a driver as the runner would; `driver` is the argv before the call's own words."""

    def __init__(
        self, driver: list[str], image: str, environment: dict[str, str] | None = None, service: str | None = None
    ):
        self.driver = driver
        self.service = service
        self.image = image
        self.extra = environment or {}
        self.number = int(time.time()) % 1_000_000 * 1000
        # What a job has besides: its JSON's keys, and scripts by stage in their order.
        self.keys: dict[str, object] = {}
        self.stages: dict[str, str] = {}

    def _surroundings(self, scratch: str, job: int) -> dict[str, str]:
        response = os.path.join(scratch, "response.json")
        with open(response, "w", encoding="utf-8", opener=_private) as file:
            json.dump(_job(job, self.image, self.service) | self.keys, file)
        project = "/builds/bench/app"
        variables = {
            "CI_JOB_ID": str(job),
            "CI_PROJECT_DIR": project,
            "CI_BUILDS_DIR": "/builds",
            "CI_PROJECT_PATH": "bench/app",
            "CI_RUNNER_VERSION": "19.3.0",
            "GIT_STRATEGY": "fetch" if "get_sources" in self.stages else "none",
            "CI_JOB_IMAGE": self.image,
        }
        return {
            "PATH": os.environ["PATH"],
            "TMPDIR": scratch,
            "JOB_RESPONSE_FILE": response,
            "BUILD_EXIT_CODE_FILE": os.path.join(scratch, "exit_code"),
            "BUILD_FAILURE_EXIT_CODE": "1",
            "SYSTEM_FAILURE_EXIT_CODE": "2",
            **{f"CUSTOM_ENV_{name}": value for name, value in variables.items()},
            **self.extra,
        }

    def call(self, words: list[str], environment: dict[str, str], scratch: str) -> bytes:
        """One call; one that fails or hangs raises with all that it said."""
        try:
            done = subprocess.run(
                self.driver + words, env=environment, cwd=scratch, stdin=subprocess.DEVNULL,
                capture_output=True, check=False, timeout=PATIENCE,
            )
        except subprocess.TimeoutExpired as late:
            raise RuntimeError(f"{words}: not done in {PATIENCE} s\n{_text(late.stdout)}\n{_text(late.stderr)}") from late
        if done.returncode:
            raise RuntimeError(f"{words}: {done.returncode}\n{_text(done.stdout)}\n{_text(done.stderr)}")
        return done.stdout

    def job(self, script: str = "true") -> dict[str, float]:
        """A job, without sources where nothing else was said; seconds of each call and of all."""
        self.number += 1
        scratch = tempfile.mkdtemp(prefix="custom-executor")
        try:
            environment = self._surroundings(scratch, self.number)
            texts = {
                "prepare_script": "echo Running on $(hostname)",
                "get_sources": "echo Skipping Git repository setup",
                "build_script": script,
                "cleanup_file_variables": "true",
            } | self.stages
            calls = [("config", ["config"]), ("prepare", ["prepare"])]
            for stage in (stage for stage in ORDER if stage in texts):
                path = os.path.join(scratch, f"script-{stage}")
                with open(path, "w", encoding="utf-8", opener=_private) as file:
                    file.write(SCRIPT.format(texts[stage]))
                calls.append((stage, ["run", path, stage]))
            calls.append(("cleanup", ["cleanup"]))
            return self._timed(calls, environment, scratch)
        finally:
            shutil.rmtree(scratch)

    def _timed(self, calls: list[tuple[str, list[str]]], environment: dict[str, str], scratch: str) -> dict[str, float]:
        """Seconds of each call and of all. A job that fails is cleaned up too, and its whole log is told."""
        seconds, log = {}, []
        began = time.perf_counter()
        try:
            for name, words in calls:
                start = time.perf_counter()
                log.append(self.call(words, environment, scratch))
                seconds[name] = time.perf_counter() - start
        except RuntimeError as error:
            print(f"a job failed; its log until then:\n{_text(b''.join(log))}\n{error}", file=sys.stderr, flush=True)
            if name != "cleanup":
                self.call(["cleanup"], environment, scratch)
            raise
        seconds["total"] = time.perf_counter() - began
        return seconds


def _text(said: bytes | None) -> str:
    return (said or b"").decode(errors="replace")


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o700)


def _job(job: int, image: str, service: str | None) -> dict:
    sha = "0123456789abcdef0123456789abcdef01234567"
    return {
        "id": job,
        "token": "bench-token-as-long-as-gitlab's",  # the agent masks it; short ones take longer
        "job_info": {
            "name": "bench", "stage": "test", "project_id": 1, "project_name": "app",
            "project_full_path": "bench/app", "pipeline_id": 1,
        },
        "git_info": {
            "repo_url": "http://localhost/bench/app.git", "ref": "main", "sha": sha,
            "before_sha": "0" * 40, "ref_type": "branch", "refspecs": [], "depth": 20, "protected": True,
        },
        "runner_info": {"timeout": 3600},
        "variables": [{"key": "GIT_STRATEGY", "value": "none", "public": True}],
        "steps": [{"name": "script", "script": ["true"], "timeout": 3600, "when": "on_success"}],
        "image": {"name": image},
        "services": [{"name": service}] if service else None, "artifacts": None, "cache": None, "credentials": None, "dependencies": None,
    }
