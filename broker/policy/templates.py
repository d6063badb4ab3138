"""Key templates: what they are made of, how a key is rendered, and which given keys they admit.

A rendered value is a permission: `flaw` says what a value may hold, and everything that reaches a key, a literal of the
policy file included, passes it. Values are refused, never escaped and never trimmed.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import NewType

from broker.patterns import Pattern
from broker.policy.uuids import fresh_uuid

KEY_BYTES = 850
CLAIM_BYTES = 128

# Claims of an admitted principal: present, strings, and fit to stand in a key. Made by `Route.admit` alone.
ProvenClaims = NewType("ProvenClaims", Mapping[str, str])

_FORBIDDEN = "*?${}\\%"
_PLAIN_ASCII = re.compile(r"[ -~]+")
# Every key of printable ASCII that has no flaw; nearly all keys are done with this.
_SOUND_SEGMENT = r"(?!\.{1,2}(?:/|\Z))[ -#&-)+-.0->@-Z\[\]^_`a-z|~]+"
_SOUND_ASCII_PATH = re.compile(rf"{_SOUND_SEGMENT}(?:/{_SOUND_SEGMENT})*")
_FORBIDDEN_CHARACTER = re.compile(r"[*?${}\\%]")
_PLACEHOLDER = re.compile(r"\{([^{}]*)\}")
_CLAIM = re.compile(r"principal\.([A-Za-z_][A-Za-z0-9_.:/-]{0,63})")
_INPUT = re.compile(r"[a-z][a-z0-9_]{0,31}")
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_DATE = re.compile(r"[0-9]{4}/[0-9]{2}/[0-9]{2}")
UUID_BYTES, DATE_BYTES = 36, 10
_PARTS = 32
_SEGMENT_INPUTS = 3  # more make it slow to tell whose part of a given key is whose
DATE_PLACEHOLDER = "date:%Y/%m/%d"
BUCKET = "/"  # the template of the bucket itself: its key is empty


class TemplateError(ValueError):
    """A key template is not one; the message says what was expected and what stands there."""


@dataclass(frozen=True, slots=True)
class Literal:
    """Text that is part of every key."""

    text: str


@dataclass(frozen=True, slots=True)
class Claim:
    """A claim of the principal; fills a whole segment."""

    name: str


@dataclass(frozen=True, slots=True)
class Input:
    """A value of the caller's, as the policy declares it."""

    name: str


@dataclass(frozen=True, slots=True)
class Uuid:
    """A fresh version 4 UUID in lower case."""


@dataclass(frozen=True, slots=True)
class Date:
    """The day of the ask in UTC, as three segments."""


Part = Literal | Claim | Input | Uuid | Date


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What an input may be filled with: one of `enum`, or a safe value that fits."""

    enum: tuple[str, ...] | None
    pattern: Pattern | None
    max_bytes: int
    path: bool

    def fits(self, value: str) -> bool:
        """Whether a part of a key that has no flaw itself may be the value."""
        if self.enum is None and self.pattern is None and value.isascii():
            return 0 < len(value) <= self.max_bytes and value not in (".", "..")
        return self.flaw(value) is None

    def flaw(self, value: str) -> str | None:
        """What keeps a value out, or None."""
        if self.enum is not None:
            return None if value in self.enum else f"must be one of {', '.join(self.enum)}"
        if len(value.encode("utf-8", "surrogatepass")) > self.max_bytes:
            return f"must be at most {self.max_bytes} bytes"
        if (found := flaw(value, path=self.path)) is not None:
            return found
        if self.pattern is not None and not self.pattern.matches(value):
            return f"must match {self.pattern.pattern}"
        return None


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed key template. `claims` and `inputs` are names it holds; `generated`: the broker makes a part of it."""

    text: str
    parts: tuple[Part, ...]
    claims: frozenset[str]
    inputs: frozenset[str]
    generated: bool

    @property
    def literal_prefix(self) -> str:
        """The text before the first placeholder, cut after its last `/`; the whole key if there is no placeholder."""
        return self.prefix(ProvenClaims({}), ())

    def prefix(self, claims: ProvenClaims, through: tuple[type, ...] = (Claim,)) -> str:
        """The text before the first part that is neither a literal nor of `through`, cut after its last `/`.

        The whole key if every part is: nothing follows that a wildcard would have to cover.
        """
        text = ""
        for part in self.parts:
            if isinstance(part, Literal):
                text += part.text
            elif isinstance(part, Claim) and Claim in through:
                text += claims[part.name]
            else:
                return text[: text.rfind("/") + 1]
        return text

    def render(self, claims: ProvenClaims, inputs: Mapping[str, str], now: int) -> str:
        """A key for these values. The caller has checked each; the whole is to be checked by `key_flaw`."""
        texts = []
        for part in self.parts:
            if isinstance(part, Literal):
                texts.append(part.text)
            elif isinstance(part, Claim):
                texts.append(claims[part.name])
            elif isinstance(part, Input):
                texts.append(inputs[part.name])
            else:
                texts.append(fresh_uuid() if isinstance(part, Uuid) else day_of(now))
        return "".join(texts)

    def admits(self, key: str, claims: ProvenClaims, specs: Mapping[str, InputSpec]) -> bool:
        """Whether a key has no flaw and some legal filling of the inputs and generated parts gives exactly it."""
        if key_flaw(key) is not None:
            return False
        failed: set[tuple[int, int]] = set()

        def fits(index: int, start: int) -> bool:
            if index == len(self.parts):
                return start == len(key)
            if (index, start) in failed:
                return False
            if any(fits(index + 1, end) for end in self._ends(index, start, key, claims, specs)):
                return True
            failed.add((index, start))
            return False

        return fits(0, 0)

    def _ends(
        self, index: int, start: int, key: str, claims: ProvenClaims, specs: Mapping[str, InputSpec]
    ) -> list[int]:
        """Where the part at `index` may end, if it starts at `start`."""
        part = self.parts[index]
        if isinstance(part, (Literal, Claim)):
            text = part.text if isinstance(part, Literal) else claims[part.name]
            return [start + len(text)] if key.startswith(text, start) else []
        if isinstance(part, Uuid):
            return [start + UUID_BYTES] if _UUID.fullmatch(key, start, start + UUID_BYTES) else []
        if isinstance(part, Date):
            return [start + DATE_BYTES] if is_date(key[start : start + DATE_BYTES]) else []
        spec = specs[part.name]
        if spec.enum is not None:
            return [start + len(value) for value in spec.enum if key.startswith(value, start)]
        limit = len(key) if spec.path else _segment_end(key, start)
        following = self.parts[index + 1] if index + 1 < len(self.parts) else None
        if following is None:
            ends = [limit]
        else:
            ends = list(range(start + 1, min(limit, start + spec.max_bytes) + 1))
            if isinstance(following, Literal):
                ends = [end for end in ends if key.startswith(following.text, end)]
        return [end for end in ends if spec.fits(key[start:end])]


