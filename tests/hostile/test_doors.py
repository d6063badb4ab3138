"""Hostile values at every door: one exact refusal, nothing asked of STS; and the twin that differs in one thing."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from tests.conftest import BUCKET
from tests.hostile.conftest import Answer, House, base64url
from tests.hostile.values import FINE_IN_A_PATH, FLAWED, SURROGATES, TYPES

MARKER = "zq7x"
MIB = 2**20
MP4 = {"Content-Type": "video/mp4"}
PNG = {"Content-Type": "image/png", "Content-Length": "9"}
NAMED = {"method": "GET", "inputs": {"name": "a"}}
WORD = {"inputs": {"name": "a"}}
# The steps of a multipart upload, each without its key.
STEPS: dict[str, dict[str, Any]] = {
    "initiate": {"step": "initiate", "size": 9, "headers": MP4},
    "parts": {"step": "parts", "upload_id": "u", "size": 9, "parts": {"from": 1, "to": 1}},
    "list": {"step": "list", "upload_id": "u"},
    "complete": {"step": "complete", "upload_id": "u"},
    "abort": {"step": "abort", "upload_id": "u"},
}
LATER = [step for step in STEPS if step != "initiate"]
UUID = "0b6c1c5e-3a51-4f0e-9d2a-6d1f2a3b4c5d"
OF_UPLOAD_ID = re.compile(r"[!-~]{1,512}")  # as the contract has it
# The asks of all vends that make or look at an object of the route `clips`, each without its key.
OF_CLIPS = {
    "form": ("clips/form", {"headers": MP4}),
    **{step: ("clips/multipart", ask) for step, ask in STEPS.items()},
    "confirm": ("clips/confirm", {}),
}

# What a door does with (the broker, the value, the name of a caller nobody was before).
Knock = Callable[[House, Any, str], Answer]


class Door(NamedTuple):
    """One way in: how a value goes through it, one that is granted (`{}` is the caller), and what others bring."""

    knock: Knock
    granted: Any
    status: int
    code: str
    otherwise: Mapping[str, tuple[int, str]] = {}
    found: tuple[int, str] = (200, "granted")  # what comes of the value that is granted

    def twin(self, caller: str) -> Any:
        """The value that is granted to a caller."""
        is_text = isinstance(self.granted, str)
        return self.granted.replace("{}", caller).replace("CALLER", caller) if is_text else self.granted


class Asked(NamedTuple):
    """A knock over HTTP by somebody with a JWT, whose ask (of a value and a caller) is all that is odd about it."""

    path: str
    ask: Callable[[Any, str], Any]

    def __call__(self, house: House, value: Any, caller: str) -> Answer:
        """The answer."""
        return house.http(self.path, self.ask(value, caller), house.jwt(sub=caller))

    def in_batch(self, value: Any, caller: str) -> Any:
        """The same ask as one of a batch."""
        return {"vend": self.path.rpartition("/")[2], **self.ask(value, caller)}


def asked(route: str, member: str | None = None, form: str = "{}", **ask: Any) -> Asked:
    """A knock in which the value, put into `form`, is a member of the ask, `inputs.name` for instance."""
    return Asked(route, lambda value, caller: with_member(ask, member, form, value, caller))


def with_member(ask: Mapping[str, Any], member: str | None, form: str, value: Any, caller: str) -> Any:
    """The ask with one member more; text goes into its form, other types stay as they are."""
    if member is None:
        return value
    shown = form.replace("{}", value).replace("CALLER", caller) if isinstance(value, str) else value
    outer, dot, inner = member.partition(".")
    return {**ask, outer: {**ask.get(outer, {}), inner: shown} if dot else shown}


def as_name(route: str, member: str, content: str, **ask: Any) -> Asked:
    """A knock in which the value is the name of a header or parameter."""
    return Asked(route, lambda value, caller: {**ask, member: {**ask.get(member, {}), value: content}})


def with_another(route: str, **ask: Any) -> Asked:
    """A knock in which the value is the name of a member that holds the bucket."""
    return Asked(route, lambda value, caller: {**ask, value: BUCKET})


def with_members(step: str) -> Asked:
    """A knock in which the value is members that the ask of a step has besides, or otherwise; None takes one away."""

    def ask(value: Any, caller: str) -> Any:
        whole = {"key": f"clips/{caller}/a", **STEPS[step], **value}
        return {name: one for name, one in whole.items() if one is not None}

    return Asked("clips/multipart", ask)


def can_be_batched(knock: Asked) -> bool:
    """Whether the asks of a knock may stand in a batch."""
    return knock.path.rpartition("/")[2] not in ("multipart", "confirm")


def alone_in_batch(member: str | None, **ask: Any) -> Knock:
    """A knock in which the value is a member of the only ask in a batch, or that ask."""
    return lambda house, value, caller: house.batch(
        "names", [with_member(ask, member, "{}", value, caller)], house.jwt(sub=caller)
    )[0]


def claimed(route: str, claim: str, ask: Mapping[str, Any]) -> Knock:
    """A knock of somebody whose JWT holds the value."""
    return lambda house, value, caller: house.http(route, ask, house.jwt(**{claim: value}))


def inside(route: str, member: str | None, form: str = "{}", **ask: Any) -> Knock:
    """A knock inside an application that hosts the broker; without a member the value is the `sub`."""

    def knock(house: House, value: Any, caller: str) -> Answer:
        if member is None:
            return house.inside(route, ask, {"sub": value})
        return house.inside(route, with_member(ask, member, form, value, caller), {"sub": caller})

    return knock


def of_team(house: House, value: Any, caller: str) -> Answer:
    """A BFF with a key says whose team the caller is of."""
    by = house.key("types" if not isinstance(value, str) else "teams", caller, base64url(json.dumps({"team": value})))
    return house.http("team/url", WORD, by)


def of_claims(house: House, value: Any, caller: str) -> Answer:
    """The header X-Principal-Claims as it stands."""
    return house.http("team/url", WORD, house.key("types", caller, value))


def acted_for(house: House, value: Any, caller: str) -> Answer:
    """The header X-Principal, from a BFF whose key acts for everybody."""
    return house.http("names/url", NAMED, house.key("any", value))


def of_stranger(house: House, value: Any, caller: str) -> Answer:
    """Somebody without a credential asks for a public file."""
    return house.http("public/download-url", {"inputs": {"name": value}}, {})


def at_path(form: str, ask: Mapping[str, Any] | None = None) -> Knock:
    """A knock at a path that holds the value, percent-encoded."""

    def knock(house: House, value: Any, caller: str) -> Answer:
        return house.http(form.replace("{}", quote(value, safe="")), ask or NAMED, house.jwt(sub=caller))

    return knock


def bucket_of_clips(ask: Mapping[str, Any]) -> Callable[[Any, str], Any]:
    """An ask about an object of the caller's that says a bucket, the value at its end."""
    return lambda value, caller: {**ask, "key": f"clips/{caller}/a", "bucket": BUCKET + value}


