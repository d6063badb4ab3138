"""One COS request as it arrived, before anything about it is believed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, quote, unquote_to_bytes, urlsplit

from werkzeug.wrappers import Request

from broker.cos import signing
from broker.emulator.buckets import Place
from broker.emulator.refusals import CosError

MAX_KEY_BYTES = 850


@dataclass(frozen=True, slots=True)
class Received:
    """`key` is percent-decoded once and never normalised; "" is the bucket itself.

    The names of `headers` and `params` are encoded and lower-case, as in a signature's lists.
    """

    method: str
    place: Place
    host: str
    key: str
    headers: Mapping[str, str]
    params: Mapping[str, str]
    ip: str
    scheme: str

    def location(self) -> str:
        """The URL of the object."""
        return f"{self.scheme}://{self.host}/{signing.encode_key(self.key)}"


def receive(request: Request, place: Place) -> Received:
    """Read what the signature, the session policy and the operation will need."""
    raw_path, raw_query = target(request)
    return Received(
        method=request.method,
        place=place,
        host=request.headers.get("Host", ""),
        key=_key(raw_path),
        headers=dict(_named((name, _utf8(value)) for name, value in request.headers.items())),
        params=_params(raw_query),
        ip=request.remote_addr or "127.0.0.1",
        scheme=request.scheme,
    )


def target(request: Request) -> tuple[str, str]:
    """The path and the query exactly as sent: WSGI's own PATH_INFO has been decoded and lost what COS signs."""
    environ = request.environ
    raw: str = environ.get("RAW_URI") or quote(environ["PATH_INFO"], encoding="latin-1")
    path = raw.partition("?")[0] if raw.startswith("/") else urlsplit(raw).path or "/"
    return path, environ.get("QUERY_STRING", "")


def _key(raw_path: str) -> str:
    try:
        return unquote_to_bytes(raw_path.encode("latin-1")).decode()[1:]
    except UnicodeDecodeError as error:
        raise CosError("InvalidURI", "The key is not UTF-8.") from error


def _params(raw_query: str) -> dict[str, str]:
    pairs = list(_named(parse_qsl(raw_query, keep_blank_values=True, errors="replace")))
    params = dict(pairs)
    if len(params) != len(pairs):
        # Which of two values COS would sign, and which it would obey, is not documented.
        raise CosError("InvalidArgument", "A query parameter is given twice.")
    return params


def _named(pairs: Iterable[tuple[str, str]]) -> Iterable[tuple[str, str]]:
    return ((signing.encode(name).lower(), value) for name, value in pairs)


def _utf8(value: str) -> str:
    try:
        return value.encode("latin-1").decode()
    except UnicodeDecodeError:
        return value
