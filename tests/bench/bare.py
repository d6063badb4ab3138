"""What a Flask route costs that only answers: `/url`'s yardstick, on the same server with the same bytes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from flask import Flask, Response, request

from broker.serving import run


def load_app(_draining: Callable[[], bool]) -> Flask:
    """An application that answers with the bytes of the file in BENCH_BODY, below /v1 once it has read the JSON."""
    with open(os.environ["BENCH_BODY"], "rb") as file:
        body = file.read()
    app = Flask("bare")

    @app.post("/v1/<route>/<vend>")
    def answer(route: str, vend: str) -> Response:
        request.get_json()
        return Response(body, mimetype="application/json")

    @app.post("/unread/<route>/<vend>")
    def answer_unread(route: str, vend: str) -> Response:
        return Response(body, mimetype="application/json")

    @app.get("/readyz")
    def ready() -> Response:
        return Response(b"{}", mimetype="application/json")

    return app


if __name__ == "__main__":
    run(load_app, "127.0.0.1", int(sys.argv[1]), 1, 32)
