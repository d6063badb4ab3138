"""What a request brings to be stored: its body, the digest that it declares, and the headers kept beside it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping

from werkzeug.exceptions import ClientDisconnected
from werkzeug.wrappers import Request

from broker.emulator.reading import KEPT, is_meta
from broker.emulator.refusals import CosError


def body(request: Request) -> bytes:
    """The whole body, which is as long as it was said to be."""
    try:
        return request.get_data(cache=False)
    except ClientDisconnected as error:
        raise CosError("IncompleteBody", "The body is shorter than its Content-Length.") from error


def check_md5(declared: str | None, content: bytes) -> None:
    """Refuse content that is not what its declared Content-MD5 says; None declares nothing."""
    if declared is None:
        return
    try:
        digest = base64.b64decode(declared, validate=True)
    except ValueError:
        digest = b""
    if len(digest) != 16:
        raise CosError("InvalidDigest", "Content-MD5 must be the base64 of 16 bytes.")
    if digest != hashlib.md5(content, usedforsecurity=False).digest():
        raise CosError("BadDigest", "Content-MD5 is not the digest of the body.")


def kept(headers: Mapping[str, str]) -> dict[str, str]:
    """What is stored with an object, of headers or of a form's fields; without a type it is octets."""
    found = {name: value for name, value in headers.items() if name in KEPT or is_meta(name)}
    found.setdefault("content-type", "application/octet-stream")
    return found


def may_overwrite(headers: Mapping[str, str]) -> bool:
    """Whether the request may replace an object."""
    return headers.get("x-cos-forbid-overwrite", "").lower() != "true"
