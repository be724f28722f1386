"""Audit gate: pip-audit calls a package it could not look up no finding; this gate does not.

    pip-audit --format=json --output=audit.json ...
    python -m tools.audit audit.json requirements.txt ...

Exit code: 0 every pinned package was audited and none has a known vulnerability, 1 a vulnerability
is known, 2 wrong call, 3 nothing is known but not every package was audited.
"""

import json
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tools.names import normalised

CLEAN, VULNERABLE, WRONG_CALL, NOT_AUDITED = 0, 1, 2, 3
PIN = re.compile(r"^(?P<name>[A-Za-z0-9][A-Za-z0-9._-]*)==[^;]*$", re.MULTILINE)


@dataclass
class Findings:
    """What a report says, by package."""

    vulnerable: list[str] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    audited: set[str] = field(default_factory=set)


def read_report(path: Path) -> Findings:
    """Read a report; one that is missing or broken means that nothing was audited."""
    findings = Findings()
    try:
        dependencies = json.loads(path.read_text(encoding="utf-8"))["dependencies"]
        for entry in dependencies:
            name = normalised(entry["name"])
            if "skip_reason" in entry:
                findings.skipped[name] = entry["skip_reason"]
                continue
            findings.audited.add(name)
            for found in entry["vulns"]:
                fixed = ", ".join(found["fix_versions"]) or "no version yet"
                line = f"{name} {entry['version']}: {found['id']}, fixed in {fixed}"
                findings.vulnerable.append(line)
    except (OSError, ValueError, KeyError, TypeError) as error:
        print(f"audit: no usable report from pip-audit: {error!r}", file=sys.stderr)
    return findings


def read_pinned(paths: Iterable[Path]) -> set[str]:
    """Name the packages pinned for every platform (those with a marker may rightly be absent)."""
    pinned: set[str] = set()
    for path in paths:
        text = path.read_text(encoding="utf-8").replace("\\\n", "\n")
        pinned.update(normalised(match["name"]) for match in PIN.finditer(text))
    return pinned


def main(arguments: Sequence[str]) -> int:
    """Judge the report named first against the requirements files named after it."""
    if not arguments[1:]:
        print("usage: python -m tools.audit REPORT.json REQUIREMENTS.txt...", file=sys.stderr)
        return WRONG_CALL
    pinned = read_pinned(Path(argument) for argument in arguments[1:])
    findings = read_report(Path(arguments[0]))
    for name in pinned - findings.audited - findings.skipped.keys():
        findings.skipped[name] = "not in the report"
    for line in findings.vulnerable:
        print(f"audit: VULNERABLE {line}", file=sys.stderr)
    if findings.skipped:
        names = sorted(findings.skipped)
        print(f"audit: not audited: {', '.join(names)}", file=sys.stderr)
        print(f"audit: the reason, of {names[0]}: {findings.skipped[names[0]]}", file=sys.stderr)
    print(
        f"audit: {len(findings.audited)} packages audited, {len(findings.skipped)} not, "
        f"{len(findings.vulnerable)} known vulnerabilities"
    )
    if findings.vulnerable:
        return VULNERABLE
    return NOT_AUDITED if findings.skipped else CLEAN


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