def flaw(value: str, *, path: bool = False) -> str | None:
    """What keeps a value out of a key, or None. Only a path holds `/`, and every segment of it is checked."""
    if not value:
        return "must not be empty"
    if not path and "/" in value:
        return "must not hold '/'"
    if found := _FORBIDDEN_CHARACTER.search(value):
        return f"must not hold {found[0]!r} (none of {' '.join(_FORBIDDEN)})"
    if not _PLAIN_ASCII.fullmatch(value):
        for character in value:
            category = unicodedata.category(character)
            if category[0] == "C" or category in ("Zl", "Zp"):
                return f"must not hold U+{ord(character):04X} (no control, format, private or unassigned characters)"
        if not unicodedata.is_normalized("NFC", value):
            return "must be in Unicode normalisation form NFC"
    for segment in value.split("/"):
        if segment in ("", ".", ".."):
            return "must not hold an empty, '.' or '..' segment, nor begin or end with '/'"
    return None


def key_flaw(key: str) -> str | None:
    """What keeps a whole key from being signed, or None: sound parts can still join to something that is not."""
    if len(key) <= KEY_BYTES and _SOUND_ASCII_PATH.fullmatch(key):
        return None
    if len(key.encode("utf-8", "surrogatepass")) > KEY_BYTES:
        return f"must be at most {KEY_BYTES} bytes"
    return flaw(key, path=True)


def claim_flaw(value: object) -> str | None:
    """What keeps a claim out of a key, or None."""
    if not isinstance(value, str):
        return "must be a string"
    if len(value.encode("utf-8", "surrogatepass")) > CLAIM_BYTES:
        return f"must be at most {CLAIM_BYTES} bytes"
    return flaw(value)


def is_date(text: str) -> bool:
    """Whether a text is a day as `%Y/%m/%d`, and a day that exists."""
    if not _DATE.fullmatch(text):
        return False
    try:
        date(int(text[:4]), int(text[5:7]), int(text[8:]))
    except ValueError:
        return False
    return True


def day_of(now: int) -> str:
    """The UTC day of an instant as it stands in a key."""
    return datetime.fromtimestamp(now, UTC).strftime("%Y/%m/%d")


def parse(text: str) -> Template:
    """The template of a key. Raises TemplateError."""
    if text == BUCKET:
        return template(text, ())
    parts = split(text)
    if len(parts) > _PARTS:
        raise TemplateError(f"a template has at most {_PARTS} parts, got {len(parts)}")
    for part in parts:
        if isinstance(part, Literal) and (found := _FORBIDDEN_CHARACTER.search(part.text)):
            raise TemplateError(f"literals must not hold any of {' '.join(_FORBIDDEN)}, got {found[0]!r}")
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


def template(text: str, parts: Sequence[Part]) -> Template:
    """The template of these parts."""
    return Template(
        text=text,
        parts=tuple(parts),
        claims=frozenset(part.name for part in parts if isinstance(part, Claim)),
        inputs=frozenset(part.name for part in parts if isinstance(part, Input)),
        generated=any(isinstance(part, (Uuid, Date)) for part in parts),
    )


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


def _segment_end(key: str, start: int) -> int:
    end = key.find("/", start)
    return len(key) if end < 0 else end
