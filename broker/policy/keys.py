"""The key of an ask: given and recognised, or made from inputs; in both cases one that this principal may have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from broker.cos import requests
from broker.errors import FieldError, InvalidRequest, Refused, named, quoted, summary
from broker.policy import flaws
from broker.policy.asks import Ask
from broker.policy.operations import Operation
from broker.policy.templates import BUCKET, InputSpec, ProvenClaims, Template


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one route: their template, and what callers may fill it with."""

    template: Template
    inputs: Mapping[str, InputSpec]

    def key(self, ask: Ask, operation: Operation, claims: ProvenClaims, now: int) -> str:
        """The key an ask is about. Raises InvalidRequest or Refused."""
        if ask.key is not None:
            return self._bucket(ask.key) if self.template.text == BUCKET else self._given(ask.key, operation, claims)
        if self.template.generated and operation.name not in requests.MAKES_KEYS:
            form = self.template.text
            raise invalid("key", f"is required: {operation.method} names an existing object of the form {form}")
        inputs = self._checked(ask.inputs or {})
        key = self.template.render(claims, inputs, now)
        if self.template.text == BUCKET:
            return ""
        if (flaw := flaws.key_flaw(key)) is not None:
            raise Refused("input_not_allowed", f"the rendered key {flaw}, got {quoted(key)}")
        return key

    def _bucket(self, key: str) -> str:
        if key != BUCKET:
            raise refused_key(key, "must be '/', the bucket itself, or left out")
        return ""

    def _given(self, key: str, operation: Operation, claims: ProvenClaims) -> str:
        if self.template.generated and operation.writes and not self.template.claims:
            raise refused_key(key, "is made by the broker on this route: ask with inputs instead")
        if (flaw := flaws.key_flaw(key)) is not None:
            raise refused_key(key, flaw)
        if not self.template.admits(key, claims, self.inputs):
            raise refused_key(key, f"must be of the form {self.template.text}")
        return key

    def _checked(self, given: Mapping[str, str]) -> Mapping[str, str]:
        errors = []
        for name in given:
            if name not in self.inputs:
                legal = ", ".join(self.inputs) or "none"
                errors.append(FieldError(f"inputs.{named(name)}", f"is not an input of this route; inputs: {legal}"))
        for name, spec in self.inputs.items():
            if name not in given:
                errors.append(FieldError(f"inputs.{name}", "is required"))
            elif (flaw := spec.flaw(given[name])) is not None:
                errors.append(FieldError(f"inputs.{name}", f"{flaw}, got {quoted(given[name])}"))
        if errors:
            raise Refused("input_not_allowed", summary(errors), errors)
        return given


def invalid(field: str, message: str) -> InvalidRequest:
    """The refusal of an ask that is none."""
    return InvalidRequest("invalid_request", f"{field} {message}", [FieldError(field, message)])


def refused_key(key: str, message: str) -> Refused:
    """The refusal of a given key."""
    return Refused("key_not_allowed", f"key {message}, got {quoted(key)}", [FieldError("key", message)])
