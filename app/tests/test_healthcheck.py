"""The image's HEALTHCHECK against real sockets."""

import socket
import threading

from webapp.healthcheck import main


def test_healthy(serve, app, capsys):
    assert main(serve(app)) == 0
    assert capsys.readouterr().err == ""


def test_error_is_unhealthy(serve, capsys):
    def broken(_environ, start_response):
        start_response("503 Service Unavailable", [])
        return [b""]

    assert main(serve(broken)) == 1
    assert "/status answers 503" in capsys.readouterr().err


def test_nobody_there_is_unhealthy(capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # Bound but not listening: connections are refused.
        assert main(taken.getsockname()[1]) == 1
    assert "does not answer" in capsys.readouterr().err


def test_no_http_is_unhealthy(capsys):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def babble():
            connection, _ = listener.accept()
            with connection:
                connection.recv(1024)
                connection.sendall(b"ahoy\r\n\r\n")

        thread = threading.Thread(target=babble)
        thread.start()
        assert main(listener.getsockname()[1]) == 1
        thread.join()
    assert "does not answer" in capsys.readouterr().err
