"""What the holder of a vended URL or signature can change of the request without a new signature.

COS checks the headers and parameters that the signature lists, and no others: what is added beside them must be
refused by the session policy, or do no harm. The table of additions says for each what it does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest

from broker.emulator.refusals import STATUS
from tests.conftest import ACCOUNT, BUCKET
from tests.locks.conftest import Key, manifest

UUID = "0b6c1c5e-3a51-4f0e-9d2a-6d1f2a3b4c5d"
PNG = {"Content-Type": "image/png", "Content-Length": "4"}
HERE = f"{BUCKET}.cos.ap-guangzhou.myqcloud.com"
NOTHING: Mapping[str, str] = MappingProxyType({})
TOKEN = "x-cos-security-token"

AVATAR = {"key": f"avatars/u1/{UUID}.png", "headers": PNG}
HELD = {
    "put": ("avatars/url", AVATAR),
    "put-signature": ("avatars/signature", AVATAR),
    "get": ("private-files/url", {"method": "GET", "key": "files/u1/a.txt"}),
    "get-link": ("avatar-download/download-url", {"key": f"avatars/u1/{UUID}.png"}),
    "get-range": (
        "private-files/url",
        {"method": "GET", "key": "files/u1/a.txt", "headers": {"Range": "bytes=0-1", "If-None-Match": '"other"'}},
    ),
    "get-report": (
        "reports/download-url",
        {"key": "reports/acme/2026-10.pdf", "filename": "October.pdf"},
    ),
    "head": ("private-files/url", {"method": "HEAD", "key": "files/u1/a.txt"}),
    "delete": ("my-files-delete/url", {"key": "files/u1/a.txt"}),
    "initiate": ("videos/multipart", {"step": "initiate", "size": 4, "headers": {"Content-Type": "video/mp4"}}),
    "part": ("videos/multipart", {"step": "parts", "size": 4, "parts": {"from": 1, "to": 1}}),
    "list": ("videos/multipart", {"step": "list"}),
    "complete": ("videos/multipart", {"step": "complete"}),
    "abort": ("videos/multipart", {"step": "abort"}),
}
VIDEO = f"videos/u1/{UUID}.mp4"
STEPS = ("initiate", "part", "list", "complete", "abort")
URLS = [name for name in HELD if name != "put-signature"]
ONE_OF_EACH = ("put", "put-signature", "get", "head", "delete", *STEPS)
DONE = {"PUT": 200, "GET": 200, "HEAD": 200, "DELETE": 204, "POST": 200}


@dataclass(frozen=True)
class Sent:
    """A request as bytes on the wire: nothing in it is encoded any more."""

    method: str
    path: str
    params: tuple[tuple[str, str], ...]
    headers: tuple[tuple[str, str], ...]
    body: bytes

    @property
    def target(self) -> str:
        """Path and query."""
        return f"{self.path}?{'&'.join(f'{name}={value}' for name, value in self.params)}"

    def with_params(self, changes: Mapping[str, str | None]) -> Sent:
        """Parameters replaced, added, or (None) left out."""
        return replace(self, params=_changed(self.params, changes))

    def with_headers(self, changes: Mapping[str, str | None]) -> Sent:
        """Headers replaced, added, or (None) left out."""
        return replace(self, headers=_changed(self.headers, changes))

    def with_field(self, name: str, value: str | None) -> Sent:
        """A field of the signature replaced, or (None) left out, wherever it stands."""
        if name in dict(self.params):
            return self.with_params({name: value})
        text = dict(self.headers)["Authorization"]
        new = re.sub(rf"(?:^|&){name}=[^&]*", "" if value is None else f"&{name}={value}", text)
        return self.with_headers({"Authorization": new.lstrip("&")})

    def field(self, name: str) -> str:
        """A field of the signature, as it stands there."""
        found = dict(self.params).get(name)
        return found or re.search(rf"{name}=([^&]*)", dict(self.headers)["Authorization"])[1]


def _changed(pairs: tuple[tuple[str, str], ...], changes: Mapping[str, str | None]) -> tuple[tuple[str, str], ...]:
    kept = tuple((name, changes.get(name, value)) for name, value in pairs)
    added = tuple((name, value) for name, value in changes.items() if name not in dict(pairs))
    return tuple((name, value) for name, value in kept + added if value is not None)


class Held:
    """One grant in somebody's hands, with the object that it is about (which an upload is yet to write).

    `leaves`: whether there is an object when the request has been done.
    """

    def __init__(self, store: Any, grant: Mapping[str, Any], body: bytes | None = None) -> None:
        self.store, self.grant, self.key = store, grant, grant["key"]
        method, self.leaves = grant["method"], grant["method"] != "DELETE"
        if method != "PUT" and "step" not in grant:
            store.put(self.key)
        if body is None:
            body = b"mine" if method == "PUT" else b""
        path, _, query = grant["url"].removeprefix(store.emulator.url).partition("?")
        params = tuple(tuple(part.split("=", 1)) for part in query.split("&") if part)
        headers = (("Host", store.host), *grant["headers"].items())
        if method == "POST":
            headers += (("Content-Length", str(len(body))),)
        self.request = Sent(method, path, params, headers, body)

    def send(self, request: Sent) -> Any:
        """What COS answers."""
        return self.store.send(request.method, request.target, request.headers, request.body)

    def check_refused(self, request: Sent, code: str) -> None:
        """COS refuses the request, for this reason, and has done nothing; the request as vended is still done."""
        there = self.store.holds(self.key)
        answer = self.send(request)
        assert answer.status == STATUS[code], answer.body
        assert answer.code == ("" if request.method == "HEAD" else code)
        assert self.store.holds(self.key) == there
        answer = self.send(self.request)
        assert answer.status in (DONE[self.request.method], 206), answer.body


@pytest.fixture
def hold(door, store):
    """Grants, by name."""

    def hold(name: str) -> Held:
        path, ask = HELD[name]
        return hold_step(name, ask) if name in STEPS else Held(store, door.grant(path, ask))

    def hold_step(name: str, ask: Mapping[str, Any]) -> Held:
        upload_id = store.begin(VIDEO)
        body = manifest(store.part(VIDEO, upload_id)) if name == "complete" else None
        more = {} if name == "initiate" else {"upload_id": upload_id}
        (request,) = door.grant("videos/multipart", {**ask, **more, "key": VIDEO})["requests"]
        held = Held(store, {**request, "key": VIDEO, "step": name}, body)
        held.leaves = name == "complete"
        return held

    return hold


def flipped(text: str) -> str:
    """The text with another last character."""
    return text[:-1] + ("1" if text.endswith("0") else "0")


FIELDS = {
    "q-sign-algorithm": "InvalidArgument",
    "q-ak": "InvalidAccessKeyId",
    "q-sign-time": "SignatureDoesNotMatch",
    "q-key-time": "SignatureDoesNotMatch",
    "q-header-list": "SignatureDoesNotMatch",
    "q-url-param-list": "SignatureDoesNotMatch",
    "q-signature": "SignatureDoesNotMatch",
}


class TestSignature:
    """The signature's own fields."""

    @pytest.mark.parametrize("name", HELD)
    @pytest.mark.parametrize("field", FIELDS)
    def test_altered(self, hold, name, field):
        """None can be another."""
        held = hold(name)
        value = held.request.field(field) if (name, field) != ("put-signature", "q-url-param-list") else "a"
        held.check_refused(held.request.with_field(field, flipped(value)), FIELDS[field])

    @pytest.mark.parametrize("name", HELD)
    @pytest.mark.parametrize("field", FIELDS)
    def test_dropped(self, hold, name, field):
        """None can be missing."""
        held = hold(name)
        held.check_refused(held.request.with_field(field, None), "InvalidArgument")

    @pytest.mark.parametrize("name", HELD)
    def test_longer_life(self, hold, name):
        """The window's end is signed: nobody gives himself an hour more."""
        held = hold(name)
        separator = ";" if name == "put-signature" else "%3B"
        start, end = held.request.field("q-key-time").split(separator)
        window = f"{start}{separator}{int(end) + 3600}"
        longer = held.request.with_field("q-sign-time", window).with_field("q-key-time", window)
        held.check_refused(longer, "SignatureDoesNotMatch")

    @pytest.mark.parametrize("name", HELD)
    def test_nothing_listed(self, hold, name):
        """A signature cannot be said to cover less."""
        held = hold(name)
        held.check_refused(held.request.with_field("q-header-list", ""), "SignatureDoesNotMatch")

    @pytest.mark.parametrize("name", URLS)
    @pytest.mark.parametrize("change", ["altered", "other", "empty", "dropped"])
    def test_token(self, hold, name, change):
        """The token is signed: it is neither changed nor left out, not for that of another credential either."""
        held, other = hold(name), hold("head" if name == "delete" else "delete").request.field(TOKEN)
        own = held.request.field(TOKEN)
        assert own != other
        value = {"altered": flipped(own), "other": other, "empty": "", "dropped": None}[change]
        held.check_refused(held.request.with_params({TOKEN: value}), "SignatureDoesNotMatch")

    @pytest.mark.parametrize("name", URLS)
    def test_token_beside(self, hold, name):
        """Nor is another one added as a header."""
        held, other = hold(name), hold("head" if name == "delete" else "delete").request.field(TOKEN)
        held.check_refused(held.request.with_headers({TOKEN: other}), "InvalidAccessKeyId")

    @pytest.mark.parametrize("value", [None, "", "other"])
    def test_token_of_a_signature(self, hold, value):
        """The same, where it is a header."""
        held = hold("put-signature")
        held.check_refused(held.request.with_headers({TOKEN: value}), "SignatureDoesNotMatch")

    @pytest.mark.parametrize("name", URLS)
    @pytest.mark.parametrize("place", ["header", "param"])
    def test_second_signature(self, hold, name, place):
        """A URL is not amended by a header, nor by the parameter `sign`."""
        held = hold(name)
        fields = "&".join(f"{field}={held.request.field(field)}" for field in FIELDS)
        if place == "header":
            held.check_refused(held.request.with_headers({"Authorization": fields}), "InvalidArgument")
        else:
            held.check_refused(held.request.with_params({"sign": fields.replace("&", "%26")}), "InvalidArgument")

    @pytest.mark.parametrize("name", ONE_OF_EACH)
    def test_none(self, hold, name):
        """Without it, everybody is a stranger."""
        held = hold(name)
        bare = replace(held.request, params=()).with_headers({"Authorization": None})
        held.check_refused(bare, "AccessDenied")


