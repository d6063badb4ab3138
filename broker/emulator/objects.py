"""The objects, in memory or in a folder.

In a folder each object is one file, `BUCKET/SHA-256 of the key.object`, whose head has key, stored headers, time and
ETag. No part of a key ever becomes part of a path.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from broker.emulator import files


@dataclass(frozen=True, slots=True)
class Stored:
    """One object. `headers` are those that come back with it; `modified_at` is in Unix seconds; `etag` has quotes."""

    body: bytes
    headers: Mapping[str, str]
    modified_at: int
    etag: str


def simple_etag(body: bytes) -> str:
    """The ETag of an object that came in one piece: its MD5, in quotes."""
    return f'"{hashlib.md5(body, usedforsecurity=False).hexdigest()}"'


class Objects:
    """All objects by bucket and key. With a folder they survive a restart."""

    def __init__(self, folder: Path | None) -> None:
        self._lock = threading.Lock()
        self._folder = folder
        if folder:
            files.make(folder)
        self._objects = _load(folder) if folder else {}

    def buckets(self) -> list[str]:
        """The buckets that hold objects."""
        with self._lock:
            return sorted({bucket for bucket, _ in self._objects})

    def of(self, bucket: str) -> list[tuple[str, Stored]]:
        """Every (key, object) of a bucket, by key in UTF-8 order, which is Python's own."""
        with self._lock:
            return sorted(
                ((key, one) for (of, key), one in self._objects.items() if of == bucket), key=lambda pair: pair[0]
            )

    def find(self, bucket: str, key: str) -> Stored | None:
        """The object, or None."""
        with self._lock:
            return self._objects.get((bucket, key))

    def put(self, bucket: str, key: str, stored: Stored, *, overwrite: bool) -> bool:
        """Store it; False, and nothing changed, if it exists and may not be overwritten."""
        with self._lock:
            if not overwrite and (bucket, key) in self._objects:
                return False
            if self._folder:
                _write(_path(self._folder, bucket, key), key, stored)
            self._objects[bucket, key] = stored
            return True

    def delete(self, bucket: str, key: str) -> None:
        """Remove it; removing what does not exist is no error, in COS either."""
        with self._lock:
            if self._folder:
                _path(self._folder, bucket, key).unlink(missing_ok=True)
            self._objects.pop((bucket, key), None)

    def clear(self) -> None:
        """Remove every object."""
        with self._lock:
            if self._folder:
                for bucket, key in self._objects:
                    _path(self._folder, bucket, key).unlink(missing_ok=True)
            self._objects.clear()


def _path(folder: Path, bucket: str, key: str) -> Path:
    return folder / bucket / f"{hashlib.sha256(key.encode()).hexdigest()}.object"


def _write(path: Path, key: str, stored: Stored) -> None:
    head = {
        "key": key,
        "headers": dict(stored.headers),
        "modified_at": stored.modified_at,
        "etag": stored.etag,
    }
    files.write(path, head, stored.body)


def _load(folder: Path) -> dict[tuple[str, str], Stored]:
    found = {}
    for path in sorted(folder.glob("*/*.object")):
        key, stored = files.read(path, _understand)
        found[path.parent.name, key] = stored
    return found


def _understand(head: Mapping[str, Any], body: bytes) -> tuple[str, Stored]:
    return str(head["key"]), Stored(body, dict(head["headers"]), int(head["modified_at"]), str(head["etag"]))
