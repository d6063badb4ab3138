"""How audit lines get out: to our own handler at once if nobody else would hear of them, else as records."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator

from broker import logs
from broker.audit.lines import LOGGER

_BLOCK_BYTES = 4_096  # POSIX lets nobody write into the midst of so much, on a pipe

logger = logging.getLogger(LOGGER)


def write(line: str) -> None:
    """Write one line."""
    handler = logs.direct(logger)
    if handler is None:
        _log(line)
    else:
        handler.write(line if len(line) <= logs.LINE_BYTES else _cut(line))


def write_many(lines: Iterable[str]) -> None:
    """Write lines together."""
    handler = logs.direct(logger)
    for each in lines if handler is None else _blocks(lines):
        (_log if handler is None else handler.write)(each)


def _log(line: str) -> None:
    fields = json.loads(line)
    _, level, _, message = (fields.pop(name) for name in ("time", "level", "logger", "message"))
    logger.log(logging.getLevelName(level.upper()), "%s", message, extra={"fields": fields})


def _cut(line: str) -> str:
    return f"{logs.encoded(json.loads(line))}\n"


def _blocks(lines: Iterable[str]) -> Iterator[str]:
    """The lines in blocks that others cannot tear, each of them whole."""
    block = ""
    for line in lines:
        whole = line if len(line) <= logs.LINE_BYTES else _cut(line)
        if len(block) + len(whole) > _BLOCK_BYTES:
            yield block
            block = ""
        block += whole
    if block:
        yield block
