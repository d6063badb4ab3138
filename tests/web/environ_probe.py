"""A worker as `serve` loads it, which also tells what its requests see of the process: `python -m … PORT`."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

from flask import Flask

from broker import serving


def load(draining: Callable[[], bool]) -> Flask:
    """The application of one worker, with one path more."""
    app = serving.load_app(draining)
    inner = app.wsgi_app

    def probed(environ: dict[str, Any], start_response: Any) -> Any:
        if environ["PATH_INFO"] != "/environ":
            return inner(environ, start_response)
        start_response("200 OK", [("Content-Type", "application/json")])
        seen = {name: value for name, value in environ.items() if isinstance(value, str)}
        return [json.dumps(seen).encode()]

    app.wsgi_app = probed  # type: ignore[method-assign]
    return app


if __name__ == "__main__":
    from tests.web import environ_probe

    serving.run(environ_probe.load, "127.0.0.1", int(sys.argv[1]), workers=1, threads=2)
