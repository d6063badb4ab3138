"""The second lock, alone: what the credential behind each grant of each sample is good for, whoever signs with it.

Every request here is soundly signed, so that nothing but the session policy decides. What it does not hold is said in a
table, each with what does; everything else must be denied, while the account's own key may do the same.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple
from zlib import crc32

import pytest
import requests

from broker.policy.catalog import SCHEMA_FILE
from tests.conftest import ACCOUNT, BUCKET, REPOSITORY
from tests.locks.conftest import Key, manifest, query_of

NOTHING: Mapping[str, str] = MappingProxyType({})
UUID = "0b6c1c5e-3a51-4f0e-9d2a-6d1f2a3b4c5d"
PNG = {"Content-Type": "image/png", "Content-Length": "4"}
PDF = {"response-content-type": "application/pdf"}
HERE = f"{BUCKET}.cos.ap-guangzhou.myqcloud.com"
PICTURE = {"fileid": "small.png", "rule": "imageMogr2/format/png"}


class Vended(NamedTuple):
    """One thing that a sample vends. The key asked for is `folder/name`; `others` is the folder of somebody else.

    `scope` is `folder` if the credential reaches all keys below the folder, `object` if it reaches that one.
    """

    policy: str
    vend: str
    ask: dict[str, Any] | None
    method: str
    folder: str
    name: str
    others: str
    scope: str = "folder"
    step: str = ""


def keys(method: str) -> Vended:
    """The vend `credentials` of the user's folder, used for one method."""
    return Vended("user-folder", "credentials", None, method, "files/u1", "a/b.txt", "files/u2")


def link(policy: str, folder: str, name: str, others: str, **ask: Any) -> Vended:
    """A vend `download-url`."""
    return Vended(policy, "download-url", {"key": f"{folder}/{name}", **ask}, "GET", folder, name, others)


def own(vend: str, method: str) -> Vended:
    """The vends of the user's private files."""
    ask = {"key": "files/u1/a/b.txt", "method": method}
    return Vended("private-files", vend, ask, method, "files/u1", "a/b.txt", "files/u2")


def uploads(step: str, method: str, **ask: Any) -> Vended:
    """A step of the upload of a video."""
    ask = {"step": step, **VIDEO, **ask}
    return Vended("videos", "multipart", ask, method, "videos/u1", f"{UUID}.mp4", "videos/u2", "folder", step)


VIDEO = {"key": f"videos/u1/{UUID}.mp4"}
MP4 = {"Content-Type": "video/mp4"}
NO_SUCH = {"upload_id": "u"}  # what is allowed fails for want of it, and for nothing else
AVATAR = {"key": f"avatars/u1/{UUID}.png", "headers": PNG}
VENDED = {
    "avatars-url": Vended("avatars", "url", AVATAR, "PUT", "avatars/u1", f"{UUID}.png", "avatars/u2"),
    "avatars-signature": Vended("avatars", "signature", AVATAR, "PUT", "avatars/u1", f"{UUID}.png", "avatars/u2"),
    "avatar-download": link("avatar-download", "avatars/u1", f"{UUID}.png", "avatars/u2"),
    "downloads": link("downloads", "downloads", "a-1.0.zip", "files/u1"),
    "my-files-delete": Vended(
        "my-files-delete", "url", {"key": "files/u1/a/b.txt"}, "DELETE", "files/u1", "a/b.txt", "files/u2", "object"
    ),
    "private-files-get": own("url", "GET"),
    "private-files-head": own("url", "HEAD"),
    "private-files-download": link("private-files", "files/u1", "a/b.txt", "files/u2"),
    "reports": link("reports", "reports/acme", "2026-10.pdf", "reports/globex"),
    "user-folder-put": keys("PUT"),
    "user-folder-get": keys("GET"),
    "user-folder-head": keys("HEAD"),
    "user-folder-delete": keys("DELETE"),
    "videos-initiate": uploads("initiate", "POST", size=4, headers=MP4),
    "videos-part": uploads("parts", "PUT", size=4, parts={"from": 1, "to": 1}, **NO_SUCH),
    "videos-list": uploads("list", "GET", **NO_SUCH),
    "videos-complete": uploads("complete", "POST", **NO_SUCH),
    "videos-abort": uploads("abort", "DELETE", **NO_SUCH),
    "videos-form": Vended("videos", "form", {**VIDEO, "headers": MP4}, "POST", "videos/u1", f"{UUID}.mp4", "videos/u2"),
    "videos-confirm": Vended("videos", "confirm", VIDEO, "HEAD", "videos/u1", f"{UUID}.mp4", "videos/u2"),
}
STEPS = [row for row, vended in VENDED.items() if vended.step]


