"""How key templates are written: a text with placeholders -> its parts, or what is wrong with it."""

from __future__ import annotations

import re

from broker.policy.flaws import FORBIDDEN, FORBIDDEN_CHARACTER, key_flaw
from broker.policy.templates import (
    BUCKET,
    DATE_PLACEHOLDER,
    Claim,
    Date,
    Input,
    Literal,
    Part,
    Template,
    Uuid,
    template,
)

_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_CLAIM = re.compile(r"principal\.([A-Za-z_][A-Za-z0-9_.:/-]{0,63})")
_INPUT = re.compile(r"[a-z][a-z0-9_]{0,31}")
_PARTS = 32
_SEGMENT_INPUTS = 3  # more make it slow to tell whose part of a given key is whose


class TemplateError(ValueError):
    """A key template is not one; the message says what was expected and what stands there."""


def parse(text: str) -> Template:
    """The template of a key. Raises TemplateError."""
    if text == BUCKET:
        return template(text, ())
    parts = split(text)
    if len(parts) > _PARTS:
        raise TemplateError(f"a template has at most {_PARTS} parts, got {len(parts)}")
    for part in parts:
        if isinstance(part, Literal) and (found := FORBIDDEN_CHARACTER.search(part.text)):
            raise TemplateError(f"literals must not hold any of {' '.join(FORBIDDEN)}, got {found[0]!r}")
    # A stand-in that is sound itself leaves the literals' own flaws.
    stand_in = "".join(part.text if isinstance(part, Literal) else "x" for part in parts)
    if (found_flaw := key_flaw(stand_in)) is not None:
        raise TemplateError(f"{found_flaw}, got {text!r}")
    names = [part.name for part in parts if isinstance(part, Input)]
    for name in names:
        if names.count(name) > 1:
            raise TemplateError(f"{{{name}}} stands twice: an input fills one place")
    _check_segments(parts)
    return template(text, parts)


def split(text: str) -> list[Part]:
    """A text with placeholders as parts. Raises TemplateError."""
    parts: list[Part] = []
    end = 0
    for found in _PLACEHOLDER.finditer(text):
        if found.start() > end:
            parts.append(_literal(text[end : found.start()]))
        parts.append(_placeholder(found[1]))
        end = found.end()
    if end < len(text):
        parts.append(_literal(text[end:]))
    return parts


def _literal(text: str) -> Literal:
    if "{" in text or "}" in text:
        raise TemplateError(f"braces stand only around a placeholder, got {text!r}")
    return Literal(text)


def _placeholder(name: str) -> Part:
    if name == "uuid":
        return Uuid()
    if name == DATE_PLACEHOLDER:
        return Date()
    if found := _CLAIM.fullmatch(name):
        return Claim(found[1])
    if _INPUT.fullmatch(name) and name != "date":
        return Input(name)
    legal = f"{{principal.CLAIM}}, {{INPUT}}, {{uuid}} or exactly {{{DATE_PLACEHOLDER}}}"
    raise TemplateError(f"a placeholder is {legal}, got {{{name}}}")


def _check_segments(parts: list[Part]) -> None:
    shape = "".join(part.text if isinstance(part, Literal) else "{}" * isinstance(part, Input) for part in parts)
    if max(segment.count("{}") for segment in shape.split("/")) > _SEGMENT_INPUTS:
        raise TemplateError(f"a segment has at most {_SEGMENT_INPUTS} inputs")
    for index, part in enumerate(parts):
        before = parts[index - 1] if index else None
        after = parts[index + 1 :]
        if not isinstance(part, Literal) and before is not None and not isinstance(before, Literal):
            raise TemplateError("two placeholders need a literal between them")
        if not isinstance(part, (Claim, Date)):
            continue
        name = f"{{principal.{part.name}}}" if isinstance(part, Claim) else f"{{{DATE_PLACEHOLDER}}}"
        starts = before is None or (isinstance(before, Literal) and before.text.endswith("/"))
        ends = not after or (isinstance(after[0], Literal) and after[0].text.startswith("/"))
        if isinstance(part, Claim) and len(after) == 1 and isinstance(after[0], Literal):
            ends = ends or (after[0].text.startswith(".") and "/" not in after[0].text)
        if not (starts and ends):
            raise TemplateError(f"{name} must fill a whole segment (a last one may end in .literal)")
