"""What the headers and parameters of a signed request may hold."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import quote

from broker.errors import FieldError, Refused, named, summary
from broker.patterns import Pattern
from broker.policy.notation import split
from broker.policy.templates import Claim, Literal, Part, ProvenClaims

META_PREFIX = "x-cos-meta-"
VALUE_BYTES = 1024
DISPOSITION = "response-content-disposition"
# A disposition that has browsers save an object as a file, and never show it.
ATTACHMENT = re.compile(r"attachment(?:\s*;.*)?", re.IGNORECASE)
_META_NAME = re.compile(r"x-cos-meta-[a-z0-9-]{1,64}")
# Any other byte arrives differently through different clients, and a space at an end does not arrive at all.
_HEADER_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_PARAM_VALUE = re.compile(r"[^\x00-\x1f\x7f-\x9f\ud800-\udfff\u2028\u2029]*")


@dataclass(frozen=True, slots=True)
class Constant:
    """A value the broker adds: literals and claims."""

    parts: tuple[Part, ...]
    fixed: str | None = None  # the value, if it is the same for everybody

    @property
    def claims(self) -> frozenset[str]:
        """Names of the claims that the value holds."""
        return frozenset(part.name for part in self.parts if isinstance(part, Claim))

    def render(self, claims: ProvenClaims) -> str:
        """The value for one principal."""
        if self.fixed is not None:
            return self.fixed
        return "".join(
            part.text if isinstance(part, Literal) else claims[part.name]
            for part in self.parts
            if isinstance(part, (Literal, Claim))
        )


def constant(text: str) -> Constant:
    """The constant that a policy file writes so. Raises TemplateError."""
    parts = tuple(split(text))
    return Constant(parts, text if all(isinstance(part, Literal) for part in parts) else None)


@dataclass(frozen=True, slots=True)
class Rule:
    """One header or parameter that a route knows, under the name that the answer uses."""

    name: str
    const: Constant | None
    enum: tuple[str, ...] | None
    pattern: Pattern | None
    required: bool

    def flaw(self, value: str, claims: ProvenClaims) -> str | None:
        """What keeps a value out, or None. The message never quotes the value: it may be personal."""
        if self.const is not None:
            return None if value == self.const.render(claims) else "is fixed by the policy and may only be left out"
        if self.enum is not None:
            return None if value in self.enum else f"must be one of {', '.join(self.enum)}"
        if len(value) > VALUE_BYTES:
            return f"must be at most {VALUE_BYTES} characters, got {len(value)}"
        if self.pattern is None or not self.pattern.matches(value):
            return f"must match {self.pattern.pattern if self.pattern else 'nothing'}"
        return None


@dataclass(frozen=True, slots=True)
class RuleSet:
    """All headers, or all parameters, of one operation. `kind` is `header` or `param`."""

    kind: str
    rules: Mapping[str, Rule]  # by name as compared: headers in lower case, parameters as they are
    meta: Rule | None  # the one prefix form, x-cos-meta-*
    constants: tuple[tuple[str, Constant], ...]
    required: tuple[str, ...]
    fixed: Mapping[str, str] | None  # the constants, if they are the same for everybody
    legal: str  # the names, for messages

    def accept(self, asked: Mapping[str, str], claims: ProvenClaims) -> dict[str, str]:
        """What the request will carry: the asked values and every constant. Raises Refused."""
        if self.fixed is not None:
            accepted = dict(self.fixed)
        else:
            accepted = {name: constant.render(claims) for name, constant in self.constants}
        if not asked and not self.required:
            return accepted
        errors: list[FieldError] = []
        seen: set[str] = set()
        for asked_name, value in asked.items():
            compared = self._compared(asked_name)
            rule = self.rules.get(compared) or (self.meta if _META_NAME.fullmatch(compared) else None)
            found = self._flaw(rule, compared in seen, value, claims)
            seen.add(compared)
            if found is not None or rule is None:
                errors.append(FieldError(f"{self.kind}s.{named(asked_name)}", found or "is not allowed"))
            else:
                accepted[asked_name if rule is self.meta else rule.name] = value
        # What was asked for and refused is not missing, too.
        absent = [name for name in self.required if self._compared(name) not in seen]
        missing = [FieldError(f"{self.kind}s.{name}", "is required") for name in absent]
        if errors:
            raise Refused(f"{self.kind}_not_allowed", summary(errors), [*errors, *missing])
        if missing:
            raise Refused(f"{self.kind}_required", summary(missing), missing)
        return accepted

    def _compared(self, name: str) -> str:
        # Other scripts have letters that become ASCII in lower case, such as the Kelvin sign.
        return name.lower() if self.kind == "header" and name.isascii() else name

    def _flaw(self, rule: Rule | None, twice: bool, value: str, claims: ProvenClaims) -> str | None:
        if rule is None:
            return f"is not allowed by this route; allowed: {self.legal}"
        if twice:
            return "stands twice"
        return self.value_flaw(value) or rule.flaw(value, claims)

    def value_flaw(self, value: str) -> str | None:
        """What keeps a value out of any header (or any parameter), or None."""
        if self.kind == "header":
            return None if _HEADER_VALUE.fullmatch(value) else "must be printable ASCII without spaces at its ends"
        return None if _PARAM_VALUE.fullmatch(value) else "must not hold control characters"


def rule_set(
    kind: str,
    rules: Iterable[Rule],
    admits: Callable[[str], bool] = lambda name: True,
    governed_elsewhere: Iterable[str] = (),
) -> RuleSet:
    """The rules that one operation takes; `admits` chooses them by lower-case name.

    `governed_elsewhere` are names that callers may send, too.
    """
    chosen = [rule for rule in rules if admits(rule.name.lower())]
    constants = tuple((rule.name, rule.const) for rule in chosen if rule.const is not None)
    fixed = {name: constant.fixed for name, constant in constants if constant.fixed is not None}
    return RuleSet(
        kind=kind,
        rules={rule.name.lower() if kind == "header" else rule.name: rule for rule in chosen if not is_meta(rule)},
        meta=next(filter(is_meta, chosen), None) if kind == "header" else None,
        constants=constants,
        required=tuple(rule.name for rule in chosen if rule.required),
        fixed=fixed if len(fixed) == len(constants) else None,
        legal=", ".join([*governed_elsewhere, *(f"{one.name}{' (fixed)' * bool(one.const)}" for one in chosen)])
        or "none",
    )


def is_meta(rule: Rule) -> bool:
    """Whether a rule is the prefix form."""
    return rule.name.lower() == f"{META_PREFIX}*"


def attachment(filename: str) -> str:
    """A `Content-Disposition` that saves under this name (RFC 6266, with RFC 5987 where ASCII does not do)."""
    plain = re.sub(r'[^ -~]|["\\%]', "_", filename)
    if plain == filename:
        return f'attachment; filename="{filename}"'
    return f"attachment; filename=\"{plain}\"; filename*=UTF-8''{quote(filename, safe='')}"
