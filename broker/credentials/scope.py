"""Scope: all that STS is asked for, and nothing else, so that a credential is a function of its scope."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

# NOTE: part of every fingerprint. A new number empties the caches of the whole fleet.
_VERSION = 1


@dataclass(frozen=True, slots=True)
class Scope:
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
