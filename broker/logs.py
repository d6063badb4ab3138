"""Log lines: what they look like, and that no secret is in them.

Redaction happens where records are made, so that it covers every logger and every handler of the process, third-party
ones and exception texts included.
"""

from __future__ import annotations

import json
import logging
import re
import time
import traceback
from typing import Any

# A line below the size that two processes can write to one pipe without tearing each other's.
_TEXT_CHARACTERS = 3_000
_HIDDEN = "[redacted]"

_NAMES = (
    r"q[-_]signature|q[-_]ak|x[-_]cos[-_]security[-_]token|x[-_]tc[-_]token|authorization|tmp_?secret_?key|"
    r"tmp_?secret_?id|session_?token|security_?token|secret_?key|sign_?key|(?<![a-z])sign|(?<![a-z])token"
)
_HYPHEN = re.compile(r"\[-_\]")
# `name=value`, `name: value` and `"name": "value"`, plain or percent-encoded once or twice.
_PAIR = re.compile(
    rf"""(?P<name>{_HYPHEN.sub("(?:-|_|%2[Dd]|%252[Dd])", _NAMES)})
         (?P<between>["']?\s*(?:=|:|%3[AaDd]|%253[AaDd])\s*(?:bytes\s)?b?["']?(?:%22)?)
         (?P<value>(?:Bearer\s+|TC3-HMAC-SHA256\s+|q-sign-algorithm=)?[^\s"'&,;<>)}}\]]+(?:,\s*(?:SignedHeaders|Signature)=[^\s,"']+)*)""",
    re.IGNORECASE | re.VERBOSE,
)
_BEARER = re.compile(r"(?i)\bBearer\s+[A-Za-z0-9._~+/=-]+")
_JWT = re.compile(r"\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*")
_SIGNATURE_TAIL = re.compile(
    r"(?i)(q(?:-|%2d|%252d)(?:signature|ak)(?:=|%3d|%253d))[A-Za-z0-9%+/_-]+?(?=%26|&|$|[^A-Za-z0-9%+/_-])"
)
_URL_PASSWORD = re.compile(r"(?i)\b([a-z][a-z0-9+.-]*://[^\s/:@]*):[^\s/@]+@")


def redact(text: str) -> str:
    """The text with the values of secrets replaced; percent-encoded spellings included."""
    text = _BEARER.sub(f"Bearer {_HIDDEN}", text)
    text = _JWT.sub(_HIDDEN, text)
    text = _URL_PASSWORD.sub(rf"\1:{_HIDDEN}@", text)
    text = _SIGNATURE_TAIL.sub(rf"\1{_HIDDEN}", text)
    return _PAIR.sub(lambda found: f"{found['name']}{found['between']}{_HIDDEN}", text)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (UTC), level, logger, message, the record's own fields, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        line: dict[str, Any] = {
            "time": f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(record.created))}.{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_text:
            line["exception"] = record.exc_text
        return json.dumps(line)


class ConsoleFormatter(logging.Formatter):
    """For people: time, level, logger, message, and the record's own fields as name=value."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, and below it the exception if there is one."""
        clock = time.strftime("%H:%M:%S", time.localtime(record.created))
        fields = "".join(f" {name}={value}" for name, value in getattr(record, "fields", {}).items())
        tail = f"\n{record.exc_text}" if record.exc_text else ""
        return f"{clock} {record.levelname.lower():7} {record.name}: {record.getMessage()}{fields}{tail}"


FORMATTERS: dict[str, type[logging.Formatter]] = {"json": JsonFormatter, "console": ConsoleFormatter}


class Handler(logging.StreamHandler):  # type: ignore[type-arg]
    """Ours, so that configuring twice replaces it."""


def configure(level: str, form: str) -> None:
    """Send every logger of the process to stderr in one form (`json` or `console`), redacted."""
    handler = Handler()
    handler.setFormatter(FORMATTERS[form]())
    root = logging.getLogger()
    root.handlers = [*(one for one in root.handlers if not isinstance(one, Handler)), handler]
    root.setLevel(level.upper())
    logging.setLogRecordFactory(_redacted_record)


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
