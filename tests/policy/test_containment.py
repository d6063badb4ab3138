"""Whatever claims, keys and inputs hold: nothing granted leaves the principal's own prefix."""

from __future__ import annotations

import json
import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.cos import evaluation
from broker.errors import RequestError
from broker.identity.principals import Principal
from broker.policy.asks import Ask

NOW = 1_700_000_000
RESOURCE = "qcs::cos:ap-guangzhou:uid/1250000000:examplebucket-1250000000/"
ODD = [
    "*",
    "?",
    "$",
    "{",
    "}",
    "\\",
    "%",
    "%2f",
    "/",
    "//",
    ".",
    "..",
    "../",
    "./",
    "\n",
    "\x00",
    "\u200b",
    "\u202e",
    "e\u0301",
]
ODD += [
    "\u0301",
    "\u0338",
    "é",
    "漢",
    "😀",
    "\ud800",
    " ",
    "'",
    '"',
    "u1",
    "u10",
    "{principal.sub}",
    "{uuid}",
    "${x}",
    "\u2028",
    "Å",
]
TEXT = st.lists(st.sampled_from(ODD) | st.text(max_size=3), max_size=6).map("".join)
WORD = st.text("ab10-._", min_size=1, max_size=6)
VALUE = TEXT | WORD


@pytest.fixture(scope="module")
def routes(route):
    """One route for each way in which a claim stands in a key."""
    tenant = "own/{principal.sub}/{principal.t}/{name}"
    return [
        (route("read"), "files/{}/"),
        (route("read", {"inputs": {"name": {"type": "path"}}}), "files/{}/"),
        (route("read", {"credential": {"scope": "object"}}), "files/{}/"),
        (route("read", {"key": tenant}), "own/{}/"),
        (route("read", {"key": "own/{principal.sub}/a-{name}.{x}", "inputs": {"name": {}, "x": {}}}), "own/{}/a-"),
        (route("keys"), "users/{}/"),
    ]


def scope_key(order):
    """The one resource of an order's document, as a key."""
    statements = json.loads(order.demand.scope.document)["statement"]
    resources = {resource for one in statements for resource in one["resource"]}
    [resource] = resources
    assert resource.startswith(RESOURCE)
    return resource.removeprefix(RESOURCE)


@settings(derandomize=True, max_examples=400, deadline=None, database=None)
@given(data=st.data())
def test_nothing_leaves_the_prefix(routes, data):
    """A key that is signed and a resource that is granted begin with the principal's literal prefix, to the slash."""
    route, form = data.draw(st.sampled_from(routes))
    sub = data.draw(VALUE)
    other = data.draw(VALUE)
    vend = route.document.vends[0]
    ask = Ask(vend) if vend == "credentials" else None
    if ask is None and data.draw(st.booleans()):
        ask = Ask(vend, method="GET", inputs={name: data.draw(VALUE) for name in route.keys.inputs})
    elif ask is None:
        folder = data.draw(st.sampled_from([sub, other]))
        ask = Ask(vend, method="GET", key=f"{form.format(folder)}{data.draw(VALUE)}")
    try:
        claims = route.admit(Principal({"sub": sub, "t": other}))
        order = route.order(ask, claims, NOW)
    except RequestError:
        return
    prefix = f"{form.partition('{')[0]}{sub}/"
    granted = scope_key(order)
    assert granted.startswith(prefix)
    assert "*" not in granted.removesuffix("*")
    assert not granted.endswith("*") or granted[-2] == "/"
    assert not set("?$\\{}%") & set(granted)
    if order.request is None:
        assert (order.key_prefix + "*", order.key_prefix[: len(prefix)]) == (granted, prefix)
        return
    key = order.request.key
    assert key.startswith(prefix)
    assert len(key) > len(prefix)
    assert unicodedata.is_normalized("NFC", key)
    assert len(key.encode()) <= 850
    assert not {"", ".", ".."} & set(key.split("/"))
    document = json.loads(order.demand.scope.document)
    assert evaluation.evaluate(document, "name/cos:GetObject", f"{RESOURCE}{key}", {}).allowed
    neighbour = key.replace(f"/{sub}/", f"/{sub}0/", 1)
    assert not evaluation.evaluate(document, "name/cos:GetObject", f"{RESOURCE}{neighbour}", {}).allowed


@settings(derandomize=True, max_examples=200, deadline=None, database=None)
@given(
    first=WORD | st.sampled_from(["u1", "u10", "用户", "a b", "ab"]),
    second=WORD | st.sampled_from(["u1", "u10", "a b"]),
)
def test_two_principals(routes, first, second):
    """No key of one principal is granted to another, and they share no scope."""
    if first == second:
        return
    for route, _ in routes[:4]:
        try:
            key = route.order(
                Ask("url", inputs=dict.fromkeys(route.keys.inputs, "x")),
                route.admit(Principal({"sub": first, "t": "t"})),
                NOW,
            )
            claims = route.admit(Principal({"sub": second, "t": "t"}))
        except RequestError:
            return
        with pytest.raises(RequestError):
            route.order(Ask("url", key=key.request.key), claims, NOW)
        own = route.order(Ask("url", inputs=dict.fromkeys(route.keys.inputs, "x")), claims, NOW)
        assert own.demand.scope != key.demand.scope