class Change(NamedTuple):
    """A request that differs from the one that was asked for; None and empty: as it was.

    Where keys are named, {folder}, {name} and {others} stand for the row's own. `without` are headers left out. With a
    method it is a request of its own, with these parameters alone; `fields` are a form's.
    """

    key: str | None = None
    method: str | None = None
    headers: Mapping[str, str] = NOTHING
    params: Mapping[str, str] = NOTHING
    without: tuple[str, ...] = ()
    body: bytes | None = None
    host: str = ""
    fields: Mapping[str, str] = NOTHING


def pictures(fileid: str, **more: str) -> Change:
    """A PUT that makes COS write a second object."""
    rule = {**PICTURE, "fileid": fileid, **more}
    return Change(headers={"Pic-Operations": json.dumps({"is_pic_info": 1, "rules": [rule]})})


KEYS = {
    "somebody-else": Change("{others}/{name}"),
    "parent": Change("{parent}{name}"),
    "sibling-digit": Change("{folder}0/{name}"),
    "sibling-letter": Change("{folder}x/{name}"),
    "shorter": Change("{shorter}/{name}"),
    "no-slash": Change("{folder}"),
    "glued": Change("{folder}{name}"),
    "suffix": Change("{folder}.png"),
    "other-case": Change("{upper}/{name}"),
    "leading-slash": Change("/{folder}/{name}"),
    "encoded-slash": Change("{folder}%2F{name}"),
    "backslash": Change("{folder}\\{name}"),
    "other-tree": Change("elsewhere/{folder}/{name}"),
    "star": Change("*"),
}
INSIDE = {
    "another-name": Change("{folder}/another"),
    "deeper": Change("{folder}/x/y/z"),
    "longer-name": Change("{folder}/{name}x"),
    "folder-itself": Change("{folder}/"),
    "star-inside": Change("{folder}/*"),
    "dot-segments": Change("{folder}/../{name}"),
}
METHODS = {f"method-{method}": Change(method=method) for method in ("PUT", "GET", "HEAD", "DELETE", "POST")}
SUB_RESOURCES = {
    "read-acl": Change(method="GET", params={"acl": ""}),
    "write-acl": Change(method="PUT", params={"acl": ""}),
    "write-acl-capitals": Change(method="PUT", params={"ACL": ""}),
    "read-tags": Change(method="GET", params={"tagging": ""}),
    "write-tags": Change(method="PUT", params={"tagging": ""}),
    "delete-tags": Change(method="DELETE", params={"tagging": ""}),
    "initiate": Change(method="POST", params={"uploads": ""}),
    "part": Change(method="PUT", params={"partNumber": "1", "uploadId": "u"}),
    "part-alone": Change(method="PUT", params={"partNumber": "1"}),
    "upload-alone": Change(method="PUT", params={"uploadId": "u"}),
    "complete": Change(method="POST", params={"uploadId": "u"}),
    "parts": Change(method="GET", params={"uploadId": "u"}),
    "abort": Change(method="DELETE", params={"uploadId": "u"}),
    "append": Change(method="POST", params={"append": "", "position": "0"}),
    "restore": Change(method="POST", params={"restore": ""}),
    "select": Change(method="POST", params={"select": "", "select-type": "2"}),
    "torrent": Change(method="GET", params={"torrent": ""}),
    "read-retention": Change(method="GET", params={"retention": ""}),
    "write-retention": Change(method="PUT", params={"retention": ""}),
    "symlink": Change(method="PUT", params={"symlink": ""}),
    "process": Change(method="POST", params={"image_process": ""}),
    "ci": Change(method="GET", params={"ci-process": "sensitive-content-recognition"}),
    "own-uploads": Change(params={"uploads": ""}),
}
BUCKETS = {
    "list": Change("", "GET"),
    "list-folder": Change("", "GET", params={"prefix": "{folder}/"}),
    "list-one": Change("", "GET", params={"prefix": "{folder}/{name}", "max-keys": "1"}),
    "list-versions": Change("", "GET", params={"versions": ""}),
    "list-uploads": Change("", "GET", params={"uploads": ""}),
    "list-uploads-folder": Change("", "GET", params={"uploads": "", "prefix": "{folder}/"}),
    "list-uploads-of-theirs": Change("", "GET", params={"uploads": "", "prefix": "{others}/"}),
    "bucket-exists": Change("", "HEAD"),
    "create-bucket": Change("", "PUT"),
    "delete-bucket": Change("", "DELETE"),
    "form": Change("", "POST"),
    "delete-many": Change("", "POST", params={"delete": ""}),
    "bucket-acl": Change("", "GET", params={"acl": ""}),
    "write-bucket-acl": Change("", "PUT", params={"acl": ""}),
    "bucket-policy": Change("", "GET", params={"policy": ""}),
    "write-bucket-policy": Change("", "PUT", params={"policy": ""}),
    "write-cors": Change("", "PUT", params={"cors": ""}),
    "lifecycle": Change("", "GET", params={"lifecycle": ""}),
    "other-bucket": Change(host="other-1250000000.cos.ap-guangzhou.myqcloud.com"),
    "longer-bucket": Change(host="examplebucket1-1250000000.cos.ap-guangzhou.myqcloud.com"),
}
OF_A_FORM = ("content-type", "content-length", "transfer-encoding")
WRITES = {
    "default-acl": Change(headers={"x-cos-acl": "default"}),
    "public-read": Change(headers={"x-cos-acl": "public-read"}),
    "public-read-capitals": Change(headers={"X-COS-ACL": "public-read"}),
    "public-read-write": Change(headers={"x-cos-acl": "public-read-write"}),
    "private": Change(headers={"x-cos-acl": "private"}),
    "authenticated-read": Change(headers={"x-cos-acl": "authenticated-read"}),
    "bucket-owner": Change(headers={"x-cos-acl": "bucket-owner-full-control"}),
    "grant-read": Change(headers={"x-cos-grant-read": 'id="100000000001"'}),
    "grant-write": Change(headers={"x-cos-grant-write": 'id="100000000001"'}),
    "grant-read-acp": Change(headers={"x-cos-grant-read-acp": 'id="100000000001"'}),
    "grant-write-acp": Change(headers={"x-cos-grant-write-acp": 'id="100000000001"'}),
    "grant-full-control": Change(headers={"x-cos-grant-full-control": 'id="100000000001"'}),
    "copy-of-theirs": Change(headers={"x-cos-copy-source": HERE + "/{others}/{name}"}),
    "copy-of-own": Change(headers={"x-cos-copy-source": HERE + "/{folder}/{name}"}),
    "copy-from-bucket": Change(headers={"x-cos-copy-source": "other-1250000000.cos.ap-guangzhou.myqcloud.com/{name}"}),
    "part-of-theirs": Change(
        headers={"x-cos-copy-source": HERE + "/{others}/{name}"}, params={"partNumber": "1", "uploadId": "u"}
    ),
    "picture-beside": pictures("small.png"),
    "picture-by-path": pictures("/{folder}/small.png"),
    "picture-of-theirs": pictures("/{others}/small.png"),
    "picture-at-root": pictures("/small.png"),
    "picture-in-bucket": pictures("small.png", bucket="other-1250000000"),
    "html": Change(headers={"Content-Type": "text/html"}),
    "svg": Change(headers={"Content-Type": "image/svg+xml"}),
    "type-parameter": Change(headers={"Content-Type": "image/png; charset=utf-8"}),
    "type-capitals": Change(headers={"Content-Type": "IMAGE/PNG"}),
    "no-type": Change(without=("Content-Type",)),
    "listed-type": Change(headers={"Content-Type": "image/webp"}),
    "longer": Change(headers={"Content-Length": "5000"}),
    "longest-avatar": Change(headers={"Content-Length": "5242880"}),
    "too-long-for-avatars": Change(headers={"Content-Length": "5242881"}),
    "longest-file": Change(headers={"Content-Length": "104857600"}),
    "too-long-for-files": Change(headers={"Content-Length": "104857601"}),
    "no-length": Change(
        headers={"Transfer-Encoding": "chunked"}, without=("Content-Length",), body=b"4\r\nmine\r\n0\r\n\r\n"
    ),
    "overwriting": Change(without=("x-cos-forbid-overwrite",)),
    "no-const": Change(without=("Cache-Control",)),
    "storage-class": Change(headers={"x-cos-storage-class": "ARCHIVE"}),
}
READS = {
    "version": Change(params={"versionId": "MTg0NDY3"}),
    "version-capitals": Change(params={"VERSIONID": "MTg0NDY3"}),
    "null-version": Change(params={"versionId": "null"}),
    "empty-version": Change(params={"versionId": ""}),
    "html": Change(params={"response-content-type": "text/html"}),
    "pdf": Change(params={"response-content-type": "application/pdf"}),
    "pdf-parameter": Change(params={"response-content-type": "application/pdf; charset=utf-8"}),
    "disposition": Change(params={"response-content-disposition": "inline"}),
    "image": Change(params={"imageMogr2/thumbnail/1x": ""}),
    "range": Change(headers={"Range": "bytes=0-0"}),
    "acl-header": Change(headers={"x-cos-acl": "public-read"}),
    "copy-header": Change(headers={"x-cos-copy-source": HERE + "/{others}/{name}"}),
}

