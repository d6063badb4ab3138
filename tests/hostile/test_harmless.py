"""Odd values that are legal: each is granted as it came, and stays inside its own segment on its way to COS."""

from __future__ import annotations

import base64
import json
import re
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

import pytest
import requests

from broker.local import send
from tests.conftest import BUCKET
from tests.hostile.conftest import base64url
from tests.hostile.values import FLAWED, HARMLESS

# What is the same on every answer.
FIXED = (
    "Cache-Control",
    "Content-Security-Policy",
    "Cross-Origin-Resource-Policy",
    "Referrer-Policy",
    "X-Content-Type-Options",
)
NAMED = {"method": "GET", "inputs": {"name": "a"}}
SIGNED = {"q-sign-algorithm", "q-ak", "q-sign-time", "q-key-time", "q-header-list", "q-url-param-list", "q-signature"}
SIGNED |= {"x-cos-security-token"}

# door: (what goes through it, the key that must come of it); VALUE is the value, CALLER who asks
DOORS = {
    "sub": (
        lambda house, value, caller: house.http("names/url", NAMED, house.jwt(sub=value)), "names/VALUE/a",
    ),
    "sub before a suffix": (
        lambda house, value, caller: house.http("profile/url", {}, house.jwt(sub=value)), "profiles/VALUE.json",
    ),
    "claim in X-Principal-Claims": (
        lambda house, value, caller: house.http(
            "team/url", {"inputs": {"name": "a"}},
            house.key("teams", caller, base64url(json.dumps({"team": value}, ensure_ascii=False))),
        ),
        "teams/VALUE/CALLER/a",
    ),
    "input": (
        lambda house, value, caller: house.http(
            "names/url", {"method": "GET", "inputs": {"name": value}}, house.jwt(sub=caller)
        ),
        "names/CALLER/VALUE",
    ),
    "path": (
        lambda house, value, caller: house.http(
            "files/url", {"method": "GET", "inputs": {"path": f"a/{value}/b"}}, house.jwt(sub=caller)
        ),
        "files/CALLER/a/VALUE/b",
    ),
    "key": (
        lambda house, value, caller: house.http(
            "names/url", {"method": "GET", "key": f"names/{caller}/{value}"}, house.jwt(sub=caller)
        ),
        "names/CALLER/VALUE",
    ),
    "claim inside": (
        lambda house, value, caller: house.inside("tenant", {"vend": "url", **NAMED}, {"tenant": value}),
        "tenants/VALUE/a",
    ),
}  # fmt: skip


@pytest.mark.parametrize("value", HARMLESS.values(), ids=HARMLESS)
@pytest.mark.parametrize(("knock", "form"), DOORS.values(), ids=DOORS)
def test_granted_as_it_came(house, knock, form, value):
    """The key is the one expected, decoding the URL's path once gives it again, and COS lets its holder in."""
    caller = house.caller()
    answer = knock(house, value, caller)
    assert (answer.status, answer.code) == (200, "granted"), answer.told
    key = form.replace("CALLER", caller).replace("VALUE", value)
    assert answer.grant["key"] == key
    assert key.count("/") == form.count("/")
    url = answer.grant["url"]
    assert url.isascii()
    parts = urlsplit(url)
    assert (unquote(parts.path), parts.fragment) == (f"/{key}", "")
    assert set(parse_qs(parts.query, keep_blank_values=True)) - {"response-content-type"} == SIGNED
    # Nothing is there; a path that COS reads otherwise than we signed it would be refused.
    status, _, body = send("GET", url, answer.grant["headers"])
    assert (status, b"NoSuchKey" in body) == (404, True)
    assert house.sts_calls() == 1


