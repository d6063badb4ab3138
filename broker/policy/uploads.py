"""Uploads that are more than one PUT: forms for browsers, and multipart uploads step by step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from broker.cos import requests
from broker.cos.forms import Form
from broker.cos.signing import Request
from broker.errors import FieldError, InvalidRequest
from broker.policy.asks import PARTS, Ask
from broker.policy.content import Flaw
from broker.policy.document import Content, PolicyDocument

_PART_BYTES = 8 * 2**20  # on routes without `content`
_STATUS = "204"  # what COS answers to a form if nothing else is said


class PartRequest(NamedTuple):
    """One request of a step. `number` is the part's, if it is one's; `headers` are those to send besides Host."""

    request: Request
    headers: Mapping[str, str]
    number: int | None = None


class Step(NamedTuple):
    """One step of a multipart upload of one object: everything that the client sends in it."""

    name: str
    key: str
    requests: tuple[PartRequest, ...]
    part_bytes: int


def form(document: PolicyDocument, key: str, headers: Mapping[str, str]) -> Form:
    """The form for one object: accepted headers become fields, and what decides who may read it is always pinned."""
    fields = {"acl" if name.lower() == "x-cos-acl" else name: value for name, value in headers.items()}
    fields.setdefault("acl", "default")
    if not any(name.lower() == requests.REDIRECT for name in fields):
        fields["success_action_status"] = _STATUS
    return Form(document.bucket, key, fields, document.content.max_bytes if document.content else None)


def step(ask: Ask, content: Content | None, object_: Request, headers: Mapping[str, str]) -> Step:
    """What the client sends in the step that is asked for. Raises InvalidRequest, and ValueError if it is none.

    `object_` is a request to the object, still without method; `headers` are those that the policy has this step carry.
    """
    part_bytes = content.part_bytes if content else _PART_BYTES
    found = tuple(_requests(ask, object_, headers, part_bytes))
    return Step(ask.step or "", object_.key, found, part_bytes)


def largest_upload(content: Content | None) -> int:
    """Bytes of the largest object that a route's multipart uploads make."""
    most = PARTS * (content.part_bytes if content else _PART_BYTES)
    return min((content.max_bytes if content else None) or most, most)


def size_flaws(size: int | None, content: Content | None) -> list[Flaw]:
    """(code, what is wrong) with the declared length of a multipart upload, if one is declared."""
    most = largest_upload(content)
    if size is None or size <= most:
        return []
    return [("content_too_large", FieldError("size", f"must be at most {most} bytes, got {size}"))]


def _requests(ask: Ask, object_: Request, headers: Mapping[str, str], part_bytes: int) -> Iterator[PartRequest]:
    upload = {"uploadId": ask.upload_id or ""}
    if ask.step == "initiate":
        yield _request(object_, "POST", headers, {"uploads": ""})
    elif ask.step == "parts":
        yield from _parts(ask, object_, part_bytes)
    elif ask.step == "list":
        yield _request(object_, "GET", {}, upload)
    elif ask.step == "complete":
        yield _request(object_, "POST", headers, upload)
    elif ask.step == "abort":
        yield _request(object_, "DELETE", {}, upload)
    else:
        raise ValueError(f"no step of a multipart upload: {ask.step!r}")


def _parts(ask: Ask, object_: Request, part_bytes: int) -> Iterator[PartRequest]:
    size, (first, last) = ask.size or 0, ask.parts or (1, 1)
    count = -(-size // part_bytes)
    if last > count:
        # COS checks a part alone: only lengths that add up to what was declared are signed.
        message = f"must be 1..{count}: {size} bytes are {count} parts of {part_bytes}, got {last}"
        raise InvalidRequest("invalid_request", f"parts.to {message}", [FieldError("parts.to", message)])
    for number in range(first, last + 1):
        length = str(min(part_bytes, size - (number - 1) * part_bytes))
        params = {"partNumber": str(number), "uploadId": ask.upload_id or ""}
        yield _request(object_, "PUT", {"Content-Length": length}, params, number)


def _request(
    object_: Request, method: str, headers: Mapping[str, str], params: Mapping[str, str], number: int | None = None
) -> PartRequest:
    request = object_._replace(method=method, headers={**object_.headers, **headers}, params=params)
    return PartRequest(request, headers, number)
