"""Route: a compiled policy. `admit` says whether a principal may use it, `order` what exactly will be signed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from broker import rates
from broker.cos import cam, requests, signing
from broker.cos.forms import Form
from broker.cos.requests import Endpoint
from broker.credentials.demand import Demand
from broker.credentials.scope import Outline, Scope
from broker.errors import FieldError, Refused, quoted
from broker.identity.principals import Principal
from broker.policy import notation, operations
from broker.policy.admission import Admission, compile_admission
from broker.policy.asks import NOTHING, Ask
from broker.policy.content import ContentLimits, Flaw, compile_content, refuse
from broker.policy.document import PolicyDocument
from broker.policy.keys import Keys, invalid, refused_key
from broker.policy.limits import Limits
from broker.policy.operations import CREDENTIALS, Operation, Permission
from broker.policy.reach import reach_form, scope_name
from broker.policy.sizes import URL_BYTES
from broker.policy.templates import ClaimedText, Literal, ProvenClaims, Template
from broker.policy.uploads import Step, form, size_flaws, step
from broker.policy.values import DISPOSITION, attachment
from broker.rates import Rate

MARGIN_SECONDS = 60  # what is signed ends at least this long before its credential
_USUAL_TOKEN_BYTES = 2_048
_FIXED_BYTES = 1_500  # host and `q-` fields, generously
_ANSWER_BYTES = 32 * 2**20
# JSON around the URL of a part, its length and number included; and around all of them, with the key.
_AROUND_PART_BYTES, _AROUND_PARTS_BYTES = 128, 4_096


class Order(NamedTuple):
    """What will be vended, proven against the policy; only a credential is missing.

    `request` is None for keys, forms and steps of multipart uploads: these are told in `key_prefix` and `actions`, in
    `form`, in `step`. `headers` are the request's without Host. With `window_seconds`, what is signed is the same for
    all asks in a window of that length.
    """

    vend: str
    bucket: str
    region: str
    demand: Demand
    expires_in: int
    window_seconds: int
    request: signing.Request | None
    headers: Mapping[str, str] = NOTHING
    key_prefix: str = ""
    actions: tuple[str, ...] = ()
    form: Form | None = None
    step: Step | None = None
    base_url: str = ""  # of a form

    @property
    def units(self) -> int:
        """How many requests will be signed; keys and forms are one."""
        return len(self.step.requests) if self.step else 1


@dataclass(frozen=True, slots=True)
class Route:
    """One policy file, ready to be asked.

    `operations` go by the HTTP method that is signed, `others` (forms, multipart uploads, confirmations) by name.
    `reach` is what its credentials reach (None: one key). `renews`: they are worth renewing ahead of need. `forms`:
    what its scopes have in common.
    """

    name: str
    document: PolicyDocument
    keys: Keys
    scope_name: str
    reach: ClaimedText | None
    admission: Admission
    content: ContentLimits
    endpoint: Endpoint
    operations: Mapping[str, Operation]
    others: Mapping[str, Operation]
    credentials: Permission | None
    limits: Limits
    renews: bool
    forms: frozenset[str]
    rate: Rate | None

    @property
    def template(self) -> Template:
        """The form of its keys."""
        return self.keys.template

    @property
    def claims(self) -> frozenset[str]:
        """The claims that decide something here: who is admitted, or what the key is."""
        return frozenset(self.admission.checks) | frozenset(self.admission.claims_used)

    def admit(self, principal: Principal) -> ProvenClaims:
        """The claims of a principal that may use this route. Raises Unauthenticated or Forbidden."""
        return self.admission.admit(principal)

    def order(self, ask: Ask, claims: ProvenClaims, now: int) -> Order:
        """What to vend for an ask of an admitted principal. Raises InvalidRequest or Refused."""
        document = self.document
        if ask.vend not in document.vends:
            raise Refused("vend_not_allowed", f"this route vends {', '.join(document.vends)}, got {ask.vend}")
        if ask.vend == CREDENTIALS:
            return self._keys(ask, claims)
        if ask.vend in ("form", "multipart", "confirm"):
            return self._other(ask, claims, now)
        operation = self._operation(ask)
        self._check_bucket(ask)
        key = self.keys.key(ask, operation, claims, now)
        headers = self._headers(ask, operation, claims)
        params = self._params(ask, operation, claims)
        window_seconds = document.expires.window_seconds
        if window_seconds:
            params = dict(sorted(params.items()))  # equal asks, equal bytes, in whatever order their members came
        expires_in = self._expires_in(ask)
        request = signing.Request(
            operation.method, self.endpoint.base_url, key, {"Host": self.endpoint.host, **headers}, params
        )
        _check_expected_length(request)
        # Whose credential lists is a matter of the prefix, not of the key.
        reached = params["prefix"] if operation.permission.listing else key
        demand = self._demand(operation, claims, reached, expires_in + window_seconds)
        return Order(ask.vend, document.bucket, document.region, demand, expires_in, window_seconds, request, headers)

    def _other(self, ask: Ask, claims: ProvenClaims, now: int) -> Order:
        operation = self.others["initiate" if ask.step == "initiate" else ask.vend]
        self._check_bucket(ask)
        key = self.keys.key(ask, operation, claims, now)
        endpoint, host = self.endpoint.base_url, {"Host": self.endpoint.host}
        if ask.vend == "confirm":
            request = signing.Request("HEAD", endpoint, key, host, {})
            return self._other_order(ask, operation, claims, key, self._expires_in(ask), request)
        headers = self._headers(ask, operation, claims, size_flaws(ask.size, self.document.content))
        if ask.vend == "form":
            fields = form(self.document, key, headers)
            return self._other_order(ask, operation, claims, key, self._expires_in(ask), form=fields, base_url=endpoint)
        object_ = signing.Request("", endpoint, key, host, {})
        signed = step(ask, self.document.content, object_, headers)
        expires_in = self._expires_in(ask)
        last = signed.requests[-1].request  # of parts the one with the longest number
        _check_expected_length(last)
        _check_expected_answer(len(signed.requests), last)
        return self._other_order(ask, operation, claims, key, expires_in, step=signed)

    def _other_order(
        self,
        ask: Ask,
        operation: Operation,
        claims: ProvenClaims,
        key: str,
        expires_in: int,
        request: signing.Request | None = None,
        **more: Any,
    ) -> Order:
        demand = self._demand(operation, claims, key, expires_in)
        return Order(ask.vend, self.document.bucket, self.document.region, demand, expires_in, 0, request, **more)

    def _demand(self, operation: Operation, claims: ProvenClaims, key: str, seconds: int) -> Demand:
        longest = self.document.expires.max_seconds + MARGIN_SECONDS
        return Demand(self.scope(operation.permission, claims, key), seconds + MARGIN_SECONDS, longest, self.renews)

    def covers(self, outline: Outline) -> bool:
        """Whether a credential of this outline may be one of this route's."""
        reach = cam.resource(self.document.region, self.document.bucket, self.keys.template.literal_prefix)
        return outline.form in self.forms and outline.resource.startswith(reach)

    def _keys(self, ask: Ask, claims: ProvenClaims) -> Order:
        assert self.credentials is not None  # noqa: S101  compiled whenever the vend is listed
        self._check_bucket(ask)
        minimum = self.document.credential.min_remaining_seconds
        return Order(
            vend=ask.vend,
            bucket=self.document.bucket,
            region=self.document.region,
            demand=Demand(self.scope(self.credentials, claims, ""), minimum, minimum, self.renews),
            expires_in=minimum,
            window_seconds=0,
            request=None,
            key_prefix=self.reached(claims, "").removesuffix("*"),
            actions=tuple(self.credentials.actions),
        )

    def _operation(self, ask: Ask) -> Operation:
        legal = ["GET"] if ask.vend == "download-url" else self.document.methods or []
        if ask.method is None and len(legal) > 1:
            raise invalid("method", f"must be one of {', '.join(legal)}: this route leaves the choice")
        method = ask.method or legal[0]
        if method not in legal:
            message = f"must be one of {', '.join(legal)}, got {quoted(method)}"
            raise Refused("method_not_allowed_by_policy", f"method {message}", [FieldError("method", message)])
        return self.operations[method]

    def _check_bucket(self, ask: Ask) -> None:
        if ask.bucket is not None and ask.bucket != self.document.bucket:
            message = f"must be {self.document.bucket} or left out"
            raise Refused("bucket_not_allowed", f"bucket {message}", [FieldError("bucket", message)])

    def _headers(
        self, ask: Ask, operation: Operation, claims: ProvenClaims, sized: Sequence[Flaw] = ()
    ) -> dict[str, str]:
        if operation.name not in requests.MAKES_KEYS or not self.content.names:
            if sized:
                refuse(sized)
            return operation.headers.accept(ask.headers, claims)
        governed, others = self.content.accept(ask.headers, length=operation.name == "put", sized=sized)
        return governed | operation.headers.accept(others, claims)

    def _params(self, ask: Ask, operation: Operation, claims: ProvenClaims) -> dict[str, str]:
        if ask.filename is None:
            return operation.params.accept(ask.params, claims)
        if DISPOSITION in ask.params:
            raise invalid("filename", f"stands for params.{DISPOSITION}, which was given too")
        disposition = attachment(ask.filename)
        if DISPOSITION in operation.params.rules:
            return operation.params.accept({**ask.params, DISPOSITION: disposition}, claims)
        return {**operation.params.accept(ask.params, claims), DISPOSITION: disposition}

    def _expires_in(self, ask: Ask) -> int:
        expires = self.document.expires
        if ask.expires_in is None:
            return expires.default_seconds
        if ask.expires_in < 1:
            raise invalid("expires_in", f"must be a positive integer, got {ask.expires_in}")
        if ask.expires_in > expires.longest_seconds:
            window = " on this route of windows" if expires.window_seconds else ""
            message = f"must be 1..{expires.longest_seconds}{window}, got {ask.expires_in}"
            raise Refused("expires_too_long", f"expires_in {message}", [FieldError("expires_in", message)])
        return ask.expires_in

    def reached(self, claims: ProvenClaims, key: str) -> str:
        """What the credential for a key reaches: the key, or a prefix and `*`."""
        return key if self.reach is None else self.reach.text(claims)

    def scope(self, permission: Permission, claims: ProvenClaims, key: str) -> Scope:
        """All that STS is asked for on behalf of a principal. Raises Refused if a key makes it too long."""
        reach = self.reached(claims, key)
        scope = permission.scope(reach)
        # Load measured three bytes a character; a quotation mark is the one that takes six, as JSON's `\"`.
        if '"' in reach and cam.measure(scope.document) > self.limits.policy_bytes:
            raise refused_key(key, f"makes a policy document over {self.limits.policy_bytes} bytes")
        return scope


