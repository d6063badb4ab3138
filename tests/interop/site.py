"""Somebody's web application with a broker mounted at `/storage`, and pages that use it, as `docs/clients.md` shows.

The pages' Content-Security-Policy is as strict as it can be.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from flask import Flask, Response, render_template_string
from werkzeug.serving import WSGIRequestHandler, make_server

from broker import Broker
from broker.emulator.server import Emulator
from broker.identity.principals import Principal
from broker.local import AUDIENCE, ISSUER, Identities, free_port
from broker.policy import catalog, cors
from broker.policy.limits import Limits
from broker.settings import Settings
from tests.interop.javascript import Place, bundle
from tests.interop.recipes import recipe

ACCOUNT = ("AKIDSITEACCOUNT00000000000000000000", "PermanentKeyOfTheSite0000000000")
BUCKETS = {"examplebucket-1250000000": "ap-guangzhou"}


class _Quiet(WSGIRequestHandler):
    def log(self, type: str, message: str, *args: object) -> None:
        """Nothing."""


@contextlib.contextmanager
def site(policies: Path, folder: Path) -> Iterator[Place]:
    """The application, listening, with a cloud of its own behind it, whose buckets let in what `cors` prints."""
    identities = Identities(folder)
    port = free_port()
    routes = catalog.load(policies, Limits(4096, "https://{bucket}.cos.{region}.myqcloud.com")).routes
    rules = cors.rules(routes.values(), [f"http://127.0.0.1:{port}"])
    with Emulator(ACCOUNT, buckets=BUCKETS, rules=lambda: rules) as emulator:
        environ = {
            "TENCENTCLOUD_SECRET_ID": ACCOUNT[0],
            "TENCENTCLOUD_SECRET_KEY": ACCOUNT[1],
            "BROKER_STS_ENDPOINT": emulator.url,
            "BROKER_COS_ENDPOINT": emulator.url,
            "BROKER_POLICIES": str(policies),
            "BROKER_JWT_JWKS": str(identities.jwks),
            "BROKER_JWT_ISSUER": ISSUER,
            "BROKER_JWT_AUDIENCE": AUDIENCE,
            "BROKER_JWT_ALGORITHMS": "ES256",
        }
        app = application(Settings.from_environ(environ), emulator.url)
        server = make_server("127.0.0.1", port, app, threaded=True, request_handler=_Quiet)
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        url = f"http://127.0.0.1:{server.server_port}"
        try:
            yield Place("chromium", url, f"{url}/storage", emulator, identities)
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


def application(settings: Settings, cos: str) -> Flask:
    """The pages and the broker."""
    app = Flask("site", static_folder=None)
    Broker(app, settings=settings, url_prefix="/storage")

    def page(body: str) -> str:
        return f'<!doctype html><meta charset="utf-8"><link rel="icon" href="data:,"><title>Site</title>{body}'

    @app.after_request
    def restrict(response: Response) -> Response:
        strict = f"default-src 'none'; script-src 'self'; connect-src 'self' {cos}; img-src data:; form-action {cos}"
        response.headers["Content-Security-Policy"] = strict
        return response

    @app.get("/")
    def empty() -> str:
        return page("")

    @app.get("/drop")
    def drop() -> str:
        return page(recipe("client.js", "html"))

    @app.get("/drop.js")
    def drop_script() -> Response:
        return Response(recipe("client.js", "js"), mimetype="text/javascript")

    @app.get("/form")
    def form() -> str:
        broker = app.extensions["broker"]
        ask = {"vend": "form", "inputs": {"ext": "mp4"}, "headers": {"Content-Type": "video/mp4"}}
        granted = broker.vend("videos", ask, Principal({"sub": "u1"}))
        return page(render_template_string(recipe("HTML form", "html"), form=granted))

    @app.get("/<any('cos-js-sdk-v5', 'Uppy'):heading>.js")
    def bundled(heading: str) -> Response:
        return Response(bundle(recipe(heading, "js")), mimetype="text/javascript")

    return app
