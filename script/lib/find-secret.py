"""Says where a secret lies on this machine: files changed since a moment, processes, what the engine tells.

usage: find-secret.py --since FILE PATH...      NAME=VALUE lines on standard input

A value cannot be in a file that has not changed since the value was made: so what is searched is every
regular file below the paths whose change time (which no program can set back) is not older than FILE,
what is gzipped also unpacked; arguments and environment of every process; and what the engine says of
images, containers, volumes and networks. Searched for as it stands, in base64 and in hex. Prints a
line `NAME<tab>where` for each find, and in the end how much was looked at. Never prints a value.
"""

import argparse
import base64
import os
import stat
import subprocess
import sys
import zlib
from collections.abc import Iterator

CHUNK = 1 << 22
# seen through, these would show the same files twice, or the kernel's own
OTHER_VIEWS = {"overlay", "proc", "sysfs", "cgroup", "cgroup2", "nsfs", "devpts", "devtmpfs", "securityfs", "bpf"}


def spellings(value: bytes) -> set[bytes]:
    """The value as it stands, in hex, and the part of its base64 that is the same wherever it begins."""
    found = {value, value.hex().encode()}
    for shift in range(3):
        text = base64.b64encode(b"\0" * shift + value + b"\0\0")
        # characters that also hold bits of what stands before or after are left out
        found.add(text[-(-shift * 8 // 6) : (shift + len(value)) * 8 // 6])
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


def docker(*words: str) -> bytes:
    """One answer of the CLI; something may be gone between listing and asking."""
    return subprocess.run(["docker", *words], check=False, capture_output=True).stdout


def main() -> int:
    """0 whether something was found or not; the caller knows what should be where."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--since", required=True, metavar="FILE", help="search what changed since this file did")
    parser.add_argument("paths", nargs="+", metavar="PATH")
    options = parser.parse_args()
    lines = sys.stdin.buffer.read().splitlines()
    search = Search({name.decode(): value for name, _, value in (line.partition(b"=") for line in lines)})
    for path in changed_files(options.paths, os.lstat(options.since).st_ctime):
        search.look_in_file(path)
    for path in process_files():
        search.look_in_file(path)
    for where, answer in engine_answers():
        search.look(where, iter([answer]))
    for name, where in sorted(search.finds):
        print(f"{name}\t{where}")
    refused = f", {search.refused} refused" if search.refused else ""
    print(f"searched\t{search.files} files, {search.bytes // 1_000_000} MB{refused}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
