"""COS request signatures and pre-signed URLs, stage by stage.

Every function is pure: the window is an argument, nothing here reads a clock. Which headers and parameters a request
may carry is decided elsewhere (`broker.policy`); whatever is handed in here is signed.

Specification: "Request Signature", https://cloud.tencent.com/document/product/436/7778
"""

from __future__ import annotations

import hashlib
import hmac
import re
from binascii import hexlify
from collections.abc import Mapping
from functools import lru_cache
from typing import NamedTuple
from urllib.parse import quote, quote_plus

TOKEN_NAME = "x-cos-security-token"  # noqa: S105  the parameter's name, not a token


_PLAIN_KEY = re.compile(r"[A-Za-z0-9_.~/-]*")  # what no encoding changes
_LONG = 80  # characters; what is longer is hardly said twice
_INNER_PAD = bytes(byte ^ 0x36 for byte in range(256))
_OUTER_PAD = bytes(byte ^ 0x5C for byte in range(256))


class Request(NamedTuple):
    """What is signed: one method on one object, with everything that must not change.

    `base_url` is scheme and authority (`https://HOST`). `headers` should hold `Host`. Names are unique in lower case.
    """

    method: str
    base_url: str
    key: str
    headers: Mapping[str, str]
    params: Mapping[str, str]


class Window(NamedTuple):
    """When a signature is valid; both ends in Unix seconds, both inclusive."""

    valid_from: int
    valid_until: int


class Signer:
    """One credential, ready to sign: what its secrets contribute to every signature is computed once."""

    __slots__ = ("_query_id", "_query_token", "_secret_id", "_secret_key", "_token")

    def __init__(self, secret_id: str, secret_key: str, session_token: str) -> None:
        self._secret_id = secret_id
        self._query_id = _quoted(secret_id)
        self._secret_key = secret_key
        self._token = session_token
        self._query_token = _quoted(session_token)

    def __repr__(self) -> str:
        return f"Signer(…{self._secret_id[-6:]})"

    @property
    def secret_id(self) -> str:
        """Whose signature it is."""
        return self._secret_id

    @property
    def session_token(self) -> str:
        """What goes with every request of a temporary key."""
        return self._token

    def policy_signature(self, policy: str, window: Window) -> str:
        """The signature of a form's policy text (POST Object)."""
        key = sign_key(self._secret_key, f"{window.valid_from};{window.valid_until}")
        return hmac.digest(key.encode(), hashed(policy).encode(), "sha1").hex()

    def authorization(self, request: Request, window: Window) -> str:
        """The `Authorization` value of a request (the official SDK's `get_auth`); the token is a signed header."""
        names, http_headers = pair_list({**request.headers, TOKEN_NAME: self._token})
        param_names, http_parameters = pair_list(request.params)
        key = _window_key(self._secret_key, window)
        signature = key.sign(http_string(request.method, request.key, http_parameters, http_headers))
        return (
            f"q-sign-algorithm=sha1&q-ak={self._secret_id}&q-sign-time={key.key_time}&q-key-time={key.key_time}"
            f"&q-header-list={names.joined}&q-url-param-list={param_names.joined}&q-signature={signature}"
        )

    def presigned_url(self, request: Request, window: Window) -> str:
        """A pre-signed URL (the official SDK's `get_presigned_url`); the token is a signed parameter.

        Equals the official Python SDK's byte for byte, a space in a parameter as `+` included.
        """
        method, base_url, key, headers, params = request
        names, http_headers = pair_list(headers)
        own, token = "", f"{TOKEN_NAME}={self._query_token}"
        param_names, http_parameters = TOKEN_NAME, token
        if params:
            listed, http_parameters = pair_list({**params, TOKEN_NAME: self._token})
            own, param_names = query(params), listed.quoted
        window_key = _window_key(self._secret_key, window)
        signature = window_key.sign(http_string(method, key, http_parameters, http_headers))
        return (
            f"{base_url}/{encode_key(key)}?q-sign-algorithm=sha1&q-ak={self._query_id}{window_key.query_times}"
            f"&q-header-list={names.quoted}&q-url-param-list={param_names}&q-signature={signature}{own}&{token}"
        )


