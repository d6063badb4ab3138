"""Log lines: what they look like, and that no secret is in them.

Redaction happens where records are made, so that it covers every logger and every handler of the process, third-party
ones and exception texts included.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
import traceback
from collections.abc import Callable
from functools import lru_cache
from typing import Any

# Two processes can write lines below this to one pipe without tearing each other's.
LINE_BYTES = 4_000
_TEXT_CHARACTERS = 3_000
_HIDDEN = "[redacted]"

_NAMES = (
    r"q~signature|q~ak|x~cos~security~token|x~tc~token|authorization|tmp_?secret_?key|"
    r"tmp_?secret_?id|session_?token|security_?token|secret_?key|sign_?key|cache_?keys|@sign|@token|@password"
)
# `~`: a hyphen in any spelling. `@`: a word begins; the F of an encoded `?` does not belong to it.
_NAME = _NAMES.replace("~", "(?:-|_|%2d|%252d)").replace("@", "(?:(?<![a-z])|(?<=%3f)|(?<=%253f))")
_QUOTES = r"""(?:\\*["']|%22|%2522)?"""
# `name=value`, `name: value`, `"name": "value"`, `('name', 'value')`, `<name>value`, a field of multipart/form-data;
# plain, escaped, percent-encoded once or twice.
_PAIR = re.compile(
    rf"""(?P<name>{_NAME})
         (?P<between>{_QUOTES}\s*(?:=|:|,|>|%3[ad]|%253[ad])\s*(?:b(?=["']))?{_QUOTES}|"(?:\r\n|\n|\\r\\n){{2}})
         (?P<scheme>(?:Basic|Bearer|TC3-HMAC-SHA256)\s+(?=\S{{8}}))?
         (?P<value>(?!\[redacted\]|(?:Basic|Bearer)\s)(?:q-sign-algorithm=[^\s"'\\<>)}}\]]+|[^\s"'&,;\\<>)}}\]]+)
           (?:,\s*(?:SignedHeaders|Signature)=[^\s,"']+)*)""",
    re.IGNORECASE | re.VERBOSE,
)
_BEARER = re.compile(r"(?i)\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]{12,}")
_DOT = r"(?:\.|%(?:25)?2[eE])"  # plain, percent-encoded once or twice
_JWT = re.compile(rf"\beyJ[A-Za-z0-9_-]{{8,}}{_DOT}[A-Za-z0-9_-]+{_DOT}[A-Za-z0-9_-]*")
# Whole, or cut as messages cut what they quote.
_API_KEY = re.compile(
    rf"(?<![A-Za-z0-9_-])[A-Za-z0-9_-]{{1,64}}{_DOT}"
    r"(?:[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])|[A-Za-z0-9_-]{8,42}(?=\.\.\.))"
)
_URL_PASSWORD = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://[^\s/:@]*):[^\s/]+@")
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")
# All that no pattern above can find anything in, but for JWTs and API keys. Nearly every key and name is so.
_PLAIN = re.compile(r"[!#$&-+./0-9;<?-~-]*")
_LONG = re.compile(r"\.[A-Za-z0-9_-]{43}|\.\.\.")


def redact(text: str) -> str:
    """The text with the values of secrets replaced; percent-encoded spellings included."""
    if text.isalnum():  # not even a dot or a space
        return text
    if _PLAIN.fullmatch(text) and "eyJ" not in text and not _may_hold_a_key(text):
        return text
    return thoroughly_redacted(text)


def _may_hold_a_key(text: str) -> bool:
    """Whether an API key may be in a text: after a dot, 43 characters or, cut, three dots."""
    dot = text.find(".")
    return dot >= 0 and (len(text) - dot > 43 or "..." in text) and _LONG.search(text) is not None


def thoroughly_redacted(text: str) -> str:
    """The same, at fifty times the price."""
    text = _JWT.sub(_HIDDEN, text)
    text = _API_KEY.sub(_HIDDEN, text)
    text = _BEARER.sub(rf"\1 {_HIDDEN}", text)
    text = _URL_PASSWORD.sub(rf"\1:{_HIDDEN}@", text)
    return _PAIR.sub(lambda found: f"{found['name']}{found['between']}{found['scheme'] or ''}{_HIDDEN}", text)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, the record's own fields, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """The line; its longest texts are cut until it is short enough to stay whole."""
        line: dict[str, Any] = {
            "time": stamp(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_fields(record),
        }
        if record.exc_text:
            line["exception"] = record.exc_text
        return encoded(line)


def stamp(instant: float) -> str:
    """When a line was written: UTC, to the millisecond."""
    milliseconds = int(instant * 1000)
    return f"{_second(milliseconds // 1000)}.{milliseconds % 1000:03d}Z"


@lru_cache(maxsize=4)
def _second(instant: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(instant))


def encoded(line: dict[str, Any]) -> str:
    """A line as JSON; its longest texts are cut until it is short enough to stay whole."""
    while len(text := json.dumps(line)) > LINE_BYTES:
        longest = max(line, key=lambda name: len(json.dumps(line[name])))
        line[longest] = str(line[longest])[: len(str(line[longest])) * 2 // 3]
    return text


class ConsoleFormatter(logging.Formatter):
    """For people: time, level, logger, message, and the record's own fields as name=value."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, and below it the exception if there is one."""
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        fields = "".join(f" {name}={value}" for name, value in _fields(record).items())
        tail = f"\n{record.exc_text}" if record.exc_text else ""
        # A caller's value must not begin a line of its own.
        line = _CONTROL.sub(lambda found: ascii(found[0])[1:-1], f"{record.getMessage()}{fields}")
        return f"{clock} {record.levelname.lower():7} {record.name}: {line}{tail}"


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    fields: dict[str, Any] = getattr(record, "fields", {})
    return {name: redact(value) if isinstance(value, str) else value for name, value in fields.items()}


FORMATTERS: dict[str, type[logging.Formatter]] = {"json": JsonFormatter, "console": ConsoleFormatter}


class Handler(logging.StreamHandler):  # type: ignore[type-arg]
    """Ours, so that configuring twice replaces it. A stderr that takes no more costs lines, which `lost` is told of."""

    def __init__(self) -> None:
        super().__init__()
        self.lost: Callable[[int], object] = lambda lines: None

    def emit(self, record: logging.LogRecord) -> None:
        """Write a record's line."""
        try:
            line = self.format(record)
        except Exception:  # as logging has it: whoever logs must not fail for it
            self.lost(1)
        else:
            self.write(f"{line}\n")

    def write(self, lines: str) -> None:
        """Write whole lines; in one go, so that nobody else's come in between."""
        try:
            self._write(lines.encode(errors="backslashreplace"))
        except (OSError, ValueError):  # a closed pipe, a full disk, a closed file
            self.lost(lines.count("\n"))

    def _write(self, data: bytes) -> None:
        try:
            file = self.stream.fileno()
        except OSError:  # none of the system's, as in tests
            self.stream.write(data.decode())
            self.flush()
            return
        while data:
            data = data[os.write(file, data) :]


def direct(logger: logging.Logger) -> Handler | None:
    """Our handler, if all that becomes of this logger's lines is that it writes them as JSON."""
    name: logging.Logger | None = logger
    while name is not None and name.parent is not None:
        if name.handlers or name.filters or not name.propagate:
            return None
        name = name.parent
    root = logging.root.handlers
    handler = root[0] if len(root) == 1 else None
    return handler if isinstance(handler, Handler) and isinstance(handler.formatter, JsonFormatter) else None


def configure(level: str, form: str) -> Handler:
    """Send every logger of the process to stderr in one form (`json` or `console`), redacted."""
    handler = Handler()
    handler.setFormatter(FORMATTERS[form]())
    root = logging.getLogger()
    root.handlers = [*(one for one in root.handlers if not isinstance(one, Handler)), handler]
    root.setLevel(level.upper())
    logging.setLogRecordFactory(_redacted_record)
    return handler


def _redacted_record(*args: Any, **kwargs: Any) -> logging.LogRecord:
    record = logging.LogRecord(*args, **kwargs)
    try:
        record.msg = redact(record.getMessage())[:_TEXT_CHARACTERS]
    except (TypeError, ValueError):  # a caller's format string and arguments do not fit
        record.msg = redact(str(record.msg))[:_TEXT_CHARACTERS]
    record.args = ()
    if isinstance(record.exc_info, tuple) and record.exc_info[0] is not None:
        record.exc_text = redact("".join(traceback.format_exception(*record.exc_info)))[-_TEXT_CHARACTERS:]
        record.exc_info = None  # a handler of somebody else's would format it anew, unredacted
    return record
