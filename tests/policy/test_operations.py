"""The CAM documents, as literals, and what keeps one operation's credential apart from another's."""

from __future__ import annotations

import itertools
import json

import pytest

from broker.cos import evaluation

PREFIX = "qcs::cos:ap-guangzhou:uid/1250000000:examplebucket-1250000000/"
NO_GRANTS = {
    "cos:x-cos-grant-read": "",
    "cos:x-cos-grant-write": "",
    "cos:x-cos-grant-read-acp": "",
    "cos:x-cos-grant-write-acp": "",
    "cos:x-cos-grant-full-control": "",
}
DEFAULT_ACL = {"cos:x-cos-acl": "default", **NO_GRANTS}
UUID = "0b6c1c5e-3a51-4f0e-9d2a-6d1f2a3b4c5d"


def statement(actions, key, condition):
    """One allow statement of a document."""
    return {
        "effect": "allow",
        "action": [f"name/cos:{action}" for action in actions],
        "resource": [f"{PREFIX}{key}"],
        "condition": condition,
    }


def document(*statements):
    """A whole document."""
    return {"version": "2.0", "statement": list(statements)}


@pytest.fixture
def scope(route, order):
    """The scope of an ask."""

    def of(base, changes=None, claims=None, **ask):
        return order(route(base, changes or {}), claims, **ask).demand.scope

    return of


PUT_ASK = {"inputs": {"ext": "png"}, "headers": {"Content-Type": "image/png", "Content-Length": "5"}}
TYPES = {"cos:content-type": ["image/png", "image/jpeg"]}
HOME = {"ip_equal": {"qcs:ip": ["203.0.113.0/24"]}}


class TestPut:
    """What may be uploaded."""

    def test_types_and_length(self, scope):
        """PutObject below the principal's prefix, of these types, up to this length, with the default ACL."""
        condition = {
            "string_equal": TYPES,
            "numeric_less_than_equal": {"cos:content-length": 1000},
            "string_equal_if_exist": DEFAULT_ACL,
        }
        expected = document(statement(["PutObject"], "avatars/u1/*", condition))
        assert json.loads(scope("upload", **PUT_ASK).document) == expected

    def test_media_range(self, scope):
        """One range makes all types `string_like`: two operators would be ANDed."""
        changes = {"content": {"types": ["audio/*", "image/png"]}}
        found = json.loads(
            scope("upload", changes, inputs={"ext": "png"}, headers={"Content-Type": "audio/x"}).document
        )
        condition = {
            "string_like": {"cos:content-type": ["audio/*", "image/png"]},
            "string_equal_if_exist": DEFAULT_ACL,
        }
        assert found == document(statement(["PutObject"], "avatars/u1/*", condition))

    def test_no_limits(self, scope):
        """Without content, the ACL and the grants are held all the same."""
        found = json.loads(scope("upload", {"content": ...}, inputs={"ext": "png"}).document)
        condition = {"string_equal_if_exist": DEFAULT_ACL}
        assert found == document(statement(["PutObject"], "avatars/u1/*", condition))

    @pytest.mark.parametrize(
        ("rule", "asked", "listed"),
        [
            ({"const": "private"}, {}, ["private"]),
            ({"enum": ["private", "public-read"]}, {"x-cos-acl": "private"}, ["private", "public-read"]),
            ({"enum": ["private", "public-read"]}, {}, ["private", "public-read"]),
        ],
    )
    @pytest.mark.parametrize("name", ["x-cos-acl", "X-COS-ACL"])
    def test_acl(self, scope, rule, asked, listed, name):
        """The ACLs of the policy, all of them and in any spelling, whatever is asked."""
        changes = {"content": ..., "headers": {name: rule}}
        found = json.loads(scope("upload", changes, inputs={"ext": "png"}, headers=asked).document)
        condition = {"string_equal_if_exist": {"cos:x-cos-acl": listed, **NO_GRANTS}}
        assert found == document(statement(["PutObject"], "avatars/u1/*", condition))

    def test_asked_values_change_nothing(self, scope):
        """A document does not depend on asked values, so that scopes stay few."""
        headers = {"headers": {"x-cos-meta-*": {"pattern": ".*"}}}
        other = {
            "inputs": {"ext": "jpg"},
            "headers": {"Content-Type": "image/jpeg", "Content-Length": "7", "x-cos-meta-a": "b"},
        }
        assert scope("upload", headers, **PUT_ASK) == scope("upload", headers, **other)