class _WindowKey:
    """A secret key bound to one window; asks of one second with one lifetime share it.

    HMAC-SHA1 (RFC 2104) with both of its keyed states kept, and of StringToSign what is the same for all requests.
    """

    __slots__ = ("_inner", "_outer", "key_time", "query_times", "window")

    def __init__(self, secret_key: str, window: Window) -> None:
        start, end = window
        self.window = window
        self.key_time = f"{start};{end}"
        self.query_times = f"&q-sign-time={start}%3B{end}&q-key-time={start}%3B{end}"
        # NOTE: the HMAC key is SignKey's hex text, not its raw bytes.
        block = sign_key(secret_key, self.key_time).encode().ljust(64, b"\0")
        self._inner = hashlib.sha1(block.translate(_INNER_PAD))  # noqa: S324  COS's algorithm
        self._outer = hashlib.sha1(block.translate(_OUTER_PAD))  # noqa: S324
        self._inner.update(f"sha1\n{self.key_time}\n".encode())

    def sign(self, http_string: str) -> str:
        """The signature of a request: HMAC of its StringToSign."""
        inner, outer = self._inner.copy(), self._outer.copy()
        inner.update(hexlify(hashlib.sha1(http_string.encode()).digest()) + b"\n")  # noqa: S324
        outer.update(inner.digest())
        return outer.hexdigest()


@lru_cache(maxsize=1024)
def _window_key(secret_key: str, window: Window) -> _WindowKey:
    return _WindowKey(secret_key, window)


class Names(NamedTuple):
    """The names of one pair list, as signatures need them."""

    fields: tuple[tuple[str, str], ...]  # (name as given, `encoded-lower-case=`), in signing order
    joined: str
    quoted: str


def encode(value: str) -> str:
    """Percent-encode UTF-8 as COS signs it: everything but `A-Z a-z 0-9 - _ . ~`, upper-case hex."""
    return _encode_word(value) if len(value) < _LONG else quote(value, safe="")


def _quoted(text: str) -> str:
    """The same, of what is kept for long: the text itself if that changes nothing, as it mostly does not."""
    quoted = quote(text, safe="")
    return text if quoted == text else quoted


# Hosts, types and lengths come back again and again; a session token is longer and never kept here.
@lru_cache(maxsize=1024)
def _encode_word(value: str) -> str:
    return quote(value, safe="")


@lru_cache(maxsize=1024)
def _names(names: tuple[str, ...]) -> Names:
    ordered = sorted((quote(name, safe="").lower(), name) for name in names)
    joined = ";".join(encoded for encoded, _ in ordered)
    return Names(tuple((name, f"{encoded}=") for encoded, name in ordered), joined, quote(joined, safe=""))


def pair_list(pairs: Mapping[str, str]) -> tuple[Names, str]:
    """The names in signing order, and HttpParameters or HttpHeaders: `name=value` joined by `&`."""
    if len(pairs) == 1:
        [(name, value)] = pairs.items()
        if len(value) < _LONG:
            return _pair(name, value)
    names, texts = _names(tuple(pairs)), []
    for name, prefix in names.fields:  # as `encode` does it, without a call for each
        value = pairs[name]
        texts.append(prefix + (_encode_word(value) if len(value) < _LONG else quote(value, safe="")))
    return names, "&".join(texts)


@lru_cache(maxsize=1024)
def _pair(name: str, value: str) -> tuple[Names, str]:
    """The list of a single pair. Downloads have no header but Host, and the same in all of a bucket's."""
    names = _names((name,))
    return names, f"{names.joined}={encode(value)}"


def http_string(method: str, key: str, http_parameters: str, http_headers: str) -> str:
    """HttpString. COS signs the path as stored; only the URL carries it encoded."""
    return f"{method.lower()}\n/{key}\n{http_parameters}\n{http_headers}\n"


def sign_key(secret_key: str, key_time: str) -> str:
    """SignKey: the secret key bound to a window, as 40 lower-case hex characters."""
    return hmac.digest(secret_key.encode(), key_time.encode(), "sha1").hex()


def hashed(text: str) -> str:
    """The hash of HttpString or of a form's policy, in hex."""
    return hashlib.sha1(text.encode()).hexdigest()  # noqa: S324  COS's algorithm


def string_to_sign(key_time: str, http_string: str) -> str:
    """StringToSign: the algorithm, the window and the hash of HttpString."""
    return f"sha1\n{key_time}\n{hashed(http_string)}\n"


def encode_key(key: str) -> str:
    """The object key as it stands in a URL, without the leading slash.

    `./` is written `.%2F`, so that no HTTP client removes dot segments: COS signs and stores the raw key.
    """
    path = key if _PLAIN_KEY.fullmatch(key) else quote(key, safe="/")
    return path.replace("./", ".%2F") if "./" in path else path


def query(params: Mapping[str, str]) -> str:
    """A request's own parameters as they follow the `q-` fields in a URL, each with its `&`."""
    return "".join([f"&{quote_plus(name)}={quote_plus(value)}" for name, value in params.items()])


def url_length(request: Request, token_bytes: int) -> int:
    """Characters of a pre-signed URL whose session token has `token_bytes` URL-safe characters."""
    longest = Signer("x" * 68, "x", "x" * token_bytes)  # STS's own SecretIds have 68
    return len(longest.presigned_url(request, Window(10**9, 10**9)))