def answer_of(name: str) -> tuple[int, str]:
    """What who may ask is told: of an object that is not there, that it is not."""
    return (404, "object_not_found") if name == "confirm" else (200, "granted")


IN_TOKEN = dict.fromkeys(SURROGATES, (401, "unauthenticated"))
IN_BODY = dict.fromkeys(SURROGATES, (400, "malformed_json"))
SUB = {**IN_TOKEN, "empty": (401, "unauthenticated")}

CLAIM_DOORS = {
    "sub of a JWT": Door(claimed("names/url", "sub", NAMED), "{}", 403, "principal_not_allowed", SUB),
    "sub before a suffix": Door(claimed("profile/url", "sub", {}), "{}", 403, "principal_not_allowed", SUB),
    "sub in a header": Door(claimed("owned/url", "sub", WORD), "{}", 403, "principal_not_allowed", SUB),
    "sub of temporary keys": Door(claimed("folder/credentials", "sub", {}), "{}", 403, "principal_not_allowed", SUB),
    "another claim of a JWT": Door(claimed("tenant/url", "tenant", WORD), "{}", 403, "principal_not_allowed", IN_TOKEN),
    "X-Principal": Door(acted_for, "{}", 403, "principal_not_allowed"),
    "claim in X-Principal-Claims": Door(of_team, "{}", 403, "principal_not_allowed"),
    "sub inside": Door(inside("names", None, vend="url", **NAMED), "{}", 403, "principal_not_allowed"),
    "sub of a batch": Door(
        claimed("names/batch", "sub", {"asks": [{"vend": "url", **NAMED}]}), "{}", 403, "principal_not_allowed", SUB
    ),
    "sub of a form": Door(
        claimed("clips/form", "sub", {**WORD, "headers": MP4}), "{}", 403, "principal_not_allowed", SUB
    ),
    "sub of an upload": Door(
        claimed("clips/multipart", "sub", {**WORD, **STEPS["complete"]}), "{}", 403, "principal_not_allowed", SUB
    ),
}
INPUT_DOORS = {
    "input": Door(asked("names/url", "inputs.name", method="GET"), "a", 422, "input_not_allowed", IN_BODY),
    "input for a signature": Door(
        asked("names/signature", "inputs.name", method="DELETE"), "a", 422, "input_not_allowed", IN_BODY
    ),
    "input of a stranger": Door(of_stranger, "{}", 422, "input_not_allowed", IN_BODY),
    "input with a pattern": Door(
        asked("avatars/url", "inputs.ext", "png{}", headers=PNG), "x", 422, "input_not_allowed", IN_BODY
    ),
    "input inside": Door(inside("names", "inputs.name", vend="url", method="GET"), "a", 422, "input_not_allowed"),
    "key": Door(asked("names/url", "key", "names/CALLER/{}", method="GET"), "a", 422, "key_not_allowed", IN_BODY),
    "key before a suffix": Door(
        asked("profile/url", "key", "profiles/CALLER{}.json"), "", 422, "key_not_allowed", IN_BODY
    ),
    "key before the caller": Door(
        asked("names/url", "key", "names/{}CALLER/a", method="GET"), "", 422, "key_not_allowed", IN_BODY
    ),
    "key inside": Door(
        inside("names", "key", "names/CALLER/{}", vend="download-url"), "a", 422, "key_not_allowed"
    ),
    "key of a form inside": Door(
        inside("clips", "key", "clips/CALLER/{}", vend="form", headers=MP4), "a", 422, "key_not_allowed"
    ),
    "key at complete inside": Door(
        inside("clips", "key", "clips/CALLER/{}", vend="multipart", **STEPS["complete"]), "a", 422, "key_not_allowed"
    ),
    **{
        f"key at {name}": Door(
            asked(path, "key", "clips/CALLER/{}", **ask), "a", 422, "key_not_allowed", IN_BODY, answer_of(name)
        )
        for name, (path, ask) in OF_CLIPS.items()
    },
    **{
        f"input at {name}": Door(asked(path, "inputs.name", **ask), "a", 422, "input_not_allowed", IN_BODY)
        for name, (path, ask) in OF_CLIPS.items() if name != "confirm"
    },
}  # fmt: skip
PATH_DOORS = {
    "path": Door(asked("files/url", "inputs.path", method="PUT"), "a/b", 422, "input_not_allowed", IN_BODY),
    "path below": Door(asked("files/url", "inputs.path", "a/{}", method="PUT"), "b", 422, "input_not_allowed", IN_BODY),
    "key of a path": Door(
        asked("files/download-url", "key", "files/CALLER/{}/z"), "a/b", 422, "key_not_allowed", IN_BODY
    ),
}
VALUE_DOORS = {
    "header": Door(
        asked("avatars/url", "headers.x-cos-meta-a", MARKER + "{}", inputs={"ext": "png"}, headers=PNG),
        "", 422, "header_not_allowed", IN_BODY,
    ),
    "header of a list": Door(
        asked("avatars/url", "headers.Content-Language", "de{}", inputs={"ext": "png"}, headers=PNG),
        "", 422, "header_not_allowed", IN_BODY,
    ),
    "header that is fixed": Door(
        asked("avatars/url", "headers.Cache-Control", "no-store{}", inputs={"ext": "png"}, headers=PNG),
        "", 422, "header_not_allowed", IN_BODY,
    ),
    "type": Door(
        asked("avatars/url", "headers.Content-Type", "image/png{}", inputs={"ext": "png"}, headers=PNG),
        "", 422, "content_type_not_allowed", IN_BODY,
    ),
    "parameter": Door(
        asked("names/url", "params.mode", MARKER + "{}", **NAMED), "", 422, "param_not_allowed", IN_BODY
    ),
    "parameter of a list": Door(
        asked("names/url", "params.size", "small{}", **NAMED), "", 422, "param_not_allowed", IN_BODY
    ),
    "header inside": Door(
        inside("avatars", "headers.x-cos-meta-a", MARKER + "{}", vend="url", inputs={"ext": "png"}, headers=PNG),
        "", 422, "header_not_allowed",
    ),
    "parameter inside": Door(
        inside("names", "params.mode", MARKER + "{}", vend="url", **NAMED), "", 422, "param_not_allowed"
    ),
    "bucket inside": Door(
        inside("names", "bucket", f"{BUCKET}{{}}", vend="url", **NAMED), "", 422, "bucket_not_allowed"
    ),
    "bucket": Door(asked("names/url", "bucket", f"{BUCKET}{{}}", **NAMED), "", 422, "bucket_not_allowed", IN_BODY),
    "bucket of keys": Door(
        asked("folder/credentials", "bucket", f"{BUCKET}{{}}"), "", 422, "bucket_not_allowed", IN_BODY
    ),
    "method": Door(
        asked("names/url", "method", "GET{}", inputs={"name": "a"}), "", 400, "invalid_request", IN_BODY
    ),
    **{
        f"{what} at {name}": Door(asked(path, member, form, **WORD, **ask), "", 422, code, IN_BODY)
        for name, (path, ask) in OF_CLIPS.items() if name in ("form", "initiate")
        for what, member, form, code in (
            ("header", "headers.x-cos-meta-a", MARKER + "{}", "header_not_allowed"),
            ("fixed header", "headers.Cache-Control", "no-store{}", "header_not_allowed"),
            ("type", "headers.Content-Type", "video/mp4{}", "content_type_not_allowed"),
        )
    },
    **{
        f"bucket at {name}": Door(
            Asked(path, bucket_of_clips(ask)), "", 422, "bucket_not_allowed", IN_BODY, answer_of(name)
        )
        for name, (path, ask) in OF_CLIPS.items() if name in ("form", "complete", "confirm")
    },
}  # fmt: skip

