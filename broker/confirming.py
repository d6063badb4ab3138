"""Whether an upload has arrived, and whether it is what the policy wants: one HEAD, with a credential of its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from broker.cos.client import Answer, NoAnswer
from broker.cos.signing import Request, Window
from broker.credentials.credential import Credential
from broker.errors import NotFound, UpstreamError, quoted
from broker.policy.routes import Order, Route

TIMEOUT_SECONDS = 3.0  # for each step of the HEAD
_SIGNED_SECONDS = 60
Send = Callable[..., Answer]


@dataclass(frozen=True, slots=True)
class Confirmation:
    """An object as it is. `problems` are the codes of what the policy would not have let in; none: it satisfies."""

    bucket: str
    key: str
    content_type: str
    content_length: int
    etag: str
    problems: tuple[str, ...]
    credential: Credential


def confirm(route: Route, order: Order, credential: Credential, now: int, send: Send) -> Confirmation:
    """What an object is. Raises RequestError (404 `object_not_found`) or UpstreamError (`cos_refused`)."""
    request = order.request
    assert request is not None  # noqa: S101  a confirmation is a HEAD
    try:
        answer = head(request, credential, now, send)
    except NoAnswer as error:
        raise UpstreamError("cos_refused", str(error)) from None
    if answer.status == 404:
        raise NotFound("object_not_found", f"there is no object {quoted(request.key)}")
    if answer.status != 200:
        raise UpstreamError("cos_refused", f"COS answered HEAD with {answer.status}")
    return _confirmation(route, request.key, answer, credential)


def head(request: Request, credential: Credential, now: int, send: Send) -> Answer:
    """What COS answers to the HEAD behind a confirmation. Raises NoAnswer."""
    url = credential.signer.presigned_url(request, Window(now - _SIGNED_SECONDS, now + _SIGNED_SECONDS))
    return send("HEAD", url, {}, timeout_seconds=TIMEOUT_SECONDS)


def _confirmation(route: Route, key: str, answer: Answer, credential: Credential) -> Confirmation:
    content_type = answer.headers.get("content-type", "")
    length = int(answer.headers.get("content-length") or 0)
    problems = route.content.problems(content_type, length)
    etag = answer.headers.get("etag", "")
    return Confirmation(route.document.bucket, key, content_type, length, etag, problems, credential)
