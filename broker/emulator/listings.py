"""Listings: the objects of a bucket, its uploads in the making, the parts of one of them; a page at a time.

Specification: https://cloud.tencent.com/document/product/436/7734 (GET Bucket), /7736 (List Multipart Uploads),
/7747 (List Parts)
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Generic, TypeAlias, TypeVar
from urllib.parse import quote

from werkzeug.wrappers import Response

from broker.cos import requests
from broker.emulator import markup
from broker.emulator.objects import Objects, Stored
from broker.emulator.received import Received
from broker.emulator.refusals import CosError
from broker.emulator.uploads import Upload

MAX_ENTRIES = 1_000
One = TypeVar("One")
Elements: TypeAlias = list[tuple[str, "str | markup.Children"]]


@dataclass(frozen=True, slots=True)
class _Page(Generic[One]):
    """Entries and common prefixes; `last` is the name of the last of both if there are more, else ""."""

    entries: list[tuple[str, One]]
    prefixes: list[str]
    last: str


def objects(stored: Objects, received: Received) -> Response:
    """ListBucketResult."""
    limit, marker = _limit(received, "max-keys"), received.params.get("marker", "")
    later = ((key, one) for key, one in stored.of(received.place.bucket) if key > marker)
    page = _page(later, received, marker, limit)
    children: Elements = [("Name", received.place.bucket), *_asked(received, "prefix", "delimiter", "marker")]
    children += [("MaxKeys", str(limit)), ("IsTruncated", _truth(page.last))]
    children += [("NextMarker", _written(page.last, received))] if page.last else []
    children += [("Contents", _object(key, one, received)) for key, one in page.entries]
    return markup.response("ListBucketResult", children + _common(page.prefixes, received))


def uploads(begun: list[Upload], received: Received) -> Response:
    """ListMultipartUploadsResult."""
    limit, marker = _limit(received, "max-uploads"), received.params.get("key-marker", "")
    id_marker = received.params.get("upload-id-marker", "")
    after = (marker, id_marker or "~")  # no id comes after a tilde: without one, all of the marker's key are past
    later = ((upload.key, upload) for upload in begun if (upload.key, upload.id) > after)
    page = _page(later, received, marker, limit)
    children: Elements = [("Bucket", received.place.bucket), *_asked(received, "prefix", "delimiter")]
    children += [("KeyMarker", _written(marker, received)), ("UploadIdMarker", id_marker)]
    children += [("MaxUploads", str(limit)), ("IsTruncated", _truth(page.last))]
    if page.last:
        last_id = next((upload.id for key, upload in reversed(page.entries) if key == page.last), "")
        children += [("NextKeyMarker", _written(page.last, received)), ("NextUploadIdMarker", last_id)]
    children += [("Upload", _upload(upload, received)) for _, upload in page.entries]
    return markup.response("ListMultipartUploadsResult", children + _common(page.prefixes, received))


def parts(upload: Upload, received: Received) -> Response:
    """ListPartsResult."""
    limit, marker = _limit(received, "max-parts"), _whole_number(received, "part-number-marker", 0)
    later = sorted(number for number in upload.parts if number > marker)
    shown = later[:limit]
    last = str(shown[-1]) if shown and len(shown) < len(later) else ""
    children: Elements = [("Bucket", upload.bucket), *_asked(received), ("Key", _written(upload.key, received))]
    children += [("UploadId", upload.id), *_kept_by(received), ("PartNumberMarker", str(marker))]
    children += [("MaxParts", str(limit)), ("IsTruncated", _truth(last))]
    children += [("NextPartNumberMarker", last)] if last else []
    children += [("Part", _part(number, upload.parts[number])) for number in shown]
    return markup.response("ListPartsResult", children)


def _object(key: str, stored: Stored, received: Received) -> Elements:
    return [
        ("Key", _written(key, received)),
        ("LastModified", _instant(stored.modified_at)),
        ("ETag", stored.etag),
        ("Size", str(len(stored.body))),
        ("Owner", _account(received)),
        ("StorageClass", "STANDARD"),
    ]


def _upload(upload: Upload, received: Received) -> Elements:
    named: Elements = [("Key", _written(upload.key, received)), ("UploadId", upload.id)]
    return [*named, *_kept_by(received), ("Initiated", _instant(upload.begun_at))]


def _part(number: int, part: Stored) -> Elements:
    told: Elements = [("PartNumber", str(number)), ("LastModified", _instant(part.modified_at))]
    return [*told, ("ETag", part.etag), ("Size", str(len(part.body)))]


def _page(later: Iterable[tuple[str, One]], received: Received, marker: str, limit: int) -> _Page[One]:
    prefix, delimiter = received.params.get("prefix", ""), received.params.get("delimiter", "")
    entries: list[tuple[str, One]] = []
    prefixes: list[str] = []
    last = ""
    for name, one in later:
        if not name.startswith(prefix):
            continue
        head, found, _ = name[len(prefix) :].partition(delimiter) if delimiter else ("", "", "")
        common = prefix + head + found if found else ""
        if common and common in (marker, *prefixes[-1:]):
            continue
        if len(entries) + len(prefixes) == limit:
            return _Page(entries, prefixes, last)
        last = common or name
        if common:
            prefixes.append(common)
        else:
            entries.append((name, one))
    return _Page(entries, prefixes, "")


def _limit(received: Received, name: str) -> int:
    return min(_whole_number(received, name, MAX_ENTRIES), MAX_ENTRIES)


def _whole_number(received: Received, name: str, default: int) -> int:
    text = received.params.get(name, str(default))
    if not re.fullmatch(r"[0-9]{1,9}", text):
        raise CosError("InvalidArgument", f"{name} must be an integer, got {text!r}.")
    return int(text)


def _asked(received: Received, *names: str) -> Elements:
    """What the request asked for, as answers repeat it."""
    encoding: Elements = [("EncodingType", "url")] if _is_encoded(received) else []
    return encoding + [(name.title(), _written(received.params.get(name, ""), received)) for name in names]


def _is_encoded(received: Received) -> bool:
    kind = received.params.get("encoding-type", "")
    if kind not in ("", "url"):
        raise CosError("InvalidArgument", f"encoding-type must be url, got {kind!r}.")
    return kind == "url"


def _written(name: str, received: Received) -> str:
    return quote(name, safe="/") if _is_encoded(received) else name


def _common(prefixes: list[str], received: Received) -> Elements:
    return [("CommonPrefixes", [("Prefix", _written(prefix, received))]) for prefix in prefixes]


def _kept_by(received: Received) -> Elements:
    return [("Initiator", _account(received)), ("Owner", _account(received)), ("StorageClass", "STANDARD")]


def _account(received: Received) -> Elements:
    account = requests.appid(received.place.bucket)
    return [("ID", account), ("DisplayName", account)]


def _instant(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")


def _truth(last: str) -> str:
    return "true" if last else "false"