class TestRequestLine:
    """The method and the key."""

    @pytest.mark.parametrize("name", HELD)
    @pytest.mark.parametrize("method", ["PUT", "GET", "HEAD", "DELETE", "POST"])
    def test_method(self, hold, name, method):
        """A URL is for one method."""
        held = hold(name)
        if method == held.request.method:
            assert held.send(held.request).status in (DONE[method], 206)
            return
        headers = dict(held.request.headers)
        request = replace(held.request, method=method)
        if method in ("PUT", "POST") and "Content-Length" not in headers:
            request = request.with_headers({"Content-Length": "0"})
        held.check_refused(request, "SignatureDoesNotMatch")

    @pytest.mark.parametrize("name", HELD)
    @pytest.mark.parametrize(
        ("old", "new"),
        [
            pytest.param(r"$", "x", id="longer"),
            pytest.param(r".$", "", id="shorter"),
            pytest.param(r"$", "/", id="slash"),
            pytest.param(r"/u1/|/acme/", "/u2/", id="somebody-else"),
            pytest.param(r"/u1/|/acme/", "/u10/", id="sibling"),
            pytest.param(r"^", "/u2/..", id="dots-before"),
            pytest.param(r"([^/]+)$", r"x/../\1", id="dots-inside"),
            pytest.param(r"([^/]+)$", r"%2e%2e/\1", id="encoded-dots"),
            pytest.param(r"([^/]+)$", r"./\1", id="dot"),
            pytest.param(r"^", "/", id="leading-slash"),
            pytest.param(r"([^/]+)$", r"/\1", id="double-slash"),
            pytest.param(r"([^/]+)$", r"\1%00", id="nul"),
            pytest.param(r"/(\w)", lambda found: "/" + found[1].upper(), id="case"),
            pytest.param(r"/([^/]+)$", r"%252F\1", id="encoded-twice"),
            pytest.param(r"^.*$", "/", id="bucket"),
        ],
    )
    def test_key(self, hold, name, old, new):
        """A URL is for one key, to the letter."""
        held = hold(name)
        held.check_refused(
            replace(held.request, path=re.sub(old, new, held.request.path, count=1)), "SignatureDoesNotMatch"
        )

    @pytest.mark.parametrize("name", HELD)
    @pytest.mark.parametrize(
        ("old", "new"),
        [
            pytest.param(r"/u1/", "/%751/", id="encoded-letter"),
            pytest.param(r"/([^/]+)$", r"%2F\1", id="encoded-slash"),
            pytest.param(r"/([^/]+)$", r"%2f\1", id="lower-case"),
        ],
    )
    def test_spelling(self, hold, name, old, new):
        """Harmless: another spelling of the same key is the same key."""
        held = hold(name)
        answer = held.send(replace(held.request, path=re.sub(old, new, held.request.path)))
        assert answer.status in (DONE[held.request.method], 206)
        assert held.store.holds(held.key) == held.leaves

    @pytest.mark.parametrize("name", HELD)
    @pytest.mark.parametrize(
        ("host", "code"),
        [
            ("other-1250000000.cos.ap-guangzhou.myqcloud.com", "SignatureDoesNotMatch"),
            (f"x{BUCKET}.cos.ap-guangzhou.myqcloud.com", "SignatureDoesNotMatch"),
            (f"{BUCKET}.cos.ap-guangzhou.myqcloud.com", "SignatureDoesNotMatch"),
            (f"{BUCKET}.cos.ap-beijing.myqcloud.com", "NoSuchBucket"),
            ("localhost", "SignatureDoesNotMatch"),
            (None, "SignatureDoesNotMatch"),
        ],
    )
    def test_host(self, hold, name, host, code):
        """Host is signed, so a URL is for one bucket."""
        held = hold(name)
        held.check_refused(held.request.with_headers({"Host": host}), code)


