"""Scope: all that STS is asked for, and nothing else, so that a credential is a function of its scope."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import NamedTuple

# NOTE: part of every fingerprint. A new number empties the caches of the whole fleet.
_VERSION = 1
_FORM_CHARACTERS = 16


@dataclass(frozen=True, slots=True)
class Outline:
    """What a scope is about, for people who look at the cache; nothing in it is secret.

    `resource` is the CAM resource; `form` is the same for all scopes that differ in their resource alone.
    """

    actions: tuple[str, ...]
    resource: str
    form: str


class Scope(NamedTuple):
    """One credential's worth of permission: a policy document (canonical JSON text) and the terms of the STS call."""

    document: str
    duration_seconds: int
    role_arn: str | None = None
    external_id: str | None = None

    @property
    def action(self) -> str:
        """The STS action: AssumeRole with a role, GetFederationToken without."""
        return "AssumeRole" if self.role_arn else "GetFederationToken"

    def fingerprint(self, source: str, endpoint: str) -> str:
        """SHA-256 of everything the STS call depends on, in hex.

        `source` is the SecretId of the permanent key that asks, or the constant `temporary`; `endpoint` is STS's URL.
        """
        terms = {
            "action": self.action,
            "document": json.loads(self.document),
            "duration": self.duration_seconds,
            "endpoint": endpoint,
            "external_id": self.external_id,
            "role_arn": self.role_arn,
            "source": source,
            "v": _VERSION,
        }
        canonical = json.dumps(terms, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(canonical.encode()).hexdigest()

    def outline(self) -> Outline:
        """Actions, resource and form, read off the document."""
        statements = json.loads(self.document)["statement"]
        actions = tuple(action for statement in statements for action in statement["action"])
        resource = statements[0]["resource"][0]
        for statement in statements:
            del statement["resource"]
        terms = [statements, self.duration_seconds, self.role_arn, self.external_id]
        form = hashlib.sha256(json.dumps(terms, sort_keys=True).encode()).hexdigest()[:_FORM_CHARACTERS]
        return Outline(actions, resource, form)