# Names that no upload may carry, whatever it is an upload by.
FORBIDDEN_HEADERS = {
    "empty": "", "LF at the end": "x-cos-meta-a\n", "CR LF": "x-cos-meta-a\r\nX-A: b", "NUL": "x-cos-meta-a\x00",
    "colon": "x-cos-meta-a:b", "space at the end": "x-cos-meta-a ", "star": "x-cos-meta-*",
    "prefix alone": "x-cos-meta-",
    "65 characters": "x-cos-meta-" + "a" * 65, "Kelvin sign": "x-cos-meta-to\u212aen", "long s": "x-co\u017f-meta-a",
    "acl": "x-cos-acl", "acl in capitals": "X-COS-ACL", "grant": "x-cos-grant-read", "copy": "x-cos-copy-source",
    "token": "x-cos-security-token", "callback": "x-cos-callback", "image": "Pic-Operations", "ci": "x-ci-process",
    "identity": "Authorization", "host": "Host", "q": "q-signature", "sign": "sign", "chunks": "Transfer-Encoding",
    "expect": "Expect", "tagging": "x-cos-tagging", "storage": "x-cos-storage-class", "type twice": "content-type",
    "encryption": "x-cos-server-side-encryption", "own key": "x-cos-server-side-encryption-customer-key",
    "website": "x-cos-website-redirect", "lone surrogate": ("x-cos-meta-\ud800", 400, "malformed_json"),
}  # fmt: skip