SIGNED_HEADERS = [
    (name, header, value)
    for name, header, values in [
        ("put", "Content-Type", ("text/html", "image/webp", "IMAGE/PNG", "image/png; charset=utf-8", "", None)),
        ("put", "Content-Length", ("3", "5", "5242880", None)),
        ("put", "Cache-Control", ("public", "", None)),
        ("put", "x-cos-forbid-overwrite", ("false", "", None)),
        ("get-range", "Range", ("bytes=0-2", "bytes=0-", "", None)),
        ("get-range", "If-None-Match", ('"another"', None)),
        ("initiate", "Content-Type", ("text/html", "video/webm", "VIDEO/MP4", "video/mp4; codecs=a", "", None)),
        ("initiate", "x-cos-forbid-overwrite", ("false", "", None)),
        ("part", "Content-Length", ("3", "5", "8388608", None)),
        ("complete", "x-cos-forbid-overwrite", ("false", "", None)),
    ]
    for value in values
]
SIGNED_HEADERS += [("put-signature", header, value) for name, header, value in SIGNED_HEADERS if name == "put"]


class TestSigned:
    """The headers and parameters of the ask."""

    @pytest.mark.parametrize(("name", "header", "value"), SIGNED_HEADERS)
    def test_header(self, hold, name, header, value):
        """Each must be sent as it was asked for; None leaves it out."""
        held = hold(name)
        held.check_refused(held.request.with_headers({header: value}), "SignatureDoesNotMatch")

    @pytest.mark.parametrize("name", ["put", "put-signature"])
    @pytest.mark.parametrize("first", [True, False])
    @pytest.mark.parametrize(
        ("header", "value"), [("Cache-Control", "public"), ("x-cos-forbid-overwrite", "false"), ("Host", "localhost")]
    )
    def test_header_twice(self, hold, name, header, value, first):
        """A second value beside the signed one is another value."""
        held = hold(name)
        held.check_refused(beside(held.request, header, value, first=first), "SignatureDoesNotMatch")

    @pytest.mark.parametrize("name", ["put", "put-signature"])
    @pytest.mark.parametrize("first", [True, False])
    @pytest.mark.parametrize(("header", "value"), [("Content-Type", "text/html"), ("Content-Length", "9")])
    def test_content_header_twice(self, hold, name, header, value, first):
        """Whichever of two types or lengths is checked, that one is stored: never the unsigned one."""
        held = hold(name)
        answer = held.send(replace(beside(held.request, header, value, first=first), body=b"mine mine"))
        if answer.status != 200:
            assert answer.code == "SignatureDoesNotMatch"
            assert held.send(held.request).status == 200
        stored = held.store.signed(Key(*ACCOUNT), "GET", held.key)
        assert (stored.headers["content-type"], stored.body) == ("image/png", b"mine")

    @pytest.mark.parametrize("name", ["put", "put-signature"])
    def test_chunked_beside_length(self, hold, name):
        """The signed length is the length: a body in chunks is not longer than that."""
        held = hold(name)
        chunked = held.request.with_headers({"Transfer-Encoding": "chunked"})
        answer = held.send(replace(chunked, body=b"9\r\nmine mine\r\n0\r\n\r\n"))
        assert answer.status in (400, 403)

    @pytest.mark.parametrize("name", ["response-content-type", "response-content-disposition"])
    @pytest.mark.parametrize("value", ["text%2Fhtml", "inline", "", None])
    def test_param(self, hold, name, value):
        """The same for parameters."""
        held = hold("get-report")
        held.check_refused(held.request.with_params({name: value}), "SignatureDoesNotMatch")

    @pytest.mark.parametrize(
        "again", ["response-content-type=text%2Fhtml", "Response-Content-Type=text%2Fhtml", "q-ak=AKIDOTHER"]
    )
    @pytest.mark.parametrize("first", [True, False])
    def test_param_twice(self, hold, again, first):
        """Nobody need guess which of two values COS would sign, and which obey."""
        held = hold("get-report")
        pair, params = (tuple(again.split("=")),), held.request.params
        twice = replace(held.request, params=pair + params if first else params + pair)
        held.check_refused(twice, "InvalidArgument")

    @pytest.mark.parametrize("name", ["put", "put-signature"])
    def test_other_content(self, hold, name):
        """Not held: bytes are not signed. Whatever has the signed type and length may be uploaded."""
        held = hold(name)
        assert held.send(replace(held.request, body=b"<a/>")).status == 200
        assert held.store.signed(Key(*ACCOUNT), "GET", held.key).body == b"<a/>"

    @pytest.mark.parametrize(
        ("name", "statuses"),
        [
            ("put", [200, 409]),
            ("put-signature", [200, 409]),
            ("get", [200, 200]),
            ("get-range", [206, 206]),
            ("head", [200, 200]),
            ("delete", [204, 204]),
            ("initiate", [200, 200]),
            ("part", [200, 200]),
            ("list", [200, 200]),
            ("complete", [200, 404]),
            ("abort", [204, 404]),
        ],
    )
    def test_twice(self, hold, name, statuses):
        """Not held: until it expires a URL may be used again. An upload may not, since it forbids overwriting."""
        held = hold(name)
        assert [held.send(held.request).status for _ in range(2)] == statuses
        assert held.store.holds(held.key) == held.leaves


