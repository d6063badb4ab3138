"""Signed URLs out of the log: urllib3 writes the request line of every request at level DEBUG.

`requests` sends through urllib3, whose loggers belong to the whole process. So the client filters those two, and what
others log there passes unchanged: only records of its own requests lose their signatures.
"""

from __future__ import annotations

import contextlib
import logging
import re
from collections.abc import Iterator
from contextvars import ContextVar

_LOGGERS = ("urllib3.connectionpool", "urllib3.util.retry")
_SIGNED = re.compile(r"\?[^\s'\"]*(?:q-signature=|x-cos-security-token=)[^\s'\"]*", re.IGNORECASE)
_SENDING: ContextVar[bool] = ContextVar("broker_client_sending", default=False)


class _Unsigned(logging.Filter):
    """Cuts the query off every signed URL in a record of a request of ours."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always True: nothing is dropped."""
        if _SENDING.get():
            if isinstance(record.args, tuple):
                record.args = tuple(_cut(value) for value in record.args)
            record.msg = _cut(record.msg)
        return True


_FILTER = _Unsigned()


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keep signatures and tokens of what is sent meanwhile out of urllib3's log."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)
    before = _SENDING.set(True)
    try:
        yield
    finally:
        _SENDING.reset(before)


def _cut(value: object) -> object:
    shown = str(value) if isinstance(value, str | Exception) else ""
    return _SIGNED.sub("?…", shown) if _SIGNED.search(shown) else value
