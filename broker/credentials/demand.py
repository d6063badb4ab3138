"""Demand: a scope that one ask needs a credential of, for how long, and what other asks of the scope will need."""

from __future__ import annotations

from typing import NamedTuple

from broker.credentials.scope import Scope


class Demand(NamedTuple):
    """`required_seconds` is what this ask needs, `need_seconds` the most that any ask of the scope may need.

    `ahead`: the scope comes again and again, so that its credential is worth renewing before it is too old.
    """

    scope: Scope
    required_seconds: int
    need_seconds: int
    ahead: bool