@pytest.mark.parametrize("value", HARMLESS.values(), ids=HARMLESS)
def test_uploaded_as_it_came(house, value):
    """A form, each step of an upload and a confirmation are of the key expected, and COS lets their holder in."""
    caller = house.caller()
    key, by, kind = f"clips/{caller}/{value}", house.jwt(sub=caller), {"Content-Type": "video/mp4"}
    upload = {"key": key}
    for step, more, status in (
        ("initiate", {"size": 4, "headers": kind}, 200),
        ("parts", {"size": 4, "parts": {"from": 1, "to": 1}}, 200),
        ("list", {}, 200),
        ("abort", {}, 204),
    ):
        answer = house.http("clips/multipart", {"step": step, **upload, **more}, by)
        assert (answer.code, answer.grant["key"]) == ("granted", key), answer.told
        (request,) = answer.grant["requests"]
        parts = urlsplit(request["url"])
        assert (unquote(parts.path), parts.fragment) == (f"/{key}", "")
        body = b"mine" if step == "parts" else b""
        found, _, body = send(request["method"], request["url"], request["headers"], body)
        assert found == status, body
        if step == "initiate":
            upload["upload_id"] = re.search(rb"<UploadId>(\w+)<", body)[1].decode()
    form = house.http("clips/form", {"inputs": {"name": value}, "headers": kind}, by).grant
    assert (form["key"], form["fields"]["key"]) == (key, key)
    assert ["eq", "$key", key] in json.loads(base64.b64decode(form["fields"]["policy"]))["conditions"]
    assert house.http("clips/confirm", {"key": key}, by).code == "object_not_found"
    fields = [(name, (None, text)) for name, text in form["fields"].items()]
    assert requests.post(form["url"], files=[*fields, ("file", ("a", b"mine"))], timeout=10).status_code == 204
    assert house.http("clips/confirm", {"key": key}, by).grant["content_length"] == 4
    # One credential for each operation: multipart, form, head.
    assert house.sts_calls() == 3


UPLOAD_IDS = {
    **{name: text for name, text in FLAWED.items() if re.fullmatch("[!-~]{1,512}", text)},
    "another part": "u&partNumber=2",
    "ampersand": "u&acl",
    "fragment": "u#",
    "equals": "u=v=",
    "plus": "u+v",
    "512 characters": "%" * 512,
}


@pytest.mark.parametrize("step", ["parts", "list", "complete", "abort"])
@pytest.mark.parametrize("upload_id", UPLOAD_IDS.values(), ids=UPLOAD_IDS)
def test_upload_id(house, upload_id, step):
    """Whatever is said to be COS's name of an upload is one parameter of one key, and COS knows no such upload."""
    caller = house.caller()
    more = {"size": 4, "parts": {"from": 1, "to": 1}} if step == "parts" else {}
    ask = {"step": step, "inputs": {"name": "a"}, "upload_id": upload_id, **more}
    (request,) = house.http("clips/multipart", ask, house.jwt(sub=caller)).grant["requests"]
    parts = urlsplit(request["url"])
    pairs = parse_qsl(parts.query, keep_blank_values=True)
    asked = {"uploadId": upload_id, **({"partNumber": "1"} if more else {})}
    assert (parts.path, parts.fragment) == (f"/clips/{caller}/a", "")
    assert {name: value for name, value in pairs if name not in SIGNED} == asked
    assert len(pairs) == len(SIGNED) + len(asked)
    status, _, body = send(request["method"], request["url"], request["headers"], b"mine" if more else b"")
    assert (status, b"<Code>NoSuchUpload<" in body) == (404, True)


LOOKALIKES = {
    "fullwidth one": ("{}1", "{}\uff11"),
    "fullwidth slash": ("{}", "{}\uff0fu2"),
    "Cyrillic": ("a{}", "\u0430{}"),
    "capitals": ("u{}", "U{}"),
    "space at the end": ("{}", "{} "),
    "space at the start": ("{}", " {}"),
    "no-break space": ("{} b", "{}\u00a0b"),
    "space inside": ("{}b", "{} b"),
    "longer": ("{}1", "{}10"),
    "dot at the end": ("{}", "{}."),
    "long s": ("{}s", "{}\u017f"),
    "ligature": ("{}fi", "{}\ufb01"),
    "dotless i": ("{}i", "{}\u0131"),
    "composed": ("{}e", "{}é"),
    "quoted": ("{}", '"{}"'),
}


@pytest.mark.parametrize(("one", "other"), LOOKALIKES.values(), ids=LOOKALIKES)
def test_lookalikes_are_strangers(house, one, other):
    """Two names that look, fold or normalise alike are two principals: no key of the one is granted to the other."""
    caller = house.caller()
    one, other = one.format(caller), other.format(caller)
    for first, second in ((one, other), (other, one)):
        key = f"names/{first}/a"
        ask = {"method": "GET", "key": key}
        refused = house.http("names/url", ask, house.jwt(sub=second))
        assert (refused.status, refused.code) == (422, "key_not_allowed")
        assert house.http("names/url", ask, house.jwt(sub=first)).grant["key"] == key
    assert house.sts_calls() == 2


FILENAMES = {
    "header of its own": 'a"; filename="b.exe',
    "parameter of its own": "a; filename*=UTF-8''b.exe",
    "quote at the end": 'a"',
    "percent": "100%",
    "encoded line": "a%0d%0aSet-Cookie: b=c",
    "ampersand": "a&x-cos-acl=public-read",
    "question mark": "a?acl",
    "fragment": "a#b",
    "star": "*",
    "interpolation": "${filename}",
    "composed": "é.txt",
    "fullwidth slash": "a\uff0fb",
    "emoji": "\U0001f600",
    "apostrophe": "it's",
    "space": " ",
    "255 bytes": "x" * 255,
    "page": "<script>.html",
}


