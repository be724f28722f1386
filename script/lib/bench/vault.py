"""Login, five secrets read and the token revoked, as in prepare, against a bare client of the same calls."""

import json
import os
import subprocess

from figures import row

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))


def rows(_options) -> list[dict]:
    """Login, five secrets and a revocation against a bare client that makes the same calls."""
    command = ["cargo", "bench", "--locked", "--quiet", "--bench", "vault"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True)
    told = json.loads(done.stdout)
    detail = {"n": told["rounds"], "medians_ms": told["medians_ms"]}
    return [row("Vault in prepare, 5 secrets, against a bare client", told["ratio"], 1.2, "x", **detail)]
