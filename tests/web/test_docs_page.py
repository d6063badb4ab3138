"""`GET /docs`: one page that needs nobody else, says what the description says, and lets nothing in."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import tomllib
from html.parser import HTMLParser

import pytest

from broker.web import docs_page, openapi
from tests.conftest import BUCKET, REPOSITORY

SCOPES = {"scope": "avatars:write folder:keys"}


class Read(HTMLParser):
    """What a browser would make of a page: its text, every element and every attribute."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: dict[str, str] = {}
        self._open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember it."""
        self.tags.append(tag)
        self._open.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        """Remember it by the element that it stands in."""
        if self._open:
            self.texts[self._open[-1]] = self.texts.get(self._open[-1], "") + data

    def handle_endtag(self, tag: str) -> None:
        """Close it, and what has no end."""
        while self._open and self._open.pop() != tag:
            pass


def page(door, by=None) -> str:
    """The page for a caller; u1 by default."""
    answer = door.client.get("/docs", headers=door.bearer(**SCOPES) if by is None else by)
    assert (answer.status_code, answer.content_type) == (200, "text/html; charset=utf-8")
    return answer.text


def test_headers(door):
    """Its policy lets in its own style and script by their hashes, requests to the broker, and nothing else."""
    for by in ({}, door.bearer()):
        answer = door.client.get("/docs", headers=by)
        found = Read(answer.text)
        hashes = {
            kind: base64.b64encode(hashlib.sha256(found.texts[kind].encode()).digest()).decode()
            for kind in ("style", "script")
        }
        assert answer.headers.getlist("Content-Security-Policy") == [
            f"default-src 'none'; style-src 'sha256-{hashes['style']}'; script-src 'sha256-{hashes['script']}'; "
            "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ]
        assert (answer.headers["X-Content-Type-Options"], answer.headers["Referrer-Policy"]) == (
            "nosniff",
            "no-referrer",
        )
        assert answer.headers["Cache-Control"] == "no-store"


def test_nobody_else(door):
    """Nothing of the page comes from anywhere, and nothing in it is inline but what the policy names."""
    for by in ({}, None):
        found = Read(page(door, by))
        assert not set(found.tags) & {"link", "img", "iframe", "object", "embed", "base"}
        assert [found.tags.count(tag) for tag in ("style", "script", "main")] == [1, 1, 1]
        assert {(tag, name, value) for tag, name, value in found.attributes if name in ("src", "href", "action")} == {
            ("a", "href", "/openapi.json")
        }
        assert [name for _, name, _ in found.attributes if name.startswith("on") or name == "style"] == []
        assert not re.search(r"url\(|@import|https?://", found.texts["style"] + found.texts["script"])


def test_stranger(door):
    """A stranger's page names no route, says why, and offers a field for a token that goes nowhere but the header."""
    text = page(door, {})
    assert "avatars" not in text
    assert "A browser sends no credentials" in text
    found = Read(text)
    assert ("form", "hidden", "") in found.attributes  # without JavaScript it would do nothing
    field = {name: value for tag, name, value in found.attributes if tag == "input"}
    assert (field["type"], field["autocomplete"], "name" in field) == ("password", "off", False)
    script = found.texts["script"]
    assert "Authorization" in script
    assert [word for word in ("localStorage", "sessionStorage", "cookie", "innerHTML", "eval(") if word in script] == []


def test_own(door):
    """A caller's page has its routes, with inputs, types, lengths and lifetimes; no field for a token."""
    text = page(door)
    for told in ("/v1/avatars/url", "one of png, jpg, webp", "5242880", "1..900, default 300", "/v1/videos/multipart"):
        assert told in text, told
    assert "form" not in Read(text).tags
    assert "/v1/avatars/url" not in page(door, door.bearer(scope="other"))


def test_everything_described(door):
    """Every path and every member of an ask that the description has is on the page."""
    document = door.client.get("/openapi.json", headers=door.bearer(**SCOPES)).json
    text = page(door)
    assert [path for path in document["paths"] if f"<code>{path}</code>" not in text] == []
    members = {
        name
        for item in document["paths"].values()
        if "post" in item
        for schema in [item["post"]["requestBody"]["content"]["application/json"]["schema"]]
        for one in schema.get("oneOf", [schema])
        if "$ref" not in schema
        for name in one.get("required", ())
    }
    assert "step" in members
    assert [name for name in members if name not in text] == []


def test_no_routes(door, open_door, tmp_path):
    """Who may use no route is told so."""
    policy = {
        "principals": {"claims": {"role": {"const": "owner"}}}, "vends": ["url"], "methods": ["GET"],
        "bucket": BUCKET, "region": "ap-guangzhou", "key": "a",
    }  # fmt: skip
    (tmp_path / "one.json").write_text(json.dumps(policy))
    other = open_door(BROKER_POLICIES=str(tmp_path))
    assert "This caller may use no route." in page(other, other.bearer(role="guest"))
    assert "This caller may use no route." not in page(other, other.bearer(role="owner"))


def test_bad_credential(door):
    """A credential that is none brings a problem, which the script shows."""
    answer = door.client.get("/docs", headers={"Authorization": "Bearer a.b.c"})
    assert (answer.status_code, answer.json["code"]) == (401, "unauthenticated")


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", "</main><img src=x onerror=alert(1)>", "{{ 7 * 7 }}"])
def test_policy_text(hostile):
    """A policy's own words are shown as they are: they make nothing of the page."""
    description = openapi.generic("", anonymous=False)
    description["tags"] = [{"name": "one", "description": hostile}]
    description["paths"]["/v1"]["get"] |= {"tags": ["one"], "summary": hostile}
    found = Read(docs_page.own(description).decode())
    assert found.tags.count("script") == 1
    assert "img" not in found.tags
    assert hostile in found.texts["p"]


def test_files_are_packaged():
    """What pages are made of is part of the package."""
    declared = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"][
        "broker"
    ]
    files = {
        path
        for path in (REPOSITORY / "broker").rglob("*")
        if path.is_file() and path.suffix in (".html", ".css", ".js", ".svg")
    }
    packaged = {path for glob in declared for path in (REPOSITORY / "broker").glob(glob)}
    assert {path.name for path in files} >= {"docs.html", "client.js", "try.html", "console.css"}
    assert files - packaged == set()
