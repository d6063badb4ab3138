"""BrokerClient: everything the client can do, in one place; how it is done stands in the other rooms."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from broker.client import reading
from broker.client.answers import (
    BatchResult,
    Confirmation,
    Credentials,
    Form,
    MultipartStep,
    RouteDescription,
    Signature,
    SignedUrl,
)
from broker.client.asking import Asker, Identity, Token
from broker.client.batches import result, spelt
from broker.client.downloads import Download, Fetch, beside
from broker.client.errors import BrokerClientError
from broker.client.grants import Grants
from broker.client.multipart import Checkpoint, InParts, begin
from broker.client.patience import Patience
from broker.client.posted import post_empty
from broker.client.resuming import UploadState
from broker.client.sending import Sender, Session
from broker.client.slices import source
from broker.client.store import Store
from broker.client.uploads import Plan, Progress, Tally, Tools, Upload, Whole, by_form, in_parts, with_type

Texts = Mapping[str, str]
_TRIES = 5


class BrokerClient:
    """Asks one broker as one identity, from as many threads as you like.

    `base_url` is what stands before `/v1`. `token` is a JWT or an API key (`ID.SECRET`), a callable that gives a fresh
    one for each request, or None for routes that are open to everyone. With an API key that acts for others,
    `principal` says for whom and `principal_claims` what else is known of them. `timeout_seconds` bounds connecting
    and each wait for bytes; `deadline_seconds` an ask of the broker with all its retries. `session` brings proxies,
    certificates or adapters; it must not retry on its own. `sleep`, `clock` (seconds, never set back) and `draw`
    (0 to 1, for jitter) are for tests.
    """

    def __init__(
        self,
        base_url: str,
        token: Token,
        *,
        principal: str | None = None,
        principal_claims: Mapping[str, Any] | None = None,
        timeout_seconds: float = 30.0,
        deadline_seconds: float = 60.0,
        session: Session | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        sender = Sender(session, timeout_seconds)
        patience = Patience(deadline_seconds, _TRIES, sleep, clock, draw)
        self._become(base_url, Identity(token, principal, principal_claims), sender, patience)

    def _become(self, base_url: str, identity: Identity, sender: Sender, patience: Patience) -> None:
        self._sender = sender
        self._asker = Asker(base_url, identity, sender, patience)
        self._grants = Grants(self._asker, patience.clock)
        self._tools = Tools(self._grants, Store(sender), patience)

    def __repr__(self) -> str:
        identity = self._asker.identity
        return f"BrokerClient({self._asker.base_url!r}, principal={identity.principal!r})"

    def __enter__(self) -> BrokerClient:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections, those of clients made by `acting_for` included."""
        self._sender.session.close()

    def acting_for(self, principal: str, principal_claims: Mapping[str, Any] | None = None) -> BrokerClient:
        """The same client for another principal, with the same connections: one for each user of a BFF."""
        client = BrokerClient.__new__(BrokerClient)
        identity = Identity(self._asker.identity.token, principal, principal_claims)
        client._become(self._asker.base_url, identity, self._sender, self._tools.patience)
        return client

    def get_auth(
        self,
        Route: str,  # noqa: N803  the official SDK's names
        *,
        Method: str | None = None,  # noqa: N803
        Bucket: str | None = None,  # noqa: N803
        Key: str | None = None,  # noqa: N803
        Expired: int | None = None,  # noqa: N803
        Headers: Texts | None = None,  # noqa: N803
        Params: Texts | None = None,  # noqa: N803
        Inputs: Texts | None = None,  # noqa: N803
    ) -> Signature:
        """A request signature with the headers to send. `Expired` in seconds. Raises BrokerClientError."""
        ask = _asked(
            Method=Method, Bucket=Bucket, Key=Key, Expired=Expired, Headers=Headers, Params=Params, Inputs=Inputs
        )
        return reading.read(reading.signature, self._grants.ask(Route, "signature", ask))

    def get_presigned_url(
        self,
        Route: str,  # noqa: N803  the official SDK's names
        *,
        Bucket: str | None = None,  # noqa: N803
        Key: str | None = None,  # noqa: N803
        Method: str | None = None,  # noqa: N803
        Expired: int | None = None,  # noqa: N803
        Params: Texts | None = None,  # noqa: N803
        Headers: Texts | None = None,  # noqa: N803
        Inputs: Texts | None = None,  # noqa: N803
    ) -> SignedUrl:
        """A pre-signed URL. `Expired` in seconds. Raises BrokerClientError."""
        ask = _asked(
            Method=Method, Bucket=Bucket, Key=Key, Expired=Expired, Headers=Headers, Params=Params, Inputs=Inputs
        )
        return reading.read(reading.signed_url, self._grants.ask(Route, "url", ask))

    def get_presigned_download_url(
        self,
        Route: str,  # noqa: N803  the official SDK's names
        *,
        Bucket: str | None = None,  # noqa: N803
        Key: str | None = None,  # noqa: N803
        Expired: int | None = None,  # noqa: N803
        Params: Texts | None = None,  # noqa: N803
        Headers: Texts | None = None,  # noqa: N803
        Inputs: Texts | None = None,  # noqa: N803
        Filename: str | None = None,  # noqa: N803
    ) -> SignedUrl:
        """A pre-signed GET; `Filename` is the name under which browsers save it. Raises BrokerClientError."""
        ask = _asked(
            Bucket=Bucket, Key=Key, Expired=Expired, Headers=Headers, Params=Params, Inputs=Inputs, Filename=Filename
        )
        return reading.read(reading.signed_url, self._grants.ask(Route, "download-url", ask))

    def routes(self) -> tuple[RouteDescription, ...]:
        """The routes that this principal may use. Raises BrokerClientError."""
        return self._grants.routes()

    def credentials(self, route: str, *, bucket: str | None = None) -> Credentials:
        """Temporary keys. Raises BrokerClientError."""
        return reading.read(reading.credentials, self._grants.ask(route, "credentials", {"bucket": bucket}))

    def form(
        self,
        route: str,
        *,
        inputs: Texts | None = None,
        key: str | None = None,
        headers: Texts | None = None,
        expires_in: int | None = None,
    ) -> Form:
        """URL and fields of a browser's upload form; `expires_in` in seconds. Raises BrokerClientError."""
        ask = _asked(Key=key, Inputs=inputs, Headers=headers, Expired=expires_in)
        return self._grants.form(route, **ask)

    def multipart(
        self,
        route: str,
        step: str,
        *,
        inputs: Texts | None = None,
        key: str | None = None,
        upload_id: str | None = None,
        size: int | None = None,
        headers: Texts | None = None,
        parts: tuple[int, int] | None = None,
        expires_in: int | None = None,
    ) -> MultipartStep:
        """Signed requests of one step: initiate, parts (from, to: both included), list, complete or abort.

        `size` is the whole file's, in bytes. Raises BrokerClientError.
        """
        ask = _asked(Key=key, Inputs=inputs, Headers=headers, Expired=expires_in)
        asked_parts = None if parts is None else {"from": parts[0], "to": parts[1]}
        return self._grants.multipart(route, step, **ask, upload_id=upload_id, size=size, parts=asked_parts)

    def batch(self, route: str, asks: Iterable[Mapping[str, Any]]) -> list[BatchResult]:
        """A grant or a refusal for each ask, in their order.

        An ask has the members of the HTTP API or the official SDK's parameters; `vend` is `url` if it is not said.
        Raises BrokerClientError if the batch as a whole is refused.
        """
        spelt_asks = [spelt(one) for one in asks]
        raw = self._grants.ask(route, "batch", {"asks": spelt_asks})
        return reading.read(lambda told: result(told, spelt_asks), raw)

    def confirm(self, route: str, key: str) -> Confirmation:
        """An object as COS has it, and whether it satisfies the policy. Raises BrokerClientError."""
        return self._grants.confirm(route, key)

    def upload_file(
        self,
        route: str,
        path: str | os.PathLike[str],
        *,
        inputs: Texts | None = None,
        key: str | None = None,
        content_type: str | None = None,
        headers: Texts | None = None,
        progress: Progress | None = None,
        part_concurrency: int = 4,
        resume: UploadState | None = None,
        checkpoint: Checkpoint | None = None,
        abort_on_failure: bool = False,
    ) -> Upload:
        """Upload a file, streamed; in parts, several at a time, if it is large and the route takes parts.

        An empty file goes up by `url` or else by `form`; where the route vends neither, it is a LocalFileError before
        anything is asked.
        `progress(sent_bytes, total_bytes)` is called by one thread at a time; a part that is sent again is taken back.
        `checkpoint` gets the state after every part. An error holds the state as `resume`, to be handed in again;
        with `abort_on_failure` the parts are given up instead. Raises BrokerClientError.
        """
        file, description = source(path), self._grants.description(route)
        place = Plan(route, file, key, inputs, with_type(headers or {}, content_type, file, description))
        if resume is None and by_form(description, file.size):
            return post_empty(self._tools, place, description)
        tally = Tally(progress, file.size)
        if resume is None and not in_parts(description, file.size):
            return Whole(self._tools, place, description, tally).run()
        if resume is not None:
            resume.check(route, file)
        state = resume or begin(self._tools, place)
        upload = InParts(self._tools, place, description, state, tally, checkpoint)
        try:
            return upload.run(part_concurrency, resumed=resume is not None)
        except BrokerClientError as error:
            _settle(upload, error, abort_on_failure)
            raise

    def download_file(
        self, route: str, key: str, path: str | os.PathLike[str], *, progress: Progress | None = None
    ) -> Download:
        """Download an object to a file, which appears only when whole.

        A broken connection is taken up where it broke if the route takes `Range` and the object is still the same.
        `progress(received_bytes, total_bytes)`. Raises BrokerClientError.
        """
        description = self._grants.description(route)
        with beside(path) as (target, file):
            return Fetch(self._tools, route, key, description, file, progress).run(target)


def _settle(upload: InParts, error: BrokerClientError, abort: bool) -> None:
    """Give the parts up, or let the error say how to go on."""
    if abort:
        try:
            upload.abort()
        except BrokerClientError:
            error.resume = upload.state
    else:
        error.resume = upload.state


def _asked(**parameters: Any) -> dict[str, Any]:
    """An ask in the API's words, from the official SDK's."""
    return spelt({name: value for name, value in parameters.items() if value is not None}, vend=None)
