"""What a visitor and a probe can ask for."""

import time

from flask import Blueprint, Response, current_app, jsonify, render_template

blueprint = Blueprint("pages", __name__)
STARTED = time.monotonic()


@blueprint.get("/")
def index() -> str:
    """Show the secret and the version."""
    return render_template("index.html", settings=current_app.extensions["settings"])


@blueprint.get("/status")
def status() -> Response:
    """Tell which build this is, and that it answers."""
    settings = current_app.extensions["settings"]
    return jsonify(
        status="alive",
        version=settings.version,
        commit_sha=settings.commit_sha,
        uptime_seconds=round(time.monotonic() - STARTED, 3),
    )