def beside(request: Sent, header: str, value: str, *, first: bool) -> Sent:
    """A request with a header once more, before or after all others."""
    pair = ((header, value),)
    return replace(request, headers=pair + request.headers if first else request.headers + pair)


DENIED = "AccessDenied"
IGNORED = "COS does not read it in this request."


class Addition(NamedTuple):
    """What a holder adds unsigned, and what comes of it by method: the code of a refusal, or the effect in words."""

    put: str
    get: str
    head: str
    delete: str
    params: Mapping[str, str] = NOTHING
    headers: Mapping[str, str] = NOTHING


def everywhere(outcome: str, **added: Any) -> Addition:
    """The same for every method."""
    return Addition(outcome, outcome, outcome, outcome, **added)


def on_put(outcome: str, headers: Mapping[str, str]) -> Addition:
    """Headers that say something about an object that is written."""
    return Addition(outcome, IGNORED, IGNORED, IGNORED, headers=headers)


def on_get(outcome: str, params: Mapping[str, str]) -> Addition:
    """A parameter that says something about an answer with a body."""
    return Addition(IGNORED, outcome, IGNORED, IGNORED, params=params)


def picture(fileid: str) -> str:
    """`Pic-Operations` that writes one more object."""
    return json.dumps({"is_pic_info": 1, "rules": [{"fileid": fileid, "rule": "imageMogr2/format/png"}]})


