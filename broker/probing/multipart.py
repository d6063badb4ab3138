"""The door of multipart uploads: every step as it is vended, and each with one thing changed.

Two uploads of the key are begun: one to be completed, the other for what somebody could do harm to; it is aborted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit

from broker import vending
from broker.cos.client import Answer, NoAnswer
from broker.cos.signing import Request, encode_key
from broker.policy.operations import declared
from broker.probing import verdicts
from broker.probing.foreign import other_type, with_header
from broker.probing.hands import upload_id
from broker.probing.verdicts import ALLOWED, REFUSED
from broker.probing.work import Work, filled

# A vended request with anything signed changed is one that nobody has signed.
_UNSIGNED: frozenset[int | str] = frozenset({"SignatureDoesNotMatch"})
_STEPS = ("parts", "list", "complete", "abort")


class _Step(NamedTuple):
    """A step of an upload: the request, the URL that has been vended for it, and what it sends."""

    name: str
    request: Request
    url: str
    body: bytes = b""

    def __repr__(self) -> str:
        return f"_Step({self.name} of {self.request.key!r})"

    @property
    def headers(self) -> Mapping[str, str]:
        """What is sent besides Host."""
        return {name: value for name, value in self.request.headers.items() if name != "Host"}

    def for_key(self, key: str) -> _Step:
        """The same URL with another key in its path."""
        url = urlsplit(self.url)._replace(path=f"/{encode_key(key)}").geturl()
        return self._replace(request=self.request._replace(key=key), url=url)

    def for_upload(self, other: str) -> _Step:
        """The same URL with the name of another upload."""
        parts = urlsplit(self.url)
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        query = urlencode([(name, other if name == "uploadId" else value) for name, value in pairs])
        request = self.request._replace(params={**self.request.params, "uploadId": other})
        return self._replace(request=request, url=parts._replace(query=query).geturl())

    def with_header(self, name: str, value: str) -> _Step:
        """The same URL, sent with another header."""
        return self._replace(request=with_header(self.request, name, value))


def attempt(work: Work) -> None:
    """Try what is vended."""
    begin = _vended(work, "initiate")
    begun, beside = _sent(work, begin), _sent(work, begin)
    work.done(f"inside, initiate {begin.request.key}", begin.request, begun)
    _other_type(work, begin)
    first, second = _id_of(begun), _id_of(beside)
    if first is None or second is None:
        why = verdicts.said(beside) if isinstance(beside, Answer) else str(beside)
        work.tell(verdicts.untold("inside, the other steps", ALLOWED, f"no two uploads could be begun: {why}"))
        return
    part = _vended(work, "parts", first)
    answer = _sent(work, part)
    work.done(f"inside, part {part.request.key}", part.request, answer)
    _sent(work, _vended(work, "parts", second))
    manifest = _manifest(answer)
    _inside(work, _vended(work, "list", first))
    _changed(work, first, second, manifest)
    completed = _inside(work, _vended(work, "complete", first, manifest))
    _overwriting(work, _vended(work, "complete", second, manifest), completed=completed)
    _inside(work, _vended(work, "abort", second))


def _inside(work: Work, step: _Step) -> bool:
    return work.done(f"inside, {step.name} {step.request.key}", step.request, _sent(work, step))


def _changed(work: Work, first: str, second: str, manifest: bytes) -> None:
    part = _vended(work, "parts", first)
    longer = part.with_header("Content-Length", str(work.door.size + 1))
    _refused(work, f"a longer part, of {work.door.size + 1} bytes", longer._replace(body=part.body + b"x"))
    for name in _STEPS:
        step = _vended(work, name, first, manifest)
        _refused(work, f"another key, {step.name} {work.door.another}", step.for_key(work.door.another))
        _refused(work, f"another upload, {step.name}", step.for_upload(second))


def _other_type(work: Work, begin: _Step) -> None:
    content = work.route.document.content
    if content is not None and content.types:
        other = other_type(content.types)
        _refused(work, f"another type, initiate with Content-Type: {other}", begin.with_header("Content-Type", other))


def _overwriting(work: Work, complete: _Step, *, completed: bool) -> None:
    """The upload that was begun beside, completed onto what is there now."""
    name = "overwriting, complete another upload"
    rule = declared(work.route.document.headers, "x-cos-forbid-overwrite")
    if rule is None or rule.const != "true":
        return
    if completed:
        work.not_overwritten(name, complete.request, _sent(work, complete))
    else:
        work.tell(verdicts.untold(name, REFUSED, "nothing there to overwrite"))


def _refused(work: Work, name: str, step: _Step) -> None:
    work.judge(name, REFUSED, step.request, _sent(work, step), _UNSIGNED)


def _sent(work: Work, step: _Step) -> Answer | NoAnswer:
    return work.vended(step.request, step.url, step.headers, step.body)


def _vended(work: Work, name: str, upload: str | None = None, manifest: bytes = b"") -> _Step:
    """What the broker vends for a step of an upload."""
    door = work.door
    ask = door.ask._replace(step=name, key=door.key, inputs=None, upload_id=upload)
    if name != "initiate":
        ask = ask._replace(headers={}, size=door.size if name == "parts" else None)
    if name == "parts":
        ask = ask._replace(parts=(1, 1))
    now = work.cloud.clock()
    order = work.route.order(ask, work.claims, now)
    grant = vending.grant(order, work.credential, now)
    assert order.step is not None  # noqa: S101  it is asked for
    assert isinstance(grant, vending.StepGrant)  # noqa: S101  its order has a step
    body = {"parts": filled(door.size), "complete": manifest}.get(name, b"")
    return _Step(name.removesuffix("s"), order.step.requests[0].request, grant.requests[0].url, body)


def _id_of(answer: Answer | NoAnswer) -> str | None:
    return upload_id(answer) if isinstance(answer, Answer) else None


def _manifest(part: Answer | NoAnswer) -> bytes:
    """What completes an upload of this one part."""
    etag = part.headers.get("etag", "") if isinstance(part, Answer) else ""
    text = f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
    return f"<CompleteMultipartUpload>{text}</CompleteMultipartUpload>".encode()
