"""The list of parts that completes a multipart upload: read from its XML, and held against the parts that came.

Specification: "Complete Multipart Upload", https://cloud.tencent.com/document/product/436/7742
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise
from typing import NamedTuple
from xml.etree import ElementTree

from broker.emulator.objects import Stored
from broker.emulator.refusals import CosError

MAX_PARTS = 10_000
MIN_PART_BYTES = 1024**2
_MAX_BYTES = 4 * 1024**2


class Entry(NamedTuple):
    """One part as its caller names it; `etag` is without quotes."""

    number: int
    etag: str


def parse(body: bytes) -> list[Entry]:
    """The parts that a `CompleteMultipartUpload` document names, in its order."""
    # A document type could define entities that grow when they are read; COS's schema has none.
    if len(body) > _MAX_BYTES or b"<!" in body:
        raise CosError("MalformedXML")
    try:
        root = ElementTree.fromstring(body.decode())  # noqa: S314  without a document type there is nothing to expand
    except (ElementTree.ParseError, ValueError) as error:
        raise CosError("MalformedXML") from error
    entries = [_entry(part) for part in root]
    if _bare(root.tag) != "CompleteMultipartUpload" or not 1 <= len(entries) <= MAX_PARTS:
        raise CosError("MalformedXML")
    return entries


def chosen(entries: list[Entry], parts: Mapping[int, Stored]) -> list[Stored]:
    """The parts that make the object; each is there, they ascend, and all but the last have their least size."""
    if any(later.number <= earlier.number for earlier, later in pairwise(entries)):
        raise CosError("InvalidPartOrder")
    found = [parts.get(entry.number) for entry in entries]
    sound = [part for part, entry in zip(found, entries, strict=True) if part and part.etag.strip('"') == entry.etag]
    if len(sound) != len(entries):
        raise CosError("InvalidPart")
    if any(len(part.body) < MIN_PART_BYTES for part in sound[:-1]):
        raise CosError("EntityTooSmall", f"Every part but the last has at least {MIN_PART_BYTES} bytes.")
    return sound


def _entry(part: ElementTree.Element) -> Entry:
    members = {_bare(member.tag): (member.text or "").strip() for member in part}
    number = members.get("PartNumber", "")
    if _bare(part.tag) != "Part" or not re.fullmatch(r"[0-9]{1,9}", number) or "ETag" not in members:
        raise CosError("MalformedXML")
    return Entry(int(number), members["ETag"].strip('"'))


def _bare(tag: str) -> str:
    return tag.rpartition("}")[2]
