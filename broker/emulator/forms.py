"""The body of a POST Object: multipart/form-data with fields, and a file that comes last.

Field names are compared in lower case. Whether COS folds them, and which of two equal ones it obeys, is not
documented; a field that is given twice is refused.

Specification: "POST Object", https://cloud.tencent.com/document/product/436/14690
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from werkzeug.exceptions import HTTPException
from werkzeug.sansio.multipart import Data, Epilogue, Field, File, MultipartDecoder
from werkzeug.wrappers import Request

from broker.emulator import contents
from broker.emulator.refusals import CosError

MAX_FIELDS = 1_000
MAX_FIELD_BYTES = 1024**2
_FILENAME = "${filename}"


@dataclass(frozen=True, slots=True)
class Form:
    """The fields, names in lower case and `${filename}` in the key replaced, and the bytes of the file."""

    fields: Mapping[str, str]
    file: bytes

    @property
    def key(self) -> str:
        """The object's key."""
        return self.fields["key"]

    def policy(self) -> bytes:
        """The policy's text, as its signature covers it."""
        try:
            return base64.b64decode(self.fields["policy"], validate=True)
        except ValueError as error:  # characters beyond ASCII, too
            raise CosError("InvalidPolicyDocument") from error


@dataclass(frozen=True, slots=True)
class _Part:
    name: str
    filename: str
    content: bytes


def is_form(request: Request) -> bool:
    """Whether the body says that it is a form."""
    return request.mimetype == "multipart/form-data"


def parse(request: Request) -> Form:
    """Read a form. Its length must be known; what is not well-formed is refused, and so are fields after the file."""
    if request.content_length is None:
        raise CosError("MissingContentLength")
    parts = list(_parts(request.mimetype_params.get("boundary", ""), contents.body(request)))
    names = [part.name for part in parts]
    if names.count("file") != 1 or names[-1] != "file":
        raise CosError("MalformedPOSTRequest")
    *given, file = parts
    if sum(len(part.content) for part in given) > MAX_FIELD_BYTES:
        raise CosError("MalformedPOSTRequest", f"The fields of a form have at most {MAX_FIELD_BYTES} bytes.")
    fields = {part.name: _text(part.content) for part in given}
    if len(fields) != len(given):
        raise CosError("InvalidArgument", "A field is given twice.")
    fields["key"] = fields.get("key", "").replace(_FILENAME, file.filename)
    if not fields["key"]:
        raise CosError("InvalidArgument", "The form has no field key.")
    return Form(fields, file.content)


def _parts(boundary: str, body: bytes) -> Iterator[_Part]:
    try:
        decoder = MultipartDecoder(boundary.encode("ascii"), max_parts=MAX_FIELDS + 1)
        decoder.receive_data(body)
        decoder.receive_data(None)
        name, filename, pieces = "", "", list[bytes]()
        while not isinstance(event := decoder.next_event(), Epilogue):
            if isinstance(event, Field | File):
                name, filename, pieces = event.name.lower(), getattr(event, "filename", ""), []
            elif isinstance(event, Data):
                pieces.append(event.data)
                if not event.more_data:
                    yield _Part(name, filename, b"".join(pieces))
    except (ValueError, AttributeError, HTTPException) as error:  # no name is None, too many parts an HTTP error
        raise CosError("MalformedPOSTRequest") from error


def _text(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError as error:
        raise CosError("MalformedPOSTRequest", "A field is not UTF-8.") from error
