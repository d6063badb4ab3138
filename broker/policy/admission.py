"""Who may use a route: the rules on claims, and the proof that claims are fit to stand in keys and headers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from broker.errors import NEEDS_AUTHENTICATION, FieldError, Forbidden, Unauthenticated, summary
from broker.identity.principals import Principal
from broker.patterns import Pattern
from broker.policy import flaws
from broker.policy.document import ClaimRule, PolicyDocument
from broker.policy.operations import Operation
from broker.policy.templates import ProvenClaims, Template
from broker.policy.values import Constant, RuleSet

_PATTERN_LENGTH = 1_024


@dataclass(frozen=True, slots=True)
class ClaimCheck:
    """One compiled claim rule: exactly one of its three ways is set."""

    legal: tuple[Any, ...] = ()
    contains: str | None = None
    pattern: Pattern | None = None

    def missed(self, value: object) -> str | None:
        """What a claim lacks, or None. Types count: `true` is not `1`."""
        if value is None:
            return "is missing"
        if self.contains is not None:
            words = value.split(" ") if isinstance(value, str) else value
            held = isinstance(words, (list, tuple)) and self.contains in words
            return None if held else f"must contain {self.contains!r}"
        if self.pattern is not None:
            fits = isinstance(value, str) and len(value) <= _PATTERN_LENGTH and self.pattern.matches(value)
            return None if fits else f"must match {self.pattern.pattern}"
        if any(value == one and type(value) is type(one) for one in self.legal):
            return None
        return f"must be {' or '.join(map(ascii, self.legal))}"


@dataclass(frozen=True, slots=True)
class Admission:
    """Who may use one route. `claims_used` stand in its key or in the values it adds."""

    route: str
    anonymous: bool
    checks: Mapping[str, ClaimCheck]
    claims_used: tuple[str, ...]
    claimed_values: tuple[tuple[RuleSet, str, Constant], ...]

    def admit(self, principal: Principal) -> ProvenClaims:
        """The claims that the route uses, of a principal that may use it. Raises Unauthenticated or Forbidden."""
        if principal.anonymous and not self.anonymous:
            raise Unauthenticated(NEEDS_AUTHENTICATION)
        if principal.routes is not None and self.route not in principal.routes:
            legal = ", ".join(sorted(principal.routes)) or "no route"
            raise Forbidden(f"this API key may use {legal}, not {self.route}")
        claims = principal.claims
        errors = []
        for name, check in self.checks.items():
            if (missed := check.missed(claims.get(name))) is not None:
                errors.append(FieldError(f"claims.{name}", missed))
        for name in self.claims_used:
            if (flaw := _unfit(claims.get(name))) is not None:
                errors.append(FieldError(f"claims.{name}", flaw))
        if errors:
            # A BFF's key alone has no `sub`; forgetting to say for whom is the usual mistake.
            hint = "; this API key speaks for nobody: is X-Principal missing?" if _for_nobody(principal) else ""
            raise Forbidden(f"{summary(errors)}{hint}", errors)
        proven = ProvenClaims({name: claims[name] for name in self.claims_used})
        for rules, name, constant in self.claimed_values:
            if (flaw := rules.value_flaw(constant.render(proven))) is not None:
                raise Forbidden(f"a claim in {rules.kind} {name} {flaw}")
        return proven


def _for_nobody(principal: Principal) -> bool:
    return principal.key_id is not None and principal.sub is None


def _unfit(value: object) -> str | None:
    if value is None:
        return "is missing: what this route signs holds it"
    return flaws.claim_flaw(value)


def compile_admission(
    route: str, document: PolicyDocument, template: Template, operations: Iterable[Operation]
) -> Admission:
    """Who may use the route of a sound document."""
    principals = document.principals
    claimed = tuple(
        (rules, name, constant)
        for operation in operations
        for rules in (operation.headers, operation.params)
        for name, constant in rules.constants
        if constant.claims
    )
    used = template.claims.union(*(constant.claims for _, _, constant in claimed))
    return Admission(
        route=route,
        anonymous=principals is not None and principals.anonymous,
        checks={name: _compile(rule) for name, rule in principals.claims.items()} if principals else {},
        claims_used=tuple(sorted(used)),
        claimed_values=claimed,
    )


def admission_by_claims(whereto: str, claims: Mapping[str, ClaimRule]) -> Admission:
    """Who may do what is no route: everybody whose claims satisfy the rules; without rules everybody."""
    checks = {name: _compile(rule) for name, rule in claims.items()}
    return Admission(whereto, not checks, checks, claims_used=(), claimed_values=())


def _compile(rule: ClaimRule) -> ClaimCheck:
    return ClaimCheck(
        legal=tuple(rule.enum) if rule.enum is not None else (rule.const,),
        contains=rule.contains,
        pattern=Pattern(rule.pattern) if rule.pattern is not None else None,
    )
