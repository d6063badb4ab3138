"""The console's pages: templates, the files they need, and what browsers let them do."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from importlib.resources import files
from typing import Any

from jinja2 import Environment, FunctionLoader, StrictUndefined

from broker.web.answers import Answer, fixed_headers

PAGE_TYPE = "text/html; charset=utf-8"
SECTIONS = (
    ("routes", "", "Routes"),
    ("try", "/try", "Try it"),
    ("permissions", "/permissions", "Permissions"),
    ("credentials", "/credentials", "Credentials"),
)
_ROOM = files("broker.console")
_KINDS = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
# The files beside the pages, by name: content type and bytes.
STATIC: Mapping[str, tuple[str, bytes]] = {
    one.name: (_KINDS[one.name.rpartition(".")[2]], one.read_bytes()) for one in _ROOM.joinpath("static").iterdir()
}
# Part of their addresses, so that browsers may keep them for ever: they find each other beside themselves.
DIGEST = hashlib.sha256(b"".join(name.encode() + STATIC[name][1] for name in sorted(STATIC))).hexdigest()[:16]
_PLACEHOLDERS = re.compile(r".*\{[a-z]+\}[^./]*")


def _source(name: str) -> str:
    return _ROOM.joinpath("page", name).read_text("utf-8")


_environment = Environment(
    loader=FunctionLoader(_source), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)


def policy(connect: Iterable[str] = ()) -> str:
    """The Content-Security-Policy of a page that may send to these origins."""
    hosts = " ".join(["'self'", *sorted(set(connect))])
    return (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self' blob:; "
        f"connect-src {hosts}; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    )


def rendered(template: str, base: str, section: str, **shown: Any) -> bytes:
    """A page, or a part of one. `base` is where the console lies; `section` where in it the page is."""
    page = _environment.get_template(f"{template}.html")
    return page.render(
        base=base, static=f"{base}/static/{DIGEST}", section=section, sections=SECTIONS, **shown
    ).encode()


def answered(body: bytes, status: int = 200, connect: Iterable[str] = ()) -> Answer:
    """A page as an answer, which nobody may keep, and which may send to these origins besides the broker."""
    return Answer(body, status, PAGE_TYPE, fixed_headers(policy(connect)))


def reach(endpoint: str) -> str:
    """What a Content-Security-Policy calls the hosts of an endpoint's template; no bucket is named."""
    scheme, _, host = endpoint.partition("://")
    return f"{scheme}://{_PLACEHOLDERS.sub('*', host)}"
