"""How COS says no: codes, their statuses, and the XML that carries them.

Specification: "Error Codes", https://cloud.tencent.com/document/product/436/7730
"""

from __future__ import annotations

import base64
import secrets
from collections.abc import Mapping

from werkzeug.wrappers import Response

from broker.emulator import markup

STATUS = {
    "AccessDenied": 403,
    "BadDigest": 400,
    "EntityTooLarge": 400,
    "EntityTooSmall": 400,
    "ExpiredToken": 400,
    "FileAlreadyExists": 409,
    "IncompleteBody": 400,
    "InternalError": 500,
    "InvalidAccessKeyId": 403,
    "InvalidArgument": 400,
    "InvalidDigest": 400,
    "InvalidPart": 400,
    "InvalidPartOrder": 400,
    "InvalidPolicyDocument": 400,
    "InvalidRange": 416,
    "InvalidURI": 400,
    "KeyTooLong": 400,
    "MalformedPOSTRequest": 400,
    "MalformedXML": 400,
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
    "InvalidPart": "One or more of the specified parts could not be found or its ETag is another one.",
    "InvalidPartOrder": "The list of parts was not in ascending order.",
    "InvalidPolicyDocument": "You must provide condition if you specify a policy in post object request.",
    "MalformedPOSTRequest": "The body of your POST request is not well-formed multipart/form-data.",
    "MalformedXML": "The XML you provided was not well-formed or did not validate against our published schema.",
    "MissingContentLength": "You must provide the Content-Length HTTP header.",
    "NoSuchKey": "The specified key does not exist.",
    "NoSuchUpload": "The specified multipart upload does not exist.",
    "NoSuchVersion": "The specified version does not exist.",
    "PreconditionFailed": "At least one of the preconditions you specified did not hold.",
    "SignatureDoesNotMatch": "The Signature you specified is invalid.",
    "SlowDown": "Please reduce your request rate.",
}


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
    answer = markup.response("Error", list(elements.items()), STATUS[error.code])
    answer.headers.update(error.headers)
    return answer
