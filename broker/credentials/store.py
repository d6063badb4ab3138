"""What the fleet shares in Redis, by the fingerprint of a scope: sealed credentials, failures, and the lease.

    broker:{FINGERPRINT}:credential   sealed; until it dies
    broker:{FINGERPRINT}:failure      sealed; 2 s, or 60 s if asking again changes nothing
    broker:{FINGERPRINT}:lease        the right to be the one process that asks STS; 10 s
    broker:epoch                      changes when somebody forgets credentials: memory is then worth no more

Redis holds nothing in the clear, and what it says is believed only as far as the seal goes: expiry is inside it, and
the seal opens under the name it was made for alone. Redis being down is a slower day: every method says `Unavailable`
then, at once for five seconds after a time-out.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from broker.credentials.credential import Credential
from broker.credentials.failures import Failure
from broker.credentials.scope import Outline
from broker.credentials.sealing import Sealer
from broker.fleet.connection import Connection, Unavailable

LEASE_MILLISECONDS = 10_000
# A holder that lives has heard from STS by now, which takes 8 s at the most. Who waits gives it up for lost, so that
# there is time left for a call of its own.
LAPSING_MILLISECONDS = 1_500
_EPOCH = "broker:epoch"
_EPOCH_SECONDS = 7 * 24 * 3600  # longer than any credential lives
_FOREIGN, _BATCH = "foreign", 500

Item = TypeVar("Item")

# NOTE: shared by the fleet. A new number is a miss for everything sealed before.
_VERSION = 2

# Sets KEYS[2] to ARGV[2] for ARGV[3] milliseconds, drops KEYS[3] and gives back the lease KEYS[1], if ARGV[1] holds it
# (or is empty: minted without a lease, since there was none to be had).
_SETTLE = """
local owner = redis.call('GET', KEYS[1])
if ARGV[1] ~= '' and owner ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[2], ARGV[2], 'PX', ARGV[3])
if KEYS[3] then redis.call('DEL', KEYS[3]) end
if ARGV[1] ~= '' then redis.call('DEL', KEYS[1]) end
return 1
"""
# Compare and delete.
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


@dataclass(frozen=True, slots=True)
class Shared:
    """What the fleet knows of a scope now. `leased`: the asker holds the lease."""

    credential: Credential | None
    failure: Failure | None
    leased: bool = False


@dataclass(frozen=True, slots=True)
class Listed:
    """A kept credential as an operator sees it; `opened` is None if none of our keys opens it."""

    fingerprint: str
    opened: tuple[Credential, Outline] | None


class CredentialStore:
    """The fleet's credentials, failures and leases. Every method may raise Unavailable."""

    def __init__(self, connection: Connection, sealer: Sealer) -> None:
        self._connection = connection
        self._sealer = sealer

    @property
    def serving(self) -> bool:
        """Whether the last command was answered."""
        return self._connection.serving

    def look(self, fingerprint: str) -> Shared:
        """What is known of a scope; one round trip."""
        names = [_name(fingerprint, "credential"), _name(fingerprint, "failure")]
        credential, failure = self._connection.run(names[0], lambda client: client.mget(names))
        return Shared(self._credential(fingerprint, credential), self._failure(fingerprint, failure))

    def claim(self, fingerprint: str, token: str) -> Shared:
        """Take the lease if it is free, and look; what the last holder published is seen. One round trip."""
        credential, failure, lease = (_name(fingerprint, kind) for kind in ("credential", "failure", "lease"))

        def command(client: Any) -> Any:
            pipeline = client.pipeline(transaction=False)
            pipeline.set(lease, token, nx=True, px=LEASE_MILLISECONDS)
            pipeline.pttl(lease)
            pipeline.mget([credential, failure, lease])
            return pipeline.execute()

        leased, left, found = self._connection.run(lease, command)
        if not leased and (left == -1 or left > LEASE_MILLISECONDS):
            self._foreign("a lease that does not lapse")
            self._connection.run(lease, lambda client: client.delete(lease))
        elif not leased and left < LAPSING_MILLISECONDS:
            self.release(fingerprint, found[2])
        return Shared(self._credential(fingerprint, found[0]), self._failure(fingerprint, found[1]), bool(leased))

    def publish(self, fingerprint: str, token: str | None, credential: Credential, outline: Outline, now: int) -> None:
        """Keep a credential until it dies and give back the lease; nothing, if the lease is no longer ours."""
        left = credential.expires_at - now
        if left <= 0:
            return self.release(fingerprint, token)
        sealed = self._sealer.seal(_serialise(credential, outline), _context("credential", fingerprint))
        return self._settle(fingerprint, token, ("credential", "failure"), sealed, left)

    def fail(self, fingerprint: str, token: str | None, failure: Failure) -> None:
        """Tell the fleet of a failure and give back the lease."""
        sealed = self._sealer.seal(_serialise_failure(failure), _context("failure", fingerprint))
        self._settle(fingerprint, token, ("failure",), sealed, failure.seconds)

    def release(self, fingerprint: str, token: str | bytes | None) -> None:
        """Give back the lease, if it is still ours."""
        if token is not None:
            lease = _name(fingerprint, "lease")
            self._connection.run(lease, lambda client: client.eval(_RELEASE, 1, lease, token))

    def failure(self, fingerprint: str) -> Failure | None:
        """The failure that is known of a scope or a source."""
        name = _name(fingerprint, "failure")
        # MGET, since a value of another type is no error to it.
        [found] = self._connection.run(name, lambda client: client.mget([name]))
        return self._failure(fingerprint, found)

    def epoch(self) -> bytes | None:
        """Changes when credentials are forgotten; None says nothing."""
        [found] = self._connection.run(_EPOCH, lambda client: client.mget([_EPOCH]))
        return found if isinstance(found, bytes) else None

    def listed(self) -> Iterator[Listed]:
        """Every credential that is kept, in no order."""
        pattern = "broker:{*}:credential"
        found = self._connection.everywhere(lambda client: list(client.scan_iter(match=pattern, count=_BATCH)))
        for batch in self._batches([name for names in found for name in names], bytes.decode):
            for name, value in zip(batch, self._values(batch), strict=True):
                fingerprint = name.decode()[len("broker:{") : -len("}:credential")]
                plaintext = self._open("credential", fingerprint, value)
                opened = (_parse(plaintext, fingerprint), _parse_outline(plaintext)) if plaintext is not None else None
                yield Listed(fingerprint, opened)

    def forget(self, fingerprints: Iterable[str]) -> int:
        """Drop credentials, with failures and leases; every process notices by the epoch. How many there were.

        A Redis that would not keep the epoch says so before anything is dropped.
        """
        self._change_epoch()
        dropped = 0
        for batch in self._batches(fingerprints, lambda fingerprint: _name(fingerprint, "credential")):
            # The lease as well: who is about to publish a credential of before does not.
            dropped += self._drop(batch, "credential")
            self._drop(batch, "failure", "lease")
        self._change_epoch()  # again, for who has looked in between
        return dropped

    def _change_epoch(self) -> None:
        epoch = secrets.token_hex(8)
        self._connection.run(_EPOCH, lambda client: client.set(_EPOCH, epoch, ex=_EPOCH_SECONDS))

    def ping(self) -> bool:
        """Whether Redis answers now."""
        try:
            self._connection.run(_EPOCH, lambda client: client.exists(_EPOCH))
        except Unavailable:
            return False
        return True

    def _settle(self, fingerprint: str, token: str | None, kinds: tuple[str, ...], sealed: bytes, seconds: int) -> None:
        names = [_name(fingerprint, kind) for kind in ("lease", *kinds)]
        arguments = [token or "", sealed, seconds * 1000]
        try:
            self._connection.run(names[0], lambda client: client.eval(_SETTLE, len(names), *names, *arguments))
        except Unavailable:
            self.release(fingerprint, token)  # a full server still deletes
            raise

    def _batches(self, items: Iterable[Item], name: Callable[[Item], str]) -> Iterator[Sequence[Item]]:
        for group in self._connection.together(items, name):
            for start in range(0, len(group), _BATCH):
                yield group[start : start + _BATCH]

    def _values(self, names: Sequence[bytes]) -> list[object]:
        def command(client: Any) -> list[object]:
            pipeline = client.pipeline(transaction=False)
            for name in names:
                pipeline.get(name)
            answers: list[object] = pipeline.execute(raise_on_error=False)
            return answers

        return self._connection.run(names[0].decode(), command)

    def _drop(self, fingerprints: Sequence[str], *kinds: str) -> int:
        def command(client: Any) -> int:
            pipeline = client.pipeline(transaction=False)
            for fingerprint in fingerprints:
                pipeline.delete(*(_name(fingerprint, kind) for kind in kinds))
            return sum(pipeline.execute())

        return self._connection.run(_name(fingerprints[0], kinds[0]), command)

    def _credential(self, fingerprint: str, value: object) -> Credential | None:
        plaintext = self._open("credential", fingerprint, value)
        return _parse(plaintext, fingerprint) if plaintext is not None else None

    def _failure(self, fingerprint: str, value: object) -> Failure | None:
        plaintext = self._open("failure", fingerprint, value)
        return Failure(**json.loads(plaintext)) if plaintext is not None else None

    def _open(self, kind: str, fingerprint: str, value: object) -> bytes | None:
        if not isinstance(value, bytes):
            return None
        plaintext = self._sealer.open(value, _context(kind, fingerprint))
        if plaintext is None:
            self._foreign(f"a {kind} that no key of BROKER_CACHE_KEYS opens")
        return plaintext

    def _foreign(self, what: str) -> None:
        self._connection.episodes.met(_FOREIGN, f"Redis holds {what}: passed over")


def _name(fingerprint: str, kind: str) -> str:
    # All keys of one scope share the braces' content, and so one slot of a cluster.
    return f"broker:{{{fingerprint}}}:{kind}"


def _context(kind: str, fingerprint: str) -> bytes:
    return f"{kind}:{_VERSION}:{fingerprint}".encode()


def _serialise(credential: Credential, outline: Outline) -> bytes:
    fields = [
        credential.secret_id,
        credential.secret_key,
        credential.session_token,
        credential.issued_at,
        credential.expires_at,
        credential.request_id,
        outline.actions,
        outline.resource,
        outline.form,
    ]
    return json.dumps(fields, separators=(",", ":"), ensure_ascii=False).encode()


def _parse(plaintext: bytes, fingerprint: str) -> Credential:
    return Credential(*json.loads(plaintext)[:6], fingerprint=fingerprint)


def _parse_outline(plaintext: bytes) -> Outline:
    actions, resource, form = json.loads(plaintext)[6:]
    return Outline(tuple(actions), resource, form)


def _serialise_failure(failure: Failure) -> bytes:
    return json.dumps(
        {"code": failure.code, "detail": failure.detail, "permanent": failure.permanent, "until": failure.until}
    ).encode()