# What each door alone refuses: situation -> value, or (value, status and code of its own).
OWN: dict[str, tuple[Door, dict[str, Any]]] = {
    "X-Principal, by its characters": (
        CLAIM_DOORS["X-Principal"],
        {"space at the start": " u1", "two values": "u1,u2", "composed": "é", "fullwidth": "u\uff11", "quote": 'u"1',
         "semicolon": "u1;admin", "equals": "sub=u1"},
    ),
    "X-Principal-Claims": (
        Door(of_claims, base64url('{"team":"red"}'), 403, "principal_not_allowed"),
        {
            "empty": "", "padding alone": "==", "no base64": "***", "one character": "e", "space": "e30 ",
            "two values": "e30,e30", "padding inside": "e3=0", "other alphabet": "eyJ0ZWFtIjoi/+8ifQ",
            "line": "e30\r\n", "JSON as it is": '{"team":"red"}', "composed": "é",
            "list": base64url('[{"team":"red"}]'), "text": base64url('"team"'), "number": base64url("1"),
            "null": base64url("null"), "cut off": base64url('{"team":'), "two objects": base64url("{}{}"),
            "twice": base64url('{"team":"red","team":"blue"}'),
            "twice by escape": base64url('{"team":"red","te\\u0061m":"blue"}'),
            "twice inside": base64url('{"team":{"a":1,"a":2}}'),
            "unlisted": base64url('{"team":"red","role":"owner"}'), "unlisted alone": base64url('{"scope":"*"}'),
            "fixed": base64url('{"team":"red","tenant":"acme"}'), "sub": base64url('{"team":"red","sub":"u2"}'),
            "other case": base64url('{"Team":"red"}'), "space in the name": base64url('{"team ":"red"}'),
            "homoglyph": base64url('{"te\u0430m":"red"}'), "prototype": base64url('{"__proto__":{"team":"red"}}'),
            "nothing": base64url("{}"), "NaN": base64url('{"team":NaN}'), "infinity": base64url('{"team":1e999}'),
            "null team": base64url('{"team":null}'), "byte order mark": base64url('\ufeff{"team":"red"}'),
            "no UTF-8": base64url(b'{"team":"\xff"}'), "overlong UTF-8": base64url(b'{"team":"\xc0\xaf"}'),
            "UTF-8 surrogate": base64url(b'{"team":"\xed\xa0\x80"}'),
            "UTF-16": base64url('{"team":"red"}'.encode("utf-16")),
            "deep": base64url('{"team":' + "[" * 8 + "]" * 8 + "}"), "bottomless": base64url("[" * 2000),
            "many digits": base64url('{"team":' + "9" * 2500 + "}"),
            "long": base64url('{"team":"red"}' + " " * 4096),
        },
    ),
    "header, whatever its pattern": (
        Door(
            asked("avatars/url", "headers.Content-Encoding", MARKER + "{}", inputs={"ext": "png"}, headers=PNG),
            "* \"',;", 422, "header_not_allowed",
        ),
        {"CR LF": "\r\nX-A: b", "LF": "\n", "CR": "\r", "NUL": "\x00", "TAB": "\ta", "space at the end": " ",
         "DEL": "\x7f", "C1": "\x85a", "composed": "é", "line separator": "\u2028", "1025 characters": "x" * 1021,
         "emoji": "\U0001f600", "escape": "\x1b[0m"},
    ),
    "header at its ends": (
        Door(
            asked("avatars/url", "headers.Content-Encoding", "{}" + MARKER, inputs={"ext": "png"}, headers=PNG),
            "a ", 422, "header_not_allowed",
        ),
        {"space": " ", "TAB": "\t", "LF": "\n", "CR LF CR LF": "\r\n\r\n", "byte order mark": "\ufeff",
         "no-break space": "\xa0"},
    ),
    "parameter, whatever its pattern": (
        Door(asked("names/url", "params.free", MARKER + "{}", **NAMED), "*?&=#/%é \u202e", 422, "param_not_allowed"),
        {"CR LF": "\r\nX-A: b", "LF": "\n", "NUL": "\x00", "TAB": "\t", "DEL": "\x7f", "C1": "\x85",
         "line separator": "\u2028", "paragraph separator": "\u2029", "1025 characters": "x" * 1021},
    ),
    "name of a header": (
        Door(
            as_name("avatars/url", "headers", MARKER, inputs={"ext": "png"}, headers=PNG),
            "X-Cos-Meta-A", 422, "header_not_allowed",
        ),
        {
            "empty": "", "space": " ", "LF at the end": "x-cos-meta-a\n", "CR LF": "x-cos-meta-a\r\nX-A: b",
            "NUL": "x-cos-meta-a\x00", "colon": "x-cos-meta-a:b", "space inside": "x-cos-meta-a b",
            "space at the start": " x-cos-meta-a", "space at the end": "x-cos-meta-a ", "star": "x-cos-meta-*",
            "prefix alone": "x-cos-meta-", "nearly the prefix": "x-cos-metadata", "underscore": "x_cos_meta_a",
            "65 characters": "x-cos-meta-" + "a" * 65, "composed": "x-cos-meta-é",
            "Angstrom sign": "x-cos-meta-\u212b", "fullwidth": "x-cos-meta-\uff41", "long s": "x-co\u017f-meta-a",
            "Kelvin sign": "x-cos-meta-to\u212aen", "Cyrillic": "x-c\u043es-meta-a", "dotted I": "x-cos-meta-\u0130",
            "acl": "x-cos-acl", "acl in capitals": "X-COS-ACL", "grant": "x-cos-grant-read",
            "copy": "x-cos-copy-source",
            "token": "x-cos-security-token", "callback": "x-cos-callback", "image": "Pic-Operations",
            "ci": "x-ci-process", "identity": "Authorization", "identity in small letters": "authorization",
            "host": "Host", "q": "q-signature", "sign": "sign", "hop": "Connection", "chunks": "Transfer-Encoding",
            "expect": "Expect", "cookie": "Cookie", "forwarded": "X-Forwarded-Host", "range": "Range",
            "tagging": "x-cos-tagging", "encryption": "x-cos-server-side-encryption",
            "website": "x-cos-website-redirect",
            "own key": "x-cos-server-side-encryption-customer-key", "type twice": "content-type",
            "type by a blank": "Content-Type ", "length twice": "CONTENT-LENGTH",
            "lone surrogate": ("x-cos-meta-\ud800", 400, "malformed_json"),
        },
    ),
    "name of a parameter": (
        Door(as_name("names/url", "params", MARKER, **NAMED), "mode", 422, "param_not_allowed"),
        {
            "empty": "", "other case": "Mode", "LF at the end": "mode\n", "space at the end": "mode ",
            "NUL": "mode\x00", "a second one": "mode&acl", "with a value": "mode=a&acl", "fragment": "mode#",
            "encoded": "%6dode", "fullwidth": "\uff4dode", "acl": "acl", "acl in capitals": "ACL", "tagging": "tagging",
            "uploads": "uploads", "upload": "uploadId", "part": "partNumber", "delete": "delete", "policy": "policy",
            "version": "versionId", "restore": "restore", "prefix": "prefix", "delimiter": "delimiter",
            "token": "x-cos-security-token", "token in capitals": "X-Cos-Security-Token",
            "algorithm": "q-sign-algorithm",
            "signature": "q-signature", "sign": "sign", "ci": "ci-process", "image": "imageMogr2/thumbnail/200x",
            "disposition": "response-content-disposition", "fixed": "response-content-type",
            "fixed in capitals": "Response-Content-Type", "expiry": "response-expires", "star": "*",
            "prototype": "__proto__", "lone surrogate": ("\ud800", 400, "malformed_json"),
        },
    ),
    "filename": (
        Door(
            asked("names/download-url", "filename", "{}", inputs={"name": "a"}), 'a"; b=%é .txt', 400,
            "invalid_request",
        ),
        {
            "empty": "", "dot": ".", "dots": "..", "slash": "a/b", "upwards": "../a", "backslash": "a\\b",
            "CR LF": "a\r\nSet-Cookie: a=b", "LF at the end": "a.txt\n", "NUL": "a.exe\x00.txt", "TAB": "a\tb",
            "DEL": "a\x7f", "C1": "a\x85", "right to left": "a\u202efdp.exe", "zero width space": "a\u200b",
            "byte order mark": "\ufeffa", "private use": "\ue000", "unassigned": "\u0378", "line separator": "a\u2028",
            "paragraph separator": "a\u2029", "256 bytes": "x" * 256, "258 bytes in 86 characters": "\u6f22" * 86,
            "lone surrogate": ("a\ud800", 400, "malformed_json"),
        },
    ),
    "bucket, whole": (
        Door(asked("names/url", "bucket", "{}", **NAMED), BUCKET, 422, "bucket_not_allowed"),
        {
            "empty": "", "star": "*", "other": "examplebucket-1250000001", "capitals": BUCKET.upper(),
            "prefix": BUCKET[:-1], "space at the start": f" {BUCKET}",
            "a host": f"{BUCKET}.cos.ap-guangzhou.myqcloud.com",
            "below": f"{BUCKET}/names", "slash": f"/{BUCKET}", "fullwidth digit": BUCKET[:-1] + "\uff10",
            "Cyrillic": BUCKET.replace("e", "\u0435"), "resource": f"qcs::cos:ap-guangzhou:uid/1250000000:{BUCKET}",
        },
    ),
    "method, whole": (
        Door(asked("names/url", "method", "{}", inputs={"name": "a"}), "GET", 400, "invalid_request"),
        {
            "empty": "", "small letters": "get", "space": " GET", "two": "GET, PUT", "options": "OPTIONS",
            "connect": "CONNECT", "trace": "TRACE", "star": "*", "fullwidth": "\uff27\uff25\uff34", "long": "G" * 1000,
            "not of the route": ("PUT", 422, "method_not_allowed_by_policy"),
            "read alone": ("HEAD", 422, "method_not_allowed_by_policy"),
            "bare POST": ("POST", 422, "method_not_allowed_by_policy"),
        },
    ),
    "length": (
        Door(
            asked("avatars/url", "headers.Content-Length", "{}", inputs={"ext": "png"}, headers=PNG),
            "1000", 422, "header_not_allowed",
        ),
        {
            "empty": "", "minus": "-1", "plus": "+1", "hexadecimal": "0x1", "exponent": "1e2", "fraction": "1.0",
            "zero first": "01", "space": "1 ", "LF": "1\n", "two": "1, 1", "fullwidth": "\uff11", "Arabic": "\u0661",
            "superscript": "\u00b9", "underscore": "1_0", "infinite": "inf", "word": "NaN",
            "too large": ("1001", 422, "content_too_large"), "15 digits": ("9" * 15, 422, "content_too_large"),
        },
    ),
    "type, whole": (
        Door(
            asked("avatars/url", "headers.Content-Type", "{}", inputs={"ext": "png"}, headers=PNG),
            "image/png", 422, "content_type_not_allowed",
        ),
        {
            "empty": "", "star": "*/*", "range": "image/*", "capitals": "IMAGE/PNG", "page": "text/html",
            "space first": " image/png", "two": "text/html, image/png", "svg": "image/svg+xml", "prefix": "image/pn",
            "fullwidth": "image/pn\uff47", "no slash": "image", "CR LF": "image/png\r\nX: y",
        },
    ),
    "route in the path": (
        Door(at_path("{}/url"), "names", 404, "route_not_found"),
        {
            "star": "*", "dots": "..", "dot": ".", "NUL": "names\x00", "LF": "names\n", "CR LF": "names\r\nX: y",
            "capitals": "Names", "suffix": "names.json", "encoded twice": "%2e%2e", "percent": "names%",
            "backslash": "..\\names", "schema": "policy.schema", "fullwidth": "\uff4eames", "space": "names ",
            "composed": "é", "zero width space": "names\u200b", "semicolon": "names;a=b", "long": "n" * 5000,
            "template": "{route}", "interpolation": "${names}", "right to left": "\u202enames",
            "upwards": ("../names", 404, "not_found"), "slash at the end": ("names/", 404, "not_found"),
            "slash at the start": ("/names", 404, "not_found"), "empty": "",
            "file": ("../../etc/passwd", 404, "not_found"),
        },
    ),
    "vend in the path": (
        Door(at_path("names/{}"), "url", 404, "not_found"),
        {
            "empty": "", "capitals": "URL", "star": "*", "dots": "..", "LF": "url\n", "NUL": "url\x00",
            "slash at the end": "url/", "below": "url/credentials", "upwards": "url/../credentials", "space": "url ",
            "suffix": "url.json", "fullwidth": "\uff55rl", "admin": "admin", "long": "u" * 5000,
            "another shape": ("credentials", 400, "invalid_request"),
        },
    ),
    "member": (
        Door(with_another("names/url", **NAMED), "bucket", 400, "invalid_request"),
        {
            "policy document": "policy", "statement": "statement", "resource": "resource", "action": "action",
            "effect": "effect", "principal": "principal", "sub": "sub", "claims": "claims", "scope": "scope",
            "duration": "duration_seconds", "region": "region", "endpoint": "endpoint", "vend": "vend",
            "capitals": "Bucket",
            "space": "bucket ", "LF": "bucket\n", "prototype": "__proto__", "star": "*", "empty": "", "NUL": "\x00",
            "homoglyph": "bu\u0441ket", "long": "b" * 5000, "lone surrogate": ("\ud800", 400, "malformed_json"),
        },
    ),
    "route inside": (
        Door(
            lambda house, value, caller: house.inside(value, {"vend": "url", **NAMED}, {"sub": caller}),
            "names", 404, "route_not_found",
        ),
        {"empty": "", "dots": "..", "upwards": "../names", "NUL": "names\x00", "capitals": "NAMES", "star": "*",
         "lone surrogate": "\ud800", "long": "n" * 5000},
    ),
    "filename inside": (
        Door(
            inside("names", "filename", vend="download-url", inputs={"name": "a"}), "a", 400, "invalid_request"
        ),
        {"lone surrogate": "a\ud800", "slash": "a/b", "LF": "a\n", "empty": "", "256 bytes": "x" * 256},
    ),
    "vend inside": (
        Door(inside("names", "vend", **NAMED), "url", 400, "invalid_request"),
        {"empty": "", "capitals": "URL", "slash": "url/", "LF": "url\n", "lone surrogate": "\ud800",
         "long": "u" * 5000, "another shape": "credentials", **TYPES},
    ),
    "pattern that backtracks": (
        Door(
            asked("slow/url", "inputs.a", "{}", method="GET", inputs={"b": "x", "c": "a"}), "aaab", 422,
            "input_not_allowed",
        ),
        {"nested repeats": "a" * 127 + "!", "nearly": "a" * 126 + "bb"},
    ),
    "key that is cut in many ways": (
        Door(asked("slow/url", "key", "slow/CALLER/{}", method="GET"), "a-x-a", 422, "key_not_allowed"),
        {"dashes": "-" * 800, "pairs": "a-" * 400, "letters": "a" * 800, "x and dashes": "x-" * 190 + "!"},
    ),
    **{
        f"another's key at {name}": (
            Door(asked(path, "key", "{}", **ask), "clips/CALLER/a", 422, "key_not_allowed", {}, answer_of(name)),
            {
                "longer": "clips/CALLER0/a", "shorter": "clips/c/a", "upwards": "clips/CALLER/../C/a",
                "capitals": "CLIPS/CALLER/a", "folder": "clips/CALLER/", "bare": "clips/CALLER", "all": "/",
                "empty": "", "leading slash": "/clips/CALLER/a", "doubled": "clips//CALLER/a",
                "fullwidth slash": "clips\uff0fCALLER/a", "encoded": "clips%2fCALLER%2fa", "deeper": "clips/CALLER/a/b",
                "form's own": "clips/CALLER/${filename}", "query": "clips/CALLER/a?acl\n",
                "second line": "a\nclips/CALLER/a",
                "other route": "videos/CALLER/a", "URL": "https://evil.example/clips/CALLER/a",
            },
        )
        for name, (path, ask) in OF_CLIPS.items()
    },
    **{
        f"generated part at {name}": (
            Door(
                asked(path, "key", "videos/CALLER/{}.mp4", **ask), UUID, 422, "key_not_allowed", {}, answer_of(name)
            ),
            {
                "a word": "a", "empty": "", "capitals": UUID.upper(), "version 1": UUID.replace("-4f0e", "-1f0e"),
                "variant": UUID.replace("-9d2a", "-1d2a"), "no hyphens": UUID.replace("-", ""), "braces": f"{{{UUID}}}",
                "longer": f"{UUID}0", "shorter": UUID[:-1], "LF": f"{UUID}\n", "folder": f"a/{UUID}",
                "fullwidth digit": UUID[:-1] + "\uff11", "space": f" {UUID}", "URN": f"urn:uuid:{UUID}",
                "two": f"{UUID}.{UUID}", "none": "{uuid}",
            },
        )
        for name, path, ask in (
            ("form", "videos/form", {}), ("complete", "videos/multipart", STEPS["complete"]),
            ("confirm", "videos/confirm", {}),
        )
    },
    **{
        f"upload at {step}": (
            Door(
                asked("clips/multipart", "upload_id", "{}", **WORD, **ask), "u&acl=%2f#?*${}\\\"'", 400,
                "invalid_request"
            ),
            {
                **{name: value for name, value in FLAWED.items() if not OF_UPLOAD_ID.fullmatch(value)},
                **{name: (FLAWED[name], 400, "malformed_json") for name in SURROGATES},
                "513 characters": "u" * 513, "space": "a b", "space at the end": "u ", "fullwidth": "\uff55",
            },
        )
        for step, ask in STEPS.items() if step in LATER
    },
    **{
        f"size at {step}": (
            Door(asked("clips/multipart", "size", "{}", **WORD, **STEPS[step]), 20 * MIB, 400, "invalid_request"),
            {
                **{name: value for name, value in TYPES.items() if value != 1 or value is True},
                "text": "9", "whole fraction": 9.0, "16 digits": 10**15, "null": None,
                "one too many": (20 * MIB + 1, 422, "content_too_large"),
                "15 digits": (10**15 - 1, 422, "content_too_large"),
            },
        )
        for step in ("initiate", "parts")
    },
    "parts": (
        Door(
            asked("clips/multipart", "parts", **WORD, **{**STEPS["parts"], "size": 16 * MIB + 1}), {"from": 1, "to": 3},
            400, "invalid_request",
        ),
        {
            **TYPES,
            "null": None, "text": "1-3", "a pair": [1, 3], "from nothing": {"from": 0, "to": 1},
            "negative": {"from": -1, "to": 1}, "backwards": {"from": 2, "to": 1}, "beyond the end": {"from": 1,
            "to": 4},
            "only beyond": {"from": 4, "to": 4}, "10,001": {"from": 1, "to": 10_001}, "vast": {"from": 1, "to": 10**30},
            "true": {"from": True, "to": 1}, "fraction": {"from": 1.0, "to": 1}, "digits": {"from": "1", "to": "1"},
            "no end": {"from": 1}, "no beginning": {"to": 1}, "nulls": {"from": None, "to": None},
            "own name": {"from_": 1, "to": 1}, "capitals": {"From": 1, "to": 1}, "another": {"from": 1, "to": 1,
            "by": 1},
            "length": {"from": 1, "to": 1, "Content-Length": 9}, "list": {"from": [1], "to": [1]},
            "surrogate": ({"from": 1, "to": 1, "\ud800": 1}, 400, "malformed_json"),
        },
    ),
    "parts beyond a size": (
        Door(
            Asked("clips/multipart", lambda value, caller: {**WORD, **STEPS["parts"], **value}),
            {"size": 8 * MIB, "parts": {"from": 1, "to": 1}}, 400, "invalid_request",
        ),
        {
            "one byte": {"size": 1, "parts": {"from": 1, "to": 2}},
            "one part": {"size": 8 * MIB, "parts": {"from": 1, "to": 2}},
            "one part and a byte": {"size": 8 * MIB + 1, "parts": {"from": 2, "to": 3}},
            "far beyond": {"size": 20 * MIB, "parts": {"from": 4, "to": 10_000}},
        },
    ),
    "step": (
        Door(asked("clips/multipart", "step", **WORD, upload_id="u"), "complete", 400, "invalid_request"),
        {
            **TYPES,
            "null": None, "empty": "", "capitals": "COMPLETE", "LF": "complete\n", "space": " complete",
            "two": "list,abort",
            "star": "*", "part": "part", "put": "PutObject", "fullwidth": "\uff43omplete", "prototype": "__proto__",
            "of another shape": "initiate", "of more": "parts", "long": "complete" * 1000,
            "lone surrogate": ("\ud800", 400, "malformed_json"),
        },
    ),
    **{
        f"members at {step}": (
            Door(with_members(step), {}, 400, "invalid_request"),
            {
                **{
                    f"no {name}": {name: None}
                    for name in STEPS[step] if name != "headers"
                },
                **{
                    name: {name: value}
                    for name, value in {
                        "upload_id": "u", "size": 9, "parts": {"from": 1, "to": 1}, "headers": {},
                        "params": {"acl": ""},
                        "method": "PUT", "filename": "a", "inputs": {"name": "a"}, "part_number": 1,
                        "acl": "public-read",
                        "uploadId": "u", "part_bytes": MIB, "vend": "url", "region": "ap-guangzhou",
                    }.items()
                    if name not in STEPS[step]
                },
            },
        )
        for step in STEPS
    },
    "name of a header at initiate": (
        Door(
            as_name("clips/multipart", "headers", MARKER, **WORD, **STEPS["initiate"]),
            "X-Cos-Meta-A", 422, "header_not_allowed",
        ),
        FORBIDDEN_HEADERS | {"length": "Content-Length", "range": "Range"},
    ),
    "name of a field of a form": (
        Door(as_name("clips/form", "headers", MARKER, **WORD, headers=MP4), "X-Cos-Meta-A", 422, "header_not_allowed"),
        FORBIDDEN_HEADERS
        | {
            "form's acl": "acl", "key": "key", "key in capitals": "Key", "policy": "policy", "file": "file",
            "redirect": "success_action_redirect", "status": "success_action_status", "bucket": "bucket",
            "key time": "q-key-time", "algorithm": "q-sign-algorithm", "who": "q-ak", "length": "Content-Length",
            "range": "content-length-range", "submit": "submit", "name": "x-cos-meta-a\"; filename=\"b",
        },
    ),
    "member of a form": (
        Door(
            Asked("clips/form", lambda value, caller: {**WORD, "headers": MP4, **value}), {"expires_in": 60}, 400,
            "invalid_request",
        ),
        {
            name: {name: value}
            for name, value in {
                "params": {}, "method": "POST", "filename": "a", "size": 9, "step": "initiate", "upload_id": "u",
                "parts": {"from": 1, "to": 1}, "fields": {"acl": "public-read"}, "acl": "public-read",
                "conditions": [], "policy": "e30=", "redirect": "https://evil.example", "key": "clips/a/a",
                "success_action_redirect": "https://evil.example", "content-length-range": [0, 10**15],
            }.items()
        },
    ),
    "member of a confirmation": (
        Door(
            Asked("clips/confirm", lambda value, caller: {"key": f"clips/{caller}/a", **value}), {"bucket": BUCKET},
            400,
            "invalid_request", {}, answer_of("confirm"),
        ),
        {
            name: {name: value}
            for name, value in {
                "params": {}, "versionId": "1", "headers": {}, "method": "HEAD", "inputs": {"name": "a"},
                "expires_in": 60,
                "endpoint": "https://evil.example", "url": "http://169.254.169.254/", "host": "evil.example",
                "vend": "url",
            }.items()
        },
    ),
    "vend in a batch": (
        Door(alone_in_batch("vend", **NAMED), "url", 400, "invalid_request"),
        {
            **TYPES,
            "null": None, "empty": "", "capitals": "URL", "LF": "url\n", "slash": "url/", "batch": "batch", "star": "*",
            "multipart": "multipart", "confirmation": "confirm", "path": "../clips/form", "long": "u" * 5000,
            "another shape": "credentials", "lone surrogate": ("\ud800", 400, "malformed_json"),
        },
    ),
    "ask in a batch": (
        Door(alone_in_batch(None), {"vend": "url", **NAMED}, 400, "invalid_request"),
        {
            **TYPES,
            "null": None, "text": "url", "a batch": {"asks": [{"vend": "url", **NAMED}]}, "no vend": dict(NAMED),
            "route": {"route": "clips", "vend": "url", **NAMED}, "Vend": {"Vend": "url", **NAMED},
            "principal": {"vend": "url", "as": {"sub": "u2"}, **NAMED},
        },
    ),
    "long key": (
        Door(asked("files/url", "key", "files/CALLER/{}", method="GET"), "x/" * 100 + "x", 422, "key_not_allowed"),
        {"851 bytes": "x/" * 420 + "x", "900 slashes": "/" * 900, "300 kB": "\u6f22" * 100_000},
    ),
    "key that goes on": (
        Door(asked("profile/url", "key", "profiles/CALLER.json{}"), "", 422, "key_not_allowed"),
        {"letter": "x", "digit": "0", "suffix": ".exe", "below": "/x", "space": " ", "again": ".json",
         "fullwidth slash": "\uff0fx", "semicolon": ";x", "query": "&acl"},
    ),
    "another's key": (
        Door(asked("files/url", "key", "{}", method="GET"), "files/CALLER/a", 422, "key_not_allowed"),
        {
            "longer": "files/CALLER0/a", "shorter": "files/c/a", "capitals": "files/CALLER/../C/a",
            "no folder": "CALLER/a",
            "other root": "File/CALLER/a", "root in capitals": "FILES/CALLER/a", "folder": "files/CALLER/",
            "bare": "files/CALLER", "list": "files/", "all": "/", "empty": "", "leading slash": "/files/CALLER/a",
            "doubled": "files//CALLER/a", "dots": "files/./CALLER/a", "space": " files/CALLER/a",
            "fullwidth slash": "files\uff0fCALLER/a", "fullwidth digit": "files/CALLER\uff11/a",
            "Cyrillic": "f\u0456les/CALLER/a", "template": "files/{principal.sub}/a", "query": "files/CALLER?acl",
            "URL": "https://evil.example/files/CALLER/a", "host": "//evil.example/files/CALLER/a",
            "other route": "names/CALLER/a", "backslash": "files\\CALLER\\a", "encoded": "files%2fCALLER%2fa",
            "line first": "\nfiles/CALLER/a", "second line": "a\nfiles/CALLER/a",
        },
    ),
}  # fmt: skip