OWN_CACHE = "The holder's own answer, cached as the holder likes."
SLOWER = "The holder's own transfer, slower."
ADDITIONS = {
    "acl": everywhere(DENIED, params={"acl": ""}),
    "acl-capitals": everywhere(DENIED, params={"ACL": ""}),
    "acl-encoded": everywhere(DENIED, params={"%61cl": ""}),
    "tagging": everywhere(DENIED, params={"tagging": ""}),
    "uploads": everywhere(DENIED, params={"uploads": ""}),
    "part": everywhere(DENIED, params={"partNumber": "1", "uploadId": "u"}),
    "append": everywhere(DENIED, params={"append": "", "position": "0"}),
    "restore": everywhere(DENIED, params={"restore": ""}),
    "retention": everywhere(DENIED, params={"retention": ""}),
    "symlink": everywhere(DENIED, params={"symlink": ""}),
    "torrent": everywhere(DENIED, params={"torrent": ""}),
    "delete": everywhere(DENIED, params={"delete": ""}),
    "ci-process": everywhere(DENIED, params={"ci-process": "sensitive-content-recognition"}),
    "version": Addition(IGNORED, DENIED, DENIED, DENIED, params={"versionId": "MTg0NDY3"}),
    "response-type": on_get(DENIED, {"response-content-type": "text%2Fhtml"}),
    "response-disposition": on_get(
        "The holder's own download, shown or saved as the holder likes.", {"response-content-disposition": "inline"}
    ),
    "response-cache": on_get(OWN_CACHE, {"response-cache-control": "max-age=1"}),
    "response-expires": on_get(OWN_CACHE, {"response-expires": "Thu,%2001%20Jan%201970%2000:00:00%20GMT"}),
    "response-encoding": on_get(
        "The holder's own answer, declared to be packed.", {"response-content-encoding": "identity"}
    ),
    "response-language": on_get(
        "The holder's own answer, declared to be in a language.", {"response-content-language": "de"}
    ),
    "image": on_get(
        "The same picture, processed: each request costs.",
        {"imageMogr2/thumbnail/1x": ""},
    ),
    "own-param": everywhere(IGNORED, params={"page": "1"}),
    "traffic-param": everywhere(SLOWER, params={"x-cos-traffic-limit": "819200"}),
    "public-read": on_put(DENIED, {"x-cos-acl": "public-read"}),
    "private": on_put(DENIED, {"x-cos-acl": "private"}),
    "default-acl": on_put("What the object has without it.", {"x-cos-acl": "default"}),
    "grant-read": on_put(DENIED, {"x-cos-grant-read": 'id="100000000001"'}),
    "grant-write": on_put(DENIED, {"x-cos-grant-write": 'id="100000000001"'}),
    "grant-read-acp": on_put(DENIED, {"x-cos-grant-read-acp": 'id="100000000001"'}),
    "grant-write-acp": on_put(DENIED, {"x-cos-grant-write-acp": 'id="100000000001"'}),
    "grant-full-control": on_put(DENIED, {"x-cos-grant-full-control": 'id="100000000001"'}),
    "copy-of-theirs": on_put(DENIED, {"x-cos-copy-source": f"{HERE}/files/u2/a.txt"}),
    "copy-of-own": on_put(DENIED, {"x-cos-copy-source": f"{HERE}/avatars/u1/a.png"}),
    "picture-at-root": on_put(DENIED, {"Pic-Operations": picture("/other/key.png")}),
    "picture-of-theirs": on_put(DENIED, {"Pic-Operations": picture(f"/avatars/u2/{UUID}.png")}),
    "picture-beside": on_put(
        "Writes pictures of any name below the folder that the credential is for, over what is there, too.",
        {"Pic-Operations": picture("small.png")},
    ),
    "broken-picture": on_put("InvalidArgument", {"Pic-Operations": "{"}),
    "other-digest": on_put("BadDigest", {"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}),
    "storage-class": on_put(
        "The holder chooses the storage class: costs, no access.", {"x-cos-storage-class": "ARCHIVE"}
    ),
    "metadata": on_put("Readers of the object see it.", {"x-cos-meta-a": "b"}),
    "encoding": on_put(
        "Readers are told that the object is packed, and may fail to read it.", {"Content-Encoding": "gzip"}
    ),
    "disposition": on_put(
        "Readers are told a name to save it under.", {"Content-Disposition": "attachment; filename=a.exe"}
    ),
    "language": on_put("Readers are told a language.", {"Content-Language": "de"}),
    "expires": on_put("Readers keep it so long.", {"Expires": "Thu, 01 Jan 2099 00:00:00 GMT"}),
    "tags": on_put("Tags it: what acts on tags (lifecycle, replication, CAM) acts on it.", {"x-cos-tagging": "a=b"}),
    "encrypted": on_put("Encrypted at rest; readers notice nothing.", {"x-cos-server-side-encryption": "AES256"}),
    "own-key": on_put(
        "Only who has the holder's key can read it: as if the bytes were noise.",
        {
            "x-cos-server-side-encryption-customer-algorithm": "AES256",
            "x-cos-server-side-encryption-customer-key": "MDEyMzQ1Njc4OUFCQ0RFRjAxMjM0NTY3ODlBQkNERUY=",
            "x-cos-server-side-encryption-customer-key-MD5": "U5L61r7jcwdNvT7frmUG8g==",
        },
    ),
    "callback": on_put(
        "COS tells an address of the holder's choice of the upload; the holder knows of it anyway.",
        {"x-cos-callback": "eyJjYWxsYmFja1VybCI6Imh0dHA6Ly9leGFtcGxlLmNvbSJ9"},
    ),
    "traffic": everywhere(SLOWER, headers={"x-cos-traffic-limit": "819200"}),
    "range": Addition(IGNORED, "A part of what may be read.", IGNORED, IGNORED, headers={"Range": "bytes=0-1"}),
    "condition": Addition(
        IGNORED,
        "The holder is told nothing new.",
        "The holder is told nothing new.",
        IGNORED,
        headers={"If-None-Match": '"other"'},
    ),
    "origin": everywhere("COS answers as the bucket's CORS rules say.", headers={"Origin": "https://example.com"}),
}
EITHER = "Whichever of the two COS obeys: the credential holds no action but the steps of the principal's own uploads."
UNTOLD = "Documented for PUT alone: what COS makes of it here, only COS can tell."


def on_steps(outcome: str, **others: str) -> dict[str, str]:
    """What comes of an addition at each step of a multipart upload."""
    return dict.fromkeys(STEPS, outcome) | others


def with_words(names: str, outcomes: Mapping[str, str]) -> dict[str, Mapping[str, str]]:
    """The same outcomes for several additions."""
    return dict.fromkeys(names.split(), outcomes)


# What `initiate` is told of the object, COS keeps as it keeps a PUT's.
STORED = "storage-class metadata encoding disposition language expires tags encrypted own-key".split()
ON_STEPS: dict[str, Mapping[str, str]] = {
    **with_words("acl acl-capitals acl-encoded", on_steps(EITHER, part=DENIED, list=DENIED)),
    "tagging": on_steps(EITHER, part=DENIED, list=DENIED, abort=DENIED),
    "uploads": on_steps(EITHER, initiate="It is there already."),
    "part": on_steps("SignatureDoesNotMatch", initiate=EITHER),
    **with_words("append restore", on_steps(EITHER, initiate=DENIED, complete=DENIED)),
    **with_words("retention symlink torrent delete ci-process", on_steps(EITHER)),
    **with_words("version image own-param range condition", on_steps(IGNORED)),
    **with_words("response-type response-disposition response-cache response-expires", on_steps(IGNORED)),
    **with_words("response-encoding response-language", on_steps(IGNORED)),
    **with_words("traffic traffic-param", on_steps(SLOWER)),
    **with_words("public-read private grant-read grant-write", on_steps(DENIED)),
    **with_words("grant-read-acp grant-write-acp grant-full-control", on_steps(DENIED)),
    "default-acl": on_steps(IGNORED, initiate="What the object has without it."),
    **with_words("copy-of-theirs copy-of-own", on_steps(IGNORED, part=DENIED)),
    **with_words("picture-at-root picture-of-theirs picture-beside", on_steps(UNTOLD, part=DENIED)),
    "broken-picture": on_steps(UNTOLD, part="InvalidArgument"),
    "other-digest": on_steps(IGNORED, part="BadDigest", complete="BadDigest"),
    **{name: on_steps(IGNORED, initiate=ADDITIONS[name].put) for name in STORED},
    "callback": on_steps(IGNORED, complete=ADDITIONS["callback"].put),
    "origin": on_steps(ADDITIONS["origin"].put),
}
BY_METHOD = {"put": "put", "put-signature": "put", "get": "get", "get-link": "get", "head": "head", "delete": "delete"}
# Where another status than the usual one says that it was done; 501 is the emulator's for "allowed, but not served".
STATUSES = {("picture-beside", "PUT"): 501, ("range", "GET"): 206}


class TestAddition:
    """What is added and not signed."""

    @pytest.mark.parametrize("name", BY_METHOD)
    @pytest.mark.parametrize("added", ADDITIONS)
    def test_added(self, hold, name, added):
        """Refused by the session policy, or done with the effect that the table tells."""
        held, addition = hold(name), ADDITIONS[added]
        outcome = getattr(addition, BY_METHOD[name])
        request = held.request.with_params(addition.params).with_headers(addition.headers)
        if outcome in STATUS:
            held.check_refused(request, outcome)
            return
        answer = held.send(request)
        assert answer.status == STATUSES.get((added, request.method), DONE[request.method]), answer.body
        assert held.store.holds(held.key) == (request.method != "DELETE" and answer.status != 501)

    @pytest.mark.parametrize("name", STEPS)
    @pytest.mark.parametrize("added", ADDITIONS)
    def test_added_to_step(self, hold, name, added):
        """The same for the steps of a multipart upload."""
        held, addition, outcome = hold(name), ADDITIONS[added], ON_STEPS[added][name]
        request = held.request.with_params(addition.params).with_headers(addition.headers)
        if outcome in STATUS:
            held.check_refused(request, outcome)
            return
        answer = held.send(request)
        if outcome is EITHER:
            assert (answer.status, held.store.holds(held.key)) == (501, False)
            answer = held.send(held.request)
        assert answer.status == DONE[request.method], answer.body
        assert held.store.holds(held.key) == held.leaves

    @pytest.mark.parametrize("name", ["put", "put-signature", "initiate"])
    @pytest.mark.parametrize("first", [True, False])
    def test_twice(self, hold, name, first):
        """An ACL that is allowed does not cover one that is not."""
        held = hold(name)
        request = held.request.with_headers({"x-cos-acl": "default"})
        held.check_refused(beside(request, "x-cos-acl", "public-read", first=first), DENIED)

    def test_table(self):
        """An outcome is a code of COS's or a sentence."""
        outcomes = {outcome for one in ADDITIONS.values() for outcome in one[:4]}
        assert outcomes & set(STATUS) == {DENIED, "InvalidArgument", "BadDigest"}
        assert set(ON_STEPS) == set(ADDITIONS)
        outcomes |= {outcome for one in ON_STEPS.values() for outcome in one.values()}
        assert all(outcome.endswith(".") for outcome in outcomes - set(STATUS))

    def test_disposition_of_an_answer(self, hold):
        """The effect of the response-* parameters is on the holder's own answer, not on the object."""
        held = hold("get")
        shown = held.send(held.request.with_params({"response-content-disposition": "inline"}))
        assert (shown.status, shown.headers["content-disposition"], shown.body) == (200, "inline", b"mine")
        assert "content-disposition" not in held.send(held.request).headers

    def test_what_is_stored(self, hold):
        """Unsigned headers that describe the object are stored with it; its type stays the signed one."""
        held = hold("put")
        added = {"x-cos-meta-a": "b", "Content-Disposition": "inline", "Content-Encoding": "gzip"}
        assert held.send(held.request.with_headers(added)).status == 200
        stored = held.store.signed(Key(*ACCOUNT), "HEAD", held.key).headers
        described = {name.lower(): value for name, value in added.items()}
        assert described.items() <= stored.items()
        assert (stored["content-type"], stored["cache-control"]) == ("image/png", "no-store")


def completed(store: Any, key: str, upload_id: str) -> Any:
    """The object of an upload of one part, as it is stored in the end."""
    body = manifest(store.part(key, upload_id))
    assert store.signed(Key(*ACCOUNT), "POST", key, params={"uploadId": upload_id}, body=body).status == 200
    return store.signed(Key(*ACCOUNT), "GET", key)


class TestSteps:
    """The URLs of a multipart upload, where they are not like other URLs."""

    @pytest.mark.parametrize(
        ("name", "param", "value"),
        [
            (name, param, value)
            for name, params in {
                "part": ("partNumber", "uploadId"),
                "list": ("uploadId",),
                "complete": ("uploadId",),
                "abort": ("uploadId",),
            }.items()
            for param in params
            for value in ("2", "", "u%2F", None)
        ],
    )
    def test_param(self, hold, name, param, value):
        """A URL is for one part of one upload."""
        held = hold(name)
        held.check_refused(held.request.with_params({param: value}), "SignatureDoesNotMatch")

    @pytest.mark.parametrize(("value", "code"), [("1", "SignatureDoesNotMatch"), (None, DENIED)])
    def test_no_initiate(self, hold, value, code):
        """An empty parameter may be missing for the signature's sake: a bare POST is what the credential cannot do."""
        held = hold("initiate")
        held.check_refused(held.request.with_params({"uploads": value}), code)

    @pytest.mark.parametrize("name", ["part", "list", "complete", "abort"])
    def test_upload_of_theirs(self, hold, name):
        """Nor is it for an upload of somebody else, whose name the holder knows."""
        held = hold(name)
        other = held.store.begin("videos/u2/a.mp4")
        held.check_refused(held.request.with_params({"uploadId": other}), "SignatureDoesNotMatch")
        by = held.store.key_behind(held.grant)
        assert held.store.signed(by, "GET", "videos/u2/a.mp4", params={"uploadId": other}).code == DENIED
        # An upload's name is one for its key alone.
        assert held.store.signed(by, "GET", f"{held.key}x", params={"uploadId": other}).code == "NoSuchUpload"

    def test_what_is_stored(self, hold):
        """Headers that `initiate` does not sign are the object's; its type is the signed one, whatever parts say."""
        held = hold("initiate")
        added = {"x-cos-meta-a": "b", "Content-Disposition": "inline", "Content-Encoding": "gzip"}
        answer = held.send(held.request.with_headers(added))
        stored = completed(held.store, held.key, re.search(rb"<UploadId>(\w+)<", answer.body)[1].decode())
        described = {name.lower(): value for name, value in added.items()}
        assert described.items() <= stored.headers.items()
        assert stored.headers["content-type"] == "video/mp4"

    @pytest.mark.parametrize("name", ["part", "complete"])
    def test_type_beside(self, hold, name):
        """Harmless: a type that a later step is sent with is nobody's."""
        held = hold(name)
        assert held.send(held.request.with_headers({"Content-Type": "text/html"})).status == 200
        upload_id = held.request.field("uploadId")
        again = (
            completed(held.store, held.key, upload_id)
            if name == "part"
            else held.store.signed(Key(*ACCOUNT), "HEAD", held.key)
        )
        assert again.headers.get("content-type") != "text/html"

    def test_part_again(self, hold):
        """Not held: until the upload is completed, a part may be sent again with other bytes of its length."""
        held = hold("part")
        for body in (b"mine", b"<a/>"):
            assert held.send(replace(held.request, body=body)).status == 200
        upload_id = held.request.field("uploadId")
        listing = held.store.signed(Key(*ACCOUNT), "GET", held.key, params={"uploadId": upload_id})
        assert (listing.body.count(b"<Size>"), b"<Size>4</Size>" in listing.body) == (1, True)

    def test_chosen_parts(self, hold):
        """Not held: the list of parts is no part of the signature; of those uploaded, some may be left out."""
        held = hold("complete")
        upload_id = held.request.field("uploadId")
        second = {"partNumber": "2", "uploadId": upload_id}
        assert held.store.signed(Key(*ACCOUNT), "PUT", held.key, params=second, body=b"more").status == 200
        held.check_refused(replace(held.request, body=held.request.body.replace(b">1<", b">3<")), "InvalidPart")
        assert held.store.signed(Key(*ACCOUNT), "GET", held.key).body == b"mine"

    @pytest.mark.parametrize("more", [{"max-parts": "1"}, {"part-number-marker": "1"}, {"encoding-type": "url"}])
    def test_pages(self, hold, more):
        """Harmless: a listing of one's own parts may be had in pages."""
        held = hold("list")
        assert held.send(held.request.with_params(more)).status == 200

    def test_never_two(self, hold):
        """A completed upload is over: nothing can be added to it, and what it made is not overwritten."""
        held = hold("complete")
        assert held.send(held.request).status == 200
        assert held.store.holds(held.key)
        answers = [held.send(held.request), hold("complete").send(hold("complete").request)]
        assert [(one.status, one.code) for one in answers] == [(404, "NoSuchUpload"), (409, "FileAlreadyExists")]


class HeldForm:
    """A form in somebody's hands."""

    def __init__(self, store: Any, grant: Mapping[str, Any]) -> None:
        self.store, self.key, self.fields = store, grant["key"], tuple(grant["fields"].items())

    def submit(
        self,
        changes: Mapping[str, str | None] = NOTHING,
        headers: Mapping[str, str] = NOTHING,
        file: bytes = b"mine",
    ) -> Any:
        """What COS answers, some fields changed, added, or (None) left out."""
        return self.store.submit(_changed(self.fields, changes), file, {"Host": self.store.host, **headers})

    def check_refused(self, answer: Any, code: str) -> None:
        """COS refused it, for this reason, and stored nothing; the form as vended is still taken."""
        assert (answer.status, answer.code) == (STATUS[code], code), answer.body
        assert not self.store.holds(self.key)
        assert self.submit().status == 204


MISMATCH = "SignatureDoesNotMatch"
# Field: (another value, what comes of that, what comes of leaving it out).
FORM_FIELDS = {
    "key": (f"videos/u2/{UUID}.mp4", DENIED, "InvalidArgument"),
    "Content-Type": ("text/html", DENIED, DENIED),
    "x-cos-forbid-overwrite": ("false", DENIED, DENIED),
    "acl": ("public-read", DENIED, DENIED),
    "success_action_status": ("200", DENIED, DENIED),
    TOKEN: ("other", "InvalidAccessKeyId", "InvalidAccessKeyId"),
    "policy": ("eyJleHBpcmF0aW9uIjoiMjA5OS0wMS0wMVQwMDowMDowMFoiLCJjb25kaXRpb25zIjpbXX0=", MISMATCH, DENIED),
    "q-sign-algorithm": ("sha256", "InvalidArgument", "InvalidArgument"),
    "q-ak": ("AKIDOTHER", "InvalidAccessKeyId", "InvalidArgument"),
    "q-key-time": ("1;9999999999", MISMATCH, "InvalidArgument"),
    "q-signature": ("0" * 40, MISMATCH, "InvalidArgument"),
}
KEYS = {
    "longer": f"videos/u1/{UUID}.mp4x",
    "shorter": f"videos/u1/{UUID}.mp",
    "sibling": f"videos/u10/{UUID}.mp4",
    "another": "videos/u1/another.mp4",
    "upwards": f"videos/u1/../u2/{UUID}.mp4",
    "leading-slash": f"/videos/u1/{UUID}.mp4",
    "case": f"videos/U1/{UUID}.mp4",
    "file-name": "videos/u1/${filename}",
    "folder": "videos/u1/",
}


class FormAddition(NamedTuple):
    """What a holder adds to a form, and what comes of it; `status` if another one than 204 says that it was done."""

    outcome: str
    fields: Mapping[str, str] = NOTHING
    headers: Mapping[str, str] = NOTHING
    status: int = 204


UNTOLD_FIELD = "No documented field of a form: what COS makes of it, only COS can tell."
FORM_ADDITIONS = {
    "metadata": FormAddition("Readers of the object see it.", {"x-cos-meta-a": "b"}),
    "disposition": FormAddition("Readers are told a name to save it under.", {"Content-Disposition": "inline"}),
    "encoding": FormAddition("Readers may fail to read it.", {"Content-Encoding": "gzip"}),
    "cache": FormAddition("Readers keep it so long.", {"Cache-Control": "max-age=9"}),
    "expires": FormAddition("Readers keep it so long.", {"Expires": "Thu, 01 Jan 2099 00:00:00 GMT"}),
    "storage-class": FormAddition("Costs, no access.", {"x-cos-storage-class": "ARCHIVE"}),
    "redirect": FormAddition(
        "The holder's own browser goes where the holder wants; its status is another.",
        {"success_action_redirect": "https://elsewhere.example/"},
        status=303,
    ),
    "redirect-nowhere": FormAddition("InvalidArgument", {"success_action_redirect": "javascript:alert(1)"}),
    "digest": FormAddition("BadDigest", {"Content-MD5": "AAAAAAAAAAAAAAAAAAAAAA=="}),
    "own-field": FormAddition("COS does not read it.", {"submit": "Upload"}),
    "acl-field": FormAddition(UNTOLD_FIELD, {"x-cos-acl": "public-read"}),
    "grant-field": FormAddition(UNTOLD_FIELD, {"x-cos-grant-read": 'id="100000000001"'}),
    "picture-field": FormAddition(UNTOLD_FIELD, {"Pic-Operations": picture("/other/key.png")}),
    "copy-field": FormAddition(UNTOLD_FIELD, {"x-cos-copy-source": f"{HERE}/files/u2/a.txt"}),
    "tags-field": FormAddition(UNTOLD_FIELD, {"x-cos-tagging": "a=b"}),
    "acl": FormAddition(DENIED, headers={"x-cos-acl": "public-read"}),
    "acl-private": FormAddition(DENIED, headers={"x-cos-acl": "private"}),
    **{
        name: FormAddition(DENIED, headers=ADDITIONS[name].headers)
        for name in ("grant-read", "grant-write", "grant-read-acp", "grant-write-acp", "grant-full-control")
    },
    "default-acl": FormAddition("What the object has without it.", headers={"x-cos-acl": "default"}),
    "no-form": FormAddition(DENIED, headers={"Content-Type": "video/mp4"}),
    "other-host": FormAddition(DENIED, headers={"Host": "other-1250000000.cos.ap-guangzhou.myqcloud.com"}),
    "copy": FormAddition("COS reads it in a PUT.", headers={"x-cos-copy-source": f"{HERE}/files/u2/a.txt"}),
    "picture": FormAddition(UNTOLD, headers={"Pic-Operations": picture("/other/key.png")}),
    "origin": FormAddition(ADDITIONS["origin"].put, headers={"Origin": "https://example.com"}),
}


class TestForm:
    """What the holder of a form can change of it."""

    @pytest.fixture
    def held(self, door, store):
        """A form for one video."""
        ask = {"key": VIDEO, "headers": {"Content-Type": "video/mp4"}}
        return HeldForm(store, door.grant("videos/form", ask))

    def test_table(self, held):
        """Every field is in the table."""
        assert [name for name, _ in held.fields] == list(FORM_FIELDS)
        assert all(one.outcome in STATUS or one.outcome.endswith(".") for one in FORM_ADDITIONS.values())

    @pytest.mark.parametrize("name", FORM_FIELDS)
    def test_altered(self, held, name):
        """No field can be another."""
        value, code, _ = FORM_FIELDS[name]
        held.check_refused(held.submit({name: value}), code)

    @pytest.mark.parametrize("name", FORM_FIELDS)
    def test_dropped(self, held, name):
        """None can be missing."""
        held.check_refused(held.submit({name: None}), FORM_FIELDS[name][2])

    @pytest.mark.parametrize("name", FORM_FIELDS)
    @pytest.mark.parametrize("first", [True, False])
    @pytest.mark.parametrize("spelt", [str, str.upper])
    def test_twice(self, held, name, first, spelt):
        """Nobody need guess which of two values COS would check, and which obey."""
        again = ((spelt(name), FORM_FIELDS[name][0]),)
        fields = again + held.fields if first else held.fields + again
        held.check_refused(held.store.submit(fields, b"mine", {"Host": held.store.host}), "InvalidArgument")

    @pytest.mark.parametrize("key", KEYS.values(), ids=KEYS)
    def test_key(self, held, key):
        """A form is for one key, to the letter."""
        held.check_refused(held.submit({"key": key}), DENIED)
        assert not held.store.holds(key)

    def test_token(self, door, store, held):
        """The token and the key pair of another credential do not go with it."""
        other = HeldForm(store, door.grant("videos/form", {"inputs": {"ext": "webm"}, "headers": {
            "Content-Type": "video/webm"}}, by=door.bearer("u2")))  # fmt: skip
        theirs = dict(other.fields)
        held.check_refused(held.submit({TOKEN: theirs[TOKEN]}), "InvalidAccessKeyId")
        names = ("policy", "q-signature", "q-ak", "q-key-time", TOKEN)
        assert held.submit({name: theirs[name] for name in names}).code == DENIED

    @pytest.mark.parametrize("added", FORM_ADDITIONS)
    def test_added(self, held, added):
        """Refused by the session policy or by COS, or done with the effect that the table tells."""
        addition = FORM_ADDITIONS[added]
        answer = held.submit(addition.fields, addition.headers)
        if addition.outcome in STATUS:
            held.check_refused(answer, addition.outcome)
            return
        assert answer.status == addition.status, answer.body
        stored = held.store.signed(Key(*ACCOUNT), "GET", held.key)
        assert (stored.body, stored.headers["content-type"]) == (b"mine", "video/mp4")
        assert not any(held.store.holds(key) for key in ("other/key.png", "files/u2/a.txt"))

    @pytest.mark.parametrize("target", ["/?acl", "/?delete", "/?uploads", "/?policy", f"/{VIDEO}", f"/{VIDEO}?uploads"])
    def test_elsewhere(self, held, target):
        """The form's signature is one for forms, posted to the bucket: anywhere else its sender is a stranger."""
        answer = held.store.submit(held.fields, b"mine", {"Host": held.store.host}, target=target)
        held.check_refused(answer, DENIED)

    def test_other_content(self, held):
        """Not held: any bytes, under any name, that are no longer than the policy allows."""
        assert held.submit(file=b"<a/>" * 1000).status == 204
        assert held.store.signed(Key(*ACCOUNT), "GET", held.key).body == b"<a/>" * 1000

    def test_submitted_again(self, held):
        """Not held: until it ends, a form may be sent again; that COS heeds x-cos-forbid-overwrite is not told."""
        assert [held.submit(file=body).status for body in (b"aaaa", b"bbbb")] == [204, 204]
        assert held.store.signed(Key(*ACCOUNT), "GET", held.key).body == b"bbbb"


class TestUndeclared:
    """A route that declares less holds less: here one for any object, without types, length and constants."""

    @pytest.fixture
    def held(self, door, store):
        """A URL that uploads one object."""
        return Held(store, door.grant("anything/url", {"method": "PUT", "key": "any/u1/a.txt"}))

    @pytest.mark.parametrize("kind", ["text/plain", "text/html", "image/svg+xml"])
    def test_type(self, held, kind):
        """Not held: the holder chooses the type, which readers' browsers obey."""
        assert held.send(held.request.with_headers({"Content-Type": kind, "Content-Length": "4"})).status == 200
        assert held.store.signed(Key(*ACCOUNT), "HEAD", held.key).headers["content-type"] == kind

    @pytest.mark.parametrize("length", [0, 4, 1_000_000])
    def test_length(self, held, length):
        """Not held: the holder chooses the length."""
        body = b"x" * length
        request = held.request.with_headers({"Content-Length": str(length)})
        assert held.send(replace(request, body=body)).status == 200
        assert held.store.signed(Key(*ACCOUNT), "GET", held.key).body == body

    def test_overwriting(self, held):
        """Not held: the URL uploads again, over what is there, until it expires."""
        request = held.request.with_headers({"Content-Length": "4"})
        assert [held.send(replace(request, body=body)).status for body in (b"aaaa", b"bbbb")] == [200, 200]
        assert held.store.signed(Key(*ACCOUNT), "GET", held.key).body == b"bbbb"

    @pytest.mark.parametrize("added", ["public-read", "grant-read", "copy-of-own", "picture-at-root", "acl", "part"])
    def test_still_held(self, held, added):
        """What no policy need declare is held all the same; the twin is the upload."""
        request = held.request.with_headers({"Content-Length": "4"})
        addition = ADDITIONS[added]
        answer = held.send(request.with_params(addition.params).with_headers(addition.headers))
        assert (answer.status, answer.code) == (403, DENIED)
        assert held.send(request).status == 200
