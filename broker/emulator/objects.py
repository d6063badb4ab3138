"""The objects, in memory or in a folder.

In a folder each object is one file, `BUCKET/SHA-256 of the key.object`: a line of JSON (key, stored headers, time,
ETag), then the bytes. No part of a key ever becomes part of a path.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from broker.errors import ConfigurationError, Problem


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
            _make(folder)
        self._objects = _load(folder) if folder else {}

    def buckets(self) -> list[str]:
        """The buckets that hold objects."""
        with self._lock:
            return sorted({bucket for bucket, _ in self._objects})

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
    # NOTE: the layout of the files that --data keeps; older folders must stay readable.
    head = {
        "key": key,
        "headers": dict(stored.headers),
        "modified_at": stored.modified_at,
        "etag": stored.etag,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, unfinished = tempfile.mkstemp(dir=path.parent, suffix=".unfinished")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(json.dumps(head).encode() + b"\n")
            file.write(stored.body)
            file.flush()
            os.fsync(file.fileno())
        Path(unfinished).replace(path)
    except BaseException:
        Path(unfinished).unlink(missing_ok=True)
        raise


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError([Problem(str(folder), "", f"cannot be made: {error.strerror}")]) from None


def _load(folder: Path) -> dict[tuple[str, str], Stored]:
    found = {}
    for path in sorted(folder.glob("*/*.object")):
        try:
            with path.open("rb") as file:
                head = json.loads(file.readline())
                stored = Stored(file.read(), dict(head["headers"]), int(head["modified_at"]), str(head["etag"]))
            found[path.parent.name, str(head["key"])] = stored
        except (OSError, ValueError, KeyError, TypeError) as error:
            problem = Problem(str(path), "", f"is not an object that the emulator wrote ({error!r}); remove it")
            raise ConfigurationError([problem]) from error
    return found
