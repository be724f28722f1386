"""The living example: a page that shows a secret from Vault, its version, and its own health."""

import os
from collections.abc import Mapping

from flask import Flask
from flask_bootstrap import Bootstrap5

from webapp import errors, headers, metrics, pages
from webapp.settings import Settings

THEME = "cerulean"  # One of the Bootswatch themes that load no font from elsewhere.
STYLES_MAX_AGE_SECONDS = 3600


def create_app(environ: Mapping[str, str] | None = None) -> Flask:
    """Build the application from an environment (the process's own when none is given)."""
    app = Flask(__name__)
    app.config["BOOTSTRAP_SERVE_LOCAL"] = True
    app.config["BOOTSTRAP_BOOTSWATCH_THEME"] = THEME
    app.config["SEND_FILE_MAX_AGE_DEFAULT"] = STYLES_MAX_AGE_SECONDS
    app.extensions["settings"] = Settings.from_environ(os.environ if environ is None else environ)
    Bootstrap5(app)
    app.register_blueprint(pages.blueprint)
    for part in (errors, headers, metrics):
        part.register(app)
    return app
