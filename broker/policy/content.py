"""Limits of an upload: the Content-Type and Content-Length that an ask must declare and the signature binds."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from broker.cos import requests
from broker.errors import FieldError, Refused, summary
from broker.policy.document import PolicyDocument

_TYPE, _LENGTH = "Content-Type", "Content-Length"
_LENGTH_DIGITS = re.compile(r"0|[1-9][0-9]{0,39}")

Flaw = tuple[str, FieldError]  # (code, what is wrong)


def refuse(flaws: Sequence[Flaw]) -> None:
    """Refuse with the code of the first, telling all; nothing if there are none. Raises Refused."""
    if flaws:
        errors = [error for _, error in flaws]
        raise Refused(flaws[0][0], summary(errors), errors)


@dataclass(frozen=True, slots=True)
class ContentLimits:
    """The limits of one route. `names` are the headers it governs: lower case -> as answered."""

    names: Mapping[str, str]
    names_without_length: Mapping[str, str]
    types: tuple[str, ...]
    max_bytes: int

    def accept(
        self, asked: Mapping[str, str], *, length: bool = True, sized: Sequence[Flaw] = ()
    ) -> tuple[dict[str, str], dict[str, str]]:
        """(the headers governed here, all others) of an ask's headers. Raises Refused.

        Without `length` only the type is: forms and multipart uploads bind theirs otherwise; what is wrong with the
        latter's is `sized`.
        """
        names = self.names if length else self.names_without_length
        governed: dict[str, str] = {}
        others: dict[str, str] = {}
        problems: list[Flaw] = []
        for name, value in asked.items():
            own = names.get(name.lower())
            if own is None:
                others[name] = value
            elif own in governed:
                problems.append(("header_not_allowed", FieldError(f"headers.{own}", "stands twice")))
            else:
                governed[own] = value
        for own in names.values():
            found = self._problem(own, governed.get(own))
            if found is not None:
                problems.append(found)
        if problems or sized:
            refuse([*problems, *sized])
        return governed, others

    def problems(self, content_type: str, content_length: int) -> tuple[str, ...]:
        """The codes of what is wrong with an object as it is; none if it is as the policy wants it."""
        found = []
        if self.types and not _any_admits(self.types, content_type):
            found.append("content_type_not_allowed")
        if self.max_bytes and content_length > self.max_bytes:
            found.append("content_too_large")
        return tuple(found)

    def _problem(self, name: str, value: str | None) -> Flaw | None:
        if value is None:
            return "header_required", FieldError(f"headers.{name}", f"is required: {self._limit(name)}")
        if name == _TYPE:
            if requests.MEDIA_TYPE.fullmatch(value) and (value in self.types or _any_admits(self.types, value)):
                return None
            message = f"must be {self._limit(name)}, without parameters"
            return "content_type_not_allowed", FieldError(f"headers.{name}", message)
        if not _LENGTH_DIGITS.fullmatch(value):
            return "header_not_allowed", FieldError(f"headers.{name}", "must be a number of bytes in decimal digits")
        if int(value) > self.max_bytes:
            return "content_too_large", FieldError(f"headers.{name}", f"must be {self._limit(name)}, got {value}")
        return None

    def _limit(self, name: str) -> str:
        return ", ".join(self.types) if name == _TYPE else f"at most {self.max_bytes} bytes"


def compile_content(document: PolicyDocument) -> ContentLimits:
    """The limits of a sound document."""
    content = document.content
    names = {}
    if content is not None and content.types is not None:
        names[_TYPE.lower()] = _TYPE
    if content is not None and content.max_bytes is not None:
        names[_LENGTH.lower()] = _LENGTH
    return ContentLimits(
        names=names,
        names_without_length={lower: own for lower, own in names.items() if own != _LENGTH},
        types=tuple((content and content.types) or ()),
        max_bytes=(content and content.max_bytes) or 0,
    )


def _any_admits(types: Iterable[str], value: str) -> bool:
    return any(value == one or (one.endswith("/*") and value.startswith(one[:-1])) for one in types)
