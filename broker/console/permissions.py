"""What may this caller do? A route for one principal: its key, the CAM documents, and which statement decides."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from broker import explaining
from broker.console import forms
from broker.console.listing import duration, laid_out
from broker.cos import cam
from broker.errors import ConfigurationError, FieldError, RequestError
from broker.explaining import Explained, Held, Kind, Request, SecondLock
from broker.identity.principals import ANONYMOUS, Principal
from broker.policy.asks import Ask
from broker.policy.routes import Route
from broker.policy.templates import Claim, Date, Input, Literal, ProvenClaims, Uuid

_KINDS = {Claim: "claim", Input: "input", Uuid: "made", Date: "made", Literal: "literal"}


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a document as JSON. `decides` it the request; `notes` say why it does not, or what it needs."""

    text: str
    effect: str
    decides: bool = False
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """One credential's CAM document. `verdict` is empty while nothing is tried."""

    kind: str
    vends: str
    lives: str
    bytes: int
    most_bytes: int
    statements: tuple[Statement, ...]
    verdict: str = ""
    allowed: bool = False


@dataclass(frozen=True, slots=True)
class Verdict:
    """What both locks say to a request together; `broker` is what the first says, empty if it signs nothing."""

    request: str
    allowed: bool
    how: str
    broker: str


@dataclass(slots=True)
class Shown:
    """The whole answer. `refusal` keeps everything else out; its `errors` name the fields of the form."""

    route: Route
    claims: tuple[forms.Field, ...]
    naming: tuple[forms.Field, ...]
    tried: str
    suggestion: str
    parts: tuple[tuple[str, str], ...]
    refusal: str = ""
    errors: Mapping[str, str] = field(default_factory=dict)
    key: str = ""
    why: str = ""
    documents: tuple[Document, ...] = ()
    verdict: Verdict | None = None


def explained(route: Route, given: Mapping[str, str], now: int) -> Shown:
    """What a form's fields make of a route; without fields what usual claims do. `now` is in Unix seconds."""
    said = {name.removeprefix(forms.CLAIM): text for name, text in given.items() if name.startswith(forms.CLAIM)}
    fields = forms.claim_fields(route, said)
    claims = forms.claims(route, {one.name: one.value for one in fields})
    parts = tuple((_KINDS[type(part)], _written(part)) for part in route.template.parts)
    shown = Shown(route, fields, forms.naming_fields(route, given), given.get("try", ""), _suggestion(route), parts)
    try:
        admitted = route.admit(Principal(claims) if claims else ANONYMOUS)
        found = explaining.explain(route, admitted, _ask(route, given), now)
        shown.key, shown.why = found.key or "", _in_words_of_a_page(found.why)
        shown.documents = tuple(_document(held, route) for held in found.held)
        if shown.tried:
            _try(shown, found, now)
    except RequestError as refusal:
        shown.refusal, shown.errors = f"{refusal.code}: {refusal.detail}", _by_field(refusal.errors)
    return shown


def _try(shown: Shown, found: Explained, now: int) -> None:
    try:
        request = explaining.parse_request(shown.tried)
    except ConfigurationError as error:
        shown.errors = {"try": error.problems[0].message}
        return
    kinds = sorted(found.kinds, key=lambda kind: kind.method != request.method)
    shown.documents = tuple(_tried(found, kind, request) for kind in kinds)
    shown.verdict = _verdict(found, shown.documents, request, now)


def _verdict(found: Explained, documents: tuple[Document, ...], request: Request, now: int) -> Verdict:
    handed_out = next((one for one in documents if one.allowed and one.kind == "credentials"), None)
    if not found.route.operations:
        how = f"with the keys that {handed_out.vends} hands out" if handed_out else ""
        return Verdict(str(request), handed_out is not None, how, "")
    first = explaining.first_lock(found, request, now)
    if first.vend is None:
        how = "the broker refuses to sign it, but keys that it hands out do it" if handed_out else ""
        return Verdict(str(request), handed_out is not None, how, f"refuses: {first.refusal}")
    more = ", ".join(f"{name}: {value}" for name, value in first.added.items())
    return Verdict(
        str(request), True, f"by {first.vend}", f"grants it by {first.vend}{f', with {more}' if more else ''}"
    )


def _tried(found: Explained, kind: Kind, request: Request) -> Document:
    try:
        lock = explaining.second_lock(found, kind, request)
    except ValueError as error:
        held = found.holding(kind, found.key or request.key)
        return _document(held, found.route, f"denies: {error}")
    decided = lock.decided
    effect = lock.readings[decided - 1].effect if decided is not None else "denie"
    by = f" by statement {decided}" if decided is not None else ": no statement allows it"
    return _document(lock.held, found.route, f"{effect}s {lock.action}{by}", lock)


def _document(held: Held, route: Route, verdict: str = "", lock: SecondLock | None = None) -> Document:
    seconds = held.scope.duration_seconds
    renewed = f", renewed in use after about {duration(held.renewal_seconds)}" if route.renews else ""
    statements = tuple(_statements(held, lock))
    return Document(
        held.kind.name,
        ", ".join(held.kind.vends),
        f"{duration(seconds)}{renewed}",
        cam.measure(held.scope.document),
        route.limits.policy_bytes,
        statements,
        verdict,
        any(one.decides and one.effect == "allow" for one in statements),
    )


def _statements(held: Held, lock: SecondLock | None) -> Iterator[Statement]:
    listed: Any = held.document["statement"]
    for number, one in enumerate(listed, start=1):
        text = laid_out(one)
        if lock is None:
            yield Statement(text, one["effect"])
            continue
        reading, decides = lock.readings[number - 1], number == lock.decided
        needs = tuple(f"provided that {proviso}" for proviso in reading.provisos)
        further = tuple(f"provided that what it needs besides is allowed: {text}" for text in lock.further)
        yield Statement(text, one["effect"], decides, (*needs, *further) if decides else reading.misses)


def _ask(route: Route, given: Mapping[str, str]) -> Ask:
    inputs = {name: text for name in route.keys.inputs if (text := given.get(f"inputs.{name}", ""))}
    key = given.get("key") or None
    return Ask(route.document.vends[0], key=key, inputs=inputs or None)


def _by_field(errors: tuple[FieldError, ...]) -> dict[str, str]:
    return {one.field: one.message for one in errors}


def _in_words_of_a_page(why: str) -> str:
    # It names the options of a command.
    return why.replace("--input ", "").replace("=…", "").replace("--key", "a key")


def _written(part: Literal | Claim | Input | Uuid | Date) -> str:
    if isinstance(part, Literal):
        return part.text
    names = {Claim: "principal.", Input: ""}
    if isinstance(part, Claim | Input):
        return f"{{{names[type(part)]}{part.name}}}"
    return "{uuid}" if isinstance(part, Uuid) else "{date:%Y/%m/%d}"


def _suggestion(route: Route) -> str:
    """A request that somebody else's claims would be needed for."""
    method = next(iter(route.document.methods or ()), "GET" if "download-url" in route.document.vends else "PUT")
    key = route.template.prefix(ProvenClaims(dict.fromkeys(route.template.claims, "somebody-else")))
    return f"{method} {key or route.template.literal_prefix}{'x.png' if key.endswith('/') or not key else ''}"
