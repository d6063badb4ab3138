"""What the broker's own key must be permitted: all that any session policy grants, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from broker.cos.evaluation import evaluate
from broker.identity.principals import ANONYMOUS, Principal
from broker.policy import catalog
from broker.policy.asks import Ask, parse_named_ask
from broker.policy.limits import Limits
from broker.policy.own_key import own_key_policy, role_policy
from tests.conftest import BUCKET, ODD_POLICIES, REPOSITORY

NOW = 1_700_000_000
HERE = f"qcs::cos:ap-guangzhou:uid/1250000000:{BUCKET}/"
ROLE = "qcs::cam::uin/100000000001:roleName/broker"
PLACE = {"bucket": BUCKET, "region": "ap-guangzhou"}
LISTING = {
    "vends": ["url"],
    "methods": ["GET", "HEAD"],
    "key": "/",
    "params": {"prefix": {"const": "files/{principal.sub}/"}},
}
ONE_OBJECT = {"vends": ["url"], "methods": ["GET"], "key": "fixed/one.txt"}
ROOT = {
    "vends": ["url"],
    "methods": ["HEAD"],
    "key": "{name}.txt",
    "inputs": {"name": {"pattern": "[a-z]+"}},
    "credential": {"scope": "object"},
}
ASSUMED = {**ONE_OBJECT, "key": "assumed/one.txt", "credential": {"role_arn": ROLE}}


def load(folder: Path) -> catalog.Catalog:
    """The routes of a folder."""
    return catalog.load(folder, Limits(4096, "https://{bucket}.cos.{region}.myqcloud.com"))


@pytest.fixture
def routes(tmp_path):
    """Routes of these policies."""

    def make(**policies: Any) -> Any:
        for name, policy in policies.items():
            (tmp_path / f"{name}.json").write_text(json.dumps({**PLACE, **policy}))
        return load(tmp_path).routes

    return make


SAMPLES = load(REPOSITORY / "policies").routes
GRANTED = [
    pytest.param(route, example, id=f"{name}-{number}")
    for name, route in SAMPLES.items()
    for number, example in enumerate(route.document.tests)
    if example.expect == "granted"
]


def uses(document: dict[str, Any]) -> list[tuple[str, str, dict[str, str]]]:
    """A request for everything that a session policy permits: (action, resource, values of its condition keys)."""
    found = []
    for entry in document["statement"]:
        values = {}
        for keys in entry.get("condition", {}).values():
            for name, wanted in keys.items():
                values[name] = unquote(str(wanted[0] if isinstance(wanted, list) else wanted)).replace("*", "x")
        found += [
            (action, one.replace("*", "x/y.z"), values) for action in entry["action"] for one in entry["resource"]
        ]
    return found


def refused(policy: dict[str, Any], document: dict[str, Any]) -> list[Any]:
    """What a session policy permits and the key behind it does not."""
    return [use for use in uses(document) if not evaluate(policy, *use).allowed]


@pytest.mark.parametrize(("route", "example"), GRANTED)
def test_sample(route, example):
    """Whatever a sample vends, the key may do; without that sample it may not do all of it."""
    principal = ANONYMOUS if example.as_ is None else Principal(example.as_)
    order = route.order(parse_named_ask(example.ask), route.admit(principal), NOW)
    session = json.loads(order.demand.scope.document)
    assert uses(session)
    assert refused(own_key_policy(SAMPLES.values()), session) == []
    alike = ("private-files", "user-folder", "my-files-delete")  # these share a folder
    others = [one for name, one in SAMPLES.items() if one is not route and not {name, route.name} <= set(alike)]
    assert refused(own_key_policy(others), session) == uses(session)


PNG = {"cos:content-type": "image/png", "cos:content-length": "1"}
FOREIGN = {
    "another folder": ("PutObject", f"{HERE}avatar/u1/a.png", PNG),
    "another bucket": ("PutObject", f"{HERE}avatars/u1/a.png".replace(BUCKET, "other-1250000000"), PNG),
    "another region": ("PutObject", f"{HERE}avatars/u1/a.png".replace("guangzhou", "beijing"), PNG),
    "another type": ("PutObject", f"{HERE}avatars/u1/a.png", {**PNG, "cos:content-type": "text/html"}),
    "a longer one": ("PutObject", f"{HERE}avatars/u1/a.png", {**PNG, "cos:content-length": "5242881"}),
    "another action": ("DeleteObject", f"{HERE}avatars/u1/a.png", {}),
    "an ACL": ("PutObject", f"{HERE}avatars/u1/a.png", {**PNG, "cos:x-cos-acl": "public-read"}),
    "a sub-resource": ("PutObjectACL", f"{HERE}avatars/u1/a.png", PNG),
    "a listing": ("GetBucket", HERE, {"cos:prefix": ""}),
    "the bucket": ("DeleteBucket", HERE, {}),
}


@pytest.mark.parametrize("use", FOREIGN.values(), ids=FOREIGN)
def test_what_no_policy_grants(use):
    """Nothing that no sample grants; each differs in one thing from what one does."""
    action, resource, values = use
    policy = own_key_policy(SAMPLES.values())
    assert not evaluate(policy, f"name/cos:{action}", resource, values).allowed
    assert evaluate(policy, "name/cos:PutObject", f"{HERE}avatars/u1/a.png", PNG).allowed


def cos_statements(policy: dict[str, Any]) -> list[tuple[list[str], list[str]]]:
    """(actions, resources) of what is not about STS."""
    found = [(entry["action"], entry["resource"]) for entry in policy["statement"]]
    return [(actions, resources) for actions, resources in found if not actions[0].startswith("sts:")]


def test_objects(routes):
    """A key without placeholders is itself; one that begins with a placeholder may be any."""
    found = routes(one=ONE_OBJECT)
    assert cos_statements(own_key_policy(found.values())) == [(["name/cos:GetObject"], [f"{HERE}fixed/one.txt"])]
    found = routes(root=ROOT)
    assert (["name/cos:HeadObject"], [f"{HERE}*"]) in cos_statements(own_key_policy(found.values()))


def test_prefix_within_a_segment(routes):
    """What stands before a placeholder in its segment is no folder: the wildcard begins with the segment."""
    found = routes(one={**ONE_OBJECT, "key": "a/b-{name}", "inputs": {"name": {"pattern": "[a-z]+"}}})
    assert cos_statements(own_key_policy(found.values())) == [(["name/cos:GetObject"], [f"{HERE}a/*"])]


def test_listing(routes):
    """What anybody may list is below the constant part of the prefix; the bucket's head goes with it."""
    found = routes(listing=LISTING)
    policy = own_key_policy(found.values())
    claims = found["listing"].admit(Principal({"sub": "u1"}))
    for method in ("GET", "HEAD"):
        order = found["listing"].order(Ask("url", method=method), claims, NOW)
        assert refused(policy, json.loads(order.demand.scope.document)) == []
    decisions = [
        evaluate(policy, "name/cos:GetBucket", HERE, values).allowed
        for values in ({"cos:prefix": "files/u7/"}, {"cos:prefix": "file"}, {"cos:prefix": ""}, {})
    ]
    assert decisions == [True, False, False, False]


def test_odd_policies(routes):
    """Every operation of routes that hold more than the samples is covered."""
    found = routes(**ODD_POLICIES)
    policy = own_key_policy(found.values())
    for route in found.values():
        for operation in route.operations.values():
            assert refused(policy, operation.permission.document(f"{route.template.literal_prefix}u1/*")) == []


def test_roles(routes):
    """Of a role the key needs to assume it alone; what it hands on is the role's own policy."""
    found = routes(assumed=ASSUMED).values()
    policy = {"effect": "allow", "action": ["sts:AssumeRole"], "resource": [ROLE]}
    assert own_key_policy(found)["statement"] == [policy]
    assert cos_statements(role_policy(found, ROLE)) == [(["name/cos:GetObject"], [f"{HERE}assumed/one.txt"])]
    both = own_key_policy(routes(one=ONE_OBJECT).values())  # beside the one above
    assert [entry["action"] for entry in both["statement"]] == [
        ["sts:GetFederationToken"],
        ["sts:AssumeRole"],
        ["name/cos:GetObject"],
    ]
    assert cos_statements(both) == [(["name/cos:GetObject"], [f"{HERE}fixed/one.txt"])]