def compile_route(name: str, document: PolicyDocument, limits: Limits) -> Route:
    """A route from a document that `checks` found sound."""
    template = notation.parse(document.key)
    scope = scope_name(document, template)
    by_method = operations.operations(document)
    keys = operations.credentials_permission(document) if CREDENTIALS in document.vends else None
    others = operations.other_operations(document)
    every = [*by_method.values(), *others.values()]
    permissions = [operation.permission for operation in every] + ([keys] if keys else [])
    return Route(
        name=name,
        document=document,
        keys=Keys(template, operations.input_specs(document)),
        scope_name=scope,
        reach=reach_form(scope, template),
        admission=compile_admission(name, document, template, every),
        content=compile_content(document),
        endpoint=requests.endpoint(document.endpoint or limits.cos_endpoint, document.bucket, document.region),
        operations=by_method,
        others=others,
        credentials=keys,
        limits=limits,
        # One object of many is rarely asked for again.
        renews=scope != "object" or all(isinstance(part, Literal) for part in template.parts),
        forms=frozenset(permission.scope("").outline().form for permission in permissions),
        rate=rates.parse(document.rate) if document.rate is not None else None,
    )


def check_length(length: int) -> None:
    """Refuse a URL that would break proxies' buffers. Raises Refused."""
    if length > URL_BYTES:
        raise Refused("url_too_long", f"the URL would have {length} bytes, at most {URL_BYTES}")


def _check_expected_length(request: signing.Request) -> None:
    characters = len(request.key) + sum(map(len, request.headers))
    if request.params:
        characters += sum(map(len, request.params)) + sum(map(len, request.params.values()))
    # A character is at most twelve in a URL; nearly every ask is short enough to stop here.
    if 12 * characters + _USUAL_TOKEN_BYTES + _FIXED_BYTES > URL_BYTES:
        check_length(signing.url_length(request, _USUAL_TOKEN_BYTES))


def _check_expected_answer(parts: int, longest: signing.Request) -> None:
    # Nearly every ask is for so few parts that it cannot be too large.
    if parts * (URL_BYTES + _AROUND_PART_BYTES) + _AROUND_PARTS_BYTES <= _ANSWER_BYTES:
        return
    each = signing.url_length(longest, _USUAL_TOKEN_BYTES) + _AROUND_PART_BYTES
    fitting = (_ANSWER_BYTES - _AROUND_PARTS_BYTES) // each
    if parts > fitting:
        raise invalid("parts", f"must be at most {fitting} at a time, or the answer is too large; got {parts}")
