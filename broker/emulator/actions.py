"""What a request asks for, in CAM's words: the action, the resources, and the values that conditions test.

What is not served yet still has its action, so that a narrow credential is denied it like in COS, and a wide one
gets 501.

Specification of Pic-Operations: https://www.tencentcloud.com/document/product/1045/33695
"""

from __future__ import annotations

import json
from typing import NamedTuple
from urllib.parse import unquote

from broker.cos import actions, cam
from broker.emulator.buckets import named_by
from broker.emulator.received import Received
from broker.emulator.refusals import CosError

# What is served, and the sub-resources that belong to it; with another one it is some other request.
_SERVED = {
    "GetObject": (),
    "HeadObject": (),
    "PutObject": (),
    "DeleteObject": (),
    "GetBucket": (),
    "HeadBucket": (),
    "InitiateMultipartUpload": ("uploads",),
    "UploadPart": ("partnumber", "uploadid"),
    "ListParts": ("uploadid",),
    "CompleteMultipartUpload": ("uploadid",),
    "AbortMultipartUpload": ("uploadid",),
    "ListMultipartUploads": ("uploads",),
}
_MAX_PICTURES = 5


class Operation(NamedTuple):
    """A request in CAM's words. `served`: whether the emulator can do it once it is allowed."""

    action: str
    served: bool


def operation(received: Received) -> Operation:
    """What the method, the sub-resources and the copy header make of a request."""
    try:
        action = actions.action_of(received.method, received.key, received.params)
    except ValueError as error:
        raise CosError("MethodNotAllowed", str(error)) from None
    if copy_source(received):
        return Operation(action, served=False)
    other = actions.special(name for name in received.params if name not in _SERVED.get(action, ()))
    return Operation(action, served=action in _SERVED and other is None and _picture_operations(received) is None)


def copy_source(received: Received) -> str:
    """`x-cos-copy-source`, the header that makes a PUT read another object."""
    return received.headers.get("x-cos-copy-source", "") if received.method == "PUT" else ""


def pictures(received: Received) -> list[tuple[str, str]]:
    """(bucket, key) of each further object that `Pic-Operations` makes a PUT write; an empty bucket is the PUT's own.

    A leading slash starts at the bucket's root, anything else in the folder of the object that is put.
    """
    text = _picture_operations(received)
    if text is None:
        return []
    try:
        rules = json.loads(text).get("rules", [])
        written = [(rule.get("bucket", ""), rule["fileid"]) for rule in rules]
        sound = all(isinstance(bucket, str) and isinstance(key, str) and key for bucket, key in written)
    except (ValueError, TypeError, AttributeError, KeyError):  # no JSON, or JSON of another shape
        sound = False
    if not sound or len(written) > _MAX_PICTURES:
        raise CosError("InvalidArgument", f"Pic-Operations must be JSON with at most {_MAX_PICTURES} rules.")
    folder = received.key[: received.key.rfind("/") + 1]
    return [(bucket, key[1:] if key.startswith("/") else folder + key) for bucket, key in written]


def _picture_operations(received: Received) -> str | None:
    return received.headers.get("pic-operations") if received.method == "PUT" and received.key else None


def needs(received: Received, action: str) -> list[tuple[str, str]]:
    """Every (action, resource) that must be allowed: a copy reads its source, processed pictures are written, too."""
    region, bucket = received.place.region, received.place.bucket
    needed = [(action, cam.resource(region, bucket, received.key))]
    needed += [("PutObject", cam.resource(region, beside or bucket, key)) for beside, key in pictures(received)]
    if source := copy_source(received):
        host, _, key = unquote(source.partition("?")[0]).partition("/")
        source_bucket, source_region = named_by(host)
        if source_bucket is None:
            raise CosError("InvalidArgument", "x-cos-copy-source must be BUCKET.cos.REGION.myqcloud.com/KEY.")
        needed.append(("GetObject", cam.resource(source_region or region, source_bucket, key)))
    return [(f"name/cos:{name}", resource) for name, resource in needed]


def values(received: Received) -> dict[str, str]:
    """What conditions test, as received; what the request does not carry is left out."""
    found = {"qcs:ip": received.ip, "cos:secure-transport": str(received.scheme == "https").lower()}
    return found | actions.condition_values(received.method, received.headers, received.params)