# A form's request has the headers of a form; what is stored stands in its fields, which its signed policy names.
ON_FORMS = {
    name: change
    for name, change in WRITES.items()
    if not change.params and change.headers and all(head.lower() not in OF_A_FORM for head in change.headers)
}
FORMS = {
    "longest-video": Change(method="POST", headers={"Content-Length": str(2**31 + 65_536)}),
    "too-long-video": Change(method="POST", headers={"Content-Length": str(2**31 + 65_537)}),
    "field-acl": Change(fields={"acl": "public-read"}),
    "field-x-cos-acl": Change(fields={"x-cos-acl": "public-read"}),
    "field-grant": Change(fields={"x-cos-grant-read": 'id="100000000001"'}),
    "field-html": Change(fields={"Content-Type": "text/html"}),
    "field-overwriting": Change(fields={"x-cos-forbid-overwrite": "false"}),
    "field-storage-class": Change(fields={"x-cos-storage-class": "ARCHIVE"}),
    "field-metadata": Change(fields={"x-cos-meta-a": "b"}),
    "field-redirect": Change(fields={"success_action_redirect": "https://evil.example/"}),
    "field-status": Change(fields={"success_action_status": "200"}),
}

EVERYWHERE = KEYS | INSIDE | METHODS | SUB_RESOURCES | BUCKETS

