"""What a request asks for, in CAM's words: the action, the resources, and the values that conditions test.

What is not served yet still has its action, so that a narrow credential is denied it like in COS, and a wide one
gets 501. A sub-resource without an entry gets an action that no document names.

Specification: the CAM action of each request, https://cloud.tencent.com/document/product/598/69901;
condition keys, https://cloud.tencent.com/document/product/436/71307
"""

from __future__ import annotations

from typing import NamedTuple
from urllib.parse import unquote

from broker.cos import cam, requests, signing
from broker.emulator.buckets import named_by
from broker.emulator.received import Received
from broker.emulator.refusals import CosError

_OBJECT = {"GET": "GetObject", "HEAD": "HeadObject", "PUT": "PutObject", "POST": "PostObject", "DELETE": "DeleteObject"}
_BUCKET = {"GET": "GetBucket", "HEAD": "HeadBucket", "PUT": "PutBucket", "POST": "PostObject", "DELETE": "DeleteBucket"}
_SERVED = frozenset({"GetObject", "HeadObject", "PutObject", "DeleteObject"})

# (method, sub-resource): action. The first sub-resource of this order that a request names decides.
_OF_OBJECT = {
    ("PUT", "acl"): "PutObjectACL",
    ("GET", "acl"): "GetObjectACL",
    ("PUT", "tagging"): "PutObjectTagging",
    ("GET", "tagging"): "GetObjectTagging",
    ("DELETE", "tagging"): "DeleteObjectTagging",
    ("POST", "append"): "AppendObject",
    ("POST", "restore"): "PostObjectRestore",
    ("POST", "select"): "GetObject",
    ("POST", "uploads"): "InitiateMultipartUpload",
    ("PUT", "uploadid"): "UploadPart",
    ("PUT", "partnumber"): "UploadPart",
    ("POST", "uploadid"): "CompleteMultipartUpload",
    ("GET", "uploadid"): "ListParts",
    ("DELETE", "uploadid"): "AbortMultipartUpload",
}
_OF_BUCKET = {
    ("GET", "acl"): "GetBucketACL",
    ("PUT", "acl"): "PutBucketACL",
    ("GET", "uploads"): "ListMultipartUploads",
    ("GET", "versions"): "GetBucketObjectVersions",
    ("POST", "delete"): "DeleteObject",
}
# These shape a listing; they do not make a request another one.
_LISTING = frozenset(
    """
    delimiter encoding-type key-marker marker max-keys max-parts max-uploads part-number-marker position prefix
    upload-id-marker version-id-marker
    """.split()
)


class Operation(NamedTuple):
    """A request in CAM's words. `served`: whether the emulator can do it once it is allowed."""

    action: str
    served: bool


def operation(received: Received) -> Operation:
    """What the method, the sub-resources and the copy header make of a request."""
    special, plain = (_OF_OBJECT, _OBJECT) if received.key else (_OF_BUCKET, _BUCKET)
    if received.method not in plain:
        raise CosError("MethodNotAllowed", f"COS has no {received.method}.")
    asked = [name for name in received.params if requests.is_sub_resource(name) and name not in _LISTING]
    if copy_source(received):
        return Operation("PutObject", served=False)
    for (method, name), action in special.items():
        if method == received.method and name in asked:
            return Operation(action, served=False)
    action = plain[received.method]
    if asked:
        return Operation(action + asked[0].title().replace("-", ""), served=False)
    return Operation(action, served=action in _SERVED)


def copy_source(received: Received) -> str:
    """`x-cos-copy-source`, the header that makes a PUT read another object."""
    return received.headers.get("x-cos-copy-source", "") if received.method == "PUT" else ""


def needs(received: Received, action: str) -> list[tuple[str, str]]:
    """Every (action, resource) that must be allowed: a copy reads its source, too."""
    region, bucket = received.place.region, received.place.bucket
    needed = [(action, cam.resource(region, bucket, received.key))]
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
    sent = {
        name: value
        for name, value in received.headers.items()
        if name.startswith("x-cos-") and name != signing.TOKEN_NAME
    }
    if received.method in ("PUT", "POST"):
        sent |= {
            name: received.headers[name] for name in ("content-length", "content-type") if name in received.headers
        }
    params = ("prefix", "response-content-type", "versionid")
    sent |= {name: received.params[name] for name in params if name in received.params}
    return found | {f"cos:{name}": value for name, value in sent.items()}
