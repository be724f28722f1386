"""Checks that the image that runs at an address is the one this pipeline built.

    python -m tools.smoke http://ADDRESS:8080

Expected values come from the environment: CI_COMMIT_SHA, and PAGE_SECRET where the job has it. The
secret is compared and never printed. Exit code: 0 all is as expected, 1 something is not, 2 wrong
call.
"""

import http.client
import json
import os
import sys
from collections.abc import Mapping, Sequence
from html import unescape
from pathlib import Path
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 5
VERSION = Path(__file__).parents[1] / "VERSION"


def fetch(url: str, path: str) -> str:
    """Read a page that must answer 200."""
    # http.client and not urllib: a proxy in the environment must not come between.
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        answer = connection.getresponse()
        if answer.status != http.HTTPStatus.OK:
            raise OSError(f"{path} answers {answer.status}")
        return answer.read().decode()
    finally:
        connection.close()


def faults(url: str, environ: Mapping[str, str]) -> list[str]:
    """Compare what is served with what was built."""
    said = []
    version, commit = VERSION.read_text(encoding="utf-8").strip(), environ["CI_COMMIT_SHA"]
    status, page = json.loads(fetch(url, "/status")), unescape(fetch(url, "/"))
    expected = {"status": "alive", "version": version, "commit_sha": commit}
    for key, value in expected.items():
        if status.get(key) != value:
            said.append(f"/status: {key} is {status.get(key)!r}, expected {value!r}")
    if f">{version}<" not in page:
        said.append(f"page: does not show version {version}")
    secret = environ.get("PAGE_SECRET")
    if secret and f'<code id="secret">{secret}</code>' not in page:
        said.append("page: does not show the secret this pipeline was given")
    if '<code id="secret">' not in page:
        said.append("page: shows no secret")
    return said


def main(arguments: Sequence[str], environ: Mapping[str, str]) -> int:
    """Check the address named by the one argument."""
    if len(arguments) != 1:
        print("usage: python -m tools.smoke http://ADDRESS:PORT", file=sys.stderr)
        return 2
    try:
        said = faults(arguments[0], environ)
    except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
        said = [f"cannot check: {error!r}"]
    for line in said:
        print(f"smoke: {line}", file=sys.stderr)
    if said:
        return 1
    print("smoke: page and /status are those of this commit")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))
