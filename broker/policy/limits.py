"""What the settings say about policy files, and the form of a check on one."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from broker.policy.document import PolicyDocument
from broker.policy.templates import Template


@dataclass(frozen=True, slots=True)
class Limits:
    """What the settings bound: the largest CAM document in bytes, and the URL template of buckets.

    `variables` are those a file may name as `${POLICY_…}`; `role_required`: the broker's key may only assume roles.
    """

    policy_bytes: int
    cos_endpoint: str
    variables: Mapping[str, str] = field(default_factory=dict)
    role_required: bool = False


Found = Iterator[tuple[str, str]]  # (field, message)
# The fields a check reads: it is passed over while one of them is unsound in itself.
Check = tuple[frozenset[str], Callable[[PolicyDocument, Template, Limits], Found]]
