"""Who may sign: the account's own key, and every session that STS has issued.

A session carries the policy documents of its whole chain; each of them must allow a request, so that what is
issued to a temporary key never exceeds that key. Sessions live in memory and end with the process.
"""

from __future__ import annotations

import base64
import hmac
import secrets
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from broker.cos import evaluation

Document = Mapping[str, Any]

# Expired sessions are forgotten once there are this many; until then they are refused as expired, not as unknown.
_MANY = 10_000


@dataclass(frozen=True, slots=True)
class Session:
    """One key pair. The account's own has no token, no end and no documents."""

    secret_id: str
    secret_key: str = field(repr=False)
    token: str = field(default="", repr=False)
    expires_at: int | None = None
    documents: tuple[Document, ...] = ()

    @property
    def is_temporary(self) -> bool:
        """Whether STS issued it."""
        return self.expires_at is not None

    def is_expired(self, now: float) -> bool:
        """Whether it has stopped working; the second named by `ExpiredTime` is the first that does not."""
        return self.expires_at is not None and now >= self.expires_at

    def holds(self, unverified_token: str) -> bool:
        """Whether the token presented beside a signature is this session's own."""
        return hmac.compare_digest(unverified_token.encode(), self.token.encode())

    def allows(self, action: str, resource: str, values: Mapping[str, str]) -> bool:
        """Whether every document of the chain allows the request. Raises `evaluation.UnknownCondition`."""
        # A list, not a generator: a condition that nobody knows is an error wherever in the chain it stands.
        decisions = [evaluation.evaluate(document, action, resource, values) for document in self.documents]
        return all(decision.allowed for decision in decisions)


class Sessions:
    """All key pairs that this emulator knows, by SecretId."""

    def __init__(self, secret_id: str, secret_key: str) -> None:
        self._lock = threading.Lock()
        self._account = Session(secret_id, secret_key)
        self._issued: dict[str, Session] = {}

    def find(self, secret_id: str) -> Session | None:
        """The key pair of a SecretId, expired ones included."""
        if secret_id == self._account.secret_id:
            return self._account
        return self._issued.get(secret_id)

    def issue(self, documents: tuple[Document, ...], now: float, expires_at: int) -> Session:
        """A new session, in the sizes and alphabets of the real ones."""
        session = Session(
            secret_id="AKID" + secrets.token_urlsafe(48),
            secret_key=base64.b64encode(secrets.token_bytes(32)).decode(),
            token=secrets.token_urlsafe(420),
            expires_at=expires_at,
            documents=documents,
        )
        with self._lock:
            if len(self._issued) >= _MANY:
                self._issued = {name: one for name, one in self._issued.items() if not one.is_expired(now)}
            self._issued[session.secret_id] = session
        return session

    def live(self, now: float) -> list[Session]:
        """The issued sessions that still work."""
        with self._lock:
            return [one for one in self._issued.values() if not one.is_expired(now)]
