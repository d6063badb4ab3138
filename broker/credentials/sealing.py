"""AES-256-GCM with key rotation: the first key seals, all open."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32

# NOTE: the fleet shares the layout: version, key id, nonce, ciphertext with its tag. A new layout is a new version.
_VERSION = b"\x01"
_KEY_ID_BYTES = 8
_NONCE_BYTES = 12
_HEAD_BYTES = len(_VERSION) + _KEY_ID_BYTES + _NONCE_BYTES


class Sealer:
    """Seals and opens what is kept in Redis. `keys` are of 32 bytes each, at least one."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._ciphers = {_key_id(key): AESGCM(key) for key in keys}
        self._sealing_id = _key_id(keys[0])

    def __repr__(self) -> str:
        return f"Sealer({len(self._ciphers)} keys)"

    def seal(self, plaintext: bytes, context: bytes) -> bytes:
        """The sealed form; it opens only with the same `context`."""
        nonce = os.urandom(_NONCE_BYTES)
        ciphertext = self._ciphers[self._sealing_id].encrypt(nonce, plaintext, context)
        return _VERSION + self._sealing_id + nonce + ciphertext

    def open(self, sealed: bytes, context: bytes) -> bytes | None:
        """The plaintext, or None if it was not sealed by one of our keys for this context."""
        if len(sealed) < _HEAD_BYTES or sealed[:1] != _VERSION:
            return None
        cipher = self._ciphers.get(sealed[1 : 1 + _KEY_ID_BYTES])
        if cipher is None:
            return None
        try:
            return cipher.decrypt(sealed[1 + _KEY_ID_BYTES : _HEAD_BYTES], sealed[_HEAD_BYTES:], context)
        except InvalidTag:
            return None


def _key_id(key: bytes) -> bytes:
    return hashlib.sha256(b"cos-broker key id" + key).digest()[:_KEY_ID_BYTES]
