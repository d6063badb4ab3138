"""One object -> one file: streamed beside the target, and renamed to it when whole.

A connection that breaks is taken up where it broke, if the route takes `Range` and COS still has the same object
(ETag); else from the start.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from broker.client.answers import RouteDescription, SignedUrl
from broker.client.errors import BrokerClientError, LocalFileError, NetworkError, Refused, StoreError
from broker.client.patience import worth_repeating
from broker.client.sending import Response, blocks
from broker.client.store import PARTY
from broker.client.uploads import Progress, Tools


@dataclass(frozen=True, slots=True)
class Download:
    """What was downloaded to `path`: the bytes as COS stores them, whatever their Content-Encoding."""

    path: Path
    key: str
    size: int
    etag: str
    content_type: str


class Fetch:
    """One download on its way into an open file."""

    def __init__(
        self,
        tools: Tools,
        route: str,
        key: str,
        description: RouteDescription | None,
        file: IO[bytes],
        progress: Progress | None,
    ) -> None:
        self._tools = tools
        self._route = route
        self._key = key
        self._by_link = description is None or "download-url" in description.vends
        self._takes_range = description is not None and description.takes_header("Range")
        self._file = file
        self._progress = progress
        self._have = 0
        self._total = 0
        self._etag = self._content_type = ""

    def run(self, target: Path) -> Download:
        """The download, once whole. Raises BrokerClientError."""
        failures = farthest = 0
        while True:
            try:
                self._go_on()
                return Download(target, self._key, self._have, self._etag, self._content_type)
            except BrokerClientError as error:
                # Tries are counted from the farthest byte on: long files may break more often than short ones.
                failures = 0 if self._have > farthest else failures + 1
                farthest = max(farthest, self._have)
                if failures >= self._tools.patience.tries or not (
                    worth_repeating(error) or self._starts_over_after(error)
                ):
                    raise
            self._tools.patience.pause(failures)

    def _starts_over_after(self, error: BrokerClientError) -> bool:
        """Whether the object ends before the place to go on from; then it is another one, and read from its start."""
        if not (self._have and isinstance(error, StoreError) and error.status == 416):
            return False
        self._start_over()
        return True

    def _go_on(self) -> None:
        if not (self._have and self._etag and self._takes_range):
            self._start_over()
        with self._tools.store.open("GetObject", self._url()) as response:
            if not self._continues(response):
                self._start_over()
                if response.status_code == 206:
                    raise NetworkError(PARTY, "ObjectChanged")
            self._meet(response)
            for block in blocks(PARTY, response):
                self._write(block)
        if self._have != self._total:
            raise NetworkError(PARTY, "IncompleteRead")

    def _url(self) -> SignedUrl:
        if self._have:
            try:
                return self._signed({"Range": f"bytes={self._have}-"})
            except Refused:  # the route's rule for Range is of another form
                self._takes_range = False
                self._start_over()
        return self._signed({})

    def _signed(self, headers: dict[str, str]) -> SignedUrl:
        grants = self._tools.grants
        if self._by_link:
            return grants.download_url(self._route, key=self._key, headers=headers)
        return grants.url(self._route, key=self._key, headers=headers, method="GET")

    def _continues(self, response: Response) -> bool:
        """Whether an answer begins where the file ends, in the same object."""
        if not self._have:
            return response.status_code == 200
        begins = response.headers.get("Content-Range", "").startswith(f"bytes {self._have}-")
        return response.status_code == 206 and begins and response.headers.get("ETag", "") == self._etag

    def _meet(self, response: Response) -> None:
        length = response.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()):
            raise NetworkError(PARTY, "NoContentLength")
        self._total = self._have + int(length)
        self._etag = response.headers.get("ETag", "")
        self._content_type = response.headers.get("Content-Type", "")

    def _start_over(self) -> None:
        self._have = 0
        self._etag = ""
        try:
            self._file.seek(0)
            self._file.truncate()
        except OSError as error:
            raise LocalFileError(f"the download cannot be written: {error.strerror}") from error

    def _write(self, block: bytes) -> None:
        try:
            self._file.write(block)
        except OSError as error:
            raise LocalFileError(f"the download cannot be written: {error.strerror}") from error
        self._have += len(block)
        if self._progress is not None:
            self._progress(self._have, self._total)


@contextlib.contextmanager
def beside(path: str | os.PathLike[str]) -> Iterator[tuple[Path, IO[bytes]]]:
    """(target, an open file in its folder), renamed to the target at the end, or removed if anything was raised."""
    target = Path(path)
    unfinished = target.with_name(f".{target.name[:100]}.{secrets.token_hex(8)}.part")
    try:
        file = unfinished.open("xb")
    except OSError as error:
        raise LocalFileError(f"{target.parent} cannot be written: {error.strerror}") from error
    try:
        with file:
            yield target, file
        _rename(unfinished, target)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def _rename(unfinished: Path, target: Path) -> None:
    try:
        unfinished.replace(target)
    except OSError as error:
        raise LocalFileError(f"{target} cannot be written: {error.strerror}") from error
