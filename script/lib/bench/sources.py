"""A small git repository served where containers reach it, and the script that fetches it."""

import os
import socket
import subprocess
import tempfile
import time

from docker_api import call

GIT = ["git", "-c", "user.name=bench", "-c", "user.email=bench@example.com", "-c", "init.defaultBranch=main"]


def bridge_address() -> str:
    """The host's own address on the default bridge."""
    return call("GET", "/networks/bridge")["IPAM"]["Config"][0]["Gateway"]


class Sources:
    """Five files in one commit, served by git-daemon until `close`."""

    def __init__(self):
        self.directory = tempfile.TemporaryDirectory()
        root = self.directory.name
        work = os.path.join(root, "work")
        self._git("init", "-q", work)
        for number in range(5):
            with open(os.path.join(work, f"file{number}.txt"), "w", encoding="utf-8") as file:
                file.write(f"content of file {number}\n" * 50)
        self._git("-C", work, "add", ".")
        self._git("-C", work, "commit", "-qm", "one")
        self._git("clone", "-q", "--bare", work, os.path.join(root, "app.git"))
        self.sha = self._git("-C", work, "rev-parse", "HEAD")
        address = bridge_address()
        with socket.create_server((address, 0)) as free:
            port = free.getsockname()[1]
        # The program itself: `git daemon` would leave its child behind.
        program = os.path.join(self._git("--exec-path"), "git-daemon")
        self.daemon = subprocess.Popen(  # pylint: disable=consider-using-with
            [program, f"--base-path={root}", "--export-all", "--reuseaddr", f"--listen={address}", f"--port={port}"],
            stderr=subprocess.DEVNULL,
        )
        self.url = f"git://{address}:{port}/app.git"
        self._until_listening(address, port)

    @staticmethod
    def _git(*words: str) -> str:
        return subprocess.run([*GIT, *words], check=True, capture_output=True, text=True).stdout.strip()

    @staticmethod
    def _until_listening(address: str, port: int) -> None:
        deadline = time.monotonic() + 20
        while True:
            try:
                socket.create_connection((address, port)).close()
                return
            except OSError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.02)

    def script(self, project: str) -> str:
        """What the runner's own script does to fetch a fresh project directory."""
        return f"""mkdir -p {project}
cd {project}
git init -q .
git config remote.origin.url {self.url}
git fetch -q --no-tags --depth 20 origin +refs/heads/main:refs/remotes/origin/main
git checkout -q -f --detach {self.sha}
git clean -qffdx
echo 'Checked out'"""

    def close(self) -> None:
        """Ends the daemon and removes the repository."""
        self.daemon.kill()
        self.daemon.wait()
        self.directory.cleanup()
