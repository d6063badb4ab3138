"""The one place that sends HTTP to COS: one request, one answer, blocking.

No proxies of the environment, no redirects, TLS verified. Signing is in `signing`; what an answer means, with whoever
asked.
"""

from __future__ import annotations

import http.client
import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 10.0  # for each step: connecting, sending, receiving
_READ_BYTES = 64 * 1024
_CODE = re.compile(rb"<Code>([A-Za-z0-9.]{1,64})</Code>")


class NoAnswer(Exception):
    """COS could not be reached or did not answer in time; whether it did what it was asked, nobody knows."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What COS said: names of `headers` in lower case, `code` from the XML of an error, else empty (HEAD has none).

    `body` is the XML itself, cut at 64 KiB, if it was asked for.
    """

    status: int
    headers: Mapping[str, str]
    code: str
    body: bytes = field(default=b"", repr=False)


def send(
    method: str,
    url: str,
    headers: Mapping[str, str],
    body: bytes = b"",
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
    reads: bool = False,
) -> Answer:
    """The answer to one request; the body of a success is read with `reads` alone, never an object's. Raises NoAnswer.

    `headers` may declare a length that `body` does not have: then it is sent as declared.
    """
    parts = urlsplit(url)
    try:
        connection = _connection(parts.scheme, parts.hostname or "", parts.port, timeout_seconds)
        try:
            target = f"{parts.path or '/'}{'?' if parts.query else ''}{parts.query}"
            connection.request(method, target, body or None, {"Host": parts.netloc, **headers})
            response = connection.getresponse()
            told = response.read(_READ_BYTES) if reads or response.status >= 400 else b""
        finally:
            connection.close()
    except (OSError, http.client.HTTPException) as error:
        # Only the kind: the text of some quotes the URL.
        raise NoAnswer(f"no answer of {parts.hostname} ({type(error).__name__})") from None
    code = _CODE.search(told)
    named = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, named, code[1].decode() if code else "", told if reads else b"")


def _connection(scheme: str, host: str, port: int | None, timeout_seconds: float) -> http.client.HTTPConnection:
    # RFC 6761: such names are this machine, whether its resolver knows or not.
    host = "localhost" if host.endswith(".localhost") else host
    if scheme == "https":
        return http.client.HTTPSConnection(host, port, timeout=timeout_seconds, context=ssl.create_default_context())
    return http.client.HTTPConnection(host, port, timeout=timeout_seconds)
