"""The licence gate."""

import io
import json

import pytest

from tools.licences import main

APPROVED = "name,version,licence,reason\nFlask_Sail,1.0,MIT,serves the page\n"
GOOD = {"Name": "flask-sail", "Version": "1.0", "License": "MIT"}


@pytest.fixture(name="gate")
def gate_fixture(tmp_path, capsys):
    """Give a gate over a report and a list."""

    def run(report, approved=APPROVED):
        path = tmp_path / "approved.csv"
        path.write_text(approved, encoding="utf-8")
        text = report if isinstance(report, str) else json.dumps(report)
        code = main([str(path)], io.StringIO(text))
        captured = capsys.readouterr()
        return code, captured.out + captured.err

    return run


def test_approved_package_passes(gate):
    assert gate([GOOD]) == (0, "licences: 1 packages, all approved\n")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"Name": "stowaway"}, "stowaway 1.0 (MIT): not in the list"),
        ({"Version": "1.1"}, "flask-sail 1.1: approved is version 1.0"),
        ({"License": "GPLv3"}, "flask-sail 1.0: licence 'GPLv3', approved is 'MIT'"),
    ],
)
def test_what_is_not_approved_fails(gate, change, said):
    code, output = gate([GOOD | change])
    assert code == 1
    assert said in output
    assert "all approved" not in output


def test_every_objection_is_said(gate):
    code, output = gate([GOOD | {"Version": "2", "License": "X"}, GOOD | {"Name": "stowaway"}])
    assert code == 1
    assert output.count("\n") == 3


def test_row_without_package_is_only_a_note(gate):
    code, output = gate([GOOD], APPROVED + "mast,2,MIT,was needed once\n")
    assert code == 0
    assert "note: mast is approved but not installed" in output


@pytest.mark.parametrize("report", ["", "no json", "{}", "[]", "[1]", '[{"Name": "x"}]'])
def test_report_that_cannot_be_used(gate, report):
    code, output = gate(report)
    assert code == 2
    assert "the report" in output


@pytest.mark.parametrize(
    ("approved", "said"),
    [
        ("name,version\nx,1\n", "the first line must be name,version,licence,reason"),
        ("", "the first line must be"),
        (APPROVED + "mast,2,MIT,\n", ":3: needs a value"),
        (APPROVED + "mast,2\n", ":3: needs a value"),
        (APPROVED + "mast,2,MIT,a,b\n", ":3: needs a value"),
        (APPROVED + "flask.sail,1.0,MIT,again\n", ":3: flask-sail is listed twice"),
    ],
)
def test_list_that_cannot_be_used(gate, approved, said):
    code, output = gate([GOOD], approved)
    assert code == 2
    assert said in output


def test_missing_list(tmp_path, capsys):
    assert main([str(tmp_path / "none.csv")], io.StringIO(json.dumps([GOOD]))) == 2
    assert "cannot read the list" in capsys.readouterr().err


def test_wrong_call(capsys):
    assert main([], io.StringIO()) == 2
    assert "usage" in capsys.readouterr().err
