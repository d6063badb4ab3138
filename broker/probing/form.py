"""The door of forms: the one that is vended, sent as it is and then with one field changed or added."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from broker import vending
from broker.cos.client import Answer, NoAnswer
from broker.cos.forms import Form
from broker.cos.signing import Request, encode_key
from broker.policy.asks import NOTHING
from broker.probing import pictures, verdicts
from broker.probing.foreign import other_acl, other_type, with_header
from broker.probing.verdicts import HARMLESS, REFUSED, Attempt
from broker.probing.work import SENT_BYTES, Work

_Fields = Mapping[str, str | None]  # None: left out
_ACL, _PUBLIC = "x-cos-acl", "public-read"
_SAYS_NO: frozenset[int | str] = frozenset({400})  # to the same form that has been taken without this field


def attempt(work: Work) -> None:
    """Try what is vended."""
    form, request = work.door.order.form, work.door.permitted["POST"]
    assert form is not None  # noqa: S101  the order is one for a form
    work.done(f"inside, a form for {request.key}", request, _posted(work, request))
    for key in dict.fromkeys((work.door.another, work.door.token)):
        made = request._replace(key=key)
        work.judge(f"another key, {key}", REFUSED, made, _afresh(work, made, {"key": key}))
    for name, fields in _changes(work, form):
        work.judge(name, REFUSED, request, _afresh(work, request, fields))
    _longer(work, form, request)
    _picture(work, request)
    _unnamed_acl(work, form, request)


def _changes(work: Work, form: Form) -> Iterator[tuple[str, _Fields]]:
    """Every field that the form's policy pins, with another value or left out."""
    document = work.route.document
    types = (document.content.types if document.content else None) or []
    for field, pinned in form.fields.items():
        if field.lower() == "content-type" and types:
            other = other_type(types)
            yield f"another type, the field Content-Type: {other}", {field: other}
        elif field == "acl":
            other = other_acl(document) or ("private" if pinned != "private" else "default")
            yield f"another ACL, the field acl: {other}", {field: other}
        else:
            yield f"without a pinned field, {field}", {field: None}


def _longer(work: Work, form: Form, request: Request) -> None:
    """A file of a byte more than the form's policy allows."""
    if form.max_bytes is None:
        return
    size = form.max_bytes + 1
    name = f"a longer file, of {size} bytes"
    if size > SENT_BYTES:
        work.tell(verdicts.untold(name, REFUSED, f"not tried: {size} bytes are not sent"))
    else:
        work.judge(name, REFUSED, request, _afresh(work, request, size=size), frozenset({"EntityTooLarge"}))


def _picture(work: Work, request: Request) -> None:
    """No documented field or header of a form; only COS can tell what it makes of either."""
    key = pictures.key_of(work.door.token)
    text = pictures.operations(key)
    for where in ("field", "header"):
        asked = with_header(request, pictures.HEADER, text) if where == "header" else request
        work.hands.clean()
        work.hands.suspect(key)
        answer = _posted(work, asked, {pictures.HEADER: text} if where == "field" else NOTHING)
        pictures.judge(work, f"Pic-Operations with a foreign fileid, as a {where} of a form", key, request, answer)


def _unnamed_acl(work: Work, form: Form, request: Request) -> None:
    """A field that the form's policy does not name, spelled like the header: by it, nobody may read the object."""
    name = f"an ACL that is not pinned, the field {_ACL}: {_PUBLIC}"
    if form.fields.get("acl") not in ("default", "private"):
        return  # anybody may read it anyway
    _afresh(work, request)
    before = _read_by_anybody(work, request)
    answer = _afresh(work, request, {_ACL: _PUBLIC})
    if isinstance(answer, NoAnswer) or not verdicts.worked(answer):
        work.judge(name, REFUSED, request, answer, _SAYS_NO)
        return
    after = _read_by_anybody(work, request)
    got = f"{verdicts.said(answer)}, and HEAD without a signature {after} (without the field {before})"
    if (before, after) in (("403", "403"), ("403", "200")):
        work.tell(Attempt(name, HARMLESS, after == "403", got if after == "200" else f"no effect ({got})"))
    else:
        work.tell(verdicts.untold(name, HARMLESS, got))


def _read_by_anybody(work: Work, request: Request) -> str:
    head = request._replace(method="HEAD")
    answer = work.noted(head, lambda: work.cloud.deliver(head, f"{head.base_url}/{encode_key(head.key)}", {}))
    return str(answer) if isinstance(answer, NoAnswer) else str(answer.status)


def _afresh(work: Work, request: Request, fields: _Fields = NOTHING, size: int | None = None) -> Answer | NoAnswer:
    """The answer to the vended form where nothing is there already, which would be a reason to refuse it."""
    work.hands.clean()
    return _posted(work, request, fields, size)


def _posted(work: Work, request: Request, fields: _Fields = NOTHING, size: int | None = None) -> Answer | NoAnswer:
    """The answer to the vended form with some fields changed."""
    grant = vending.grant(work.door.order, work.credential, work.cloud.clock())
    assert isinstance(grant, vending.FormGrant)  # noqa: S101  its order has a form
    changed = {name: value for name, value in {**grant.fields, **fields}.items() if value is not None}
    return work.post(request, grant.url, changed, work.door.size if size is None else size)