@pytest.mark.parametrize("filename", FILENAMES.values(), ids=FILENAMES)
def test_filename(house, filename):
    """A name for saving becomes one parameter that holds one attachment, and nothing else of the URL."""
    ask = {"inputs": {"name": "a"}, "filename": filename}
    url = urlsplit(house.http("public/download-url", ask, {}).grant["url"])
    assert url.path == "/public/a"
    pairs = parse_qsl(url.query, keep_blank_values=True)
    assert {name for name, _ in pairs} == {*SIGNED, "response-content-disposition"}
    [disposition] = [value for name, value in pairs if name == "response-content-disposition"]
    assert disposition.startswith('attachment; filename="')
    assert disposition.isascii()
    assert disposition.isprintable()
    assert disposition.count('"') == 2


PARAMETERS = ["a&acl", "a=b&c=d", "a#b", "a+b", "%26acl", "a;b", "a?b", "é", "\u202e", "'", '"', "\ufeff", "/../", " "]


@pytest.mark.parametrize("value", PARAMETERS, ids=ascii)
def test_parameter(house, value):
    """A value of a parameter is that parameter's, whatever it would mean elsewhere in a URL."""
    answer = house.http("names/url", {**NAMED, "params": {"free": value}}, house.jwt())
    query = urlsplit(answer.grant["url"]).query
    pairs = parse_qsl(query, keep_blank_values=True)
    assert [found for name, found in pairs if name == "free"] == [value]
    assert {name for name, _ in pairs} == {*SIGNED, "free", "response-content-type"}
    assert len(pairs) == len(SIGNED) + 2


REQUEST_IDS = ["a\r\nSet-Cookie: b=c", "a b", "é", "", "x" * 65, "a\n", "<script>", '"', "a;b", "*", "a\x00"]


@pytest.mark.parametrize("named", REQUEST_IDS, ids=ascii)
def test_request_id(house, named):
    """A request may bring its name; one that is no name is replaced, and enters no answer."""
    for given, kept in ((named, False), ("a.B_c-1" * 9, True)):
        environ = {**house.jwt(), "HTTP_X_REQUEST_ID": given}
        answer = house.client.post("/v1/names/nope", json=NAMED, environ_overrides=environ)
        assert (answer.headers["X-Request-Id"] == given) is kept
        assert answer.json["request_id"] == answer.headers["X-Request-Id"]
        assert set(answer.headers.keys()) == {"Content-Type", "Content-Length", "X-Request-Id", *FIXED}


@pytest.mark.parametrize(
    "headers",
    [
        {"X-HTTP-Method-Override": "GET"},
        {"X-Original-URL": "/v1/names/credentials"},
        {"X-Rewrite-URL": "/metrics"},
        {"X-Forwarded-Host": "evil.example"},
        {"X-Forwarded-Prefix": "/evil"},
        {"Host": "evil.example"},
        {"X-User": "admin"},
        {"Cookie": "sub=admin"},
    ],
    ids=str,
)
def test_header_that_means_nothing(house, headers):
    """Headers by which others are told who asks, or for what, change nothing here."""
    caller = house.caller()
    path = "names/url?key=names/admin/a&sub=admin"
    answer = house.http(path, NAMED, house.jwt(sub=caller), headers=headers)
    assert answer.grant["key"] == f"names/{caller}/a"
    assert answer.grant["bucket"] == BUCKET
    assert "evil" not in answer.grant["url"]


@pytest.mark.parametrize("name", ["X-Principal", "X-Principal-Claims"])
@pytest.mark.parametrize("value", ["", "c1", "e30", "*"])
@pytest.mark.parametrize("who", ["jwt", "alone", "stranger"])
def test_principal_from_anybody_else(house, who, name, value):
    """Who may not act for others is refused when he tries, with whatever value, and granted when he does not."""
    by = {"jwt": house.jwt, "alone": lambda: house.key("alone"), "stranger": dict}[who]()
    environ = {**by, f"HTTP_{name.upper().replace('-', '_')}": value}
    public = {"inputs": {"name": house.caller()}}
    refused = house.http("public/download-url", public, environ)
    assert (refused.status, refused.code) == (403, "principal_not_allowed")
    assert house.sts_calls() == 0
    assert house.http("public/download-url", public, by).status == 200