class TestReads:
    """What may be read, and deleted."""

    @pytest.mark.parametrize(
        ("method", "action", "held"),
        [
            ("GET", "GetObject", {"cos:versionid": "", "cos:response-content-type": ""}),
            ("HEAD", "HeadObject", {"cos:versionid": ""}),
            ("DELETE", "DeleteObject", {"cos:versionid": ""}),
        ],
    )
    def test_plain(self, scope, method, action, held):
        """One action; no version but the current one, and no other type for a GET."""
        found = json.loads(scope("read", {"methods": [method]}, inputs={"name": "a"}).document)
        assert found == document(statement([action], "files/u1/*", {"string_equal_if_exist": held}))

    @pytest.mark.parametrize(
        ("params", "held"),
        [
            ({"versionId": {"const": "v1"}}, {"cos:versionid": ["v1"], "cos:response-content-type": ""}),
            ({"versionId": {"enum": ["v1", "v2"]}}, {"cos:versionid": ["v1", "v2"], "cos:response-content-type": ""}),
            (
                {"response-content-type": {"const": "text/plain; charset=utf-8"}},
                {"cos:versionid": "", "cos:response-content-type": ["text%2Fplain%3B%20charset%3Dutf-8"]},
            ),
            (
                {"response-content-type": {"enum": ["a/b", "c/d"]}},
                {"cos:versionid": "", "cos:response-content-type": ["a%2Fb", "c%2Fd"]},
            ),
            (
                {"response-cache-control": {"enum": ["no-store"]}},
                {"cos:versionid": "", "cos:response-content-type": ""},
            ),
        ],
    )
    def test_listed_values(self, scope, params, held):
        """Versions and response types are exactly the policy's; the type is URL-encoded."""
        found = json.loads(scope("read", {"params": params}, inputs={"name": "a"}).document)
        assert found == document(statement(["GetObject"], "files/u1/*", {"string_equal_if_exist": held}))

    @pytest.mark.parametrize(
        ("name", "held"),
        [("versionId", {"cos:response-content-type": ""}), ("response-content-type", {"cos:versionid": ""})],
    )
    def test_open_value(self, scope, name, held):
        """A pattern leaves a value open, on the one object of the ask."""
        # No pattern that admits text/html: that would need an attachment.
        changes = {"params": {name: {"pattern": "image/[a-z]+"}}, "credential": {"scope": "object"}}
        found = json.loads(scope("read", changes, inputs={"name": "a"}).document)
        assert found == document(statement(["GetObject"], "files/u1/a", {"string_equal_if_exist": held}))

    def test_download(self, scope):
        """A download link reads; what the same route may write is not in it."""
        changes = {"methods": ["PUT"], "vends": ["download-url", "url"], "key": "a/{principal.sub}/{ext}"}
        found = json.loads(scope("upload", changes, vend="download-url", inputs={"ext": "png"}).document)
        held = {"cos:versionid": "", "cos:response-content-type": ""}
        assert found == document(statement(["GetObject"], "a/u1/*", {"string_equal_if_exist": held}))


class TestPost:
    """The bare POST."""

    @pytest.mark.parametrize(
        ("content", "length"),
        [(..., {}), ({"max_bytes": 1000}, {"numeric_less_than_equal": {"cos:content-length": 66536}})],
    )
    def test_post(self, scope, content, length):
        """PostObject alone; its length includes what a form adds."""
        changes = {"methods": ["PUT", "POST"], "content": content, "key": "a/{principal.sub}/{ext}"}
        found = json.loads(scope("upload", changes, method="POST", inputs={"ext": "png"}).document)
        assert found == document(statement(["PostObject"], "a/u1/*", {"string_equal_if_exist": DEFAULT_ACL, **length}))