# What the session policy lets through, and what holds it instead (or why nothing needs to).
OPEN_INSIDE = dict.fromkeys(
    INSIDE, "the credential is one for all keys below the folder; the signature names the one that was asked for"
)
OPEN_WRITES = {
    "default-acl": "it is the ACL that an object has without the header",
    "longer": "CAM holds max_bytes; the length that was asked for is signed",
    "overwriting": "CAM has no condition for it; x-cos-forbid-overwrite is signed",
    "no-const": "CAM has no condition for it; the header is signed",
    "storage-class": "not held: it costs money and opens nothing",
    "picture-beside": "written below the folder that the credential is for",
    "picture-by-path": "written below the folder that the credential is for",
}
OPEN_READS = {
    "empty-version": "it names no version",
    "disposition": "not held: COS has no condition for it",
    "image": "not held: the same picture, smaller",
    "range": "a part of what may be read",
    "acl-header": "COS reads it when an object is written",
    "copy-header": "COS reads it when an object is written",
}
ANY_TYPE = dict.fromkeys(
    ("html", "svg", "type-parameter", "type-capitals", "no-type", "listed-type"), "the policy lists no types"
)
NOT_OF_GET = dict.fromkeys(("html", "pdf", "pdf-parameter"), "only a GET has a response to rename the type of")
SELECT = {"select": "it reads the object that a GET reads, and its action is GetObject"}
AVATARS = (
    OPEN_INSIDE
    | OPEN_WRITES
    | {
        "method-PUT": "granted",
        "listed-type": "CAM holds the policy's types; the one that was asked for is signed",
        "longest-avatar": "max_bytes itself",
    }
)
GET = OPEN_INSIDE | OPEN_READS | SELECT | {"method-GET": "granted"}
FOLDER = OPEN_INSIDE | {f"method-{method}": "granted" for method in ("PUT", "GET", "HEAD", "DELETE")} | SELECT
OTHER_STEPS = dict.fromkeys(
    ("initiate", "part", "part-alone", "upload-alone", "complete", "parts", "abort", "own-uploads"),
    "a step of an upload of the principal's own: one credential is for all steps",
)
UPLOAD = OPEN_INSIDE | OTHER_STEPS
TYPES = ("html", "svg", "type-parameter", "type-capitals", "no-type", "listed-type")
LENGTHS = ("longer", "longest-avatar", "too-long-for-avatars", "longest-file", "too-long-for-files", "no-length")
NO_COPY = dict.fromkeys(
    ("copy-of-own", "copy-of-theirs", "copy-from-bucket"), "COS reads the header in a PUT; nothing is copied"
)
NO_PICTURE = dict.fromkeys(
    ("picture-beside", "picture-by-path", "picture-of-theirs", "picture-at-root", "picture-in-bucket"),
    "documented for PUT alone; whether COS reads it here, only COS can tell",
)
OF_PUTS = {name: OPEN_WRITES[name] for name in ("default-acl", "overwriting", "storage-class")} | {
    "no-const": "the policy has no Cache-Control to leave out"
}
OF_POSTS = (
    OF_PUTS
    | NO_COPY
    | NO_PICTURE
    | {"part-of-theirs": "a POST copies nothing, and is a step of the same credential"}
    | dict.fromkeys(LENGTHS, "the length of the request's own body; nothing of it is stored")
)
OF_STEPS = dict.fromkeys(
    (name for name in READS if name != "acl-header"), "the step answers with no object, and knows no such word"
)
OPEN = {
    "avatars-url": AVATARS,
    "avatars-signature": AVATARS,
    "avatar-download": GET,
    "downloads": GET,
    "my-files-delete": OPEN_READS | NOT_OF_GET | {"method-DELETE": "granted"},
    "private-files-get": GET,
    "private-files-head": OPEN_INSIDE | OPEN_READS | NOT_OF_GET | {"method-HEAD": "granted"},
    "private-files-download": GET,
    "reports": GET | {"pdf": "the policy declares it"},
    "user-folder-put": FOLDER
    | OPEN_WRITES
    | ANY_TYPE
    | dict.fromkeys(("longest-avatar", "too-long-for-avatars", "longest-file"), "up to max_bytes")
    | {"copy-of-own": "the credential holds PutObject and GetObject for both keys"},
    "user-folder-get": FOLDER | OPEN_READS,
    "user-folder-head": FOLDER | OPEN_READS | NOT_OF_GET,
    "user-folder-delete": FOLDER | OPEN_READS | NOT_OF_GET,
    "videos-initiate": UPLOAD
    | OF_POSTS
    | dict.fromkeys(TYPES, "CAM cannot hold it, since parts have none; the type that was asked for is signed"),
    "videos-part": UPLOAD
    | OF_PUTS
    | dict.fromkeys(TYPES, "the object's type is the one of `initiate`")
    | dict.fromkeys(LENGTHS, "CAM cannot hold it, since COS checks each part alone; the length of each is signed"),
    "videos-list": UPLOAD | OF_STEPS,
    "videos-complete": UPLOAD | OF_POSTS | dict.fromkeys(TYPES, "the object's type is the one of `initiate`"),
    "videos-abort": UPLOAD | OF_STEPS,
    "videos-form": OPEN_INSIDE
    | {"default-acl": OPEN_WRITES["default-acl"], "storage-class": OPEN_WRITES["storage-class"]}
    | NO_COPY
    | NO_PICTURE
    | dict.fromkeys(
        (name for name in FORMS if name.startswith("field-")),
        "CAM sees no fields; the form's policy names each that matters, and is signed",
    )
    | {"method-POST": "PostObject is the action of any POST", "longest-video": "max_bytes, and the form around it"},
    "videos-confirm": OPEN_INSIDE | OPEN_READS | NOT_OF_GET | {"method-HEAD": "granted"},
}


