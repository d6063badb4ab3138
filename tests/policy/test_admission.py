"""Who may use a route."""

from __future__ import annotations

import pytest

from broker.errors import Forbidden, Unauthenticated
from broker.identity.principals import ANONYMOUS, Principal


@pytest.mark.parametrize(
    ("rule", "allowed", "denied"),
    [
        ({"const": "a"}, ["a"], ["A", "a ", "", "ab", None, ["a"], 1]),
        ({"const": ""}, [""], [" ", None]),
        ({"const": 1}, [1], [True, 1.0, "1", 2, [1], None]),
        ({"const": True}, [True], [1, "true", False, None]),
        ({"const": False}, [False], [0, "", None, True]),
        ({"const": 0}, [0], [False, "0", "", None, 0.0]),
        ({"enum": ["a", 1]}, ["a", 1], ["1", True, "b", None, ["a", 1]]),
        (
            {"contains": "w"},
            ["w", "r w", "w r", "r w x", ["w"], ["r", "w"], ["r", 1, "w"]],
            ["rw", "W", "r,w", "r\tw", "", None],
        ),
        ({"contains": "w"}, ["w"], [[], ["rw"], ["r w"], [["w"]], {"w": 1}, 5, True]),
        ({"contains": "1"}, ["1"], [[1], 1]),
        ({"pattern": "a+"}, ["a", "aaa"], ["", "b", "ab", "ba", "a\n", ["a"], 1, None]),
        ({"pattern": "a|ab"}, ["a", "ab"], ["abb"]),
        ({"pattern": ".*"}, ["", "x" * 1024], ["x" * 1025, "a\nb", None, 5]),
        ({"pattern": "[0-9]+"}, ["12"], [12, True]),
    ],
)
def test_claim_rule(route, rule, allowed, denied):
    """A claim meets its rule in type and value, entirely; anything else is forbidden."""
    guarded = route("download", {"principals": {"claims": {"role": rule}}})
    for value in allowed:
        assert guarded.admit(Principal({"role": value})) == {}
    for value in denied:
        with pytest.raises(Forbidden, match="role"):
            guarded.admit(Principal({"role": value}))
    with pytest.raises(Forbidden, match="role is missing"):
        guarded.admit(Principal({"Role": allowed[0]}))


def test_every_rule_counts(route):
    """All claims that are named must fit."""
    guarded = route("download", {"principals": {"claims": {"a": {"const": 1}, "b": {"const": 2}}}})
    guarded.admit(Principal({"a": 1, "b": 2}))
    for claims in ({"a": 1}, {"b": 2}, {"a": 2, "b": 2}, {"a": 1, "b": 1}):
        with pytest.raises(Forbidden):
            guarded.admit(Principal(claims))


class TestWithoutCredentials:
    """Callers that prove nothing."""

    def test_closed_route(self, route):
        """A route without principals wants authentication, of anyone: 401, not 403."""
        with pytest.raises(Unauthenticated):
            route("download").admit(ANONYMOUS)
        assert route("download").admit(Principal({"sub": "u1"})) == {}

    def test_route_with_claims(self, route):
        """The lack of credentials is told, not the lack of a claim."""
        guarded = route("download", {"principals": {"claims": {"role": {"const": "a"}}}})
        with pytest.raises(Unauthenticated):
            guarded.admit(ANONYMOUS)

    def test_open_route(self, route):
        """An anonymous route admits strangers and everyone else."""
        opened = route("download", {"principals": {"anonymous": True}})
        assert opened.admit(ANONYMOUS) == {}
        assert opened.admit(Principal({"sub": "u1"})) == {}