# Other types where a text is due. Strings of digits are not made of numbers, nor texts of lists of one.
TYPE_DOORS = {
    "sub of a JWT": Door(claimed("names/url", "sub", NAMED), "{}", 401, "unauthenticated"),
    "another claim of a JWT": Door(claimed("tenant/url", "tenant", WORD), "{}", 403, "principal_not_allowed"),
    "claim in X-Principal-Claims": Door(of_team, "{}", 403, "principal_not_allowed"),
    "sub inside": Door(inside("names", None, vend="url", **NAMED), "{}", 403, "principal_not_allowed"),
    "input": Door(asked("names/url", "inputs.name", method="GET"), "a", 400, "invalid_request"),
    "key": Door(asked("files/url", "key", method="GET"), "files/CALLER/a", 400, "invalid_request"),
    "header": Door(
        asked("avatars/url", "headers.x-cos-meta-a", inputs={"ext": "png"}, headers=PNG), "a", 400, "invalid_request"
    ),
    "parameter": Door(asked("names/url", "params.mode", **NAMED), "a", 400, "invalid_request"),
    "filename": Door(asked("names/download-url", "filename", inputs={"name": "a"}), "a", 400, "invalid_request"),
    "bucket": Door(asked("names/url", "bucket", **NAMED), BUCKET, 400, "invalid_request"),
    "method": Door(asked("names/url", "method", inputs={"name": "a"}), "GET", 400, "invalid_request"),
    "upload": Door(asked("clips/multipart", "upload_id", **WORD, **STEPS["abort"]), "u", 400, "invalid_request"),
    "key at complete": Door(
        asked("clips/multipart", "key", **STEPS["complete"]), "clips/CALLER/a", 400, "invalid_request"
    ),
    "header at initiate": Door(
        asked("clips/multipart", "headers.x-cos-meta-a", **WORD, **STEPS["initiate"]), "a", 400, "invalid_request"
    ),
    "key of a form": Door(asked("clips/form", "key", headers=MP4), "clips/CALLER/a", 400, "invalid_request"),
    "input of a form": Door(asked("clips/form", "inputs.name", headers=MP4), "a", 400, "invalid_request"),
    "header of a form": Door(
        asked("clips/form", "headers.x-cos-meta-a", **WORD, headers=MP4), "a", 400, "invalid_request"
    ),
    "key of a confirmation": Door(
        asked("clips/confirm", "key"), "clips/CALLER/a", 400, "invalid_request", {}, answer_of("confirm")
    ),
    "input inside": Door(inside("names", "inputs.name", vend="url", method="GET"), "a", 400, "invalid_request"),
}


