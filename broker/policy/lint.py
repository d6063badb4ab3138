"""What is legal but unwise in a policy file. Errors refuse the file like any other mistake, warnings never do."""

from __future__ import annotations

from collections.abc import Iterator

from broker.cos import requests
from broker.policy import operations
from broker.policy.document import PolicyDocument
from broker.policy.reach import scope_name
from broker.policy.templates import Template

# Types that a browser runs scripts from, if an object of them is opened from the bucket's domain.
_ACTIVE_TYPES = ("text/html", "image/svg+xml")
_LONG_SECONDS = 3600


def errors(document: PolicyDocument, template: Template) -> Iterator[tuple[str, str]]:
    """(field, message) of what no route should do."""
    writes = [m for m in document.methods or [] if requests.OPERATION_OF_METHOD[m] in requests.WRITE_OPERATIONS]
    if scope_name(document, template) == "route" and writes and not document.credential.shared_writes:
        yield (
            "credential.scope",
            (
                f"route lets one credential write for all principals ({', '.join(writes)}): put a claim into key, "
                "or say shared_writes"
            ),
        )
    disposition = operations.declared(document.headers, "content-disposition")
    attached = disposition is not None and (disposition.const or "").lower().startswith("attachment")
    for index, declared in enumerate((document.content and document.content.types) or []):
        admitted = [active for active in _ACTIVE_TYPES if _admits(declared, active)]
        if admitted and not attached:
            yield (
                f"content.types[{index}]",
                (
                    f"{declared!r} admits {' and '.join(admitted)}, which browsers execute: name the types you need, "
                    'or add the header "Content-Disposition": {"const": "attachment"}'
                ),
            )


def warnings(document: PolicyDocument, template: Template) -> Iterator[tuple[str, str]]:
    """(field, message) of what deserves a second look."""
    if "PUT" in (document.methods or []):
        content = document.content
        if content is None or content.types is None:
            yield "content.types", "uploads of any type are allowed"
        if content is None or content.max_bytes is None:
            yield "content.max_bytes", "uploads of any size are allowed"
        overwrite = operations.declared(document.headers, "x-cos-forbid-overwrite")
        if overwrite is None or overwrite.const != "true":
            yield "headers.x-cos-forbid-overwrite", "uploads may overwrite existing objects"
    if document.expires.max_seconds > _LONG_SECONDS:
        yield "expires.max_seconds", f"links may live {document.expires.max_seconds} s, more than an hour"


def _admits(declared: str, content_type: str) -> bool:
    kind, _, subtype = declared.lower().partition("/")
    return declared.lower() == content_type or (subtype == "*" and content_type.startswith(f"{kind}/"))
