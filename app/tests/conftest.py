"""An application with known settings, a client for it, and servers to run it."""

import threading

import pytest
from werkzeug.serving import make_server

from webapp import create_app

ENVIRON = {"APP_VERSION": "9.8.7", "COMMIT_SHA": "c0ffee", "PAGE_SECRET": "<anchor & chain>"}


@pytest.fixture(name="app")
def app_fixture():
    """Give the application."""
    return create_app(ENVIRON)


@pytest.fixture(name="client")
def client_fixture(app):
    """Give a client of the application."""
    return app.test_client()


@pytest.fixture(name="serve")
def serve_fixture():
    """Give a starter of servers on free ports."""
    running = []

    def start(application):
        server = make_server("127.0.0.1", 0, application)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        running.append((server, thread))
        return server.port

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()
