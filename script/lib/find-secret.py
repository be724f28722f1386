"""Says where a secret lies on this machine: files changed since a moment, processes, what the engine tells.

usage: find-secret.py --since FILE [--inside LABEL] PATH...      NAME=VALUE lines on standard input

A value cannot be in a file that has not changed since the value was made: so what is searched is every
regular file below the paths whose change time (which no program can set back) is not older than FILE,
what is gzipped also unpacked; arguments and environment of every process; and what the engine says of
images, containers, volumes and networks, and of what happened since. With --inside also what an export
and a commit of each container with this label holds. Searched for as it stands and in each of the forms
that the masker knows. Prints a line `NAME<tab>where` for each find, and in the end how much was looked
at. Never prints a value.
"""

import argparse
import base64
import html
import json
import os
import re
import shlex
import stat
import subprocess
import sys
import time
import urllib.parse
import zlib
from collections.abc import Iterator

CHUNK = 1 << 22
# seen through, these would show the same files twice, or the kernel's own
OTHER_VIEWS = {"overlay", "proc", "sysfs", "cgroup", "cgroup2", "nsfs", "devpts", "devtmpfs", "securityfs", "bpf"}


def spellings(value: bytes) -> set[bytes]:
    """The value as it stands, hex, percent, JSON, shell and XML, and the part of its base64 that is the
    same wherever it begins, in both alphabets and wrapped at the columns that tools know."""
    found = {value, value.hex().encode(), value.hex().upper().encode()}
    text = value.decode(errors="surrogateescape")
    for percent in (urllib.parse.quote(value, safe=""), urllib.parse.quote(value), urllib.parse.quote_plus(value)):
        found |= {percent.encode(), re.sub("%..", lambda code: code[0].lower(), percent).encode()}
    escaped = [json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]]
    escaped += [one.replace("/", "\\/") for one in escaped]
    escaped += [text.replace("'", "'\\''"), text.replace("\\", "\\\\").replace("'", "\\'"), shlex.quote(text)]
    escaped += [html.escape(text), html.escape(text, quote=False)]
    found |= {one.encode(errors="surrogateescape") for one in escaped}
    for encode in (base64.b64encode, base64.urlsafe_b64encode):
        for shift in range(3):
            coded = encode(b"\0" * shift + value + b"\0\0")
            # characters that also hold bits of what stands before or after are left out
            core = coded[-(-shift * 8 // 6) : (shift + len(value)) * 8 // 6]
            found.add(core)
            found |= {b"\n".join(core[at : at + columns] for at in range(0, len(core), columns)) for columns in (64, 76)}
    return found


class Search:
    """What is looked for, and what was found and seen."""

    def __init__(self, secrets: dict[str, bytes]):
        self.needles = [(name, needle) for name, value in secrets.items() for needle in spellings(value)]
        self.overlap = max(len(needle) for _, needle in self.needles) - 1
        self.finds: set[tuple[str, str]] = set()
        self.files = self.bytes = self.refused = 0

    def look(self, where: str, chunks: Iterator[bytes]) -> None:
        """Looks through `chunks`, which follow each other."""
        rest = b""
        for chunk in chunks:
            self.bytes += len(chunk)
            window = rest + chunk
            for name, needle in self.needles:
                if needle in window:
                    self.finds.add((name, where))
            rest = window[-self.overlap :]

    def look_in_file(self, path: str) -> None:
        """Looks through one file; one that is gone by now holds nothing."""
        try:
            with open(path, "rb") as file:
                head = file.read(2)
                file.seek(0)
                self.files += 1
                self.look(path, iter(lambda: file.read(CHUNK), b""))
                if head == b"\x1f\x8b":
                    file.seek(0)
                    self.look(f"{path} (unpacked)", unpacked(iter(lambda: file.read(CHUNK), b"")))
        except (FileNotFoundError, ProcessLookupError):
            pass
        except PermissionError:
            # not even root may look into a process of an outer machine, where this one is a container
            if not path.startswith("/proc/"):
                raise
            self.refused += 1
        except OSError:
            # a namespace that was mounted after the walk had begun
            if path not in other_views():
                raise


def unpacked(chunks: Iterator[bytes]) -> Iterator[bytes]:
    """What a gzip stream holds, up to where it is damaged."""
    stream = zlib.decompressobj(wbits=31)
    try:
        for chunk in chunks:
            while chunk:
                yield stream.decompress(chunk, CHUNK)
                chunk = stream.unconsumed_tail
    except zlib.error:
        pass


def other_views() -> set[str]:
    """Mount points below which nothing is searched."""
    with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as mounts:
        return {fields[1] for line in mounts if (fields := line.split())[2] in OTHER_VIEWS}


def changed_files(roots: list[str], since: float) -> Iterator[str]:
    """Regular files below `roots` that changed since then; links are not followed."""
    skipped = other_views()
    seen = set()
    for root in roots:
        for directory, names, files in os.walk(os.path.realpath(root)):
            names[:] = [name for name in names if os.path.join(directory, name) not in skipped]
            for name in files:
                path = os.path.join(directory, name)
                try:
                    status = os.lstat(path)
                except FileNotFoundError:
                    continue
                if path not in skipped and stat.S_ISREG(status.st_mode) and status.st_ctime >= since and path not in seen:
                    seen.add(path)
                    yield path


def process_files() -> Iterator[str]:
    """Arguments and environment of every process but this one."""
    for pid in filter(str.isdigit, os.listdir("/proc")):
        if int(pid) != os.getpid():
            yield from (f"/proc/{pid}/{name}" for name in ("cmdline", "environ"))


def engine_answers() -> Iterator[tuple[str, bytes]]:
    """What the engine tells of everything it has."""
    kinds = {"image": ["image", "ls", "-aq"], "container": ["ps", "-aq"], "volume": ["volume", "ls", "-q"], "network": ["network", "ls", "-q"]}
    for kind, listing in kinds.items():
        names = sorted(set(docker(*listing).decode().split()))
        if names:
            yield f"docker {kind} inspect", docker(kind, "inspect", *names)
        if kind == "image":
            for name in names:
                yield f"docker history {name}", docker("history", "--no-trunc", name)


def engine_events(since: float) -> Iterator[bytes]:
    """What the engine tells to have happened."""
    yield docker("events", "--since", f"{since:.0f}", "--until", f"{time.time() + 1:.0f}", "--format", "{{json .}}")


def insides(label: str) -> Iterator[tuple[str, Iterator[bytes]]]:
    """What leaves a container with this label when somebody exports or commits it."""
    for name in docker("ps", "-a", "--filter", f"label={label}", "--format", "{{.Names}}").decode().split():
        yield f"docker export {name}", docker_stream("export", name)
        image = docker("commit", "--pause=false", name).decode().strip()
        if image:
            try:
                yield f"docker commit {name}", docker_stream("save", image)
                yield f"docker commit {name}, its configuration", iter([docker("image", "inspect", image)])
            finally:
                docker("image", "rm", image)


def docker_stream(*words: str) -> Iterator[bytes]:
    """An answer that may be large."""
    with subprocess.Popen(["docker", *words], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as command:
        if command.stdout:
            yield from iter(lambda: command.stdout.read(CHUNK), b"")


def docker(*words: str) -> bytes:
    """One answer of the CLI; something may be gone between listing and asking."""
    return subprocess.run(["docker", *words], check=False, capture_output=True).stdout


def main() -> int:
    """0 whether something was found or not; the caller knows what should be where."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--since", required=True, metavar="FILE", help="search what changed since this file did")
    parser.add_argument("--inside", metavar="LABEL", help="search exports and commits of containers with this label")
    parser.add_argument("paths", nargs="+", metavar="PATH")
    options = parser.parse_args()
    lines = sys.stdin.buffer.read().splitlines()
    search = Search({name.decode(): value for name, _, value in (line.partition(b"=") for line in lines)})
    since = os.lstat(options.since).st_ctime
    for path in changed_files(options.paths, since):
        search.look_in_file(path)
    for path in process_files():
        search.look_in_file(path)
    for where, answer in engine_answers():
        search.look(where, iter([answer]))
    search.look("docker events", engine_events(since))
    for where, chunks in insides(options.inside) if options.inside else []:
        search.look(where, chunks)
    for name, where in sorted(search.finds):
        print(f"{name}\t{where}")
    refused = f", {search.refused} refused" if search.refused else ""
    print(f"searched\t{search.files} files, {search.bytes // 1_000_000} MB{refused}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
