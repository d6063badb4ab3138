"""A broker with its console, spoken to in HTTP."""

from __future__ import annotations

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import BUCKET
from tests.web.conftest import Door, clock, open_door  # noqa: F401  fixtures

OPERATORS = '{"role": {"const": "operator"}}'


class Read(HTMLParser):
    """A page as a browser reads it: elements with attributes, and the text of those with an id, a class, or a name."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str]]] = []
        self.text = ""
        self._texts: list[tuple[str, dict[str, str], list[str]]] = []
        self._open: list[tuple[str, list[str]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember it."""
        attributes = {name: value or "" for name, value in attrs}
        self.elements.append((tag, attributes))
        words: list[str] = []
        self._texts.append((tag, attributes, words))
        if tag not in ("meta", "link", "input", "img", "br"):
            self._open.append((tag, words))

    def handle_data(self, data: str) -> None:
        """It is text of everything around it."""
        self.text += data
        for _, words in self._open:
            words.append(data)

    def handle_endtag(self, tag: str) -> None:
        """Close it, and what has no end."""
        while self._open and self._open.pop()[0] != tag:
            pass

    def texts(self, tag: str, **wanted: str) -> list[str]:
        """The texts of elements, spaces as one; `class_` names one of their classes."""
        class_ = wanted.pop("class_", "")
        return [
            " ".join("".join(words).split())
            for name, attributes, words in self._texts
            if name == tag
            and (not class_ or class_ in attributes.get("class", "").split())
            and all(attributes.get(one) == value for one, value in wanted.items())
        ]


@pytest.fixture
def console(open_door: Callable[..., Door]) -> Callable[..., Door]:  # noqa: F811
    """Brokers with a console that everybody may see, unless `claims` says who."""

    def make(claims: str = "{}", **changes: Any) -> Door:
        return open_door(BROKER_CONSOLE="1", BROKER_CONSOLE_CLAIMS=claims, **changes)

    return make


@pytest.fixture
def page(console: Callable[..., Door]) -> Callable[..., Read]:
    """A page as everybody may see it; with `form` as it answers that."""
    kept: dict[str, Door] = {}

    def look(path: str = "", form: dict[str, str] | None = None, policies: Path | None = None) -> Read:
        door = kept.get(str(policies)) or kept.setdefault(
            str(policies),
            console(BROKER_ANONYMOUS="1", **({"BROKER_POLICIES": str(policies)} if policies else {})),
        )
        method = "GET" if form is None else "POST"
        answer = door.client.open(f"/console{path}", method=method, data=form)
        assert (answer.status_code, answer.content_type) == (200, "text/html; charset=utf-8"), answer.text
        return Read(answer.text)

    return look


@pytest.fixture
def folder(tmp_path: Path) -> Callable[..., Path]:
    """A folder of the given policies, each with what it lacks."""

    def write(**policies: dict[str, Any]) -> Path:
        for name, policy in policies.items():
            whole = {"vends": ["url"], "methods": ["PUT"], "bucket": BUCKET, "region": "ap-guangzhou", **policy}
            (tmp_path / f"{name.replace('_', '-')}.json").write_text(json.dumps(whole))
        return tmp_path

    return write
