"""What a route makes of a principal: its key, the credentials behind it, and which lock decides a given request.

Nothing here asks STS or COS. The two locks are the broker's own checks and the CAM document; `probe` tries real ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl

from broker.cos import actions, cam, evaluation
from broker.cos.evaluation import Reading
from broker.cos.requests import MAKES_KEYS
from broker.credentials import lifetimes
from broker.credentials.scope import Scope
from broker.errors import ConfigurationError, Problem, RequestError
from broker.policy.asks import Ask
from broker.policy.operations import CREDENTIALS, Operation, Permission
from broker.policy.routes import MARGIN_SECONDS, Route
from broker.policy.templates import ProvenClaims
from broker.policy.values import RuleSet

# Headers that make a PUT read or write other objects, too.
_FURTHER = {
    "x-cos-copy-source": "it reads the copy's source, too",
    "pic-operations": "it writes every fileid, too",
}


@dataclass(frozen=True, slots=True)
class Request:
    """A request that somebody might send to COS; an empty key is the bucket."""

    method: str
    key: str
    params: Mapping[str, str]

    def __str__(self) -> str:
        params = "&".join(f"{name}={value}" if value else name for name, value in self.params.items())
        return f"{self.method} {self.key}{'?' if params else ''}{params}"


def parse_request(text: str) -> Request:
    """The request in a text such as `PUT avatars/u2/x.png` or `GET a.png?acl`. Raises ConfigurationError."""
    method, space, target = text.strip().partition(" ")
    key, _, query = target.strip().partition("?")
    if not space or not (key or query):
        problem = Problem("--try", "", f"must be METHOD KEY, as in 'PUT avatars/u2/x.png', got {text!r}")
        raise ConfigurationError([problem])
    return Request(method.upper(), key, dict(parse_qsl(query, keep_blank_values=True)))


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of credential of a route: `method` is what is signed with it, None for keys that are handed out."""

    name: str
    method: str | None
    vends: tuple[str, ...]
    permission: Permission
    need_seconds: int


@dataclass(frozen=True, slots=True)
class Held:
    """A credential of a kind: all that STS is asked for."""

    kind: Kind
    scope: Scope

    @property
    def document(self) -> Mapping[str, object]:
        """The CAM document."""
        found: Mapping[str, object] = json.loads(self.scope.document)
        return found

    @property
    def renewal_seconds(self) -> int:
        """The age from which an ask has it renewed in the background, without jitter."""
        return lifetimes.renewal_at(0, self.scope.duration_seconds, self.kind.need_seconds, 0)


@dataclass(frozen=True, slots=True)
class Explained:
    """A route for one principal and one ask; `key` is None if none can be told, `why` says why not."""

    route: Route
    claims: ProvenClaims
    ask: Ask
    key: str | None
    why: str
    kinds: tuple[Kind, ...]

    @property
    def held(self) -> tuple[Held, ...]:
        """The credentials, as far as they are known without a key."""
        if self.key is None and self.route.scope_name == "object":
            return ()
        return tuple(self.holding(kind, self.key or "") for kind in self.kinds)

    def holding(self, kind: Kind, key: str) -> Held:
        """The credential of a kind for one key, or to list what the policy has listed."""
        reached = constants(self)["prefix"] if kind.permission.listing else key
        return Held(kind, self.route.scope(kind.permission, self.claims, reached))


@dataclass(frozen=True, slots=True)
class FirstLock:
    """What the broker says: the vend that grants it, with what had to be `added` to the ask; or why it refuses."""

    vend: str | None
    added: Mapping[str, str]
    refusal: str = ""


@dataclass(frozen=True, slots=True)
class SecondLock:
    """What a credential says to an action: how each statement of its document reads, and what else is demanded."""

    held: Held
    action: str
    readings: tuple[Reading, ...]
    further: tuple[str, ...]

    @property
    def kind(self) -> Kind:
        """Which credential it is."""
        return self.held.kind

    @property
    def decided(self) -> int | None:
        """The number, from 1, of the statement that decides; None: none matches, so it is denied."""
        return next((number for number, one in enumerate(self.readings, start=1) if not one.misses), None)


def explain(route: Route, claims: ProvenClaims, ask: Ask, now: int) -> Explained:
    """What a route makes of an admitted principal; `ask` holds key or inputs, headers and parameters as far as given.

    Raises RequestError for a key or inputs that the route refuses.
    """
    key, why = _key(route, claims, ask, now)
    return Explained(route, claims, ask, key, why, tuple(kinds(route)))


