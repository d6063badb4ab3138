"""Multipart uploads: begun, filled part by part, then completed or aborted.

Specification: https://cloud.tencent.com/document/product/436/7746 (Initiate), /7750 (Upload Part), /7742 (Complete),
/7740 (Abort)
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable

from werkzeug.wrappers import Request, Response

from broker.emulator import contents, manifests, markup, reading
from broker.emulator.objects import Objects, Stored, simple_etag
from broker.emulator.received import Received
from broker.emulator.refusals import CosError
from broker.emulator.uploads import Upload, Uploads


class Multipart:
    """The four requests that change an upload."""

    def __init__(self, objects: Objects, uploads: Uploads, clock: Callable[[], float]) -> None:
        self._objects = objects
        self._uploads = uploads
        self._clock = clock

    def initiate(self, _: Request, received: Received) -> Response:
        """A new upload; what a PUT would keep with the object is kept with it."""
        bucket, key, headers = received.place.bucket, received.key, received.headers
        overwrite = contents.may_overwrite(headers)
        if not overwrite and self._objects.find(bucket, key):
            raise CosError("FileAlreadyExists")
        upload = self._uploads.begin(bucket, key, contents.kept(headers), overwrite, int(self._clock()))
        named = [("Bucket", bucket), ("Key", key), ("UploadId", upload.id)]
        return markup.response("InitiateMultipartUploadResult", named)

    def put(self, request: Request, received: Received) -> Response:
        """Store one part; one that comes again replaces the first."""
        upload, number = find(self._uploads, received), _number(received)
        body = contents.body(request)
        contents.check_md5(received.headers.get("content-md5"), body)
        part = Stored(body, {}, int(self._clock()), simple_etag(body))
        if not self._uploads.add(upload, number, part):
            raise CosError("NoSuchUpload")
        response = reading.empty(200)
        response.headers["ETag"] = part.etag
        return response

    def complete(self, request: Request, received: Received) -> Response:
        """Make the object of the parts that the body names; the upload and all its parts are gone afterwards."""
        upload = find(self._uploads, received)
        body = contents.body(request)
        contents.check_md5(received.headers.get("content-md5"), body)
        parts = manifests.chosen(manifests.parse(body), upload.parts)
        whole = b"".join(part.body for part in parts)
        stored = Stored(whole, upload.headers, int(self._clock()), _etag(parts))
        overwrite = upload.overwrite and contents.may_overwrite(received.headers)
        if not self._objects.put(upload.bucket, upload.key, stored, overwrite=overwrite):
            raise CosError("FileAlreadyExists")
        self._uploads.end(upload)
        location = received.location()
        named = [("Location", location), ("Bucket", upload.bucket), ("Key", upload.key), ("ETag", stored.etag)]
        return markup.response("CompleteMultipartUploadResult", named)

    def abort(self, _: Request, received: Received) -> Response:
        """Forget the upload and its parts."""
        self._uploads.end(find(self._uploads, received))
        return reading.empty(204)


def find(uploads: Uploads, received: Received) -> Upload:
    """The upload that a request names, which must go to the request's key."""
    upload = uploads.find(received.place.bucket, received.key, received.params.get("uploadid", ""))
    if upload is None:
        raise CosError("NoSuchUpload")
    return upload


def _number(received: Received) -> int:
    text = received.params.get("partnumber", "")
    if not re.fullmatch(r"[0-9]{1,9}", text) or not 1 <= int(text) <= manifests.MAX_PARTS:
        raise CosError(
            "InvalidArgument", f"partNumber must be an integer from 1 to {manifests.MAX_PARTS}, got {text!r}."
        )
    return int(text)


def _etag(parts: list[Stored]) -> str:
    """`"HASH-N"`. How COS hashes the parts is not documented; that it is no MD5 of the object is."""
    digests = b"".join(bytes.fromhex(part.etag.strip('"')) for part in parts)
    return f'"{hashlib.md5(digests, usedforsecurity=False).hexdigest()}-{len(parts)}"'
