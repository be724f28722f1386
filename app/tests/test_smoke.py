"""The check of the running image."""

import pytest

from tools import smoke
from webapp import create_app

VERSION = smoke.VERSION.read_text(encoding="utf-8").strip()
BUILT = {"APP_VERSION": VERSION, "COMMIT_SHA": "c0ffee", "PAGE_SECRET": "<anchor & chain>"}
JOB = {"CI_COMMIT_SHA": "c0ffee", "PAGE_SECRET": "<anchor & chain>"}


@pytest.fixture(name="check")
def check_fixture(serve, capsys):
    """Give a run of the check against an image built with changed settings."""

    def run(built, job=None):
        url = f"http://127.0.0.1:{serve(create_app(BUILT | built))}"
        code = smoke.main([url], JOB if job is None else job)
        captured = capsys.readouterr()
        assert "anchor" not in captured.out + captured.err
        return code, captured.out + captured.err

    return run


def test_the_image_of_this_commit_passes(check):
    code, output = check({})
    assert code == 0
    assert "smoke: page and /status are those of this commit" in output


def test_job_without_the_secret_still_wants_one_on_the_page(check):
    job = {"CI_COMMIT_SHA": "c0ffee"}
    assert check({}, job)[0] == 0
    code, output = check({"PAGE_SECRET": ""}, job)
    assert code == 1
    assert "shows no secret" in output


@pytest.mark.parametrize(
    ("built", "said"),
    [
        ({"COMMIT_SHA": "decaf"}, "commit_sha is 'decaf', expected 'c0ffee'"),
        ({"APP_VERSION": "0.0.1"}, f"version is '0.0.1', expected '{VERSION}'"),
        ({"APP_VERSION": "0.0.1"}, f"does not show version {VERSION}"),
        ({"PAGE_SECRET": "rope"}, "does not show the secret this pipeline was given"),
    ],
)
def test_another_image_fails(check, built, said):
    code, output = check(built)
    assert code == 1
    assert said in output


def test_unknown_commit_fails(check):
    code, output = check({}, {})
    assert code == 1
    assert "cannot check: KeyError('CI_COMMIT_SHA')" in output


def test_error_fails(serve, capsys):
    def broken(_environ, start_response):
        start_response("503 Service Unavailable", [])
        return [b""]

    assert smoke.main([f"http://127.0.0.1:{serve(broken)}"], JOB) == 1
    assert "/status answers 503" in capsys.readouterr().err


def test_wrong_call(capsys):
    assert smoke.main([], JOB) == 2
    assert "usage" in capsys.readouterr().err
