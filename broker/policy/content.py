"""Limits of an upload: the Content-Type and Content-Length that an ask must declare and the signature binds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from broker.cos import requests
from broker.errors import FieldError, Refused, summary
from broker.policy.document import PolicyDocument

_TYPE, _LENGTH = "Content-Type", "Content-Length"
_LENGTH_DIGITS = 15


@dataclass(frozen=True, slots=True)
class ContentLimits:
    """The limits of one route; None leaves that header to the route's `headers`."""

    types: tuple[str, ...] | None
    max_bytes: int | None

    def accept(self, asked: Mapping[str, str]) -> tuple[dict[str, str], dict[str, str]]:
        """(the headers governed here, all others) of an ask's headers. Raises Refused."""
        governed: dict[str, str] = {}
        others: dict[str, str] = {}
        for name, value in asked.items():
            own = self._own_name(name)
            if own in governed:
                raise Refused(
                    "header_not_allowed", f"{own} stands twice", [FieldError(f"headers.{own}", "stands twice")]
                )
            if own is None:
                others[name] = value
            else:
                governed[own] = value
        problems = [*self._type_problems(governed.get(_TYPE)), *self._length_problems(governed.get(_LENGTH))]
        if problems:
            errors = [error for _, error in problems]
            raise Refused(problems[0][0], summary(errors), errors)
        return governed, others

    def _own_name(self, name: str) -> str | None:
        lower = name.lower()
        if lower == "content-type" and self.types is not None:
            return _TYPE
        if lower == "content-length" and self.max_bytes is not None:
            return _LENGTH
        return None

    def _type_problems(self, value: str | None) -> Iterator[tuple[str, FieldError]]:
        field = f"headers.{_TYPE}"
        if self.types is None:
            return
        if value is None:
            yield "header_required", FieldError(field, f"is required: one of {', '.join(self.types)}")
        elif not (requests.MEDIA_TYPE.fullmatch(value) and any(_admits(declared, value) for declared in self.types)):
            legal = ", ".join(self.types)
            yield "content_type_not_allowed", FieldError(field, f"must be one of {legal}, without parameters")

    def _length_problems(self, value: str | None) -> Iterator[tuple[str, FieldError]]:
        field = f"headers.{_LENGTH}"
        if self.max_bytes is None:
            return
        if value is None:
            yield "header_required", FieldError(field, f"is required: at most {self.max_bytes} bytes")
        elif not _is_length(value):
            yield "header_not_allowed", FieldError(field, "must be a number of bytes in decimal digits")
        elif int(value) > self.max_bytes:
            yield "content_too_large", FieldError(field, f"must be at most {self.max_bytes} bytes, got {value}")


def compile_content(document: PolicyDocument) -> ContentLimits:
    """The limits of a sound document."""
    content = document.content
    if content is None:
        return ContentLimits(None, None)
    return ContentLimits(tuple(content.types) if content.types is not None else None, content.max_bytes)


def _admits(declared: str, value: str) -> bool:
    return value == declared or (declared.endswith("/*") and value.startswith(declared[:-1]))


def _is_length(value: str) -> bool:
    digits = value.isascii() and value.isdigit() and len(value) <= _LENGTH_DIGITS
    return digits and (value == "0" or value[0] != "0")