def changes(vended: Vended) -> dict[str, Change]:
    """Every change that is one for a method."""
    if vended.vend == "form":
        return EVERYWHERE | ON_FORMS | FORMS
    return EVERYWHERE | (WRITES if vended.method in ("PUT", "POST") else READS)


CASES = [pytest.param(row, name, id=f"{row}-{name}") for row, vended in VENDED.items() for name in changes(vended)]


class Use(NamedTuple):
    """One request, to be signed by whoever; with `fields` it is a form."""

    method: str
    key: str
    headers: dict[str, str]
    params: dict[str, str]
    body: bytes
    host: str
    fields: dict[str, str] | None = None


def grant(door, store, vended: Vended, **ask: str) -> dict[str, Any]:
    """What the broker vends."""
    if vended.vend == "confirm":
        store.put(f"{vended.folder}/{vended.name}")
    by = {} if vended.policy == "downloads" else door.bearer()
    return door.grant(f"{vended.policy}/{vended.vend}", {**(vended.ask or {}), **ask}, by=by)


def intended(vended: Vended, granted: dict[str, Any]) -> Use:
    """The request that was asked for."""
    secret = ("Authorization", "x-cos-security-token")
    request = granted["requests"][0] if vended.step else granted
    headers = {name: value for name, value in request.get("headers", {}).items() if name not in secret}
    params = PDF if vended.policy == "reports" else {}
    if vended.step:
        own = ("uploads", "uploadId", "partNumber")
        params = {name: value for name, value in query_of(request["url"]).items() if name in own}
    body = b"mine" if vended.method == "PUT" or vended.vend == "form" else b""
    fields = {name: granted["fields"][name] for name in FIELDS} if vended.vend == "form" else None
    return Use(vended.method, f"{vended.folder}/{vended.name}", headers, params, body, "", fields)


FIELDS = ("Content-Type", "x-cos-forbid-overwrite", "acl", "success_action_status")


def changed(use: Use, change: Change, vended: Vended) -> Use:
    """The request with one change; another method takes none of the headers along."""
    words = {
        "folder": vended.folder,
        "name": vended.name,
        "others": vended.others,
        "parent": vended.folder[: vended.folder.rfind("/") + 1],
        "shorter": vended.folder[:-1],
        "upper": vended.folder.capitalize(),
    }

    def filled(text: str) -> str:
        for word, value in words.items():
            text = text.replace(f"{{{word}}}", value)
        return text

    method, same = change.method or use.method, change.method in (None, use.method)
    kept = {name: value for name, value in use.headers.items() if same and name not in change.without}
    new = {name.lower() for name in change.headers}
    headers = {name: value for name, value in kept.items() if name.lower() not in new}
    headers |= {name: filled(value) for name, value in change.headers.items()}
    kept_params = use.params if change.method is None else {}
    params = kept_params | {name: filled(value) for name, value in change.params.items()}
    is_form = use.fields is not None and change.method is None and not params
    body = change.body if change.body is not None else b"mine" if method == "PUT" or is_form else b""
    key = use.key if change.key is None else filled(change.key)
    fields = {**(use.fields or {}), **change.fields} if is_form else None
    return Use(method, key, headers, params, body, change.host, fields)


