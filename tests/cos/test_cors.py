"""CORS rules: what is an origin, what a preflight is answered, and the two forms of a bucket's configuration."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from qcloud_cos.cos_comm import format_xml

from broker.cos import cors
from broker.cos.cors import Rule, origin_flaw

APP, OTHER = "https://app.example", "http://localhost:3000"
RULE = Rule("avatars", (APP, OTHER), ("PUT", "GET"), ("Content-Type", "x-cos-meta-a"))
OPEN = Rule("any", (cors.ANY,), cors.METHODS, (cors.ANY,))


@pytest.mark.parametrize(
    "origin",
    [
        "https://app.example", "https://a", "https://app.example:8443", "https://xn--bcher-kva.example",
        "http://localhost", "http://localhost:3000", "http://127.0.0.1:5173", "http://[::1]:3000",
        "http://bucket.localhost:9000", "https://192.0.2.1", "https://app.example:65535",
    ],
)  # fmt: skip
def test_origin(origin):
    """Scheme, host and maybe a port, exactly as browsers send them."""
    assert origin_flaw(origin) is None


@pytest.mark.parametrize(
    ("origin", "told"),
    [
        ("*", "everybody"), ("null", "sandboxed"), ("", "https://host"), ("https://app.example/", "slash"),
        ("https://app.example/a", "path"), ("https://*.example", "https://host"), ("https://App.example", "lower case"),
        ("HTTPS://app.example", "lower case"), ("app.example", "https://host"), ("//app.example", "https://host"),
        ("http://app.example", "must be https"), ("http://localhost.example", "must be https"),
        ("https://app.example:443", "leave out :443"), ("http://localhost:80", "leave out :80"),
        ("https://app.example:0", "https://host"), ("https://app.example:65536", "1..65535"),
        ("https://u@app.example", "https://host"), ("https://app.example?a", "https://host"),
        ("https://app.example#a", "https://host"), ("https://bücher.example", "https://host"),
        ("https://app.example https://b.example", "https://host"), ("file://", "https://host"),
        ("chrome-extension://abc", "https://host"), ("https://app.example.", "https://host"), ("https://", "https://host"),
        ("https://app.example\n", "https://host"),
    ],
)  # fmt: skip
def test_no_origin(origin, told):
    """Everything else is refused, with what was expected."""
    assert told in (origin_flaw(origin) or "")


@pytest.mark.parametrize(
    ("origin", "method", "headers"),
    [
        (APP, "PUT", "content-type"), (APP, "PUT", ""), (OTHER, "GET", "X-COS-Meta-A, content-type"),
        (APP, "PUT", "content-type,x-cos-meta-a"),
    ],
)  # fmt: skip
def test_admitted(origin, method, headers):
    """A preflight that the rule covers is answered with its methods, and the headers that were asked about."""
    told = RULE.answer(origin, method, headers)
    assert told is not None
    assert told["Access-Control-Allow-Methods"] == "PUT, GET"
    assert told.get("Access-Control-Allow-Headers", "") == headers
    assert told["Access-Control-Max-Age"] == "600"


@pytest.mark.parametrize(
    ("origin", "method", "headers"),
    [
        ("https://app.example.evil", "PUT", ""), ("https://evil", "PUT", ""), ("", "PUT", ""), ("null", "PUT", ""),
        ("*", "PUT", ""), ("https://APP.example", "PUT", ""), (APP, "DELETE", ""), (APP, "put", ""), (APP, "", ""),
        (APP, "PUT", "authorization"), (APP, "PUT", "content-type, authorization"), (APP, "PUT", "*"),
    ],
)  # fmt: skip
def test_not_admitted(origin, method, headers):
    """Another origin, method or header is not."""
    assert RULE.answer(origin, method, headers) is None


def test_any():
    """The star of a rule is any origin and any header; no origin is still none."""
    assert OPEN.answer("https://whoever", "DELETE", "x-anything") is not None
    assert OPEN.answer("", "DELETE", "") is None
    assert OPEN.answer("https://whoever", "PATCH", "") is None


@pytest.mark.parametrize("rule", [RULE, Rule("reads", (APP,), ("GET",), ())])
def test_forms(rule):
    """The XML is what the official SDK makes of the JSON."""
    theirs = ElementTree.fromstring(format_xml(rule.configuration(), "CORSConfiguration"))
    ours = ElementTree.fromstring(cors.xml(rule.configuration()))
    assert flat(ours) == flat(theirs)
    assert ("CORSRule", "AllowedOrigin", APP) in flat(ours)
    assert ("CORSConfiguration", "ResponseVary", "true") in flat(ours)


def flat(root: ElementTree.Element) -> list[tuple[str, str, str]]:
    """(parent, name, text) of every element that holds text, in their order."""
    return [(parent.tag, child.tag, child.text or "") for parent in root.iter() for child in parent if len(child) == 0]


def test_sorted_methods():
    """Methods stand in one order."""
    assert cors.sorted_methods({"HEAD", "PUT", "GET"}) == ("GET", "PUT", "HEAD")