def first_lock(explained: Explained, request: Request, now: int) -> FirstLock:
    """Whether the broker would sign a request, asked as a caller would ask. The route signs something."""
    route, asked = explained.route, explained.ask
    vend = next((kind.vends[0] for kind in explained.kinds if kind.method == request.method), None)
    if vend is None:
        return FirstLock(None, {}, f"method_not_allowed_by_policy: this route signs {', '.join(route.operations)}")
    operation, params = route.operations[request.method], {**asked.params, **request.params}
    content = _content(route) if operation.name == "put" else {}
    headers = _missing({**content, **_examples(operation.headers)}, asked.headers)
    more = _missing(_examples(operation.params), params)
    added = {**headers, **more}
    try:
        ask = _ask(vend, request, {**asked.headers, **headers}, {**params, **more})
        route.order(ask, explained.claims, now)
    except RequestError as refusal:
        return FirstLock(None, added, f"{refusal.code}: {refusal.detail}")
    return FirstLock(vend, added)


def second_lock(explained: Explained, kind: Kind, request: Request) -> SecondLock:
    """Whether the credential of a kind would do it, and which statement says so. Raises ValueError for odd methods."""
    route = explained.route
    # With scope object, what is tried decides whose credential is tried: the broker would mint that one.
    own = kind.method == request.method or explained.key is None
    key = request.key if route.scope_name == "object" and own else explained.key or ""
    held = explained.holding(kind, key)
    params = {name.lower(): value for name, value in {**explained.ask.params, **request.params}.items()}
    headers = {name.lower(): value for name, value in explained.ask.headers.items()}
    action = f"cos:{actions.action_of(request.method, request.key, params)}"
    resource = cam.resource(route.document.region, route.document.bucket, request.key)
    values = actions.condition_values(request.method, headers, params)
    read = evaluation.readings(held.document, action, resource, values)
    further = tuple(text for name, text in _FURTHER.items() if name in headers and request.method == "PUT")
    return SecondLock(held, action, tuple(read), further)


def constants(explained: Explained) -> dict[str, str]:
    """The headers and parameters that the broker adds: the holder of a link cannot leave them out."""
    rules = [rules for one in explained.route.operations.values() for rules in (one.headers, one.params)]
    return {name: constant.render(explained.claims) for each in rules for name, constant in each.constants}


def kinds(route: Route) -> Iterator[Kind]:
    """Every kind of credential that a route may be behind."""
    document = route.document
    need = document.expires.max_seconds + MARGIN_SECONDS
    for method, operation in route.operations.items():
        signing = [vend for vend in document.vends if vend in ("url", "signature")] if method in _asked(route) else []
        downloads = ["download-url"] if method == "GET" and "download-url" in document.vends else []
        yield Kind(operation.name, method, tuple(signing + downloads), operation.permission, need)
    for vend in ("form", "multipart", "confirm"):
        if vend in route.others:
            yield Kind(vend, None, (vend,), route.others[vend].permission, need)
    if route.credentials is not None:
        minimum = document.credential.min_remaining_seconds
        yield Kind(CREDENTIALS, None, (CREDENTIALS,), route.credentials, minimum)


def _asked(route: Route) -> list[str]:
    return list(route.document.methods or [])


def _key(route: Route, claims: ProvenClaims, ask: Ask, now: int) -> tuple[str | None, str]:
    operations = [*route.operations.values(), *route.others.values()]
    if not operations:
        return None, "the holder of the keys chooses one"
    if ask.key is not None:
        # What may be read may not be written under a name of somebody else's making: whichever admits it will do.
        return _first_admitted(operations, route, claims, ask, now), ""
    given = set(ask.inputs or {})
    if given < route.template.inputs:
        missing = ", ".join(f"--input {name}=…" for name in sorted(route.template.inputs - given))
        return None, f"give {missing}, or --key"
    operation = next((one for one in operations if one.name in MAKES_KEYS), operations[0])
    if route.template.generated and operation.name not in MAKES_KEYS:
        return None, f"give --key: {operation.method} names an existing object"
    return route.keys.key(ask, operation, claims, now), ""


def _first_admitted(operations: list[Operation], route: Route, claims: ProvenClaims, ask: Ask, now: int) -> str:
    *others, last = operations
    for operation in others:
        try:
            return route.keys.key(ask, operation, claims, now)
        except RequestError:
            continue
    return route.keys.key(ask, last, claims, now)


def _ask(vend: str, request: Request, headers: Mapping[str, str], params: Mapping[str, str]) -> Ask:
    return Ask(vend, method=request.method, key=request.key, headers=headers, params=params)


def _content(route: Route) -> dict[str, str]:
    """A type and a length that an upload may have."""
    return {
        name: route.content.types[0].replace("*", "x") if name == "Content-Type" else "1"
        for name in route.content.names.values()
    }


def _examples(rules: RuleSet) -> dict[str, str]:
    """A value for each that must be asked for, where the policy lists values."""
    known = {rule.name: rule for rule in rules.rules.values()}
    return {name: values[0] for name in rules.required if (values := known[name].enum)}


def _missing(wanted: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
    names = {name.lower() for name in given}
    return {name: value for name, value in wanted.items() if name.lower() not in names}
