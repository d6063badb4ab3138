"""What the broker answers, typed. Instants (`…_at`) are Unix seconds; a `repr` shows no URL, header or key.

`raw` is the broker's JSON as it came, to be handed on to a browser or an app.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from broker.client.errors import Problem

Raw = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class SignedUrl:
    """A pre-signed URL; `headers` is exactly what must be sent with it besides Host."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    bucket: str
    region: str
    key: str
    expires_in: int
    expires_at: int
    raw: Raw = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Signature:
    """An `Authorization` value, which stands among the `headers` to send to `url`."""

    authorization: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    method: str
    url: str = field(repr=False)
    bucket: str
    region: str
    key: str
    expires_in: int
    expires_at: int
    raw: Raw = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Temporary keys for everything below `key_prefix`; `raw` has the shape that the official SDKs take."""

    secret_id: str = field(repr=False)
    secret_key: str = field(repr=False)
    session_token: str = field(repr=False)
    start_at: int
    expires_at: int
    request_id: str
    bucket: str
    region: str
    key_prefix: str
    actions: tuple[str, ...]
    raw: Raw = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Form:
    """A browser's form: POST `fields` in their order to `url`, the field `file` last."""

    url: str = field(repr=False)
    fields: Mapping[str, str] = field(repr=False)
    key: str
    expires_at: int
    raw: Raw = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """One request of a multipart upload; `part_number` only where it sends a part."""

    method: str
    url: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    part_number: int | None = None


@dataclass(frozen=True, slots=True)
class MultipartStep:
    """The signed requests of one step; every part but the last has `part_bytes` bytes."""

    key: str
    step: str
    requests: tuple[SignedRequest, ...]
    part_bytes: int
    expires_at: int
    raw: Raw = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Confirmation:
    """An object as COS has it, and whether it satisfies the policy; `problems` are the codes of what does not."""

    bucket: str
    key: str
    content_type: str
    content_length: int
    etag: str
    satisfies: bool
    problems: tuple[str, ...]
    raw: Raw = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class RouteDescription:
    """A route that this principal may use, and what asking it needs; the rules are as the policy file has them."""

    route: str
    description: str
    vends: tuple[str, ...]
    methods: tuple[str, ...]
    inputs: Mapping[str, Mapping[str, Any]]
    content: Mapping[str, Any]
    headers: Mapping[str, Mapping[str, Any]]
    params: Mapping[str, Mapping[str, Any]]
    expires: Mapping[str, int]

    def takes_header(self, name: str) -> bool:
        """Whether the route has a rule for a header, in whatever case."""
        return name.lower() in {known.lower() for known in self.headers}


Grant = SignedUrl | Signature | Credentials | Form


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What one ask of a batch brought: a grant, or the refusal (an exception that nobody raised)."""

    status: int
    grant: Grant | None
    problem: Problem | None

    def granted(self) -> Grant:
        """The grant. Raises the refusal, if there is one."""
        if self.grant is None:
            raise self.problem or ValueError("neither a grant nor a problem")
        return self.grant
