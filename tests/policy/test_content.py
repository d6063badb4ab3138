"""Limits of an upload, as an ask meets them."""

from __future__ import annotations

import pytest

SOUND = {"Content-Type": "image/png", "Content-Length": "1000"}


@pytest.mark.parametrize(
    ("types", "asked", "granted"),
    [
        (["image/png"], "image/png", True),
        (["image/png"], "image/PNG", False),
        (["image/png"], "Image/png", False),
        (["image/png"], "image/pngx", False),
        (["image/png"], "image/png; charset=utf-8", False),
        (["image/png"], "image/png ", False),
        (["image/png"], "image/png\n", False),
        (["image/png"], "image/png, text/html", False),
        (["image/png"], "", False),
        (["image/png"], "text/html", False),
        (["image/PNG"], "image/PNG", True),
        (["audio/*"], "audio/mpeg", True),
        (["audio/*"], "audio/*", False),
        (["audio/*"], "audio/", False),
        (["audio/*"], "audio/a/b", False),
        (["audio/*"], "audio/mpeg;x=y", False),
        (["audio/*"], "audiox/mpeg", False),
        (["audio/*"], "AUDIO/mpeg", False),
        (["audio/*", "image/png"], "image/png", True),
        (["audio/*", "image/png"], "image/jpeg", False),
    ],
)
def test_type(route, order, refused, types, asked, granted):
    """A type is compared whole and case-sensitively; a range admits its subtypes and nothing with parameters."""
    upload = route("upload", {"content": {"types": types}})
    ask = {"inputs": {"ext": "png"}, "headers": {"Content-Type": asked}}
    if granted:
        assert order(upload, **ask).request.headers["Content-Type"] == asked
    else:
        assert refused(upload, **ask) == ("content_type_not_allowed", ["headers.Content-Type"])


@pytest.mark.parametrize(
    ("length", "code"),
    [
        ("0", None),
        ("1", None),
        ("1000", None),
        ("1001", "content_too_large"),
        ("999999999999999", "content_too_large"),
        ("1" + "0" * 5000, "header_not_allowed"),
        ("", "header_not_allowed"),
        ("-1", "header_not_allowed"),
        ("+5", "header_not_allowed"),
        ("05", "header_not_allowed"),
        ("00", "header_not_allowed"),
        ("5.0", "header_not_allowed"),
        ("1e2", "header_not_allowed"),
        (" 5", "header_not_allowed"),
        ("5\n", "header_not_allowed"),
        ("٥", "header_not_allowed"),
        ("５", "header_not_allowed"),
        ("0x5", "header_not_allowed"),
        ("1_0", "header_not_allowed"),
    ],
)
def test_length(route, order, refused, length, code):
    """A length is plain decimal digits and no more than the limit."""
    upload, ask = route("upload"), {"inputs": {"ext": "png"}, "headers": {**SOUND, "Content-Length": length}}
    if code is None:
        assert order(upload, **ask).request.headers["Content-Length"] == length
    else:
        assert refused(upload, **ask) == (code, ["headers.Content-Length"])


@pytest.mark.parametrize(
    ("headers", "code", "fields"),
    [
        ({}, "header_required", ["headers.Content-Type", "headers.Content-Length"]),
        ({"Content-Type": "image/png"}, "header_required", ["headers.Content-Length"]),
        ({"Content-Length": "5"}, "header_required", ["headers.Content-Type"]),
        (
            {"Content-Type": "a/b", "Content-Length": "1001"},
            "content_type_not_allowed",
            ["headers.Content-Type", "headers.Content-Length"],
        ),
        ({"Content-Length": "1001"}, "header_required", ["headers.Content-Type", "headers.Content-Length"]),
        (
            {"Content-Type": "image/png", "content-type": "image/png", "Content-Length": "1001"},
            "header_not_allowed",
            ["headers.Content-Type", "headers.Content-Length"],
        ),
    ],
)
def test_all_of_the_step(route, refused, headers, code, fields):
    """The first mistake gives the code, the errors list all of the step."""
    found = refused(route("upload"), inputs={"ext": "png"}, headers=headers)
    assert (found[0], sorted(found[1])) == (code, sorted(fields))


def test_spelling(route, order, refused):
    """A header's case does not matter, the signed name is the usual one; two spellings are one too many."""
    lower = {"content-type": "image/png", "CONTENT-LENGTH": "5"}
    signed = order(route("upload"), inputs={"ext": "png"}, headers=lower).request.headers
    assert (signed["Content-Type"], signed["Content-Length"]) == ("image/png", "5")
    both = {**SOUND, "content-type": "image/png"}
    assert refused(route("upload"), inputs={"ext": "png"}, headers=both)[0] == "header_not_allowed"


@pytest.mark.parametrize(
    ("content", "headers", "code"),
    [
        ({"types": ["image/png"]}, {"Content-Type": "image/png"}, None),
        ({"types": ["image/png"]}, {"Content-Type": "image/png", "Content-Length": "5"}, "header_not_allowed"),
        ({"max_bytes": 5}, {"Content-Length": "5"}, None),
        ({"max_bytes": 5}, {"Content-Length": "5", "Content-Type": "image/png"}, "header_not_allowed"),
        (..., {}, None),
        (..., {"Content-Type": "image/png"}, "header_not_allowed"),
    ],
)
def test_limit_that_is_not_set(route, order, refused, content, headers, code):
    """A header without a limit is left to `headers`: what is not listed is refused."""
    upload, ask = route("upload", {"content": content}), {"inputs": {"ext": "png"}, "headers": headers}
    if code is None:
        assert set(order(upload, **ask).request.headers) == {"Host", *headers}
    else:
        assert refused(upload, **ask)[0] == code


def test_other_operations(route, order, refused):
    """Limits of an upload concern the PUT alone."""
    both = route("upload", {"methods": ["PUT", "GET"], "key": "a/{principal.sub}/{ext}"})
    assert set(order(both, method="GET", inputs={"ext": "png"}).request.headers) == {"Host"}
    assert refused(both, method="PUT", inputs={"ext": "png"})[0] == "header_required"
    assert refused(both, method="GET", inputs={"ext": "png"}, headers=SOUND)[0] == "header_not_allowed"
