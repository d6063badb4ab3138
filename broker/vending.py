"""One ask -> one grant: the straight line, without HTTP and without a clock of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from broker.confirming import Confirmation, Send, confirm
from broker.cos import client, forms
from broker.cos.forms import Form
from broker.cos.signing import TOKEN_NAME, Window, encode_key, query
from broker.credentials.cache import CredentialCache
from broker.credentials.credential import Credential
from broker.errors import NEEDS_AUTHENTICATION, NotFound, Unauthenticated
from broker.identity.principals import Principal
from broker.limits import Rates
from broker.policy.asks import Ask
from broker.policy.catalog import Catalog
from broker.policy.routes import Order, Route, check_length
from broker.policy.templates import BUCKET, ProvenClaims
from broker.policy.uploads import Step

# Clocks differ: signatures begin a minute ago, as the official SDK's do.
BACKDATE_SECONDS = 60


# Each kind of grant names the credential behind it, for whoever keeps the books.
class UrlGrant(NamedTuple):
    """A pre-signed URL; `headers` is all that the client must send besides Host."""

    method: str
    url: str
    headers: Mapping[str, str]
    bucket: str
    region: str
    key: str
    expires_in: int
    expires_at: int
    credential: Credential

    def __repr__(self) -> str:
        return f"UrlGrant({self.method} {self.key!r} of {self.bucket}, expires_at={self.expires_at})"


@dataclass(frozen=True, slots=True)
class SignatureGrant:
    """An Authorization value, among the headers to send to `url`."""

    authorization: str = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)
    method: str
    url: str
    bucket: str
    region: str
    key: str
    expires_in: int
    expires_at: int
    credential: Credential


@dataclass(frozen=True, slots=True)
class KeysGrant:
    """Temporary keys; `issued_at` is the moment of vending, which client SDKs take as the keys' start."""

    credential: Credential
    issued_at: int
    bucket: str
    region: str
    key_prefix: str
    actions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FormGrant:
    """A form that uploads one object: `fields` in their order, the file after them as `file`."""

    url: str
    fields: Mapping[str, str] = field(repr=False)
    key: str
    expires_in: int
    expires_at: int
    credential: Credential


class SignedRequest(NamedTuple):
    """One request of a step, signed; `headers` is all that the client must send besides Host."""

    method: str
    url: str
    headers: Mapping[str, str]
    part_number: int | None

    def __repr__(self) -> str:
        return f"SignedRequest({self.method}, part {self.part_number})"


@dataclass(frozen=True, slots=True)
class StepGrant:
    """One step of a multipart upload, signed."""

    key: str
    step: str
    requests: tuple[SignedRequest, ...]
    part_bytes: int
    expires_in: int
    expires_at: int
    credential: Credential


Grant = UrlGrant | SignatureGrant | KeysGrant | FormGrant | StepGrant
Vended = Grant | Confirmation


@dataclass(frozen=True, slots=True)
class Desk:
    """What vending needs beside the ask: the routes as they stand now, credentials, rates, the time (Unix seconds)."""

    catalog: Callable[[], Catalog]
    cache: CredentialCache
    rates: Rates
    clock: Callable[[], int]
    send: Send = client.send  # the one request that a confirmation makes

    def find(self, name: str, principal: Principal) -> Route:
        """A route by name. Raises NotFound; to strangers Unauthenticated, whether the route exists or not."""
        try:
            return self.catalog().route(name)
        except NotFound:
            if principal.anonymous:
                raise Unauthenticated(NEEDS_AUTHENTICATION) from None
            raise

    def vend(self, name: str, ask: Ask, principal: Principal) -> Vended:
        """Every check but authentication, then the grant. Raises RequestError or UpstreamError."""
        now = self.clock()
        route = self.find(name, principal)
        return self.grant(route, ask, route.admit(principal), principal, now)

    def grant(self, route: Route, ask: Ask, claims: ProvenClaims, principal: Principal, now: int) -> Vended:
        """What an admitted principal gets for an ask. Raises RequestError or UpstreamError."""
        order = route.order(ask, claims, now)
        self.meter((order,), route, principal)
        # A new credential may take seconds, and correct our idea of the time: it is signed from when it was there.
        credential, now = self.cache.get(order.demand, now, principal)
        if order.vend == "confirm":
            return confirm(route, order, credential, now, self.send)
        return grant(order, credential, now)

    def meter(self, orders: Sequence[Order], route: Route, principal: Principal) -> None:
        """Take what the signed requests of orders cost a principal on a route. Raises RateLimited."""
        if route.rate is not None or principal.rate is not None:
            self.rates.take(sum(order.units for order in orders), principal, route.name, route.rate)


def grant(order: Order, credential: Credential, now: int) -> Grant:
    """An order, signed. Raises Refused if the credential's token makes the URL too long."""
    request = order.request
    if request is None:
        if order.form is not None:
            return _form(order, order.form, credential, now)
        if order.step is not None:
            return _step(order, order.step, credential, now)
        return KeysGrant(credential, now, order.bucket, order.region, order.key_prefix, order.actions)
    window = _window(now, order.window_seconds, order.expires_in)
    if order.vend == "signature":
        authorization = credential.signer.authorization(request, window)
        params = query(request.params)[1:]
        return SignatureGrant(
            authorization=authorization,
            headers={"Authorization": authorization, TOKEN_NAME: credential.session_token, **order.headers},
            method=request.method,
            url=f"{request.base_url}/{encode_key(request.key)}{'?' if params else ''}{params}",
            bucket=order.bucket,
            region=order.region,
            key=request.key or BUCKET,
            expires_in=window.valid_until - now,
            expires_at=window.valid_until,
            credential=credential,
        )
    url = credential.signer.presigned_url(request, window)
    check_length(len(url))  # the order was checked with a token of usual length
    key, until = request.key or BUCKET, window.valid_until
    return UrlGrant(request.method, url, order.headers, order.bucket, order.region, key, until - now, until, credential)


def _form(order: Order, form: Form, credential: Credential, now: int) -> FormGrant:
    window = _window(now, order.window_seconds, order.expires_in)
    return FormGrant(
        url=f"{order.base_url}/",
        fields=forms.fields(form, credential.signer, window),
        key=form.key,
        expires_in=window.valid_until - now,
        expires_at=window.valid_until,
        credential=credential,
    )


def _step(order: Order, step: Step, credential: Credential, now: int) -> StepGrant:
    window = _window(now, order.window_seconds, order.expires_in)
    signer, signed = credential.signer, []
    for part in step.requests:
        url = signer.presigned_url(part.request, window)
        check_length(len(url))
        signed.append(SignedRequest(part.request.method, url, part.headers, part.number))
    requests, expires_in = tuple(signed), window.valid_until - now
    return StepGrant(step.key, step.name, requests, step.part_bytes, expires_in, window.valid_until, credential)


@lru_cache(maxsize=128)
def _window(now: int, window_seconds: int, expires_in: int) -> Window:
    """From when until when an order is signed: from now on, or the same for all who ask within a window."""
    start = now - now % window_seconds if window_seconds else now
    return Window(start - BACKDATE_SECONDS, start + window_seconds + expires_in)
