"""Signed URLs out of the log: urllib3 writes the request line of every request at level DEBUG.

`requests` sends through urllib3, so the client filters those two loggers. Records without a signature pass unchanged.
"""

from __future__ import annotations

import logging
import re

_LOGGERS = ("urllib3.connectionpool", "urllib3.util.retry")
_SIGNED = re.compile(r"\?[^\s'\"]*(?:q-signature=|x-cos-security-token=)[^\s'\"]*", re.IGNORECASE)


class _Unsigned(logging.Filter):
    """Cuts the query off every signed URL in a record."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Always True: nothing is dropped."""
        if isinstance(record.args, tuple):
            record.args = tuple(_cut(value) for value in record.args)
        record.msg = _cut(record.msg)
        return True


_FILTER = _Unsigned()


def keep_quiet() -> None:
    """Keep signatures and tokens out of urllib3's log, however often it is asked."""
    for name in _LOGGERS:
        logging.getLogger(name).addFilter(_FILTER)


def _cut(value: object) -> object:
    shown = str(value) if isinstance(value, str | Exception) else ""
    return _SIGNED.sub("?…", shown) if _SIGNED.search(shown) else value
