"""`/console`: who may look, and which page answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from flask import Blueprint, Response, make_response, request

from broker import vending
from broker.console import forms, listing, pages, permissions, trials
from broker.console.health import Health, health
from broker.console.shelf import Shelves
from broker.console.tally import Tally
from broker.errors import NotFound, Unauthenticated
from broker.identity.principals import Principal
from broker.policy.admission import Admission
from broker.web import problems
from broker.web.answers import Answer, fixed_headers
from broker.web.operations import Readiness

_FORM_BYTES = 64 * 1024
_FOR_EVER = fixed_headers(cache_control="public, max-age=31536000, immutable")  # a file's address changes with it
_KEPT_HEADERS = ("WWW-Authenticate", "Retry-After", "Allow")


@dataclass(frozen=True, slots=True)
class Console:
    """What the page shows, and to whom: `viewers` says whose claims admit to it."""

    desk: vending.Desk
    authenticate: Callable[[dict[str, Any]], Principal]
    viewers: Admission
    cos_endpoint: str
    shelves: Shelves
    tally: Tally
    readiness: Callable[[], Readiness]
    figures: Callable[[], Mapping[str, Mapping[str, float]]]

    def health(self) -> Health:
        """How the broker is doing."""
        redis = self.shelves.store is not None
        return health(self.readiness(), self.figures(), self.tally.hour(), redis=redis)

    def hosts(self) -> set[str]:
        """Where a page may have to send files, whoever looks and whichever route it shows: no bucket is named."""
        own = {route.document.endpoint for route in self.desk.catalog().routes.values()}
        return {pages.reach(endpoint or self.cos_endpoint) for endpoint in own | {None}}


def blueprint(console: Console, url_prefix: str) -> Blueprint:
    """All pages of the console, at `/console` below a prefix."""
    made = Blueprint("broker_console", __name__, url_prefix=f"{url_prefix}/console")
    base = f"{url_prefix}/console"

    def page(section: str, template: str, /, connect: set[str] | None = None, **shown: Any) -> Answer:
        return pages.answered(pages.rendered(template, base, section, **shown), connect=connect or ())

    def signing_in(section: str, status: int, detail: str) -> Answer:
        # The policy of this page stays in force when its script puts the page behind it in its place.
        connect = console.hosts() if section == "try" else ()
        return pages.answered(pages.rendered("sign_in", base, section, detail=detail), status, connect)

    def let_in() -> Answer | None:
        if request.endpoint == f"{made.name}.static":
            return None
        try:
            console.viewers.admit(console.authenticate(request.environ))
        except Unauthenticated:
            if "HTTP_AUTHORIZATION" in request.environ:
                raise
            # A browser that opens a page says nothing about who looks: no refusal, but a page to say it with.
            return signing_in(_section(request.path, base), 401, "")
        return None

    def refused_as_page(answer: Response) -> Response:
        if answer.mimetype != problems.PROBLEM_TYPE:
            return answer
        told = json.loads(answer.get_data())
        section = _section(request.path, base)
        if told["status"] in (401, 403):
            shown = signing_in(section, told["status"], told["detail"])
        else:
            shown = pages.answered(pages.rendered("refusal", base, section, problem=told), told["status"])
        for name in _KEPT_HEADERS:
            if name in answer.headers:
                shown.headers[name] = answer.headers[name]
        return make_response(shown)

    def routes() -> Answer:
        shown = listing.listed(console.desk.catalog(), request.args.get("find", ""), request.args.get("page", "1"))
        return page("routes", "routes", listing=shown)

    def route(name: str) -> Answer:
        catalog = console.desk.catalog()
        return page("routes", "route", route=listing.described(catalog, catalog.route(name)))

    def permitted() -> Answer:
        request.max_content_length = _FORM_BYTES
        given = request.form.to_dict() if request.method == "POST" else {}
        catalog = console.desk.catalog()
        found = forms.chosen(catalog, given.get("route") or request.args.get("route", ""))
        shown = permissions.explained(found, given, console.desk.clock()) if found is not None else None
        return page("permissions", "permissions", names=list(catalog.routes), shown=shown)

    def trying() -> Answer:
        catalog, asked = console.desk.catalog(), request.args
        found = forms.chosen(catalog, asked.get("route", ""))
        if found is None:
            return page("try", "try", names=[], shown=None)
        shown = trials.trial(catalog, found, asked.get("vend", ""), asked.get("method", ""))
        return page("try", "try", {found.endpoint.base_url}, names=list(catalog.routes), shown=shown)

    def credentials() -> Answer:
        shelf = console.shelves.shelf(console.desk.catalog().routes, console.desk.clock())
        template = "live" if request.args.get("part") == "live" else "credentials"
        return page("credentials", template, shelf=shelf, health=console.health())

    def static(digest: str, name: str) -> Answer:
        if digest != pages.DIGEST or name not in pages.STATIC:
            raise NotFound("not_found", "no such file of the console: reload the page")
        content_type, content = pages.STATIC[name]
        return Answer(content, content_type=content_type, fixed=_FOR_EVER)

    made.before_request(let_in)
    made.after_request(refused_as_page)

    def add(rule: str, name: str, view: Callable[..., Answer], *methods: str) -> None:
        made.add_url_rule(rule, name, view, methods=methods or ("GET",), provide_automatic_options=False)

    add("", "routes", routes)
    add("/routes/<name>", "route", route)
    add("/try", "try", trying)
    add("/permissions", "permissions", permitted, "GET", "POST")
    add("/credentials", "credentials", credentials)
    add("/static/<digest>/<name>", "static", static)
    return made


def _section(path: str, base: str) -> str:
    rest = path.removeprefix(base)
    return next((name for name, at, _ in pages.SECTIONS if at and rest.startswith(at)), "routes")
