"""A stretch of a file as the body of a request: read block by block, never held whole."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO

from broker.client.errors import LocalFileError

_BLOCK_BYTES = 1 << 16
Sent = Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Source:
    """A file as it was when an upload began: `size` in bytes, `modified_ns` in nanoseconds of Unix time."""

    path: Path
    size: int
    modified_ns: int

    def check(self) -> None:
        """Raise LocalFileError if the file is another one by now."""
        if source(self.path) != self:
            raise LocalFileError(f"{self.path} has changed since the upload began")


def source(path: str | os.PathLike[str]) -> Source:
    """The file at a path. Raises LocalFileError if it is none that can be read twice (a pipe, a device)."""
    file = Path(path)
    try:
        status = file.stat()
    except OSError as error:
        raise LocalFileError(f"{file} cannot be read: {error.strerror}") from error
    if not file.is_file():
        raise LocalFileError(f"{file} is no regular file: what is sent must be readable a second time")
    return Source(file, status.st_size, status.st_mtime_ns)


class Slice:
    """`length` bytes of a file from `start`, for one request; `sent` is told the size of every block that is read.

    `withdraw` tells `sent` the negative of all that, for a request that failed. `failure` is what `sent` raised.
    """

    def __init__(self, origin: Source, start: int, length: int, sent: Sent) -> None:
        self._origin = origin
        self._length = length
        self._left = length
        self._sent = sent
        self.failure: OSError | None = None
        try:
            self._file: IO[bytes] = origin.path.open("rb")
            self._file.seek(start)
        except OSError as error:
            raise LocalFileError(f"{origin.path} cannot be read: {error.strerror}") from error

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        while block := self.read():
            yield block

    def __enter__(self) -> Slice:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def read(self, size: int = _BLOCK_BYTES) -> bytes:
        """The next block, empty at the end. Raises LocalFileError if the file ends too early."""
        wanted = min(size if size >= 0 else _BLOCK_BYTES, self._left)
        if not wanted:
            return b""
        try:
            block = self._file.read(wanted)
        except OSError as error:
            raise LocalFileError(f"{self._origin.path} cannot be read: {error.strerror}") from error
        if not block:
            raise LocalFileError(f"{self._origin.path} has become shorter since the upload began")
        self._left -= len(block)
        try:
            self._sent(len(block))
        except OSError as error:  # the callback's own, which must not pass for one of the connection
            self.failure = error
            raise
        return block

    def withdraw(self) -> None:
        """Take back what was reported as sent."""
        self._sent(self._left - self._length)


def md5_of(origin: Source, start: int, length: int) -> str:
    """The MD5 of a stretch in hex: the ETag that COS gives a part, or an object sent in one piece."""
    digest = hashlib.md5(usedforsecurity=False)
    with Slice(origin, start, length, lambda count: None) as stretch:
        for block in stretch:
            digest.update(block)
    return digest.hexdigest()
