"""The audit gate."""

import json

import pytest

from tools.audit import main, read_pinned

REQUIREMENTS = """\
# comment==1
flask-sail==1.0 \\
    --hash=sha256:00
only-windows==2.0 ; sys_platform == 'win32' \\
    --hash=sha256:00
Mast.Head==3.1
"""
SAIL = {"name": "flask-sail", "version": "1.0", "vulns": []}
MAST = {"name": "mast-head", "version": "3.1", "vulns": []}
LEAK = {"id": "PYSEC-1", "fix_versions": ["1.1", "2.0"]}


@pytest.fixture(name="gate")
def gate_fixture(tmp_path, capsys):
    """Give a gate over a report made of `dependencies` or of raw `text`."""
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(REQUIREMENTS, encoding="utf-8")
    report = tmp_path / "audit.json"

    def run(*dependencies, text=None):
        report.write_text(text or json.dumps({"dependencies": dependencies}), encoding="utf-8")
        code = main([str(report), str(requirements)])
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return run


def test_pins_are_read_without_those_under_a_marker(tmp_path):
    path = tmp_path / "requirements.txt"
    path.write_text(REQUIREMENTS, encoding="utf-8")
    assert read_pinned([path]) == {"flask-sail", "mast-head"}


def test_all_audited_and_clean(gate):
    assert gate(SAIL, MAST) == (0, "audit: 2 packages audited, 0 not, 0 known vulnerabilities\n")


def test_vulnerability_fails(gate):
    code, output = gate(SAIL | {"vulns": [LEAK]}, MAST)
    assert code == 1
    assert "VULNERABLE flask-sail 1.0: PYSEC-1, fixed in 1.1, 2.0" in output


def test_vulnerability_without_fix_fails(gate):
    code, output = gate(SAIL | {"vulns": [LEAK | {"fix_versions": []}]}, MAST)
    assert code == 1
    assert "fixed in no version yet" in output


def test_skipped_package_is_not_clean(gate):
    code, output = gate(SAIL, {"name": "mast-head", "skip_reason": "not found on PyPI"})
    assert code == 3
    assert "not audited: mast-head\naudit: the reason, of mast-head: not found on PyPI" in output


def test_vulnerability_outweighs_skipped_package(gate):
    assert gate(SAIL | {"vulns": [LEAK]}, {"name": "mast-head", "skip_reason": "?"})[0] == 1


def test_package_absent_from_report_is_not_clean(gate):
    code, output = gate(SAIL)
    assert code == 3
    assert "not audited: mast-head\naudit: the reason, of mast-head: not in the report" in output


@pytest.mark.parametrize("text", [" ", "[]", "{}", '{"dependencies": [{}]}', '{"dependencies": 1}'])
def test_broken_report_means_nothing_was_audited(gate, text):
    code, output = gate(text=text)
    assert code == 3
    assert "no usable report" in output
    assert "0 packages audited, 2 not" in output


def test_missing_report_means_nothing_was_audited(tmp_path, capsys):
    requirements = tmp_path / "requirements.txt"
    requirements.write_text(REQUIREMENTS, encoding="utf-8")
    assert main([str(tmp_path / "none.json"), str(requirements)]) == 3
    assert "no usable report" in capsys.readouterr().err


def test_wrong_call(capsys):
    assert main(["audit.json"]) == 2
    assert "usage" in capsys.readouterr().err
