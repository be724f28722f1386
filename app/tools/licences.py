"""Licence gate: every installed package must be approved in this version and under this licence.

    pip-licenses --format=json --with-system | python -m tools.licences approved_dependencies.csv

Exit code: 0 all approved, 1 something is not, 2 the report or the list cannot be used.
"""

import csv
import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from tools.names import normalised

COLUMNS = ["name", "version", "licence", "reason"]


class UnusableError(Exception):
    """The report or the list does not have the shape the gate needs."""


@dataclass(frozen=True)
class Package:
    """One package as it is installed, or as it was approved."""

    name: str
    version: str
    licence: str


def read_report(stream: TextIO) -> list[Package]:
    """Read what pip-licenses wrote as JSON."""
    try:
        rows = json.load(stream)
        found = [Package(normalised(r["Name"]), r["Version"], r["License"]) for r in rows]
    except (ValueError, KeyError, TypeError) as error:
        raise UnusableError(f"the report is not the JSON of pip-licenses: {error!r}") from error
    if not found:
        raise UnusableError("the report names no package: was it made in the right environment?")
    return found


def read_approved(path: Path) -> dict[str, Package]:
    """Read the list of approved packages; a row without a reason is no approval."""
    try:
        with path.open(encoding="utf-8", newline="") as stream:
            reader = csv.DictReader(stream)
            columns, rows = reader.fieldnames, list(reader)
    except OSError as error:
        raise UnusableError(f"cannot read the list: {error}") from error
    if columns != COLUMNS:
        raise UnusableError(f"{path}: the first line must be {','.join(COLUMNS)}")
    approved: dict[str, Package] = {}
    for number, row in enumerate(rows, start=2):
        if None in row or not all((value or "").strip() for value in row.values()):
            raise UnusableError(f"{path}:{number}: needs a value in each of the four columns")
        package = Package(normalised(row["name"]), row["version"], row["licence"])
        if package.name in approved:
            raise UnusableError(f"{path}:{number}: {package.name} is listed twice")
        approved[package.name] = package
    return approved


def objections(found: Iterable[Package], approved: dict[str, Package]) -> list[str]:
    """Say what is wrong with each package that is not approved as it is installed."""
    said = []
    for package in found:
        known = approved.get(package.name)
        if known is None:
            said.append(f"{package.name} {package.version} ({package.licence}): not in the list")
            continue
        if known.version != package.version:
            said.append(f"{package.name} {package.version}: approved is version {known.version}")
        if known.licence != package.licence:
            said.append(
                f"{package.name} {package.version}: licence {package.licence!r}, "
                f"approved is {known.licence!r}"
            )
    return said


def main(arguments: Sequence[str], report: TextIO) -> int:
    """Compare the report with the list named by the one argument."""
    if len(arguments) != 1:
        print("usage: python -m tools.licences APPROVED.csv < report.json", file=sys.stderr)
        return 2
    try:
        found, approved = read_report(report), read_approved(Path(arguments[0]))
    except UnusableError as error:
        print(f"licences: {error}", file=sys.stderr)
        return 2
    said = objections(found, approved)
    for line in said:
        print(f"licences: {line}", file=sys.stderr)
    for name in sorted(approved.keys() - {package.name for package in found}):
        print(f"licences: note: {name} is approved but not installed")
    if said:
        return 1
    print(f"licences: {len(found)} packages, all approved")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], sys.stdin))
