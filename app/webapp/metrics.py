"""Request counts and times for Prometheus, kept per application so that tests do not share them."""

import time

from flask import Flask, Response, g, request
from prometheus_client import (
    CONTENT_TYPE_LATEST,
    CollectorRegistry,
    Counter,
    Histogram,
    Info,
    ProcessCollector,
    generate_latest,
)

METHODS = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


def register(app: Flask) -> None:
    """Measure every request and serve `/metrics`."""
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    settings = app.extensions["settings"]
    build = Info("app_build", "The build that answers", registry=registry)
    build.info({"version": settings.version, "commit_sha": settings.commit_sha})
    count = Counter(
        "http_requests", "Requests answered", ["method", "endpoint", "code"], registry=registry
    )
    seconds = Histogram(
        "http_request_duration_seconds", "Time to answer", ["endpoint"], registry=registry
    )

    def start() -> None:
        g.started = time.perf_counter()

    def finish(answer: Response) -> Response:
        # Labels come from closed sets: a client must not be able to grow them.
        endpoint = request.endpoint or "none"
        method = request.method if request.method in METHODS else "other"
        count.labels(method, endpoint, answer.status_code).inc()
        seconds.labels(endpoint).observe(time.perf_counter() - g.started)
        return answer

    def expose() -> Response:
        return Response(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)

    app.before_request(start)
    app.after_request(finish)
    app.add_url_rule("/metrics", "metrics", expose)
