"""The doors of single requests: what is vended for each, used as the policy has it and then with something added."""

from __future__ import annotations

from collections.abc import Mapping

from broker import confirming, vending
from broker.cos.client import Answer, NoAnswer
from broker.cos.signing import Request
from broker.policy.operations import CREDENTIALS, declared
from broker.probing import pictures, verdicts
from broker.probing.verdicts import ALLOWED, REFUSED
from broker.probing.work import Work, content

_Signed = vending.UrlGrant | vending.SignatureGrant
_ORDER = ("PUT", "POST", "HEAD", "GET", "DELETE")


def attempt(work: Work) -> None:
    """Try what is vended."""
    grant, uploaded = None, False
    for method in sorted(work.door.permitted, key=_ORDER.index):
        request = work.door.permitted[method]
        grant = _grant(work)
        answer = _used(work, request, grant, _body(request))
        uploaded |= method == "PUT" and isinstance(answer, Answer) and answer.status == 200
        work.judge(f"inside, {method} {request.key or 'the bucket'}", ALLOWED, request, answer)
    upload = work.door.permitted.get("PUT")
    if upload is not None:
        _overwriting(work, upload, grant, uploaded=uploaded)
        _picture(work, upload)
        _chunked(work, upload)


def _overwriting(work: Work, upload: Request, grant: _Signed | None, *, uploaded: bool) -> None:
    """The same PUT a second time. Holders of keys choose their headers, so keys promise nothing of the kind."""
    name = "overwriting, the same PUT again"
    rule = declared(work.route.document.headers, "x-cos-forbid-overwrite")
    if grant is None or rule is None or rule.const != "true":
        return
    if not uploaded:
        work.tell(verdicts.untold(name, REFUSED, "nothing there to overwrite"))
        return
    work.not_overwritten(name, upload, _used(work, upload, grant, content(upload)))


def _picture(work: Work, upload: Request) -> None:
    key = pictures.key_of(work.door.token)
    work.hands.clean()  # else a header that forbids to overwrite would end the upload first
    work.hands.suspect(key)
    extra = {pictures.HEADER: pictures.operations(key)}
    answer = _used(work, upload, _grant(work), content(upload), extra)
    pictures.judge(work, f"Pic-Operations with a foreign fileid, /{key}", key, upload, answer)


def _chunked(work: Work, upload: Request) -> None:
    """A body in chunks, longer than the length that is signed beside it: a server must not believe the chunks."""
    if not {"Content-Length", "content-length"} & set(upload.headers):
        return
    work.hands.clean()
    longer = content(upload) + b"x"
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(longer), longer)
    answer = _used(work, upload, _grant(work), body, {"Transfer-Encoding": "chunked"})
    name = "a longer body in chunks beside the signed Content-Length"
    work.judge(name, REFUSED, upload, answer, frozenset({400, 411, 501}))


def _grant(work: Work) -> _Signed | None:
    """What is vended now; None for keys, whose holders sign, and for confirmations, which the broker itself sends."""
    if work.door.vend in (CREDENTIALS, "confirm"):
        return None
    grant = vending.grant(work.door.order, work.credential, work.cloud.clock())
    assert isinstance(grant, (vending.UrlGrant, vending.SignatureGrant))  # noqa: S101  its order has a request
    return grant


def _used(
    work: Work, request: Request, grant: _Signed | None, body: bytes, extra: Mapping[str, str] | None = None
) -> Answer | NoAnswer:
    if work.door.vend == "confirm":
        return work.noted(
            request, lambda: confirming.head(request, work.credential, work.cloud.clock(), work.cloud.send)
        )
    if grant is None:
        return work.asked(request, body, extra=extra)
    return work.vended(request, grant.url, {**grant.headers, **(extra or {})}, body)


def _body(request: Request) -> bytes:
    return content(request) if request.method == "PUT" else b""
