"""Whose objects a route's credential reaches, and the longest keys that a route can make."""

from __future__ import annotations

from collections.abc import Iterable

from broker.cos.signing import encode
from broker.policy import flaws, operations
from broker.policy.document import PolicyDocument
from broker.policy.templates import ClaimedText, Literal, ProvenClaims, Template

# Two bytes that are three characters each when encoded.
_WORST = "é"


def scope_name(document: PolicyDocument, template: Template) -> str:
    """The route's credential scope, as given or by default."""
    if document.credential.scope is not None:
        return document.credential.scope
    if all(isinstance(part, Literal) for part in template.parts):
        return "object"
    return "principal" if template.claims else "route"


def reach_form(scope: str, template: Template) -> ClaimedText | None:
    """What credentials of a scope of this name reach, a prefix and `*`, to be filled with claims; None: one key."""
    if scope == "object":
        return None
    folder = template.folder if scope == "principal" else ClaimedText([Literal(template.literal_prefix)])
    match folder.parts:
        case (*_, Literal(text)) if text.endswith("/"):
            return ClaimedText([*folder.parts, Literal("*")])
    return folder


def reach_of(scope: str, template: Template, claims: ProvenClaims, key: str) -> str:
    """What the credential for `key` reaches under a scope of this name: a key, or a prefix and `*`."""
    form = reach_form(scope, template)
    return key if form is None else form.text(claims)


def longest(texts: Iterable[str]) -> str:
    """The text of the greatest encoded length."""
    return max(texts, key=lambda text: len(encode(text)))


def worst_text(size_bytes: int) -> str:
    """A text of the greatest encoded length for its size."""
    return _WORST * (size_bytes // 2) + "%" * (size_bytes % 2)


def worst_claims(names: Iterable[str]) -> ProvenClaims:
    """Claims of the greatest encoded length."""
    return ProvenClaims(dict.fromkeys(names, worst_text(flaws.CLAIM_BYTES)))


def worst_key(document: PolicyDocument, template: Template) -> str:
    """A key of the greatest encoded length, cut at the limit."""
    specs = operations.input_specs(document)
    inputs = {}
    for name in template.inputs:
        spec = specs.get(name)
        inputs[name] = longest(spec.enum) if spec and spec.enum else worst_text(spec.max_bytes if spec else 2)
    key = template.render(worst_claims(template.claims), inputs, now=0)
    return key.encode()[: flaws.KEY_BYTES].decode(errors="ignore")