class Case(NamedTuple):
    """One value at one door, what comes of it, and whether its text may be repeated."""

    door: Door
    value: Any
    status: int
    code: str
    secret: bool


def cases() -> Iterator[tuple[str, Case]]:
    """Every case under its name."""
    groups = (
        (CLAIM_DOORS, FLAWED, ()),
        (INPUT_DOORS, FLAWED, ()),
        (PATH_DOORS, FLAWED, FINE_IN_A_PATH),
        (VALUE_DOORS, FLAWED, ()),
        (TYPE_DOORS, TYPES, ()),
    )
    for doors, values, fine in groups:
        for name, door in doors.items():
            for situation, value in values.items():
                if (value == "" and name in OPEN_ENDED) or situation in fine:
                    continue
                status, code = door.otherwise.get(situation, (door.status, door.code))
                secret = doors is VALUE_DOORS and name != "method"
                kind = "another type: " if doors is TYPE_DOORS else ""
                yield f"{kind}{name}: {situation}", Case(door, value, status, code, secret)
    for name, (door, situations) in OWN.items():
        for situation, value in situations.items():
            value, status, code = value if isinstance(value, tuple) else (value, door.status, door.code)
            secret = any(word in name for word in ("header", "parameter", "X-Principal", "type"))
            yield f"{name}: {situation}", Case(door, value, status, code, secret and "name of" not in name)


