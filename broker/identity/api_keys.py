"""ApiKeys: an unverified `ID.SECRET` -> a Principal, the key's own or that of a caller it acts for.

The file holds SHA-256 hashes: a secret has 256 random bits, so nothing slower is needed. What the file may say is in
`key_file`. A change is seen by an ask, which looks at the file at most once a second; there is no thread.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import json
import logging
import os
import re
import secrets
import stat
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from broker.errors import ConfigurationError, Forbidden, Problem, Unauthenticated, named
from broker.identity.key_file import ApiKey, parse_key_file
from broker.identity.principals import Principal
from broker.strict_json import StrictJsonError, loads

_MAX_FILE_BYTES = 4 * 1024 * 1024
_MAX_HEADER_BYTES = 4096
_LOOK_EVERY_SECONDS, _YOUNG_SECONDS = 1, 2
_PRINCIPAL = re.compile(r"[A-Za-z0-9._@:+~-]{1,128}")
_BASE64URL = re.compile(r"[A-Za-z0-9_-]*={0,2}")
_NOBODY = bytes(hashlib.sha256().digest_size)  # an unknown id costs the same comparison; no secret is known to hash so

_log = logging.getLogger("broker.identity")

_Signature = tuple[int, int, int, int] | None


class ApiKeys:
    """The keys of the file at `path`; `clock` gives seconds of which only differences matter.

    A file that cannot be used is a ConfigurationError at first, and later a log line beside the last good keys.
    """

    def __init__(self, path: str | os.PathLike[str], clock: Callable[[], float]) -> None:
        self._path = os.fspath(path)
        self._clock = clock
        self._lock = threading.Lock()  # held by who looks
        self._looked_at = clock()
        self._seen = _signature(self._path)
        self._keys = _read(self._path)
        self._sound = True

    def verify(
        self, unverified_key: str, unverified_principal: str | None, unverified_claims: str | None, now: int
    ) -> Principal:
        """The principal of the key, or with X-Principal the one it acts for; Unauthenticated or Forbidden."""
        self._look()
        key = self._proven(unverified_key, now)
        if unverified_principal is None and unverified_claims is None:
            return key.principal
        try:
            return _principal_acted_for(key, unverified_principal, unverified_claims)
        except Forbidden as error:
            error.key_id = key.principal.key_id
            raise

    def sound(self) -> bool:
        """Whether the file can be used as it stands; if not, it has changed and the last good keys are in use."""
        self._look()
        return self._sound

    def _proven(self, unverified_key: str, now: int) -> ApiKey:
        unverified_id, _, unverified_secret = unverified_key.partition(".")
        key = self._keys.get(unverified_id)
        digest = hashlib.sha256(unverified_secret.encode("utf-8", "replace")).digest()
        if not hmac.compare_digest(digest, _NOBODY if key is None else key.digest) or key is None:
            raise Unauthenticated("expected a known API key with its secret, got an unknown one or another secret")
        if key.expires_at is not None and now >= key.expires_at:
            raise Unauthenticated(f"the API key expired {now - key.expires_at} s ago")
        return key

    def _look(self) -> None:
        # A clock that steps back is no reason to look away for as long.
        age = abs(self._clock() - self._looked_at)
        if age < _LOOK_EVERY_SECONDS:
            return
        # While one looks the others go on with what is at hand, unless nobody has looked for long.
        if not self._lock.acquire(blocking=age >= _YOUNG_SECONDS):
            return
        try:
            if abs(self._clock() - self._looked_at) >= _LOOK_EVERY_SECONDS:
                self._read_if_changed()
                self._looked_at = self._clock()
        finally:
            self._lock.release()

    def _read_if_changed(self) -> None:
        signature = _signature(self._path)
        if signature == self._seen:
            return
        try:
            self._keys = _read(self._path)
            self._sound = True
        except ConfigurationError as error:
            self._sound = False
            problems = "; ".join(map(str, error.problems))
            _log.error("the API keys file has changed, cannot be used, and the last good keys stay: %s", problems)
        self._seen = signature


def new_api_key(
    id: str,  # the name the entry has
    sub: str | None = None,
    acts_for: str | None = None,
    claims: Iterable[str] = (),
    *,
    operations: bool = False,
) -> tuple[dict[str, Any], str]:
    """A new entry for the file, and its `ID.SECRET`, which is nowhere else; ConfigurationError as for a file.

    `sub` fixes that claim; `acts_for` is the pattern of those it acts for, `claims` the names it may set for them;
    `operations` lets it see the metrics.
    """
    secret = secrets.token_urlsafe(32)
    entry: dict[str, Any] = {"id": id, "hash": f"sha256:{hashlib.sha256(secret.encode()).hexdigest()}"}
    names = list(claims)
    if operations:
        entry["operations"] = True
    if sub is not None:
        entry["claims"] = {"sub": sub}
    if acts_for is not None:
        entry["acts_for"] = {"sub": acts_for, "claims": names}
    elif names:
        raise ConfigurationError([Problem("api-key", "claims", "needs acts_for: they are what it may set for others")])
    parse_key_file(json.dumps({"keys": [entry]}).encode(), "api-key")
    return entry, f"{id}.{secret}"


def _signature(path: str) -> _Signature:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns


def _read(path: str) -> Mapping[str, ApiKey]:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise ConfigurationError([Problem(path, "", "expected a regular file, got something else")])
        with open(path, "rb") as file:
            data = file.read(_MAX_FILE_BYTES + 1)
    except OSError as error:
        message = f"expected a readable file, got {error.strerror or type(error).__name__}"
        raise ConfigurationError([Problem(path, "", message)]) from error
    if len(data) > _MAX_FILE_BYTES:
        raise ConfigurationError([Problem(path, "", f"expected at most {_MAX_FILE_BYTES} bytes, got more")])
    return parse_key_file(data, path)


def _principal_acted_for(key: ApiKey, unverified_principal: str | None, unverified_claims: str | None) -> Principal:
    if key.acts_for is None:
        raise Forbidden("X-Principal and X-Principal-Claims are accepted only from an API key with acts_for")
    if unverified_principal is None:
        raise Forbidden("expected X-Principal beside X-Principal-Claims, got none")
    if _PRINCIPAL.fullmatch(unverified_principal) is None:
        raise Forbidden("expected one X-Principal of 1 to 128 of A-Z a-z 0-9 . _ @ : + ~ -, got another value")
    if not key.acts_for.sub.matches(unverified_principal):
        raise Forbidden("expected an X-Principal that this API key acts for, got another one")
    claims = dict(key.principal.claims)
    if unverified_claims is not None:
        claims |= _listed_claims(key.acts_for.claims - claims.keys(), unverified_claims)
    claims["sub"] = unverified_principal
    return replace(key.principal, claims=MappingProxyType(claims), operations=False)


def _listed_claims(names: frozenset[str], unverified_claims: str) -> dict[str, Any]:
    """The claims of the header, all of which must be among `names`: those listed and not fixed."""
    if len(unverified_claims) > _MAX_HEADER_BYTES:
        raise Forbidden(f"expected X-Principal-Claims of at most {_MAX_HEADER_BYTES} bytes, got more")
    if _BASE64URL.fullmatch(unverified_claims) is None:
        raise Forbidden("expected one X-Principal-Claims in base64url, got other characters")
    text = unverified_claims.rstrip("=")
    try:
        claims = loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    except binascii.Error:
        raise Forbidden("expected X-Principal-Claims in base64url, got a length that has none") from None
    except StrictJsonError as error:
        raise Forbidden(f"the JSON in X-Principal-Claims: {error}") from None
    if not isinstance(claims, dict):
        raise Forbidden("expected X-Principal-Claims to hold a JSON object, got another value")
    if odd := [name for name in claims if name not in names]:
        legal = ", ".join(sorted(names)) or "none"
        got = ", ".join(map(named, odd[:8]))
        raise Forbidden(f"X-Principal-Claims may set {legal} (those in acts_for that are not fixed), got {got}")
    return claims
