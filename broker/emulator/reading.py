"""How a stored object is given back: preconditions, one range, and the headers that were kept with it.

Specification: "GET Object", https://cloud.tencent.com/document/product/436/7753
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from werkzeug.http import http_date
from werkzeug.wrappers import Request, Response

from broker.emulator.objects import Stored
from broker.emulator.refusals import CosError

# Stored with the object beside its x-cos-meta-*; each can be overridden by a parameter `response-NAME`.
KEPT = ("cache-control", "content-disposition", "content-encoding", "content-language", "content-type", "expires")


def is_meta(name: str) -> bool:
    """Whether a header, in lower case, is the caller's own metadata."""
    return name.startswith("x-cos-meta-")


def unless_modified(request: Request, stored: Stored) -> Response | None:
    """304 if the caller has it already, 412 if it is not what the caller expects, None to go on."""
    etag = stored.etag.strip('"')
    modified = stored.modified_at
    since, unchanged_since = request.if_modified_since, request.if_unmodified_since
    if request.if_match:
        if not request.if_match.contains(etag):
            raise CosError("PreconditionFailed")
    elif unchanged_since and modified > unchanged_since.timestamp():
        raise CosError("PreconditionFailed")
    if request.if_none_match:
        return empty(304) if request.if_none_match.contains(etag) else None
    return empty(304) if since and modified <= since.timestamp() else None


def whole_or_part(request: Request, stored: Stored) -> Response:
    """The whole object, or the one range asked for; several ranges, or none that can be read, mean the whole."""
    size = len(stored.body)
    asked: Any = request.range
    if asked is None or asked.units != "bytes" or len(asked.ranges) != 1:
        return Response(stored.body)
    found = asked.range_for_length(size)
    if found is None:
        message = "The requested range is not satisfiable."
        raise CosError("InvalidRange", message, headers={"Content-Range": f"bytes */{size}"})
    start, stop = found
    response = Response(stored.body[start:stop], status=206)
    response.headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return response


def empty(status: int) -> Response:
    """A response without body and type."""
    response = Response(status=status)
    del response.headers["Content-Type"]
    return response


def describe(response: Response, stored: Stored, headers: Mapping[str, str]) -> None:
    """Add the object's own headers; `headers` are those kept, overridden where that was asked."""
    for name, value in headers.items():
        if any(character in value for character in "\r\n\0"):
            raise CosError("InvalidArgument", f"The value of {name} is no header value.")
        response.headers[name if is_meta(name) else name.title()] = value.encode().decode("latin-1")  # as WSGI has it
    response.headers["ETag"] = stored.etag
    response.headers["Last-Modified"] = http_date(stored.modified_at)
    response.headers["Accept-Ranges"] = "bytes"
