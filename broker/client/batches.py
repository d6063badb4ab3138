"""Asks in the official SDK's words -> asks in the API's, and the answer of `batch`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from broker.client.answers import BatchResult
from broker.client.asking import problem
from broker.client.reading import READERS

_SPELLINGS = {
    "Method": "method",
    "Bucket": "bucket",
    "Key": "key",
    "Expired": "expires_in",
    "Headers": "headers",
    "Params": "params",
    "Inputs": "inputs",
    "Filename": "filename",
}


def spelt(ask: Mapping[str, Any], vend: str | None = "url") -> dict[str, Any]:
    """An ask as the API spells it; `vend` is added where the ask says none, None adds nothing."""
    plain = {
        _SPELLINGS.get(name, name): dict(value) if isinstance(value, Mapping) else value for name, value in ask.items()
    }
    return plain if vend is None or "vend" in plain else {"vend": vend, **plain}


def result(raw: Any, asks: Sequence[Mapping[str, Any]]) -> list[BatchResult]:
    """The results of a batch, in the order of its asks. Raises ValueError and such for another shape."""
    return [_one(told, ask["vend"]) for told, ask in zip(raw["results"], asks, strict=True)]


def _one(told: Any, vend: Any) -> BatchResult:
    status = int(told["status"])
    if "grant" in told:
        return BatchResult(status, READERS[vend](told["grant"]), None)
    return BatchResult(status, None, problem(status, told["problem"], {}))
