"""The page and the status."""

import re
from html import unescape

import pytest

from webapp import create_app


def style_url(client):
    """Give the address of the one style sheet of the page."""
    (url,) = re.findall(r'<link rel="stylesheet" href="([^"]+)"', client.get("/").text)
    return url


def test_page_shows_secret_and_version_and_commit(client):
    page = client.get("/").get_data(as_text=True)
    assert "<anchor & chain>" in unescape(page)
    assert "<anchor" not in page, "a secret must not become markup"
    assert 'id="version" class="badge text-bg-success fs-6">9.8.7<' in page
    assert ">c0ffee</code>" in page


def test_page_without_secret_says_so():
    page = create_app({}).test_client().get("/").get_data(as_text=True)
    assert 'id="secret-missing"' in page
    assert 'id="secret"' not in page


def test_styles_are_bootswatch_and_served_by_the_application(client):
    url = style_url(client)
    assert "/bootswatch/cerulean/" in url
    css = client.get(url, buffered=True)
    assert css.status_code == 200
    assert "Bootswatch" in css.text
    assert "@import" not in css.text, "the theme would load a font from another host"


def test_no_page_refers_to_another_host(client):
    for path in ("/", "/no-such-page"):
        page = client.get(path, headers={"Accept": "text/html"}).get_data(as_text=True)
        assert not re.search(r'(?:src|href)="(?:https?:)?//', page)


def test_status_tells_version_commit_and_liveness(client):
    answer = client.get("/status")
    assert answer.status_code == 200
    uptime = answer.json.pop("uptime_seconds")
    assert uptime >= 0
    assert (
        answer.json.items()
        >= {
            "status": "alive",
            "version": "9.8.7",
            "commit_sha": "c0ffee",
        }.items()
    )


def test_status_does_not_tell_the_secret(client):
    assert "anchor" not in client.get("/status").get_data(as_text=True)


def test_settings_come_from_the_process_when_none_are_given(monkeypatch):
    monkeypatch.setenv("APP_VERSION", "from the process")
    answer = create_app().test_client().get("/status")
    assert answer.json["version"] == "from the process"


def test_empty_settings_are_unknown():
    answer = create_app({"APP_VERSION": "", "COMMIT_SHA": ""}).test_client().get("/status")
    assert (answer.json["version"], answer.json["commit_sha"]) == ("unknown", "unknown")


def test_printed_settings_hide_the_secret(app):
    assert "anchor" not in repr(app.extensions["settings"])


@pytest.mark.parametrize("path", ["/", "/status", "/metrics", "/no-such-page"])
def test_every_answer_is_hardened_and_not_kept(client, path):
    headers = client.get(path).headers
    assert headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"


def test_styles_may_be_kept(client):
    answer = client.get(style_url(client), buffered=True)
    assert answer.status_code == 200
    assert "max-age=3600" in answer.headers["Cache-Control"]
