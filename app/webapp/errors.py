"""Errors as a page for people and as JSON for programs."""

from flask import Flask, Response, jsonify, render_template, request
from werkzeug.exceptions import HTTPException


def register(app: Flask) -> None:
    """Answer every error through `describe`."""
    # An unhandled exception arrives here too: Flask logs it and wraps it in InternalServerError.
    app.register_error_handler(HTTPException, describe)


def describe(error: HTTPException) -> Response:
    """Give the error in the form the client prefers; JSON when it does not care."""
    answer = error.get_response()  # Keeps headers such as the Allow of a 405.
    accepted = request.accept_mimetypes.best_match(["application/json", "text/html"])
    if accepted == "text/html":
        answer.data = render_template("error.html", error=error)
        answer.content_type = "text/html; charset=utf-8"
    else:
        body = jsonify(code=error.code, name=error.name, description=error.description)
        answer.data = body.data
        answer.content_type = "application/json"
    return answer