class TestApiKeyRoutes:
    """An API key may be confined to routes."""

    @pytest.mark.parametrize(
        ("routes", "admitted"),
        [
            (None, True),
            ({"route"}, True),
            ({"other", "route"}, True),
            (set(), False),
            ({"other"}, False),
            ({"routes"}, False),
        ],
    )
    def test_confined(self, route, routes, admitted):
        """Only the routes of its list, exactly; without a list, all."""
        principal = Principal({"sub": "u1"}, key_id="bff", routes=None if routes is None else frozenset(routes))
        if admitted:
            assert route("read").admit(principal) == {"sub": "u1"}
        else:
            with pytest.raises(Forbidden, match="API key"):
                route("read").admit(principal)

    def test_open_route(self, route):
        """A confined key may not use an anonymous route that is not its own either."""
        opened = route("download", {"principals": {"anonymous": True}})
        with pytest.raises(Forbidden):
            opened.admit(Principal({}, key_id="bff", routes=frozenset({"other"})))
        assert opened.admit(Principal({}, key_id="bff", routes=frozenset({"route"}))) == {}


class TestClaimsInKeys:
    """A claim that stands in a key is a permission."""

    @pytest.mark.parametrize(
        "value",
        [
            None,
            1,
            True,
            1.5,
            ["u1"],
            {"a": 1},
            "",
            ".",
            "..",
            "a/b",
            "/",
            "u*",
            "u?",
            "u$",
            "u{1}",
            "u}",
            "u\\1",
            "u%31",
            "u\n",
            "u\x00",
            "u\u200b",
            "u\u2028",
            "\ud800",
            "e\u0301",
            "u" * 129,
            "é" * 65,
            "*",
        ],
    )
    def test_unfit(self, route, value):
        """A claim that is missing, no string, too long or could widen the key is forbidden, never repaired."""
        with pytest.raises(Forbidden, match="sub"):
            route("read").admit(Principal({"sub": value}))

    @pytest.mark.parametrize(
        "value", ["u1", " u1 ", "a b", "ab", "用户", "é" * 64, "u" * 128, "auth0|123", "a:b@c", "...", "u'1", 'u"1']
    )
    def test_fit(self, route, order, value):
        """Any other string is kept as it is: `a b` and `ab` are two."""
        assert route("read").admit(Principal({"sub": value})) == {"sub": value}
        assert order(route("read"), {"sub": value}, inputs={"name": "n"}).request.key == f"files/{value}/n"

    def test_missing(self, route):
        """A principal without the claim has no folder; claims that are not used are not looked at."""
        with pytest.raises(Forbidden, match="sub is missing"):
            route("read").admit(Principal({"email": "u1@example.test"}))
        assert route("read").admit(Principal({"sub": "u1", "email": "*", "role": 5})) == {"sub": "u1"}

    def test_message_holds_no_value(self, route):
        """What a claim holds is personal and stays out of the message."""
        with pytest.raises(Forbidden) as caught:
            route("read").admit(Principal({"sub": "secret-name/x"}))
        assert "secret-name" not in str(caught.value)


class TestClaimsInValues:
    """A claim that stands in a header or parameter."""

    @pytest.mark.parametrize(
        ("value", "admitted"), [("t1", True), ("t 1", True), (" t1", False), ("t1 ", False), ("té", False)]
    )
    def test_header(self, route, value, admitted):
        """A claim that no header can hold is forbidden before anything is signed."""
        tagged = route("upload", {"headers": {"x-cos-meta-by": {"const": "{principal.tenant}"}}})
        principal = Principal({"sub": "u1", "tenant": value})
        if admitted:
            assert tagged.admit(principal)["tenant"] == value
        else:
            with pytest.raises(Forbidden, match="x-cos-meta-by"):
                tagged.admit(principal)

    @pytest.mark.parametrize(
        ("value", "admitted"), [("t1", True), ("té", True), ("t\x85", False), ("a/b", False), (5, False), (None, False)]
    )
    def test_param(self, route, value, admitted):
        """The rules for claims in keys hold wherever a claim is signed."""
        tagged = route("read", {"params": {"tenant": {"const": "{principal.tenant}"}}})
        principal = Principal({"sub": "u1", "tenant": value})
        if admitted:
            assert tagged.admit(principal)["tenant"] == value
        else:
            with pytest.raises(Forbidden, match="tenant"):
                tagged.admit(principal)