def send(store, by: Key, use: Use):
    """The answer of COS to a use, signed by a key."""
    if use.fields is not None:
        return store.form(by, use.key, use.fields, headers=use.headers, body=use.body, host=use.host)
    return store.signed(by, use.method, use.key, headers=use.headers, params=use.params, body=use.body, host=use.host)


METHODS_OF_STEPS = {"initiate": "POST", "parts": "PUT", "list": "GET", "complete": "POST", "abort": "DELETE"}


def test_every_sample_is_in_the_table():
    """No sample, no vend and no method of one can be added without a row here."""
    rows = set()
    for path in (REPOSITORY / "policies").glob("*.json"):
        policy = json.loads(path.read_text(encoding="utf-8")) if path.name != SCHEMA_FILE else {"vends": []}
        for vend in policy["vends"]:
            own = {"download-url": ["GET"], "form": ["POST"], "confirm": ["HEAD"]}
            pairs = METHODS_OF_STEPS.items() if vend == "multipart" else (("", one) for one in own.get(vend, ()))
            pairs = list(pairs) or [("", method) for method in policy["methods"]]
            rows |= {(path.stem, vend, step, method) for step, method in pairs}
    assert {(one.policy, one.vend, one.step, one.method) for one in VENDED.values()} == rows


def test_every_row_is_reasoned():
    """The table of what is open names only rows and changes that there are."""
    assert set(OPEN) == set(VENDED)
    for row, open_ in OPEN.items():
        assert set(open_) <= set(changes(VENDED[row])), row
        assert all(open_.values())


@pytest.mark.parametrize("row", [row for row, vended in VENDED.items() if vended.policy != "videos"])
def test_grant(door, store, row):
    """What was asked for is done, by what was vended and by whoever signs with the credential behind it."""
    vended = VENDED[row]
    granted = grant(door, store, vended)
    use = intended(vended, granted)
    if vended.method != "PUT":
        store.put(use.key)
    if vended.vend != "credentials":
        target = granted["url"].removeprefix(store.emulator.url)
        assert (granted["method"], granted["key"]) == (use.method, use.key)
        headers = {"Host": store.host, **granted["headers"]}
        assert store.send(use.method, target, headers.items(), use.body).status in (200, 204)
        store.emulator.reset()
    assert send(store, store.key_behind(granted), use).status in (200, 204, 404)


@pytest.mark.parametrize("by_holder", [False, True], ids=["as-vended", "by-the-credential"])
def test_whole_upload(door, store, by_holder):
    """Every step of an upload is done, as it was vended and by whoever signs with the credential behind it."""
    key, upload_id, etag = VIDEO["key"], "", ""
    for row, status in (("initiate", 200), ("part", 200), ("list", 200), ("complete", 200)):
        vended = VENDED[f"videos-{row}"]
        granted = grant(door, store, vended, **({"upload_id": upload_id} if upload_id else {}))
        use = intended(vended, granted)._replace(body={"part": b"mine", "complete": manifest(etag)}.get(row, b""))
        answer = send(store, store.key_behind(granted), use) if by_holder else send_vended(store, granted, use.body)
        assert answer.status == status, answer.body
        upload_id = upload_id or re.search(rb"<UploadId>(\w+)<", answer.body)[1].decode()
        etag = answer.headers.get("etag") or etag
    stored = store.signed(Key(*ACCOUNT), "GET", key)
    assert (stored.body, stored.headers["content-type"]) == (b"mine", "video/mp4")
    vended, other = VENDED["videos-abort"], store.begin(key)
    granted = grant(door, store, vended, upload_id=other)
    sound = intended(vended, granted)
    answer = send(store, store.key_behind(granted), sound) if by_holder else send_vended(store, granted, b"")
    assert answer.status == 204
    assert send(store, Key(*ACCOUNT), sound).status == 404


def send_vended(store, granted: dict[str, Any], body: bytes):
    """The answer to the only request of a step."""
    (request,) = granted["requests"]
    headers = {"Host": store.host, **request["headers"]}
    if request["method"] == "POST":
        headers["Content-Length"] = str(len(body))
    return store.send(request["method"], request["url"].removeprefix(store.emulator.url), headers.items(), body)


def test_form_and_confirmation(door, store):
    """A form uploads what it is for, as vended and by its credential; a confirmation looks at it, and so does its."""
    form, confirmation = VENDED["videos-form"], VENDED["videos-confirm"]
    for by_holder in (False, True):
        store.emulator.reset()
        granted = grant(door, store, form)
        use = intended(form, granted)
        if by_holder:
            answer = send(store, store.key_behind(granted), use)
        else:
            answer = store.submit(granted["fields"].items(), b"mine", {"Host": store.host})
        assert answer.status == 204, answer.body
        stored = store.signed(Key(*ACCOUNT), "GET", VIDEO["key"])
        assert (stored.body, stored.headers["content-type"]) == (b"mine", "video/mp4")
    granted = grant(door, store, confirmation)
    assert (granted["content_length"], granted["key"]) == (4, VIDEO["key"])
    assert send(store, store.key_behind(granted), intended(confirmation, granted)).status == 200


