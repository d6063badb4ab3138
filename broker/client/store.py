"""The side of COS: one signed request, and what its answers and refusals mean.

Specification: https://www.tencentcloud.com/document/product/436/7730 (errors), /7747 (List Parts), /7742 (Complete)
"""

from __future__ import annotations

import re
import uuid
import xml.etree.ElementTree as ElementTree
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol
from xml.sax.saxutils import escape

from broker.client.answers import Form, SignedRequest
from broker.client.errors import StoreError, UnexpectedAnswer
from broker.client.sending import Response, Sender, blocks
from broker.client.slices import Slice

PARTY = "COS"
_CODE = re.compile(r"<Code>\s*([A-Za-z0-9.]{1,64})\s*</Code>")
_REQUEST_ID = re.compile(r"[A-Za-z0-9+/=_-]{1,128}")
_EXPIRED = ("ExpiredToken", "InvalidAccessKeyId", "RequestTimeTooSkewed")


class Signed(Protocol):
    """What the broker has signed: SignedUrl and SignedRequest."""

    @property
    def method(self) -> str:
        """PUT, GET, POST or DELETE."""

    @property
    def url(self) -> str:
        """With the signature in its query."""

    @property
    def headers(self) -> Mapping[str, str]:
        """All that must be sent besides Host."""


@dataclass(frozen=True, slots=True)
class ListedPart:
    """A part that COS holds; `etag` in quotes, as COS writes it."""

    number: int
    etag: str
    size: int


class Store:
    """Carries out signed requests."""

    def __init__(self, sender: Sender) -> None:
        self._sender = sender

    def send(self, operation: str, signed: Signed, body: bytes | Slice = b"") -> Response:
        """The answer to one request. Raises StoreError or NetworkError."""
        response = self._sender.send(PARTY, signed.method, signed.url, signed.headers, body)
        return _checked(operation, response, response.text if response.status_code >= 300 else "")

    def open(self, operation: str, signed: Signed) -> Response:
        """A streamed answer, as it is stored: not compressed for the way. Raises StoreError or NetworkError."""
        headers = {"Accept-Encoding": "identity", **signed.headers}
        response = self._sender.send(PARTY, signed.method, signed.url, headers, stream=True)
        if response.status_code < 300:
            return response
        with response:
            told = next(blocks(PARTY, response), b"")
            return _checked(operation, response, told.decode("utf-8", "replace"))

    def put(self, operation: str, signed: Signed, body: bytes | Slice) -> str:
        """The ETag of what was sent. Raises StoreError, NetworkError or UnexpectedAnswer."""
        etag = self.send(operation, signed, body).headers.get("ETag", "")
        if not etag:
            raise UnexpectedAnswer(f"COS answered {operation} without an ETag")
        return etag

    def post_empty(self, form: Form) -> str:
        """The ETag of the empty object that a form makes. Raises StoreError, NetworkError or UnexpectedAnswer."""
        boundary = uuid.uuid4().hex
        parts = [f'name="{name}"\r\n\r\n{value}' for name, value in form.fields.items()]
        parts.append('name="file"; filename="file"\r\n\r\n')
        opening = f"--{boundary}\r\nContent-Disposition: form-data; "
        body = "".join(f"{opening}{part}\r\n" for part in parts) + f"--{boundary}--\r\n"
        headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
        return self.put("PostObject", SignedRequest("POST", form.url, headers), body.encode())

    def initiate(self, signed: Signed) -> str:
        """The id of a new upload."""
        found = _parsed("InitiateMultipartUpload", self.send("InitiateMultipartUpload", signed)).get("UploadId")
        if not found:
            raise UnexpectedAnswer("COS answered InitiateMultipartUpload without an UploadId")
        return found

    def complete(self, signed: Signed, parts: Mapping[int, str]) -> str:
        """The ETag of the whole."""
        listed = "".join(
            f"<Part><PartNumber>{number}</PartNumber><ETag>{escape(etag)}</ETag></Part>"
            for number, etag in sorted(parts.items())
        )
        body = f"<CompleteMultipartUpload>{listed}</CompleteMultipartUpload>".encode()
        return _parsed("CompleteMultipartUpload", self.send("CompleteMultipartUpload", signed, body)).get("ETag", "")

    def list_parts(self, signed: Signed) -> list[ListedPart]:
        """Every part of an upload, page by page; the page is no part of what is signed."""
        found: list[ListedPart] = []
        marker = ""
        while True:
            page = _Page(signed, f"{signed.url}&part-number-marker={marker}" if marker else signed.url)
            root = _root("ListParts", self.send("ListParts", page))
            listed = [_part(element) for element in root.iter() if _name(element) == "Part"]
            found += listed
            values = _values(root)
            following = values.get("NextPartNumberMarker", "")
            if values.get("IsTruncated") != "true" or not listed or following in ("", marker):
                return found
            marker = following


@dataclass(frozen=True, slots=True)
class _Page:
    signed: Signed
    url: str

    @property
    def method(self) -> str:
        return self.signed.method

    @property
    def headers(self) -> Mapping[str, str]:
        return self.signed.headers


def _checked(operation: str, response: Response, told: str) -> Response:
    if response.status_code < 300:
        return response
    code = _CODE.search(told)
    expired = bool(code and code[1] in _EXPIRED) or "Request has expired" in told
    raise _error(operation, response, code[1] if code else "", expired)


def _error(operation: str, response: Response, code: str, expired: bool = False) -> StoreError:
    named = _REQUEST_ID.fullmatch(response.headers.get("x-cos-request-id", ""))
    return StoreError(operation, response.status_code, code, named[0] if named else "", expired=expired)


def _root(operation: str, response: Response) -> ElementTree.Element:
    try:
        root = ElementTree.fromstring(response.content)  # noqa: S314  COS's own answer; expat bounds expansion
    except ElementTree.ParseError:
        root = None
    if root is None:
        raise UnexpectedAnswer(f"COS answered {operation} with something that is no XML")
    if _name(root) == "Error":  # complete may fail after its 200 has been sent
        code = _values(root).get("Code", "")
        raise _error(operation, response, code if code.isalnum() else "")
    return root


def _parsed(operation: str, response: Response) -> dict[str, str]:
    return _values(_root(operation, response))


def _part(element: ElementTree.Element) -> ListedPart:
    values = _values(element)
    try:
        return ListedPart(int(values["PartNumber"]), values["ETag"], int(values["Size"]))
    except (KeyError, ValueError):
        number = values.get("PartNumber", "")[:10]
    raise UnexpectedAnswer(f"COS listed a part ({number!r}) without number, ETag or size")


def _values(element: ElementTree.Element) -> dict[str, str]:
    return {_name(child): (child.text or "").strip() for child in element}


def _name(element: ElementTree.Element) -> str:
    return element.tag.rpartition("}")[2]