class TestKeys:
    """The union that the vend credentials hands out."""

    def test_union(self, scope):
        """One statement for each set of actions with the same condition, and no other action."""
        changes = {"methods": ["PUT", "GET", "HEAD", "DELETE"], "content": {"max_bytes": 1000}}
        found = json.loads(scope("keys", changes).document)
        put = {"string_equal_if_exist": DEFAULT_ACL, "numeric_less_than_equal": {"cos:content-length": 1000}}
        get = {"string_equal_if_exist": {"cos:versionid": "", "cos:response-content-type": ""}}
        assert found == document(
            statement(["PutObject"], "users/u1/*", put),
            statement(["GetObject"], "users/u1/*", get),
            statement(["HeadObject", "DeleteObject"], "users/u1/*", {"string_equal_if_exist": {"cos:versionid": ""}}),
        )

    def test_actions(self, route, order):
        """The answer lists exactly the actions of the document, and the prefix they reach."""
        given = order(route("keys", {"methods": ["PUT", "GET", "HEAD", "DELETE"]}))
        assert sorted(given.actions) == [f"name/cos:{name}Object" for name in ("Delete", "Get", "Head", "Put")]
        assert given.key_prefix == "users/u1/"

    @pytest.mark.parametrize(
        "methods", [list(m) for n in (1, 2, 3) for m in itertools.combinations(["PUT", "GET", "HEAD"], n)]
    )
    def test_methods(self, route, order, methods):
        """Only what methods say."""
        actions = {f"name/cos:{method.title()}Object" for method in methods}
        assert set(order(route("keys", {"methods": methods})).actions) == actions

    @pytest.mark.parametrize(
        ("changes", "held"),
        [
            ({"vends": ["credentials", "multipart"]}, True),
            ({"vends": ["credentials"]}, False),
            ({"vends": ["credentials", "multipart"], "content": {"max_bytes": 1000}}, False),
        ],
    )
    def test_multipart(self, route, order, policy, problems, changes, held):
        """The steps of multipart uploads only beside that vend, and without limits, which COS checks part by part."""
        assert problems(policy("keys", changes)) == {}
        given = order(route("keys", changes), vend="credentials")
        assert ("name/cos:UploadPart" in given.actions) == held
        assert "name/cos:ListMultipartUploads" not in given.actions

    def test_never_post(self, policy, problems, route, order):
        """Keys never hold PostObject: such a route is refused, or leaves it out."""
        both = policy("keys", {"vends": ["url", "credentials"], "methods": ["PUT", "POST"]})
        if not problems(both):
            given = order(
                route("keys", {"vends": ["url", "credentials"], "methods": ["PUT", "POST"]}), vend="credentials"
            )
            assert "name/cos:PostObject" not in given.actions
            assert "PostObject" not in given.demand.scope.document


class TestConditions:
    """What a policy file adds to what CAM must hold."""

    @pytest.mark.parametrize(
        ("base", "changes"),
        [("upload", {}), ("read", {}), ("read", {"methods": ["DELETE"]}), ("download", {}), ("keys", {})],
    )
    def test_every_statement(self, route, order, base, changes):
        """It stands in every statement, beside the broker's own conditions, and in nothing of a route without."""
        ask = {"upload": PUT_ASK, "read": {"inputs": {"name": "a"}}, "download": {"inputs": {"name": "a"}}}.get(
            base, {}
        )
        plain, held = (
            json.loads(order(route(base, {**changes, **added}), **ask).demand.scope.document)["statement"]
            for added in ({}, {"condition": HOME})
        )
        assert [{**statement["condition"], **HOME} for statement in plain] == [one["condition"] for one in held]
        assert all("ip_equal" not in statement["condition"] for statement in plain)

    def test_same_operator(self, route, order):
        """Under an operator that the broker uses, too, neither's keys are lost."""
        condition = {"string_equal_if_exist": {"cos:x-cos-storage-class": ["STANDARD", "STANDARD_IA"]}}
        document = order(route("upload", {"condition": condition}), **PUT_ASK).demand.scope.document
        held = json.loads(document)["statement"][0]["condition"]["string_equal_if_exist"]
        assert held["cos:x-cos-storage-class"] == ["STANDARD", "STANDARD_IA"]
        assert (held["cos:x-cos-acl"], held["cos:x-cos-grant-read"]) == ("default", "")

    def test_evaluated(self, route, order):
        """It decides: from inside the network, and not from outside."""
        document = json.loads(order(route("read", {"condition": HOME}), inputs={"name": "a"}).demand.scope.document)
        resource = document["statement"][0]["resource"][0].replace("*", "a")
        for address, allowed in (("203.0.113.7", True), ("198.51.100.7", False)):
            decision = evaluation.evaluate(document, "name/cos:GetObject", resource, {"qcs:ip": address})
            assert decision.allowed is allowed


