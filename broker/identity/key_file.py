"""The API keys file, field by field: its text in, compiled keys or every problem out.

Problems name the legal values and the type that came, no value: a secret may stand in any field by mistake.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from types import MappingProxyType
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from broker import rates
from broker.errors import ConfigurationError, Problem
from broker.identity.principals import Principal
from broker.patterns import Pattern, PatternError
from broker.strict_json import StrictJsonError, loads

_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(Z|[+-][0-9]{2}:[0-9]{2})")
_NO_SECRET = f"sha256:{hashlib.sha256(b'').hexdigest()}"
_LEGAL = {
    "id": "1 to 64 of A-Z a-z 0-9 _ -",
    "hash": '"sha256:" and the 64 hex digits of the SHA-256 of a secret that is not empty',
    "claims": "an object of claims, each with its fixed value",
    "claims.sub": "text that is not empty",
    "routes": "a list of route names, each [a-z0-9][a-z0-9-]{0,62}; leave it out for all routes",
    "rate": rates.LEGAL,
    "expires_at": 'an instant with a time zone, such as "2027-01-01T00:00:00Z"',
    "operations": "true or false",
    "acts_for": "an object with sub and, if wanted, claims",
    "acts_for.sub": "a regular expression for the whole X-Principal",
    "acts_for.claims": "a list of claim names without sub, which comes from X-Principal",
}


@dataclass(frozen=True, slots=True)
class ActsFor:
    """Whom a key may act for: a `sub` that `sub` matches as a whole, with claims of these names."""

    sub: Pattern
    claims: frozenset[str]


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One entry, compiled. `principal` is the key itself; `expires_at` is the first second in which it is refused."""

    digest: bytes = field(repr=False)
    principal: Principal
    expires_at: int | None
    acts_for: ActsFor | None


def parse_key_file(data: bytes, source: str) -> Mapping[str, ApiKey]:
    """The keys by id; ConfigurationError with every problem of the file, which `source` names."""
    try:
        document = loads(data)
    except StrictJsonError as error:
        raise ConfigurationError([Problem(source, "", str(error))]) from None
    try:
        parsed, problems = _File.model_validate(document), []
    except ValidationError as error:
        parsed, problems = None, [_problem(source, one["loc"], one["type"], one["input"]) for one in error.errors()]
    problems += [Problem(source, where, message) for where, message in _contradictions(document)]
    if parsed is None or problems:
        raise ConfigurationError(problems)
    return MappingProxyType({entry.id: _compiled(entry) for entry in parsed.keys})


def _instant(text: str) -> str:
    if _INSTANT.fullmatch(text) is None:
        raise ValueError
    datetime.fromisoformat(text)  # a ValueError for the 30th of February
    return text


def _rate(text: str) -> str:
    rates.parse(text)
    return text


def _pattern(text: str) -> str:
    try:
        Pattern(text)
    except PatternError:
        raise ValueError from None
    return text


def _hash(text: str) -> str:
    if text.lower() == _NO_SECRET:
        raise ValueError
    return text


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, hide_input_in_errors=True)


class _ActsFor(_Strict):
    sub: Annotated[str, AfterValidator(_pattern)]
    claims: list[str] = Field(default_factory=list)


class _Entry(_Strict):
    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
    hash: Annotated[str, Field(pattern=r"^sha256:[0-9a-fA-F]{64}$"), AfterValidator(_hash)]
    claims: dict[str, Any] = Field(default_factory=dict)
    # Absent means all or none; a null is refused, so that nobody writes one and means the other.
    routes: list[Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]] = Field(default_factory=list)
    rate: Annotated[str, AfterValidator(_rate)] = ""
    expires_at: Annotated[str, AfterValidator(_instant)] = ""
    operations: bool = False
    acts_for: _ActsFor | None = None


class _File(_Strict):
    keys: list[_Entry]


def _compiled(entry: _Entry) -> ApiKey:
    given, acts_for = entry.model_fields_set, entry.acts_for
    return ApiKey(
        digest=bytes.fromhex(entry.hash.removeprefix("sha256:")),
        principal=Principal(
            claims=MappingProxyType(entry.claims),
            key_id=entry.id,
            routes=frozenset(entry.routes) if "routes" in given else None,
            operations=entry.operations,
            rate=rates.parse(entry.rate) if "rate" in given else None,
        ),
        expires_at=int(datetime.fromisoformat(entry.expires_at).timestamp()) if "expires_at" in given else None,
        acts_for=None if acts_for is None else ActsFor(Pattern(acts_for.sub), frozenset(acts_for.claims)),
    )


def _problem(source: str, location: tuple[int | str, ...], kind: str, value: Any) -> Problem:
    """One of pydantic's findings in our words."""
    where = _path(location)
    names = [part for part in location if isinstance(part, str)]
    if kind == "extra_forbidden":
        models: dict[int, type[BaseModel]] = {1: _File, 2: _Entry, 3: _ActsFor}
        return Problem(source, where, f"unknown; legal fields are {' '.join(models[len(names)].model_fields)}")
    if location in ((), ("keys",)):
        legal = 'an object with a list "keys"'
    else:
        legal = _LEGAL.get(".".join(names[1:]), "an entry: an object with id and hash")
    return Problem(source, where, f"must be {legal}, got {'none' if kind == 'missing' else _described(value)}")


def _path(location: tuple[int | str, ...]) -> str:
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location).removeprefix(".")


def _described(value: Any) -> str:
    if isinstance(value, str):
        return f"other text of {len(value)} characters"
    kinds = {dict: "an object", list: "a list", bool: str(value).lower(), type(None): "null"}
    return kinds.get(type(value), "a number")


def _contradictions(document: Any) -> Iterator[tuple[str, str]]:
    """What no single field shows; read from the raw document, so that it is reported beside wrong fields."""
    entries = document.get("keys") if isinstance(document, dict) else None
    seen: dict[str, int] = {}
    for index, entry in enumerate(entries if isinstance(entries, list) else []):
        if not isinstance(entry, dict):
            continue
        where, key_id = f"keys[{index}]", entry.get("id")
        if isinstance(key_id, str) and (first := seen.setdefault(key_id, index)) != index:
            yield f"{where}.id", f"must be unique, got the id of keys[{first}] again"
        claims, acts_for = entry.get("claims"), entry.get("acts_for")
        if isinstance(claims, dict) and "sub" in claims:
            if not isinstance(claims["sub"], str) or not claims["sub"]:
                yield f"{where}.claims.sub", f"must be {_LEGAL['claims.sub']}, got {_described(claims['sub'])}"
            if acts_for is not None:
                yield f"{where}.acts_for", "must not stand beside a fixed claim sub, got both"
        listed = acts_for.get("claims") if isinstance(acts_for, dict) else None
        if isinstance(listed, list) and "sub" in listed:
            yield f"{where}.acts_for.claims", f"must be {_LEGAL['acts_for.claims']}, got sub"