# With nothing added to them, the values of these doors are legal.
OPEN_ENDED = {name for name, door in (INPUT_DOORS | VALUE_DOORS).items() if door.granted == ""}
OPEN_ENDED.add("input with a pattern")
CASES = dict(cases())
DOORS = {
    **CLAIM_DOORS, **INPUT_DOORS, **PATH_DOORS, **VALUE_DOORS, **{name: door for name, (door, _) in OWN.items()},
    **{f"another type: {name}": door for name, door in TYPE_DOORS.items()},
}  # fmt: skip
MARKED = [pytest.param(case, id=name) for name, case in CASES.items()]


def test_table():
    """The table is as long as it was meant to be, and has every door in it."""
    assert len(CASES) >= 300
    assert {name.rpartition(": ")[0] for name in CASES} == set(DOORS)
    assert len(CASES) == len(list(cases()))


@pytest.mark.parametrize("case", MARKED)
def test_refused(house, case):
    """The contract's code and status; nothing is asked of STS or COS for a caller they never heard of; little told."""
    answer = case.door.knock(house, case.value, house.caller())
    assert (answer.status, answer.code) == (case.status, case.code), answer.told
    assert house.emulator.stats() == {"sts": {}, "cos": {}}
    check_told(answer, case)


@pytest.mark.parametrize("door", DOORS.values(), ids=DOORS)
def test_granted(house, door):
    """The twin: the same ask through the same door is granted with another value, and STS is asked once."""
    caller = house.caller()
    answer = door.knock(house, door.twin(caller), caller)
    assert (answer.status, answer.code) == door.found, answer.told
    assert house.sts_calls() == 1
    # A confirmation looks once; nothing else does.
    assert house.emulator.stats()["cos"] == ({} if door.found[0] == 200 else {"HeadObject": 1})