@pytest.mark.parametrize(("row", "name"), CASES)
def test_change(door, store, row, name):
    """A request with one thing changed is denied by the session policy, or the table says why it need not be."""
    vended = VENDED[row]
    granted = grant(door, store, vended)
    by, sound = store.key_behind(granted), intended(vended, granted)
    use = changed(sound, changes(vended)[name], vended)
    answer = send(store, by, use)
    if name in OPEN[row]:
        assert answer.authorised, answer.body
        return
    assert answer.status == 403
    assert answer.code == ("" if use.method == "HEAD" else "AccessDenied")
    assert send(store, by, sound).status in (200, 204, 404)
    # Last, since a bucket of the account exists from its first request.
    twin = send(store, Key(*ACCOUNT), use)
    assert twin.authorised, twin.body


@pytest.mark.parametrize(
    ("row", "name"),
    [
        ("avatars-url", "somebody-else"),
        ("avatars-url", "public-read"),
        ("avatars-signature", "html"),
        ("avatars-signature", "method-DELETE"),
        ("avatar-download", "sibling-digit"),
        ("downloads", "somebody-else"),
        ("my-files-delete", "another-name"),
        ("private-files-get", "version"),
        ("private-files-download", "read-acl"),
        ("reports", "somebody-else"),
        ("reports", "html"),
        ("user-folder-put", "copy-of-theirs"),
        ("user-folder-get", "list-folder"),
        ("user-folder-delete", "somebody-else"),
        ("videos-initiate", "public-read"),
        ("videos-initiate", "grant-full-control"),
        ("videos-part", "somebody-else"),
        ("videos-part", "copy-of-own"),
        ("videos-list", "list-uploads-folder"),
        ("videos-complete", "sibling-digit"),
        ("videos-complete", "method-POST"),
        ("videos-abort", "method-DELETE"),
    ],
)
def test_signed_by_the_official_sdk(door, store, officially_signed, row, name):
    """The official SDK's own signature opens no more: it is denied the same, and allowed what was asked for."""
    vended = VENDED[row]
    granted = grant(door, store, vended)
    by, sound = store.key_behind(granted), intended(vended, granted)

    def ask(use: Use) -> requests.Response:
        # The SDK takes the path from its own argument, and the token as a header.
        target = f"{store.emulator.url}/{use.key}"
        headers = {**use.headers, "x-cos-security-token": by.token}
        auth = officially_signed(by, use.key, use.params)
        with requests.Session() as session:
            session.trust_env = False
            return session.request(
                use.method, target, headers=headers, params=use.params, data=use.body, auth=auth, timeout=10
            )

    refused = ask(changed(sound, changes(vended)[name], vended))
    assert (refused.status_code, "<Code>AccessDenied</Code>" in refused.text) == (403, True)
    assert ask(sound).status_code in (200, 204, 404)