class TestReach:
    """Whose objects one credential reaches."""

    @pytest.mark.parametrize(
        ("key", "scope_name", "reach"),
        [
            ("f/{principal.sub}/{name}", None, "f/u1/*"),
            ("f/{principal.sub}/{name}", "object", "f/u1/a"),
            ("f/{principal.sub}/{name}", "route", "f/*"),
            ("f/{principal.sub}/x-{name}.png", None, "f/u1/*"),
            ("f/{principal.sub}/sub/{name}", None, "f/u1/sub/*"),
            ("f/g/{name}", None, "f/g/*"),
            ("f/g-{name}", None, "f/*"),
            ("f/g-{name}", "object", "f/g-a"),
            ("{name}", "object", "a"),
        ],
    )
    def test_reach(self, scope, key, scope_name, reach):
        """A wildcard stands last, after a slash; without one, the key itself."""
        credential = {"scope": scope_name} if scope_name else {}
        found = json.loads(scope("read", {"key": key, "credential": credential}, inputs={"name": "a"}).document)
        assert found["statement"][0]["resource"] == [f"{PREFIX}{reach}"]

    @pytest.mark.parametrize(
        ("key", "scope_name", "reach"),
        [
            ("f/a.txt", None, "f/a.txt"),
            ("a.txt", None, "a.txt"),
            ("f/a.txt", "route", "f/a.txt"),
            ("f/{principal.sub}", None, "f/u1"),
            ("f/{principal.sub}.png", None, "f/u1.png"),
            ("f/{principal.sub}/a.png", None, "f/u1/a.png"),
            ("f/{principal.sub}/{principal.t}/a", "principal", "f/u1/t1/a"),
        ],
    )
    def test_fixed_key(self, scope, key, scope_name, reach):
        """A key that has nothing to fill but claims is reached alone: `u1` admits no `u10`."""
        credential = {"scope": scope_name} if scope_name else {}
        changes = {"key": key, "inputs": {}, "credential": credential}
        found = json.loads(scope("read", changes, {"sub": "u1", "t": "t1"}).document)
        assert found["statement"][0]["resource"] == [f"{PREFIX}{reach}"]

    def test_neighbours(self, scope):
        """The document of `u1` allows its own folder and neither `u10`'s nor a sibling's."""
        found = json.loads(scope("read", inputs={"name": "a"}).document)

        def allows(key, action="name/cos:GetObject"):
            return evaluation.evaluate(found, action, f"{PREFIX}{key}", {}).allowed

        assert allows("files/u1/a")
        for key in ("files/u10/a", "files/u1", "files/u1a", "files/u2/a", "files/", "", "xfiles/u1/a", "Files/u1/a"):
            assert not allows(key)
        assert not allows("files/u1/a", "name/cos:PutObject")


class TestIsolation:
    """One credential, one operation."""

    def test_methods_share_no_scope(self, route, order):
        """Each operation of a route has a scope of its own, and so has each vend's union."""
        methods = ["PUT", "POST", "GET", "DELETE", "HEAD"]
        every = route("read", {"methods": methods, "vends": ["url", "signature", "download-url"]})
        scopes = {method: order(every, method=method, inputs={"name": "a"}).demand.scope for method in methods}
        assert len(set(scopes.values())) == 5
        for method, scope in scopes.items():
            [only] = json.loads(scope.document)["statement"]
            assert only["action"] == [f"name/cos:{method.title()}Object"]
        assert order(every, vend="signature", method="GET", inputs={"name": "a"}).demand.scope == scopes["GET"]
        assert order(every, vend="download-url", inputs={"name": "a"}).demand.scope == scopes["GET"]

    def test_union_is_no_url_credential(self, route, order):
        """What `credentials` hands out is never behind a URL of the same route."""
        both = route("keys", {"vends": ["credentials", "url"]})
        union = order(both, vend="credentials").demand.scope
        for method in ("PUT", "GET"):
            assert order(both, vend="url", method=method, inputs={"path": "a"}).demand.scope != union

    def test_principals_share_no_scope(self, route, order):
        """Two principals share a scope only where the policy says route."""
        own = route("read")
        assert (
            order(own, {"sub": "u1"}, inputs={"name": "a"}).demand.scope
            != order(own, {"sub": "u2"}, inputs={"name": "a"}).demand.scope
        )
        shared = route("read", {"credential": {"scope": "route"}})
        scopes = [order(shared, {"sub": sub}, inputs={"name": "a"}).demand.scope for sub in ("u1", "u2")]
        assert scopes[0] == scopes[1]

    def test_terms(self, route, order):
        """Duration, role and external id are part of the scope."""
        role = {"role_arn": "qcs::cam::uin/1:roleName/r", "external_id": "abc", "duration_seconds": 3600}
        found = order(route("read", {"credential": role}), inputs={"name": "a"}).demand.scope
        assert (found.duration_seconds, found.role_arn, found.external_id) == (
            3600,
            "qcs::cam::uin/1:roleName/r",
            "abc",
        )
        assert found.action == "AssumeRole"
        plain = order(route("read"), inputs={"name": "a"}).demand.scope
        assert (plain.duration_seconds, plain.role_arn, plain.action) == (1800, None, "GetFederationToken")

    def test_document_is_canonical(self, route, order):
        """Sorted keys, no spaces, other scripts as they are."""
        text = order(route("read"), {"sub": "用户"}, inputs={"name": "a"}).demand.scope.document
        assert text == json.dumps(json.loads(text), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        assert "files/用户/*" in text
