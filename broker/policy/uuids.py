"""Version 4 UUIDs for generated keys: unguessable, so from the system's own source, asked for many at a time."""

from __future__ import annotations

import os
import uuid

_BATCH = 256
_BYTES = 16

_made: list[str] = []
# A forked child must not make its parent's keys again.
os.register_at_fork(after_in_child=_made.clear)


def fresh_uuid() -> str:
    """A new version 4 UUID in lower case."""
    try:
        return _made.pop()  # atomic: two threads never get the same
    except IndexError:
        random = os.urandom(_BATCH * _BYTES)
        made = [str(uuid.UUID(bytes=random[i : i + _BYTES], version=4)) for i in range(0, len(random), _BYTES)]
        _made.extend(made[1:])
        return made[0]