BATCHED = {name: door for name, door in DOORS.items() if isinstance(door.knock, Asked) and can_be_batched(door.knock)}


@pytest.mark.parametrize("name", BATCHED)
def test_refused_in_a_batch(house, name):
    """Among asks that are granted each hostile one is refused as it is alone; STS is asked once, for the others."""
    door, caller = BATCHED[name], house.caller()
    hostile = {
        situation.rpartition(": ")[2]: case
        for situation, case in CASES.items()
        if case.door is door and case.code != "malformed_json"
    }
    sound = door.knock.in_batch(door.twin(caller), caller)
    asks = [ask for case in hostile.values() for ask in (door.knock.in_batch(case.value, caller), sound)]
    route, by = door.knock.path.partition("/")[0], house.jwt(sub=caller)
    assert {answer.status for answer in house.batch(route, asks[::2], by)} <= {400, 422}
    assert house.sts_calls() == 0
    answers = house.batch(route, [sound, *asks], by)
    assert {(answer.status, answer.code) for answer in answers[::2]} == {door.found}
    refused = dict(zip(hostile, answers[1::2], strict=True))
    expected = {situation: (case.status, case.code) for situation, case in hostile.items()}
    assert {situation: (one.status, one.code) for situation, one in refused.items()} == expected
    assert house.emulator.stats() == {"sts": {"GetFederationToken": 1}, "cos": {}}
    for situation, answer in refused.items():
        check_told(answer, hostile[situation])


BODIES = {
    "surrogate": '{"vend":"url","method":"GET","inputs":{"name":"\\ud800"}}',
    "vend twice": '{"vend":"url","vend":"signature","method":"GET","inputs":{"name":"a"}}',
    "NaN": '{"vend":"url","method":"GET","inputs":{"name":"a"},"expires_in":NaN}',
    "deep": '{"vend":"url","method":"GET","inputs":{"name":' + "[" * 8 + "]" * 8 + "}}",
    "cut off": '{"vend":"url"',
}


@pytest.mark.parametrize("hostile", BODIES.values(), ids=BODIES)
def test_no_json_in_a_batch(house, hostile):
    """What is no JSON refuses the whole batch, sound asks and all; without it, they are granted."""
    caller, sound = house.caller(), json.dumps({"vend": "url", **NAMED})
    whole = house.http("names/batch", None, house.jwt(sub=caller), body=f'{{"asks":[{sound},{hostile},{sound}]}}')
    assert (whole.status, whole.code, house.sts_calls()) == (400, "malformed_json", 0)
    whole = house.http("names/batch", None, house.jwt(sub=caller), body=f'{{"asks":[{sound},{sound}]}}')
    assert [one["status"] for one in whole.grant["results"]] == [200, 200]
    assert house.sts_calls() == 1


@pytest.mark.parametrize(("count", "code"), [(20, "granted"), (100, "url_too_long")])
def test_many_headers_at_initiate(house, count, code):
    """The names of signed headers stand in the URL: too many are refused before STS is asked."""
    names = [f"x-cos-meta-{number:064}" for number in range(count)]
    ask = {**WORD, **STEPS["initiate"], "headers": {**MP4, **dict.fromkeys(names, "a")}}
    assert house.http("clips/multipart", ask, house.jwt()).code == code
    assert house.sts_calls() == (1 if code == "granted" else 0)


def check_told(answer: Answer, case: Case) -> None:
    """At most 64 characters of the caller's, escaped; none of a header's or parameter's value."""
    assert all(text.isascii() and (text.isprintable() or not text) for text in answer.told), answer.told
    assert len(answer.told[0]) <= 64 + 250
    assert not any(MARKER in text for text in answer.told), answer.told
    if isinstance(case.value, str):
        escaped = ascii(case.value)[1:-1]
        told = "\n".join(answer.told)
        runs = (escaped[start : start + 65] for start in range(min(len(escaped) - 64, 2000)))
        assert not any(run in told for run in runs), answer.told
        if case.secret and len(case.value) > 8 and (not case.door.granted or case.door.granted not in case.value):
            assert escaped not in told
