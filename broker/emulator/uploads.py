"""Multipart uploads that have begun and not ended, in memory or in the objects' folder.

In a folder an upload is a file `BUCKET/ID.upload`, whose head has key, headers and time, and each of its parts a file
`BUCKET/ID.NUMBER.part`, whose head has time and ETag.
"""

from __future__ import annotations

import re
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from broker.emulator import files
from broker.emulator.objects import Stored

_PART = re.compile(r"[0-9]+[0-9a-f]{64}\.[0-9]+\.part")


@dataclass(frozen=True, slots=True)
class Upload:
    """One upload. `headers` will be the object's; `overwrite`: whether it may replace one; `begun_at` in Unix seconds.

    `parts` are by number.
    """

    id: str
    bucket: str
    key: str
    headers: Mapping[str, str]
    overwrite: bool
    begun_at: int
    parts: Mapping[int, Stored] = field(default_factory=dict)


class Uploads:
    """All uploads in the making. With a folder they survive a restart."""

    def __init__(self, folder: Path | None) -> None:
        self._lock = threading.Lock()
        self._folder = folder
        self._uploads = _load(folder) if folder else {}

    def buckets(self) -> list[str]:
        """The buckets that uploads go to."""
        with self._lock:
            return sorted({upload.bucket for upload in self._uploads.values()})

    def of(self, bucket: str) -> list[Upload]:
        """A bucket's uploads by key, those of one key from the oldest to the newest."""
        with self._lock:
            found = [upload for upload in self._uploads.values() if upload.bucket == bucket]
        return sorted(found, key=lambda upload: (upload.key, upload.id))

    def find(self, bucket: str, key: str, upload_id: str) -> Upload | None:
        """The upload of this id if it goes to this key, with its parts up to now."""
        with self._lock:
            upload = self._uploads.get(upload_id)
        return upload if upload and (upload.bucket, upload.key) == (bucket, key) else None

    def begin(self, bucket: str, key: str, headers: Mapping[str, str], overwrite: bool, now: int) -> Upload:
        """A new upload, with an id in the shape of COS's: the time, then 64 hex digits."""
        upload = Upload(f"{now}{secrets.token_hex(32)}", bucket, key, headers, overwrite, now)
        with self._lock:
            if self._folder:
                head = {"key": key, "headers": dict(headers), "overwrite": overwrite, "begun_at": now}
                files.write(_path(self._folder, upload), head, b"")
            self._uploads[upload.id] = upload
        return upload

    def add(self, upload: Upload, number: int, part: Stored) -> bool:
        """Store a part, in place of an earlier one of its number; False if the upload has ended meanwhile."""
        with self._lock:
            current = self._uploads.get(upload.id)
            if current is None:
                return False
            if self._folder:
                head = {"modified_at": part.modified_at, "etag": part.etag}
                files.write(_path(self._folder, upload, number), head, part.body)
            self._uploads[upload.id] = replace(current, parts={**current.parts, number: part})
            return True

    def end(self, upload: Upload) -> None:
        """Forget an upload and its parts."""
        with self._lock:
            self._remove(upload.id)

    def clear(self) -> None:
        """Forget every upload."""
        with self._lock:
            for upload_id in list(self._uploads):
                self._remove(upload_id)

    def _remove(self, upload_id: str) -> None:
        upload = self._uploads.pop(upload_id, None)
        if upload and self._folder:
            # The upload first: parts without one are swept at the next start.
            _path(self._folder, upload).unlink(missing_ok=True)
            for number in upload.parts:
                _path(self._folder, upload, number).unlink(missing_ok=True)


def _path(folder: Path, upload: Upload, number: int | None = None) -> Path:
    return folder / upload.bucket / (f"{upload.id}.upload" if number is None else f"{upload.id}.{number}.part")


def _load(folder: Path) -> dict[str, Upload]:
    found: dict[str, Upload] = {}
    for path in sorted(folder.glob("*/*.upload")):
        head = files.read(path, _upload_of)
        found[path.stem] = replace(head, id=path.stem, bucket=path.parent.name)
    for path in sorted(folder.glob("*/*.part")):
        upload_id, _, number = path.stem.partition(".")
        if (upload := found.get(upload_id)) and number.isdecimal():
            part = files.read(path, _part_of)
            found[upload_id] = replace(upload, parts={**upload.parts, int(number): part})
        elif _PART.fullmatch(path.name):  # its upload ended, and the emulator with it
            path.unlink()
    return found


def _upload_of(head: Mapping[str, Any], _: bytes) -> Upload:
    return Upload("", "", str(head["key"]), dict(head["headers"]), bool(head["overwrite"]), int(head["begun_at"]))


def _part_of(head: Mapping[str, Any], body: bytes) -> Stored:
    return Stored(body, {}, int(head["modified_at"]), str(head["etag"]))