@pytest.mark.parametrize(
    ("policy", "vend", "wrong", "code"),
    [
        ("avatars", "url", {"key": f"avatars/u2/{UUID}.png"}, "key_not_allowed"),
        ("avatars", "url", {"key": f"avatars/{{sub}}0/{UUID}.png"}, "key_not_allowed"),
        ("avatars", "url", {"method": "GET"}, "method_not_allowed_by_policy"),
        ("avatars", "url", {"headers": {**PNG, "Content-Type": "text/html"}}, "content_type_not_allowed"),
        ("avatars", "url", {"headers": {**PNG, "Content-Length": "5242881"}}, "content_too_large"),
        ("avatars", "signature", {"headers": {**PNG, "x-cos-acl": "public-read"}}, "header_not_allowed"),
        ("avatars", "signature", {"headers": {**PNG, "x-cos-copy-source": "a"}}, "header_not_allowed"),
        ("avatars", "signature", {"headers": {**PNG, "Pic-Operations": "{}"}}, "header_not_allowed"),
        ("avatars", "url", {"params": {"acl": ""}}, "param_not_allowed"),
        ("avatars", "url", {"bucket": "other-1250000000"}, "bucket_not_allowed"),
        ("avatar-download", "download-url", {"key": f"avatars/{{sub}}x/{UUID}.png"}, "key_not_allowed"),
        ("avatar-download", "download-url", {"params": {"versionId": "1"}}, "param_not_allowed"),
        ("downloads", "download-url", {"key": "files/u1/a.txt"}, "key_not_allowed"),
        ("downloads", "download-url", {"params": {"response-content-type": "text/html"}}, "param_not_allowed"),
        ("my-files-delete", "url", {"key": "files/u2/a.txt"}, "key_not_allowed"),
        ("my-files-delete", "url", {"method": "GET"}, "method_not_allowed_by_policy"),
        ("private-files", "url", {"key": "files/{sub}/../u2/a.txt"}, "key_not_allowed"),
        ("private-files", "url", {"key": "files/{sub}"}, "key_not_allowed"),
        ("private-files", "url", {"method": "DELETE"}, "method_not_allowed_by_policy"),
        ("private-files", "download-url", {"key": "files/{sub}x/a.txt"}, "key_not_allowed"),
        ("private-files", "download-url", {"params": {"uploads": ""}}, "param_not_allowed"),
        ("reports", "download-url", {"key": "reports/globex/2026-10.pdf"}, "key_not_allowed"),
        ("reports", "download-url", {"params": {"response-content-type": "text/html"}}, "param_not_allowed"),
        ("user-folder", "credentials", {"bucket": "other-1250000000"}, "bucket_not_allowed"),
        ("videos", "multipart", {"key": f"videos/u2/{UUID}.mp4"}, "key_not_allowed"),
        ("videos", "multipart", {"key": f"videos/{{sub}}0/{UUID}.mp4"}, "key_not_allowed"),
        ("videos", "multipart", {"headers": {"Content-Type": "text/html"}}, "content_type_not_allowed"),
        ("videos", "multipart", {"headers": {**MP4, "x-cos-acl": "public-read"}}, "header_not_allowed"),
        ("videos", "multipart", {"size": 2**31 + 1}, "content_too_large"),
        ("videos", "form", {"key": f"videos/{{sub}}/../u2/{UUID}.mp4"}, "key_not_allowed"),
        ("videos", "form", {"headers": {**MP4, "acl": "public-read"}}, "header_not_allowed"),
        ("videos", "form", {"headers": {"Content-Type": "text/html"}}, "content_type_not_allowed"),
        ("videos", "confirm", {"key": f"videos/u2/{UUID}.mp4"}, "key_not_allowed"),
        ("videos", "confirm", {"bucket": "other-1250000000"}, "bucket_not_allowed"),
    ],
)
def test_first_lock(door, policy, vend, wrong, code, request):
    """What the policy forbids is refused before STS hears of it; without that one thing, the ask is granted."""
    asks = {
        "avatars": {"key": f"avatars/{{sub}}/{UUID}.png", "headers": PNG},
        "avatar-download": {"key": f"avatars/{{sub}}/{UUID}.png"},
        "downloads": {"key": "downloads/a-1.0.zip"},
        "my-files-delete": {"key": "files/{sub}/a.txt"},
        "private-files": {"key": "files/{sub}/a.txt"},
        "reports": {"key": "reports/{sub}/2026-10.pdf"},
        "user-folder": {},
        "videos": {"key": f"videos/{{sub}}/{UUID}.mp4"},
    }
    more = {
        ("private-files", "url"): {"method": "GET"},
        ("videos", "multipart"): {"step": "initiate", "size": 4, "headers": MP4},
        ("videos", "form"): {"headers": MP4},
    }
    # Somebody whom STS has given nothing yet.
    sub = f"u{crc32(request.node.name.encode())}"
    sound = {**asks[policy], **more.get((policy, vend), {})}
    by = door.bearer(sub, tenant=sub)

    def filled(ask: dict[str, Any]) -> dict[str, Any]:
        return {name: value.replace("{sub}", sub) if name == "key" else value for name, value in ask.items()}

    answer = door.ask(f"{policy}/{vend}", filled({**sound, **wrong}), by=by)
    assert (answer.status_code, answer.json["code"], door.sts_calls()) == (422, code, 0)
    assert door.emulator.stats()["cos"] == {}
    granted = door.ask(f"{policy}/{vend}", filled(sound), by=by)
    # Of an object that is not there, who may look is told so.
    assert granted.status_code == (404 if vend == "confirm" else 200), granted.json
    assert door.sts_calls() == 1 or policy == "downloads"  # one credential for everybody


def test_dot_segments_stay_inside(door, store):
    """A key with `..` is a name like any other below the folder: the object that it seems to mean is untouched."""
    vended = VENDED["user-folder-put"]
    store.put("files/u2/b.txt", b"theirs")
    by = store.key_behind(grant(door, store, vended))
    assert store.signed(by, "PUT", "files/u1/../u2/b.txt", body=b"changed").status == 200
    assert store.signed(Key(*ACCOUNT), "GET", "files/u2/b.txt").body == b"theirs"
    assert store.signed(by, "GET", "files/u2/b.txt").code == "AccessDenied"


def test_filename(door, store):
    """A name to save under is part of what is signed; the session policy has no word for it."""
    ask = {"key": "reports/acme/2026-10.pdf", "filename": "October.pdf"}
    granted = door.grant("reports/download-url", ask)
    assert query_of(granted["url"])["response-content-disposition"] == 'attachment; filename="October.pdf"'
    store.put(ask["key"])
    by = store.key_behind(granted)
    answer = store.signed(by, "GET", ask["key"], params={"response-content-disposition": "inline"})
    assert (answer.status, answer.headers["content-disposition"]) == (200, "inline")
