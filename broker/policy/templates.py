"""Key templates: what they are made of, how a key is rendered, and which given keys they admit.

How one is written is in `notation`; what a value may hold, so that it widens nothing, in `flaws`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from itertools import takewhile
from operator import itemgetter
from typing import Any, NewType

from broker.patterns import Pattern
from broker.policy.flaws import flaw, size_bytes
from broker.policy.uuids import fresh_uuid

# Claims of an admitted principal: present, strings, and fit to stand in a key. Made by `Route.admit` alone.
ProvenClaims = NewType("ProvenClaims", Mapping[str, str])

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
_DATE = re.compile(r"[0-9]{4}/[0-9]{2}/[0-9]{2}")
UUID_BYTES, DATE_BYTES = 36, 10
DATE_PLACEHOLDER = "date:%Y/%m/%d"
BUCKET = "/"  # the template of the bucket itself: its key is empty


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

    def flaw(self, value: str) -> str | None:
        """What keeps a value out, or None."""
        if self.enum is not None:
            return None if value in self.enum else f"must be one of {', '.join(self.enum)}"
        if size_bytes(value) > self.max_bytes:
            return f"must be at most {self.max_bytes} bytes"
        if (found := flaw(value, path=self.path)) is not None:
            return found
        if self.pattern is not None and not self.pattern.matches(value):
            return f"must match {self.pattern.pattern}"
        return None


class ClaimedText:
    """Literals and claims one after the other, ready to be filled: what the keys of one principal have in common."""

    __slots__ = ("_form", "_pick", "parts")

    def __init__(self, parts: Sequence[Literal | Claim]) -> None:
        self.parts = tuple(parts)
        names = [part.name for part in parts if isinstance(part, Claim)]
        # Every ask needs it, and this takes a third of what joining its parts would.
        self._form = "".join("%s" if isinstance(part, Claim) else part.text.replace("%", "%%") for part in parts)
        self._pick: Callable[[ProvenClaims], Any] = itemgetter(*names) if names else lambda claims: ()

    def text(self, claims: ProvenClaims) -> str:
        """The text, with these claims."""
        text: str = self._form % self._pick(claims)
        return text

    def folder(self) -> ClaimedText:
        """The same up to its last `/`, which no claim holds."""
        parts = list(self.parts)
        while parts:
            last = parts.pop()
            if isinstance(last, Literal) and "/" in last.text:
                return ClaimedText([*parts, Literal(_cut(last.text))])
        return ClaimedText([])


@dataclass(frozen=True, slots=True)
class Template:
    """A parsed key template. `claims` and `inputs` are names it holds; `generated`: the broker makes a part of it.

    `head` is its beginning that is the same in all keys of a principal, `rest` are the parts after it; `folder` is the
    head up to its last `/`, or all of it if nothing follows. `literal_prefix` is the text before the first placeholder,
    cut after its last `/`; the whole key if there is none.
    """

    text: str
    parts: tuple[Part, ...]
    head: ClaimedText
    folder: ClaimedText
    rest: tuple[Part, ...]
    literal_prefix: str
    claims: frozenset[str]
    inputs: frozenset[str]
    generated: bool

    def prefix(self, claims: ProvenClaims) -> str:
        """The text before the first part that is neither a literal nor a claim, cut after its last `/`.

        The whole key if every part is: nothing follows that a wildcard would have to cover.
        """
        return self.folder.text(claims)

    def render(self, claims: ProvenClaims, inputs: Mapping[str, str], now: int) -> str:
        """A key for these values. The caller has checked each; the whole is to be checked by `key_flaw`."""
        texts = [self.head.text(claims)]
        for part in self.rest:
            if isinstance(part, Literal):
                texts.append(part.text)
            elif isinstance(part, Uuid):
                texts.append(fresh_uuid())
            elif isinstance(part, Input):
                texts.append(inputs[part.name])
            else:
                texts.append(claims[part.name] if isinstance(part, Claim) else day_of(now))
        return "".join(texts)

    def admits(self, key: str, claims: ProvenClaims, specs: Mapping[str, InputSpec]) -> bool:
        """Whether some legal filling of the inputs and generated parts gives exactly this key, which has no flaw."""
        head = self.head.text(claims)
        if len(self.rest) > 1:
            return key.startswith(head) and self._fits(0, len(head), key, claims, specs, set())
        if not self.rest:
            return key == head
        return key.startswith(head) and _fills(self.rest[0], key[len(head) :], claims, specs)

    def _fits(
        self,
        index: int,
        start: int,
        key: str,
        claims: ProvenClaims,
        specs: Mapping[str, InputSpec],
        failed: set[tuple[int, int]],
    ) -> bool:
        """Whether the rest from `index` on can fill the key from `start` on; `failed` are those known not to."""
        if index + 1 == len(self.rest):
            return _fills(self.rest[index], key[start:], claims, specs)
        if (index, start) in failed:
            return False
        ends = self._ends(index, start, key, claims, specs)
        if any(self._fits(index + 1, end, key, claims, specs, failed) for end in ends):
            return True
        failed.add((index, start))
        return False

    def _ends(
        self, index: int, start: int, key: str, claims: ProvenClaims, specs: Mapping[str, InputSpec]
    ) -> list[int]:
        """Where the part at `index`, which is not the last, may end if it starts at `start`."""
        part, following = self.rest[index], self.rest[index + 1]
        if isinstance(part, (Literal, Claim)):
            text = part.text if isinstance(part, Literal) else claims[part.name]
            return [start + len(text)] if key.startswith(text, start) else []
        if isinstance(part, (Uuid, Date)):
            end = start + (UUID_BYTES if isinstance(part, Uuid) else DATE_BYTES)
            return [end] if _fills(part, key[start:end], claims, specs) else []
        spec = specs[part.name]
        if spec.enum is not None:
            return [start + len(value) for value in spec.enum if key.startswith(value, start)]
        limit = len(key) if spec.path else _segment_end(key, start)
        ends = list(range(start + 1, min(limit, start + spec.max_bytes) + 1))
        if isinstance(following, Literal):
            ends = [end for end in ends if key.startswith(following.text, end)]
        return [end for end in ends if spec.flaw(key[start:end]) is None]


def _fills(part: Part, text: str, claims: ProvenClaims, specs: Mapping[str, InputSpec]) -> bool:
    """Whether a part can be exactly this text."""
    if isinstance(part, Input):
        return specs[part.name].flaw(text) is None
    if isinstance(part, Uuid):
        return _UUID.fullmatch(text) is not None
    if isinstance(part, Date):
        return is_date(text)
    return text == (part.text if isinstance(part, Literal) else claims[part.name])


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


def template(text: str, parts: Sequence[Part]) -> Template:
    """The template of these parts."""
    head = ClaimedText(list(takewhile(lambda part: isinstance(part, (Literal, Claim)), parts)))  # type: ignore[arg-type]
    literal = "".join(part.text for part in takewhile(lambda part: isinstance(part, Literal), parts))  # type: ignore[union-attr]
    return Template(
        text=text,
        parts=tuple(parts),
        head=head,
        folder=head.folder() if len(head.parts) < len(parts) else head,
        rest=tuple(parts[len(head.parts) :]),
        literal_prefix=literal if all(isinstance(part, Literal) for part in parts) else _cut(literal),
        claims=frozenset(part.name for part in parts if isinstance(part, Claim)),
        inputs=frozenset(part.name for part in parts if isinstance(part, Input)),
        generated=any(isinstance(part, (Uuid, Date)) for part in parts),
    )


def _cut(text: str) -> str:
    """A text up to its last `/`, which stays."""
    return text[: text.rfind("/") + 1]


def _segment_end(key: str, start: int) -> int:
    end = key.find("/", start)
    return len(key) if end < 0 else end
