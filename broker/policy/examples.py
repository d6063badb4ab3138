"""The policies' own examples: each entry of `tests` is asked of its route, up to where a credential would be needed."""

from __future__ import annotations

from collections.abc import Iterator

from broker.errors import RequestError
from broker.identity.principals import ANONYMOUS, Principal
from broker.policy.asks import parse_named_ask
from broker.policy.document import Example
from broker.policy.routes import Route

GRANTED = "granted"
_NOW = 0  # no example depends on the day: a given key may hold any


def failures(route: Route) -> Iterator[tuple[str, str]]:
    """(field, message) of every example that does not hold."""
    for index, example in enumerate(route.document.tests):
        outcome, detail = _outcome(route, example)
        if outcome != example.expect:
            yield f"tests[{index}]", f"expected {example.expect}, got {outcome}{f': {detail}' if detail else ''}"


def _outcome(route: Route, example: Example) -> tuple[str, str]:
    principal = ANONYMOUS if example.as_ is None else Principal(example.as_)
    try:
        # The order of checks: who asks comes before what.
        claims = route.admit(principal)
        route.order(parse_named_ask(example.ask), claims, _NOW)
    except RequestError as refusal:
        return refusal.code, refusal.detail
    return GRANTED, ""
