"""One file -> one object: with a single PUT where that will do, else in parts (`multipart`)."""

from __future__ import annotations

import mimetypes
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from broker.client.answers import RouteDescription, SignedUrl
from broker.client.errors import BrokerClientError, NetworkError, Refused, StoreError
from broker.client.grants import Grants
from broker.client.patience import Patience
from broker.client.resuming import UploadState
from broker.client.slices import Slice, Source, md5_of
from broker.client.store import Store

PART_BYTES = 8 * 1024 * 1024  # the broker's default; larger files go in parts where the route takes parts
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Upload:
    """What was uploaded. `etag` is COS's, in quotes; empty if COS's answer was lost and nothing could tell it."""

    key: str
    size: int
    etag: str
    state: UploadState | None = None


@dataclass(frozen=True, slots=True)
class Tools:
    """What moves files: the broker's grants, COS, and the terms of retrying."""

    grants: Grants
    store: Store
    patience: Patience


@dataclass(frozen=True, slots=True)
class Plan:
    """What shall be uploaded where; `key` or `inputs` as the route wants them, `headers` with the Content-Type."""

    route: str
    source: Source
    key: str | None
    inputs: Mapping[str, str] | None
    headers: Mapping[str, str]

    @property
    def place(self) -> dict[str, Any]:
        """The members of an ask that say where."""
        return {"key": self.key, "inputs": None if self.inputs is None else dict(self.inputs)}


class Tally:
    """Bytes sent so far, told to a callback, one thread at a time. A repeated part is taken back first."""

    def __init__(self, callback: Progress | None, total: int) -> None:
        self._callback = callback
        self._total = total
        self._lock = threading.Lock()
        self._sent = 0

    def add(self, count: int) -> None:
        """So many more (or, below zero, fewer)."""
        with self._lock:
            self._sent += count
            if self._callback is not None:
                self._callback(self._sent, self._total)


def in_parts(description: RouteDescription | None, size: int) -> bool:
    """Whether a file of so many bytes goes in parts."""
    if description is None or "multipart" not in description.vends:
        return False
    return not _takes_put(description) or size > int(description.content.get("part_bytes", PART_BYTES))


def by_form(description: RouteDescription | None, size: int) -> bool:
    """Whether a file of so many bytes goes by a form, if at all: an empty one has no parts, and may have no PUT."""
    if size or description is None or _takes_put(description):
        return False
    return not {"form", "multipart"}.isdisjoint(description.vends)


def _takes_put(description: RouteDescription) -> bool:
    return "url" in description.vends and "PUT" in description.methods


def with_type(
    headers: Mapping[str, str], content_type: str | None, source: Source, description: RouteDescription | None
) -> dict[str, str]:
    """The headers to ask for; where the route wants a Content-Type and none is said, the one of the file's name."""
    if any(name.lower() == "content-type" for name in headers):
        return dict(headers)
    if content_type is None and description is not None and description.content.get("types"):
        content_type = mimetypes.guess_type(source.path.name)[0]
    return dict(headers) if content_type is None else {**headers, "Content-Type": content_type}


class Whole:
    """An upload with one PUT. Each try asks for a URL of its own, for the key of the first where the route lets it."""

    def __init__(self, tools: Tools, plan: Plan, description: RouteDescription | None, tally: Tally) -> None:
        self._tools = tools
        self._plan = plan
        self._description = description
        self._tally = tally
        self._tried: SignedUrl | None = None
        self._unknown = False  # whether COS may have stored a try that failed

    def run(self) -> Upload:
        """The upload. Raises BrokerClientError."""
        return self._tools.patience.persist(self._attempt)

    def _attempt(self, number: int) -> Upload:
        self._plan.source.check()
        grant = self._tried = self._grant()
        size = self._plan.source.size
        with Slice(self._plan.source, 0, size, self._tally.add) as body:
            try:
                etag = self._tools.store.put("PutObject", grant, body)
            except BrokerClientError as error:
                if self._is_ours(error, grant.key):
                    return Upload(grant.key, size, self._own_etag())
                body.withdraw()
                self._unknown = self._unknown or isinstance(error, NetworkError) or _is_server_failure(error)
                raise
        return Upload(grant.key, size, etag)

    def _grant(self) -> SignedUrl:
        asked = {"method": "PUT", "headers": self._headers()}
        if self._tried is not None and self._plan.key is None:
            try:
                return self._tools.grants.url(self._plan.route, key=self._tried.key, **asked)
            except Refused:  # the template lets nobody name a generated key: then a new one
                self._unknown = False
        return self._tools.grants.url(self._plan.route, **self._plan.place, **asked)

    def _headers(self) -> dict[str, str]:
        limited = self._description is not None and "max_bytes" in self._description.content
        length = {"Content-Length": str(self._plan.source.size)} if limited else {}
        return {**length, **self._plan.headers}

    def _is_ours(self, error: BrokerClientError, key: str) -> bool:
        # A try whose answer was lost may have stored the object that the next must not overwrite.
        conflict = isinstance(error, StoreError) and error.status in (409, 412)
        if not (conflict and self._unknown and self._description and "confirm" in self._description.vends):
            return False
        try:
            found = self._tools.grants.confirm(self._plan.route, key)
        except BrokerClientError:
            return False
        return found.etag.strip('"') == self._own_etag().strip('"')

    def _own_etag(self) -> str:
        return f'"{md5_of(self._plan.source, 0, self._plan.source.size)}"'


def _is_server_failure(error: BrokerClientError) -> bool:
    return isinstance(error, StoreError) and error.status >= 500
