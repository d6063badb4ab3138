"""A bucket's CORS rule: what browsers may send to it from whose pages, and how it answers their preflights.

Specification: PUT Bucket cors, https://cloud.tencent.com/document/product/436/8279;
OPTIONS Object, https://cloud.tencent.com/document/product/436/8288
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from broker.cos.requests import is_loopback

METHODS = ("GET", "PUT", "POST", "DELETE", "HEAD")
# What pages read of COS's answers; a multipart upload ends with the ETags of its parts.
EXPOSED = ("ETag", "Content-Length", "x-cos-request-id")
MAX_AGE_SECONDS = 600
ANY = "*"
# As browsers send it: lower case, without path and without the scheme's own port.
_ORIGIN = re.compile(r"https?://(?:[a-z0-9](?:[a-z0-9.-]*[a-z0-9])?|\[[0-9a-f:.]+\])(?::[1-9][0-9]{0,4})?")
_OWN_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `headers` are those that a request may carry and browsers ask for; `*` is any, of `origins` too."""

    name: str
    origins: tuple[str, ...]
    methods: tuple[str, ...]
    headers: tuple[str, ...]

    def configuration(self) -> dict[str, Any]:
        """The bucket's configuration with this rule alone, as the official Python SDK's `put_bucket_cors` takes it."""
        members = {
            "ID": self.name,
            "AllowedOrigin": list(self.origins),
            "AllowedMethod": list(self.methods),
            "AllowedHeader": list(self.headers),
            "ExposeHeader": list(EXPOSED),
            "MaxAgeSeconds": MAX_AGE_SECONDS,
        }
        rule = {name: value for name, value in members.items() if value != []}
        return {"CORSRule": [rule], "ResponseVary": True}

    def answer(self, origin: str, method: str, headers: str) -> dict[str, str] | None:
        """The headers of the answer to a preflight, or None if the rule does not admit it. The values are as sent."""
        asked = [name.strip().lower() for name in headers.split(",") if name.strip()]
        legal = {name.lower() for name in self.headers}
        if not self.admits(origin) or method not in self.methods or not (ANY in legal or legal.issuperset(asked)):
            return None
        told = {
            "Access-Control-Allow-Methods": ", ".join(self.methods),
            "Access-Control-Max-Age": str(MAX_AGE_SECONDS),
        }
        return {**told, "Access-Control-Allow-Headers": headers} if headers else told

    def admits(self, origin: str) -> bool:
        """Whether pages of an origin may read answers."""
        return bool(origin) and (ANY in self.origins or origin in self.origins)


def xml(configuration: Mapping[str, Any]) -> str:
    """A configuration as the body of PUT Bucket cors."""
    root = Element("CORSConfiguration")
    for rule in configuration["CORSRule"]:
        element = SubElement(root, "CORSRule")
        for name, value in rule.items():
            for one in value if isinstance(value, list) else [value]:
                SubElement(element, name).text = str(one)
    SubElement(root, "ResponseVary").text = "true"
    indent(root)
    return tostring(root, encoding="unicode")


def origin_flaw(value: str) -> str | None:
    """What keeps a text from being the origin of a page, or None."""
    if value in (ANY, "null"):
        return "must name each origin: '*' is everybody, and 'null' is what any sandboxed page sends"
    if not _ORIGIN.fullmatch(value):
        return "must be https://host or https://host:port in lower case, without path or slash at its end"
    parts = urlsplit(value)
    try:
        port = parts.port
    except ValueError:
        return "must have a port of 1..65535"
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        return "must be https (http for loopback only)"
    if port == _OWN_PORTS[parts.scheme]:
        return f"must leave out :{port}, as browsers do"
    return None


def sorted_methods(methods: Iterable[str]) -> tuple[str, ...]:
    """Methods in the order in which rules name them."""
    wanted = set(methods)
    return tuple(method for method in METHODS if method in wanted)
