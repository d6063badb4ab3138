"""How COS reads a request: operations and actions, names with a meaning of their own, hosts.

The lists are closed on purpose: what is not known here is not signed (sub-resources) or not passed on (headers).

Specification: the CAM action of each request, https://cloud.tencent.com/document/product/598/69901
"""

from __future__ import annotations

import ipaddress
import re
from typing import NamedTuple
from urllib.parse import urlsplit

METHODS = ("PUT", "POST", "GET", "DELETE", "HEAD")

# An operation is what one credential may do. A bare POST (no sub-resource) is PostObject.
OPERATION_OF_METHOD = {"PUT": "put", "POST": "post", "GET": "get", "DELETE": "delete", "HEAD": "head"}
ACTION_OF_OPERATION = {
    "get": "name/cos:GetObject",
    "head": "name/cos:HeadObject",
    "put": "name/cos:PutObject",
    "post": "name/cos:PostObject",
    "delete": "name/cos:DeleteObject",
}
# On the bucket itself (key `/`), GET is a listing; its parameters shape it and make nothing else of it.
BUCKET_OPERATIONS = {"GET": ("list", "name/cos:GetBucket"), "HEAD": ("head", "name/cos:HeadBucket")}
LISTING_PARAMS = frozenset({"prefix", "delimiter", "marker", "max-keys", "encoding-type"})
# All steps of one multipart upload are one operation; `initiate` names the one that may make a key.
MULTIPART_ACTIONS = (
    "name/cos:InitiateMultipartUpload",
    "name/cos:UploadPart",
    "name/cos:ListParts",
    "name/cos:CompleteMultipartUpload",
    "name/cos:AbortMultipartUpload",
)
WRITE_OPERATIONS = frozenset({"put", "post", "delete", "form", "initiate", "multipart"})
MAKES_KEYS = frozenset({"put", "form", "initiate"})

# Query parameters that turn a request into another one. Compared in lower case: whether COS folds case is not
# documented, and refusing both spellings costs nobody anything.
SUB_RESOURCES = frozenset(
    """
    accelerate acl append asyncjob callback ci-process cors delete delimiter domain domaincertificate encoding-type
    encryption image_process intelligent-tiering intelligenttiering inventory key-marker lifecycle live location logging
    marker max-keys max-parts max-uploads notification object-lock objectlock origin ownershipcontrols
    part-number-marker partnumber policy policystatus position prefix publicaccessblock referer replication
    requestpayment response-control restore retention select select-type style symlink tagging torrent
    upload-id-marker uploadid uploads version-id-marker versioning versions vod website
    """.split()
)

_RESERVED_NAMES = frozenset(
    {"authorization", "host", "sign", "x-cos-security-token", "pic-operations", "transfer-encoding", "connection"}
    | {"expect"}
)
_RESERVED_PREFIXES = (
    "q-",
    "x-ci-",
    "x-cos-copy-source",
    "x-cos-grant-",
    "x-cos-callback",
    "x-cos-server-side-encryption-customer-",  # SSE-C: a key in a header would be a secret in our answers
)
RESERVED = (
    "authorization host q-* sign x-cos-security-token x-ci-* x-cos-copy-source* x-cos-grant-* x-cos-callback* "
    "pic-operations transfer-encoding connection expect x-cos-server-side-encryption-customer-*"
)

# A form's field: where the browser goes after the upload.
REDIRECT = "success_action_redirect"

GRANT_HEADERS = (
    "x-cos-grant-read",
    "x-cos-grant-write",
    "x-cos-grant-read-acp",
    "x-cos-grant-write-acp",
    "x-cos-grant-full-control",
)

# RFC 9110 5.6.2, without `*`, so that a media range is no media type.
_TOKEN = r"[!#$%&'+.^_`|~0-9A-Za-z-]+"  # noqa: S105
HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
MEDIA_TYPE = re.compile(rf"{_TOKEN}/{_TOKEN}")
MEDIA_TYPE_OR_RANGE = re.compile(rf"{_TOKEN}/(?:{_TOKEN}|\*)")
BUCKET = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,48}[a-z0-9])?-[1-9][0-9]{4,19}")
_ENDPOINT = re.compile(r"https?://(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
REGION = re.compile(r"[a-z]{2,}(?:-[a-z0-9]+)+")


class Endpoint(NamedTuple):
    """Where a bucket answers: `base_url` is scheme and authority, `host` the authority as clients send and sign it."""

    base_url: str
    host: str


def is_reserved(name: str) -> bool:
    """Whether a header or parameter is one that only the broker (or nobody) may set."""
    lower = name.lower()
    return lower in _RESERVED_NAMES or lower.startswith(_RESERVED_PREFIXES)


def is_sub_resource(name: str) -> bool:
    """Whether a parameter would make the request another operation than the one granted."""
    return name.lower() in SUB_RESOURCES


def endpoint(template: str, bucket: str, region: str) -> Endpoint:
    """The endpoint of a bucket, from a URL template with `{bucket}` and `{region}`.

    The authority is what an HTTP client sends as Host: lower case, without the scheme's own port.
    """
    parts = urlsplit(template.replace("{bucket}", bucket).replace("{region}", region))
    host = (parts.hostname or "") if ":" not in (parts.hostname or "") else f"[{parts.hostname}]"
    if parts.port is not None and parts.port != {"https": 443, "http": 80}[parts.scheme]:
        host = f"{host}:{parts.port}"
    return Endpoint(f"{parts.scheme}://{host}", host)


def template_flaw(value: str, *, placeholders: bool = True) -> str | None:
    """What keeps a text from being an endpoint, or None; with `placeholders` it may hold `{bucket}` and `{region}`."""
    bare = value.replace("{bucket}", "examplebucket-1250000000").replace("{region}", "ap-guangzhou")
    if not placeholders and "{" in value:
        return "takes no placeholders"
    flaw = url_flaw(bare)
    if flaw is not None or "{" in bare or "}" in bare:
        return flaw or "takes {bucket} and {region} alone"
    parts = urlsplit(bare)
    if parts.path.strip("/") or parts.query or parts.fragment or parts.username is not None:
        return "must be scheme and host alone"
    if not _ENDPOINT.fullmatch(bare.rstrip("/")):
        return "must be a host of letters, digits, '-' and '.', and maybe a port"
    return None


def url_flaw(value: str) -> str | None:
    """What keeps a URL from being one that secrets may be sent to, or None."""
    try:
        parts = urlsplit(value)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "must be a URL"
    if not host or port == 0 or not (parts.scheme == "https" or (parts.scheme == "http" and is_loopback(host))):
        return "must be an https URL (http to loopback only)"
    return None


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def appid(bucket: str) -> str:
    """The account's APPID: the part of a bucket's name after the last `-`."""
    return bucket.rpartition("-")[2]
