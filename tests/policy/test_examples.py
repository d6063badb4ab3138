"""The policies' own `tests`, which are run at every load."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from broker.errors import ConfigurationError
from broker.policy import catalog, examples

U1 = {"sub": "u1"}
URL = {"vend": "url", "inputs": {"name": "a"}}
LINK = {"vend": "download-url", "inputs": {"name": "a"}}
TYPED = {"vend": "url", "inputs": {"ext": "png"}, "headers": {"Content-Type": "image/png", "Content-Length": "1000"}}

# (policy, changes, as, ask, what must come of it): every outcome that a file may name.
OUTCOMES = [
    ("read", {}, U1, URL, "granted"),
    ("read", {}, U1, {"vend": "url", "key": "files/u1/a"}, "granted"),
    ("read", {"key": "files/{principal.sub}/{date:%Y/%m/%d}/{name}"}, U1,
     {"vend": "url", "key": "files/u1/2031/12/31/a"}, "granted"),
    ("upload", {}, U1, TYPED, "granted"),
    ("keys", {}, U1, {"vend": "credentials"}, "granted"),
    ("download", {"principals": {"anonymous": True}}, None, LINK, "granted"),
    ("download", {}, None, LINK, "unauthenticated"),
    ("read", {}, {}, URL, "principal_not_allowed"),
    ("read", {}, {"sub": None}, URL, "principal_not_allowed"),
    ("read", {}, {"sub": "u1/.."}, URL, "principal_not_allowed"),
    ("read", {}, {"sub": "u*"}, URL, "principal_not_allowed"),
    ("read", {"principals": {"claims": {"a": {"const": 1}}}}, {**U1, "a": 2}, URL, "principal_not_allowed"),
    ("read", {}, U1, {}, "invalid_request"),
    ("read", {}, U1, {**URL, "key": "files/u1/a"}, "invalid_request"),
    ("read", {}, U1, {**URL, "colour": "red"}, "invalid_request"),
    ("read", {}, U1, LINK, "vend_not_allowed"),
    ("read", {}, U1, {**URL, "method": "PUT"}, "method_not_allowed_by_policy"),
    ("read", {}, U1, {**URL, "bucket": "other-1250000000"}, "bucket_not_allowed"),
    ("read", {}, U1, {"vend": "url", "key": "files/u10/a"}, "key_not_allowed"),
    ("read", {}, U1, {"vend": "url", "inputs": {"name": "../a"}}, "input_not_allowed"),
    ("upload", {}, U1, {**TYPED, "headers": {**TYPED["headers"], "Content-Type": "text/html"}},
     "content_type_not_allowed"),
    ("upload", {}, U1, {**TYPED, "headers": {**TYPED["headers"], "Content-Length": "1001"}}, "content_too_large"),
    ("upload", {}, U1, {"vend": "url", "inputs": {"ext": "png"}}, "header_required"),
    ("read", {}, U1, {**URL, "headers": {"Range": "bytes=0-"}}, "header_not_allowed"),
    ("read", {"params": {"page": {"pattern": "[0-9]", "required": True}}}, U1, URL, "param_required"),
    ("read", {}, U1, {**URL, "params": {"acl": ""}}, "param_not_allowed"),
    ("read", {}, U1, {**URL, "expires_in": 901}, "expires_too_long"),
]  # fmt: skip


@pytest.mark.parametrize(("base", "changes", "claims", "ask", "expected"), OUTCOMES)
def test_outcome(route, base, changes, claims, ask, expected):
    """An example that says what comes of it holds; one that says anything else fails and is told what came."""
    example = {"ask": ask, "expect": expected} if claims is None else {"as": claims, "ask": ask, "expect": expected}
    assert list(examples.failures(route(base, {**changes, "tests": [example]}))) == []
    wrong = {**example, "expect": "url_too_long"}
    ((field, message),) = examples.failures(route(base, {**changes, "tests": [example, wrong]}))
    assert (field, message.partition(":")[0]) == ("tests[1]", f"expected url_too_long, got {expected}")


def test_order_of_checks(route):
    """Who may not use the route is told that, whatever is wrong with the ask."""
    example = {"as": {}, "ask": {"colour": "red"}, "expect": "principal_not_allowed"}
    assert list(examples.failures(route("read", {"tests": [example]}))) == []


def test_failing_example_refuses_the_file(tmp_path, policy, limits):
    """A file with a failing example does not load; it is told with the example's line, beside other files' mistakes."""
    good = {"as": U1, "ask": URL, "expect": "granted"}
    bad = {"as": U1, "ask": {"vend": "url", "key": "files/u2/a"}, "expect": "granted"}
    text = json.dumps(policy("read", {"tests": [good, bad]}), indent=1)
    (tmp_path / "a.json").write_text(text)
    (tmp_path / "b.json").write_text(json.dumps(policy("read", {"region": "x"})))
    with pytest.raises(ConfigurationError) as caught:
        catalog.load(tmp_path, limits)
    first, second = caught.value.problems
    assert (Path(first.source).name, first.field, Path(second.source).name) == ("a.json", "tests[1]", "b.json")
    assert (
        "expected granted, got key_not_allowed: key must be of the form files/{principal.sub}/{name}" in first.message
    )
    assert first.line == 1 + text[: text.index('"files/u2/a"')].count("\n") - 6
    (tmp_path / "a.json").write_text(json.dumps(policy("read", {"tests": [good]})))
    (tmp_path / "b.json").unlink()
    assert catalog.load(tmp_path, limits).route("a")
