"""What a probe needs of the world: STS, COS and the time."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from broker.cos import client
from broker.cos.client import Answer
from broker.cos.signing import Request, Window
from broker.credentials.credential import Credential
from broker.credentials.scope import Scope
from broker.vending import BACKDATE_SECONDS

_SIGNED_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Cloud:
    """STS, COS and the time (Unix seconds, on their clocks).

    `early_seconds`: how long COS may take to refuse an upload by its headers alone.
    """

    issue: Callable[[Scope], Credential]
    clock: Callable[[], int]
    send: Callable[..., Answer] = client.send
    early_seconds: float = 3.0

    def window(self) -> Window:
        """When what is signed here is valid: for a minute, and from as early as what is vended."""
        now = self.clock()
        return Window(now - BACKDATE_SECONDS, now + _SIGNED_SECONDS)

    def ask(
        self,
        request: Request,
        credential: Credential,
        body: bytes = b"",
        extra: Mapping[str, str] | None = None,
        timeout_seconds: float = client.TIMEOUT_SECONDS,
    ) -> Answer:
        """What COS answers to a request that is signed here; `extra` headers are not signed. Raises NoAnswer."""
        url = credential.signer.presigned_url(request, self.window())
        headers = {**request.headers, **(extra or {})}
        return self.deliver(request, url, headers, body, timeout_seconds)

    def deliver(
        self,
        request: Request,
        url: str,
        headers: Mapping[str, str],
        body: bytes = b"",
        timeout_seconds: float = client.TIMEOUT_SECONDS,
    ) -> Answer:
        """What COS answers to a request that is signed already. Raises NoAnswer."""
        # The answers that tell of uploads; a POST may also fail with status 200.
        reads = request.method == "POST" or "uploads" in request.params
        return self.send(request.method, url, headers, body, timeout_seconds=timeout_seconds, reads=reads)
