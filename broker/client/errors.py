"""Every error of the client, arranged by who failed.

    BrokerClientError          `resume` holds how far an upload got, where one was under way
      Problem                  the broker said no, in its own words: status, code, detail, errors, request_id
        Refused                for good: the same ask would be refused again
        RateLimited            429, after all retries that the deadline had room for: retry_after_seconds
        Unavailable            503 (or a gateway's 502, 504), likewise
      NetworkError             no answer, of the broker or of COS
      StoreError               COS said no: status, code, request_id
      UnexpectedAnswer         an answer that is not of the broker's API
      LocalFileError           the file on this side: unreadable, no longer what it was, empty where none may be

Messages never hold a token, a signed URL or a signed header: not even as the `__context__` of an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from broker.client.resuming import UploadState


# Codes that come with a 4xx, or after a 200 whose body turns out to be an error.
_TRANSIENT = ("RequestTimeout", "InternalError", "ServiceUnavailable", "SlowDown")


class BrokerClientError(Exception):
    """Root of all errors. `resume`, if not None, is what `upload_file` takes to go on where it stopped."""

    resume: UploadState | None = None


@dataclass(frozen=True, slots=True)
class FieldProblem:
    """One thing wrong with one member of an ask: `field` is its path, as in `inputs.ext`."""

    field: str
    message: str


class Problem(BrokerClientError):
    """The broker's problem document. `code` is empty where something in front of the broker answered."""

    def __init__(
        self, status: int, code: str, detail: str, errors: Sequence[FieldProblem] = (), request_id: str = ""
    ) -> None:
        super().__init__(f"the broker answered {status} {code or '(no code)'}: {detail} (request {request_id or '-'})")
        self.status = status
        self.code = code
        self.detail = detail
        self.errors = tuple(errors)
        self.request_id = request_id


class Refused(Problem):
    """The broker refuses for good; asking again as it is changes nothing."""


class _Later(Problem):
    def __init__(
        self,
        status: int,
        code: str,
        detail: str,
        errors: Sequence[FieldProblem] = (),
        request_id: str = "",
        retry_after_seconds: int = 1,
    ) -> None:
        super().__init__(status, code, detail, errors, request_id)
        self.retry_after_seconds = retry_after_seconds


class RateLimited(_Later):
    """The principal has had its share; worth asking again after `retry_after_seconds`."""


class Unavailable(_Later):
    """Something the broker depends on does not serve now; worth asking again after `retry_after_seconds`."""


class NetworkError(BrokerClientError):
    """No whole answer: `party` is "the broker" or "COS", `kind` the failure's kind, such as ConnectTimeout.

    Whether the request was carried out, nobody knows.
    """

    def __init__(self, party: str, kind: str) -> None:
        super().__init__(f"no answer of {party} ({kind})")
        self.party = party
        self.kind = kind


class StoreError(BrokerClientError):
    """COS refused one request; `code` is the one of its XML, empty where it sent none (HEAD, gateways)."""

    def __init__(self, operation: str, status: int, code: str, request_id: str, *, expired: bool = False) -> None:
        super().__init__(f"COS answered {operation} with {status} {code or '(no code)'} (request {request_id or '-'})")
        self.operation = operation
        self.status = status
        self.code = code
        self.request_id = request_id
        self.expired = expired

    @property
    def transient(self) -> bool:
        """Whether the same request, signed anew, may succeed."""
        return self.expired or self.status >= 500 or self.status in (408, 429) or self.code in _TRANSIENT


class UnexpectedAnswer(BrokerClientError):
    """An answer that the broker's API does not have: something else listens there, or another version."""


class LocalFileError(BrokerClientError):
    """The file on this side cannot be read, is no longer the one that an upload began with, or is empty in vain."""
