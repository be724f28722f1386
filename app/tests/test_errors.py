"""Errors, for people and for programs."""

import pytest

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}
ROUTES = [("GET", "/no-such-page", 404), ("POST", "/", 405), ("GET", "/broken", 500)]


@pytest.fixture(autouse=True)
def _broken(app):
    @app.get("/broken")
    def fail():
        raise RuntimeError("reef ahead")


@pytest.mark.parametrize(("method", "path", "code"), ROUTES)
def test_browser_gets_a_page(client, method, path, code):
    answer = client.open(path, method=method, headers=BROWSER)
    assert answer.status_code == code
    assert answer.mimetype == "text/html"
    assert f'<p class="display-1 text-primary mb-0">{code}</p>' in answer.text


@pytest.mark.parametrize("headers", [{}, {"Accept": "*/*"}, {"Accept": "application/json"}])
@pytest.mark.parametrize(("method", "path", "code"), ROUTES)
def test_program_gets_json(client, method, path, code, headers):
    answer = client.open(path, method=method, headers=headers)
    assert answer.status_code == code
    assert answer.mimetype == "application/json"
    assert answer.json["code"] == code
    assert answer.json.keys() == {"code", "name", "description"}


def test_wrong_method_names_the_allowed_ones(client):
    assert "GET" in client.post("/").headers["Allow"]


def test_cause_goes_to_the_log_and_not_to_the_client(client, caplog):
    answer = client.get("/broken")
    assert "reef ahead" not in answer.text
    assert "reef ahead" in caplog.text
