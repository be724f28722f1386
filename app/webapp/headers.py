"""Headers every answer carries."""

from flask import Flask, Response

# Nothing may come from another host: a CDN link that slips into a template does not load.
POLICY = (
    "default-src 'none'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def register(app: Flask) -> None:
    """Add the headers to all answers of the application."""
    app.after_request(harden)


def harden(answer: Response) -> Response:
    """Add the security headers; only static files may be kept by a cache."""
    answer.headers["Content-Security-Policy"] = POLICY
    answer.headers["X-Content-Type-Options"] = "nosniff"
    answer.headers["Referrer-Policy"] = "no-referrer"
    if "Cache-Control" not in answer.headers:
        answer.headers["Cache-Control"] = "no-store"
    return answer
