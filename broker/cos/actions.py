"""Requests in CAM's words: the action of a method and its sub-resource, and the values that conditions test.

Specification: the CAM action of each request, https://cloud.tencent.com/document/product/598/69901;
condition keys, https://cloud.tencent.com/document/product/436/71307
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from broker.cos import requests, signing

_OBJECT = {
    method: requests.ACTION_OF_OPERATION[operation].removeprefix("name/cos:")
    for method, operation in requests.OPERATION_OF_METHOD.items()
}
_BUCKET = {"GET": "GetBucket", "HEAD": "HeadBucket", "PUT": "PutBucket", "POST": "PostObject", "DELETE": "DeleteBucket"}

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


def action_of(method: str, key: str, params: Iterable[str]) -> str:
    """The action, without `name/cos:`, of a request to an object, or with an empty key to the bucket.

    `params` are the names of its query. A sub-resource without an entry gets an action that no document names. Raises
    ValueError for methods that COS has not.
    """
    entries, plain = (_OF_OBJECT, _OBJECT) if key else (_OF_BUCKET, _BUCKET)
    if method not in plain:
        raise ValueError(f"COS has no {method}.")
    asked = {name.lower() for name in params}
    for (of_method, name), action in entries.items():
        if of_method == method and name in asked:
            return action
    other = special(params)
    return plain[method] if other is None else plain[method] + other.title().replace("-", "")


def special(params: Iterable[str]) -> str | None:
    """The sub-resource that makes a request another one than its method says, or None."""
    return next(
        (name for name in map(str.lower, params) if requests.is_sub_resource(name) and name not in _LISTING), None
    )


def condition_values(method: str, headers: Mapping[str, str], params: Mapping[str, str]) -> dict[str, str]:
    """What conditions test of a request itself, names in lower case; what it does not carry is left out."""
    sent = {name: headers[name] for name in headers if name.startswith("x-cos-") and name != signing.TOKEN_NAME}
    if method in ("PUT", "POST"):
        sent |= {name: headers[name] for name in ("content-length", "content-type") if name in headers}
    sent |= {name: params[name] for name in ("prefix", "response-content-type", "versionid") if name in params}
    return {f"cos:{name}": value for name, value in sent.items()}
