"""How COS says no: codes, their statuses, and the XML that carries them.

Specification: "Error Codes", https://cloud.tencent.com/document/product/436/7730
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Mapping
from xml.sax.saxutils import escape

from werkzeug.wrappers import Response

STATUS = {
    "AccessDenied": 403,
    "BadDigest": 400,
    "EntityTooLarge": 400,
    "ExpiredToken": 400,
    "FileAlreadyExists": 409,
    "IncompleteBody": 400,
    "InternalError": 500,
    "InvalidAccessKeyId": 403,
    "InvalidArgument": 400,
    "InvalidDigest": 400,
    "InvalidRange": 416,
    "InvalidURI": 400,
    "KeyTooLong": 400,
    "MethodNotAllowed": 405,
    "MissingContentLength": 411,
    "NoSuchBucket": 404,
    "NoSuchKey": 404,
    "NoSuchUpload": 404,
    "NoSuchVersion": 404,
    "NotImplemented": 501,
    "PreconditionFailed": 412,
    "RequestTimeTooSkewed": 403,
    "RequestTimeout": 400,
    "ServiceUnavailable": 503,
    "SignatureDoesNotMatch": 403,
    "SlowDown": 503,
}

_MESSAGES = {
    "AccessDenied": "Access Denied.",
    "FileAlreadyExists": "The object you specified already exists and can not be overwritten.",
    "InvalidAccessKeyId": "The Access Key Id you provided does not exist in our records.",
    "MissingContentLength": "You must provide the Content-Length HTTP header.",
    "NoSuchKey": "The specified key does not exist.",
    "NoSuchVersion": "The specified version does not exist.",
    "PreconditionFailed": "At least one of the preconditions you specified did not hold.",
    "SignatureDoesNotMatch": "The Signature you specified is invalid.",
    "SlowDown": "Please reduce your request rate.",
}

# XML 1.0 has no way to write these.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class CosError(Exception):
    """COS refuses; `code` is one of STATUS. `details` become elements, `headers` go beside the body."""

    def __init__(
        self,
        code: str,
        message: str = "",
        details: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message or _MESSAGES.get(code, f"The request was refused: {code}."))
        self.code = code
        self.details = details or {}
        self.headers = headers or {}


def request_id() -> str:
    """A fresh id, in the shape of COS's."""
    return base64.b64encode(secrets.token_bytes(24)).decode()


def response(error: CosError, resource: str, request_id: str) -> Response:
    """The refusal as COS words it; WSGI drops the body for HEAD."""
    elements = {
        "Code": error.code,
        "Message": str(error),
        **error.details,
        "Resource": resource,
        "RequestId": request_id,
        "TraceId": base64.b64encode(secrets.token_bytes(48)).decode(),
    }
    inner = "\n".join(f"\t<{name}>{_text(value)}</{name}>" for name, value in elements.items())
    body = f"<?xml version='1.0' encoding='utf-8' ?>\n<Error>\n{inner}\n</Error>\n"
    answer = Response(body, status=STATUS[error.code], content_type="application/xml")
    answer.headers.update(error.headers)
    return answer


def _text(value: str) -> str:
    return escape(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", value))
