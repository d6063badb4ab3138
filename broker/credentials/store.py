"""The only file that speaks to Redis: sealed credentials by the fingerprint of their scope.

Redis holds nothing in the clear, and what it says is believed only as far as the seal goes: expiry is inside it. Redis
being down is a slower day, not an error: one log line when it begins, one when it ends.
"""

from __future__ import annotations

import json
import logging

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from broker.credentials.credential import Credential
from broker.credentials.sealing import Sealer

TIMEOUT_SECONDS = 0.15
logger = logging.getLogger("broker.redis")

# NOTE: shared by the fleet. A new number is a miss for everything sealed before.
_VERSION = 1


def connect(url: str) -> redis.Redis:
    """A client for `redis://`, `rediss://` or `unix://`. It connects at the first command.

    Without the library's own retries: its default of ten turns one dead server into seconds.
    """
    client: redis.Redis = redis.Redis.from_url(
        url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS, retry=Retry(NoBackoff(), 0)
    )
    return client


class CredentialStore:
    """Credentials that the whole fleet shares."""

    def __init__(self, client: redis.Redis, sealer: Sealer) -> None:
        self._client = client
        self._sealer = sealer
        self._serving = True

    @property
    def serving(self) -> bool:
        """Whether the last command was answered."""
        return self._serving

    def get(self, fingerprint: str) -> Credential | None:
        """The credential kept for a scope; None if there is none, if it does not open, or if Redis does not answer."""
        try:
            sealed = self._client.get(_name(fingerprint))
        except redis.ResponseError as error:
            if not str(error).startswith("WRONGTYPE"):
                self._failed(error)
            return None  # somebody else's value under our name is a miss
        except (redis.RedisError, OSError) as error:
            self._failed(error)
            return None
        self._answered()
        if not isinstance(sealed, bytes):
            return None
        plaintext = self._sealer.open(sealed, _context(fingerprint))
        return _parse(plaintext) if plaintext is not None else None

    def put(self, fingerprint: str, credential: Credential, now: int) -> None:
        """Keep a credential until it expires. Nothing happens if Redis does not answer."""
        remaining = credential.expires_at - now
        if remaining <= 0:
            return
        sealed = self._sealer.seal(_serialise(credential), _context(fingerprint))
        try:
            self._client.set(_name(fingerprint), sealed, ex=remaining)
        except (redis.RedisError, OSError) as error:
            self._failed(error)
        else:
            self._answered()

    def ping(self) -> bool:
        """Whether Redis answers now."""
        try:
            self._client.ping()
        except (redis.RedisError, OSError) as error:
            self._failed(error)
            return False
        self._answered()
        return True

    def _failed(self, error: Exception) -> None:
        if self._serving:
            # The class alone: a message may hold the URL, and that a password.
            logger.warning("Redis does not answer (%s): serving without it", type(error).__name__)
        self._serving = False

    def _answered(self) -> None:
        if not self._serving:
            logger.warning("Redis answers again")
        self._serving = True


def _name(fingerprint: str) -> str:
    # All keys of one scope share the braces' content, and so one slot of a cluster.
    return f"broker:{{{fingerprint}}}:credential"


def _context(fingerprint: str) -> bytes:
    return f"credential:{_VERSION}:{fingerprint}".encode()


def _serialise(credential: Credential) -> bytes:
    return json.dumps(
        {
            "secret_id": credential.secret_id,
            "secret_key": credential.secret_key,
            "session_token": credential.session_token,
            "issued_at": credential.issued_at,
            "expires_at": credential.expires_at,
            "request_id": credential.request_id,
        }
    ).encode()


def _parse(plaintext: bytes) -> Credential:
    return Credential(**json.loads(plaintext))
