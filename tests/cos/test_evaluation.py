"""What a CAM document permits, and why."""

from typing import Any, ClassVar

import pytest

from broker.cos import cam, evaluation

BUCKET = "examplebucket-1250000000"
RESOURCE = "qcs::cos:ap-guangzhou:uid/1250000000:examplebucket-1250000000/"
PUT = "name/cos:PutObject"
GET = "name/cos:GetObject"

NO_GRANTS = {
    "cos:x-cos-grant-read": "",
    "cos:x-cos-grant-write": "",
    "cos:x-cos-grant-read-acp": "",
    "cos:x-cos-grant-write-acp": "",
    "cos:x-cos-grant-full-control": "",
}
DEFAULT_ACL = {"string_equal_if_exist": {"cos:x-cos-acl": "default", **NO_GRANTS}}


def one_statement(
    *, effect: str = "allow", action: Any = GET, resource: Any = f"{RESOURCE}a", condition: Any = None
) -> dict[str, Any]:
    """One statement of a document to evaluate, as anybody may write it."""
    body = {"effect": effect, "action": action, "resource": resource}
    return body if condition is None else {**body, "condition": condition}


def allowed(statement: dict[str, Any], action: str, resource: str, values: dict[str, str] | None = None) -> bool:
    """Whether a document of this one statement allows a request."""
    return evaluation.evaluate({"version": "2.0", "statement": [statement]}, action, resource, values or {}).allowed


# Operator, key, wanted value or values, value of the request, whether the condition holds.
OPERATORS = [
    ("string_equal", "cos:content-type", "image/png", "image/png", True),
    ("string_equal", "cos:content-type", "image/png", "image/jpeg", False),
    ("string_equal", "cos:content-type", "image/png", "Image/PNG", False),
    ("string_equal", "cos:content-type", "image/png", "image/png; charset=utf-8", False),
    ("string_equal", "cos:content-type", "image/*", "image/png", False),
    ("string_equal", "cos:content-type", "image/*", "image/*", True),
    ("string_equal", "cos:content-type", ["image/png", "image/gif"], "image/gif", True),
    ("string_equal", "cos:content-type", ["image/png", "image/gif"], "image/webp", False),
    ("string_equal", "cos:versionid", "", "", True),
    ("string_equal", "cos:versionid", "", "MTg0", False),
    ("string_not_equal", "cos:content-type", "image/png", "image/jpeg", True),
    ("string_not_equal", "cos:content-type", "image/png", "image/png", False),
    ("string_not_equal", "cos:content-type", ["image/png", "image/gif"], "image/gif", False),
    ("string_not_equal", "cos:content-type", ["image/png", "image/gif"], "image/webp", True),
    ("string_like", "cos:content-type", "image/*", "image/png", True),
    ("string_like", "cos:content-type", "image/*", "image/", True),
    ("string_like", "cos:content-type", "image/*", "text/image/png", False),
    ("string_like", "cos:content-type", "image/*", "Image/png", False),
    ("string_like", "cos:content-type", "*png", "image/png", True),
    ("string_like", "cos:content-type", "*png", "image/png2", False),
    ("string_like", "cos:content-type", "image/pn?", "image/png", False),
    ("string_like", "cos:content-type", "image.png", "image/png", False),
    ("string_like", "cos:content-type", "image/png", "image/png", True),
    ("string_like", "cos:content-type", ["text/plain", "image/*"], "text/plain", True),
    ("string_like", "cos:content-type", ["text/plain", "image/*"], "text/html", False),
    ("numeric_equal", "cos:content-length", 5, "5", True),
    ("numeric_equal", "cos:content-length", 5, "05", True),
    ("numeric_equal", "cos:content-length", "5", "5", True),
    ("numeric_equal", "cos:content-length", 5, "6", False),
    ("numeric_equal", "cos:content-length", [5, 6], "6", True),
    ("numeric_equal", "cos:content-length", [5, 6], "7", False),
    ("numeric_not_equal", "cos:content-length", 5, "6", True),
    ("numeric_not_equal", "cos:content-length", 5, "5", False),
    ("numeric_greater_than", "cos:content-length", 5, "6", True),
    ("numeric_greater_than", "cos:content-length", 5, "5", False),
    ("numeric_greater_than_equal", "cos:content-length", 5, "5", True),
    ("numeric_greater_than_equal", "cos:content-length", 5, "4", False),
    ("numeric_less_than", "cos:content-length", 5, "4", True),
    ("numeric_less_than", "cos:content-length", 5, "5", False),
    ("numeric_less_than_equal", "cos:content-length", 5242880, "5242880", True),
    ("numeric_less_than_equal", "cos:content-length", 5242880, "5242881", False),
    ("numeric_less_than_equal", "cos:content-length", 10, "9", True),
    ("numeric_greater_than_equal", "cos:tls-version", "1.2", "1.2", True),
    ("numeric_greater_than_equal", "cos:tls-version", "1.2", "1.1", False),
    ("numeric_less_than_equal", "cos:content-length", 5, "", False),
    ("numeric_less_than_equal", "cos:content-length", 5, "-1", False),
    ("numeric_less_than_equal", "cos:content-length", 5, "1e0", False),
    ("numeric_less_than_equal", "cos:content-length", 5, "٣", False),
    ("numeric_not_equal", "cos:content-length", 5, "many", False),
    ("ip_equal", "qcs:ip", "203.0.113.7", "203.0.113.7", True),
    ("ip_equal", "qcs:ip", "203.0.113.7", "203.0.113.8", False),
    ("ip_equal", "qcs:ip", "203.0.113.0/24", "203.0.113.255", True),
    ("ip_equal", "qcs:ip", "203.0.113.0/24", "203.0.114.0", False),
    ("ip_equal", "qcs:ip", "203.0.113.9/24", "203.0.113.1", True),
    ("ip_equal", "qcs:ip", ["192.168.1.0/24", "101.226.100.185"], "101.226.100.185", True),
    ("ip_equal", "qcs:ip", ["192.168.1.0/24", "101.226.100.185"], "101.226.100.186", False),
    ("ip_equal", "qcs:ip", "2001:db8::/32", "2001:db8::1", True),
    ("ip_equal", "qcs:ip", "203.0.113.0/24", "2001:db8::1", False),
    ("ip_not_equal", "qcs:ip", "203.0.113.0/24", "203.0.114.0", True),
    ("ip_not_equal", "qcs:ip", "203.0.113.0/24", "203.0.113.1", False),
    ("ip_not_equal", "qcs:ip", ["203.0.113.0/24", "203.0.114.0/24"], "203.0.114.1", False),
    ("bool_equal", "cos:secure-transport", "true", "true", True),
    ("bool_equal", "cos:secure-transport", "true", "false", False),
    ("bool_equal", "cos:secure-transport", True, "true", True),
    ("bool_equal", "cos:secure-transport", "false", "false", True),
]


class TestConditions:
    """Which requests a condition admits."""

    @pytest.mark.parametrize(("operator", "key", "wanted", "got", "holds"), OPERATORS)
    def test_value_present(self, operator: str, key: str, wanted: Any, got: str, holds: bool) -> None:
        """An operator compares the value as received; `_if_exist` changes nothing when there is one."""
        for spelling in (operator, f"{operator}_if_exist"):
            statement = one_statement(condition={spelling: {key: wanted}})
            assert allowed(statement, GET, f"{RESOURCE}a", {key: got}) is holds

    @pytest.mark.parametrize(
        ("operator", "key", "wanted"),
        list({(operator, key): (operator, key, wanted) for operator, key, wanted, _, _ in OPERATORS}.values()),
    )
    def test_value_absent(self, operator: str, key: str, wanted: Any) -> None:
        """Without a value an operator fails, negated ones too; with `_if_exist` it holds."""
        plain = one_statement(condition={operator: {key: wanted}})
        if_exist = one_statement(condition={f"{operator}_if_exist": {key: wanted}})
        assert not allowed(plain, GET, f"{RESOURCE}a")
        assert allowed(if_exist, GET, f"{RESOURCE}a")

    def test_every_operator_in_the_table(self) -> None:
        """The table above leaves out no operator of the documentation."""
        assert {operator for operator, *_ in OPERATORS} == {
            "string_equal",
            "string_not_equal",
            "string_like",
            "numeric_equal",
            "numeric_not_equal",
            "numeric_greater_than",
            "numeric_greater_than_equal",
            "numeric_less_than",
            "numeric_less_than_equal",
            "ip_equal",
            "ip_not_equal",
            "bool_equal",
        }

    @pytest.mark.parametrize(
        ("values", "holds"),
        [
            ({"cos:content-type": "image/png", "cos:x-cos-acl": "private"}, True),
            ({"cos:content-type": "image/gif", "cos:x-cos-acl": "private"}, True),
            ({"cos:content-type": "text/html", "cos:x-cos-acl": "private"}, False),
            ({"cos:content-type": "image/png", "cos:x-cos-acl": "public-read"}, False),
            ({"cos:content-type": "image/png"}, False),
        ],
    )
    def test_two_keys(self, values: dict[str, str], holds: bool) -> None:
        """Values of a key are alternatives; keys of one operator must all hold."""
        condition = {"string_equal": {"cos:content-type": ["image/png", "image/gif"], "cos:x-cos-acl": "private"}}
        assert allowed(one_statement(condition=condition), GET, f"{RESOURCE}a", values) is holds

    @pytest.mark.parametrize(
        ("values", "holds"),
        [
            ({"cos:content-type": "image/png", "cos:content-length": "5"}, True),
            ({"cos:content-type": "image/png", "cos:content-length": "6"}, False),
            ({"cos:content-type": "text/html", "cos:content-length": "5"}, False),
            ({"cos:content-length": "5"}, False),
        ],
    )
    def test_two_operators(self, values: dict[str, str], holds: bool) -> None:
        """All operators must hold."""
        condition = {
            "string_equal": {"cos:content-type": "image/png"},
            "numeric_less_than_equal": {"cos:content-length": 5},
        }
        assert allowed(one_statement(condition=condition), GET, f"{RESOURCE}a", values) is holds

    @pytest.mark.parametrize(
        ("key", "operator", "wanted", "got", "holds"),
        [
            ("cos:prefix", "string_equal", "avatars%2Fu1%2F", "avatars/u1/", True),
            ("cos:prefix", "string_equal", "avatars%2Fu1%2F", "avatars/u10/", False),
            ("cos:prefix", "string_equal", "avatars/u1/", "avatars/u1/", False),
            ("cos:prefix", "string_equal", "avatars%2Fu1%2F", "avatars%2Fu1%2F", False),
            ("cos:prefix", "string_equal", "%E7%9B%AE%2F", "目/", True),
            ("cos:prefix", "string_like", "avatars%2F*", "avatars/u1/", True),
            ("cos:response-content-type", "string_equal", "image%2Fjpeg", "image/jpeg", True),
            ("cos:response-content-type", "string_equal", "image%2Fjpeg", "image/png", False),
            ("cos:response-content-type", "string_equal", "image/jpeg", "image/jpeg", False),
            ("cos:content-type", "string_equal", "image%2Fjpeg", "image/jpeg", False),
        ],
    )
    def test_encoded_keys(self, key: str, operator: str, wanted: str, got: str, holds: bool) -> None:
        """A prefix and a response type stand URL-encoded in a document, nothing else does."""
        assert allowed(one_statement(condition={operator: {key: wanted}}), GET, f"{RESOURCE}a", {key: got}) is holds

    @pytest.mark.parametrize(
        "operator",
        [
            "date_greater_than",
            "string_equal_ignore_case",
            "string_not_like",
            "null_equal",
            "for_any_value:string_equal",
            "String_Equal",
            "string_equal_if_exist_if_exist",
            "",
        ],
    )
    @pytest.mark.parametrize("values", [{}, {"cos:content-type": "a"}], ids=["absent", "present"])
    def test_unknown_operator(self, operator: str, values: dict[str, str]) -> None:
        """An operator that is not known is an error that names it, whether there is a value or not."""
        statement = one_statement(condition={operator: {"cos:content-type": "a"}})
        with pytest.raises(
            evaluation.UnknownCondition, match=f"condition operator '{operator}' is not one of string_equal"
        ):
            allowed(statement, GET, f"{RESOURCE}a", values)

    @pytest.mark.parametrize("key", ["cos:content_length", "cos:Content-Type", "content-type", "qcs:vpc", ""])
    @pytest.mark.parametrize("operator", ["string_equal", "string_equal_if_exist"])
    def test_unknown_key(self, operator: str, key: str) -> None:
        """A key that is not known is an error that names it, with `_if_exist` too."""
        statement = one_statement(condition={operator: {key: "a"}})
        with pytest.raises(
            evaluation.UnknownCondition, match=f"condition key '{key}' is not one of cos:content-length"
        ):
            allowed(statement, GET, f"{RESOURCE}a")

    @pytest.mark.parametrize(
        ("action", "resource"),
        [
            pytest.param(PUT, f"{RESOURCE}a", id="other action"),
            pytest.param(GET, f"{RESOURCE}b", id="other resource"),
        ],
    )
    def test_unknown_operator_elsewhere(self, action: str, resource: str) -> None:
        """An unknown operator is an error even in a statement about another request."""
        with pytest.raises(evaluation.UnknownCondition):
            allowed(one_statement(condition={"date_equal": {"cos:content-type": "a"}}), action, resource)

    def test_unknown_operator_after_a_failed_one(self) -> None:
        """A condition that has already failed does not hide an unknown operator."""
        condition = {"string_equal": {"cos:content-type": "a"}, "date_equal": {"cos:content-type": "a"}}
        with pytest.raises(evaluation.UnknownCondition):
            allowed(one_statement(condition=condition), GET, f"{RESOURCE}a", {"cos:content-type": "b"})


class TestMatching:
    """Which actions and resources a statement names."""

    @pytest.mark.parametrize(
        ("pattern", "action", "holds"),
        [
            ("name/cos:GetObject", "name/cos:GetObject", True),
            ("cos:GetObject", "name/cos:GetObject", True),
            ("name/cos:GetObject", "cos:GetObject", True),
            ("name/cos:GetObject", "name/cos:GetObjectACL", False),
            ("name/cos:GetObject", "name/cos:getobject", False),
            ("name/cos:GetObject", "name/cos:PutObject", False),
            ("name/cos:Get*", "name/cos:GetObjectACL", True),
            ("name/cos:Get*", "name/cos:HeadObject", False),
            ("name/cos:*", "name/cos:PutObject", True),
            ("name/cos:*", "name/sts:AssumeRole", False),
            ("*", "name/cos:PutObject", True),
            (["name/cos:PutObject", "name/cos:GetObject"], "name/cos:GetObject", True),
            (["name/cos:PutObject", "name/cos:GetObject"], "name/cos:DeleteObject", False),
            ([], "name/cos:GetObject", False),
        ],
    )
    def test_action(self, pattern: Any, action: str, holds: bool) -> None:
        """An action matches whole and case-sensitively, with or without `name/`; `*` matches the rest."""
        assert allowed(one_statement(action=pattern), action, f"{RESOURCE}a") is holds

    @pytest.mark.parametrize(
        ("pattern", "resource", "holds"),
        [
            (f"{RESOURCE}avatars/u1/*", f"{RESOURCE}avatars/u1/x", True),
            (f"{RESOURCE}avatars/u1/*", f"{RESOURCE}avatars/u1/x/y.png", True),
            (f"{RESOURCE}avatars/u1/*", f"{RESOURCE}avatars/u1/", True),
            (f"{RESOURCE}avatars/u1/*", f"{RESOURCE}avatars/u1", False),
            (f"{RESOURCE}avatars/u1/*", f"{RESOURCE}avatars/u10/x", False),
            (f"{RESOURCE}avatars/u1/*", f"{RESOURCE}avatars/U1/x", False),
            (f"{RESOURCE}avatars/u1/*", f"{RESOURCE}x/avatars/u1/x", False),
            (f"{RESOURCE}avatars/u1*", f"{RESOURCE}avatars/u10/x", True),
            (f"{RESOURCE}dir/a.txt", f"{RESOURCE}dir/a.txt", True),
            (f"{RESOURCE}dir/a.txt", f"{RESOURCE}dir/a.txt2", False),
            (f"{RESOURCE}dir/a.txt", f"{RESOURCE}dir/a-txt", False),
            (f"{RESOURCE}a/*", f"{RESOURCE}a/x\ny", True),
            (f"{RESOURCE}a?c", f"{RESOURCE}abc", False),
            (f"{RESOURCE}a[b]", f"{RESOURCE}ab", False),
            (f"{RESOURCE}目录/*", f"{RESOURCE}目录/测", True),
            (f"{RESOURCE}*", f"{RESOURCE}any/thing", True),
            (f"{RESOURCE}*", "qcs::cos:ap-guangzhou:uid/1250000000:otherbucket-1250000000/a", False),
            (f"{RESOURCE}*", "qcs::cos:ap-beijing:uid/1250000000:examplebucket-1250000000/a", False),
            ("*", f"{RESOURCE}any/thing", True),
            ([f"{RESOURCE}a", f"{RESOURCE}b"], f"{RESOURCE}b", True),
            ([f"{RESOURCE}a", f"{RESOURCE}b"], f"{RESOURCE}c", False),
            ([], f"{RESOURCE}a", False),
        ],
    )
    def test_resource(self, pattern: Any, resource: str, holds: bool) -> None:
        """A resource matches whole; `*` matches any run of characters, `/` included; nothing else is special."""
        assert allowed(one_statement(resource=pattern), GET, resource) is holds

    def test_action_and_resource(self) -> None:
        """Action and resource must match in one and the same statement."""
        document = {
            "version": "2.0",
            "statement": [
                one_statement(action=GET, resource=f"{RESOURCE}a"),
                one_statement(action=PUT, resource=f"{RESOURCE}b"),
            ],
        }
        assert evaluation.evaluate(document, GET, f"{RESOURCE}a", {}).allowed
        assert evaluation.evaluate(document, PUT, f"{RESOURCE}b", {}).allowed
        assert not evaluation.evaluate(document, PUT, f"{RESOURCE}a", {}).allowed
        assert not evaluation.evaluate(document, GET, f"{RESOURCE}b", {}).allowed


ALLOW_ALL = one_statement(action="*", resource="*")
DENY_A = one_statement(effect="deny", action="*", resource=f"{RESOURCE}a")
ALLOW_A = one_statement(action="*", resource=f"{RESOURCE}a")


class TestDeciding:
    """Which statement decides."""

    @pytest.mark.parametrize(
        ("statements", "decision"),
        [
            pytest.param([], evaluation.Decision(False, None), id="nothing"),
            pytest.param([one_statement(resource=f"{RESOURCE}b")], evaluation.Decision(False, None), id="no match"),
            pytest.param([ALLOW_ALL], evaluation.Decision(True, 0), id="allow"),
            pytest.param([ALLOW_ALL, ALLOW_A], evaluation.Decision(True, 0), id="first of two allows"),
            pytest.param([one_statement(action=PUT), ALLOW_A], evaluation.Decision(True, 1), id="second matches"),
            pytest.param([DENY_A], evaluation.Decision(False, 0), id="deny"),
            pytest.param([ALLOW_ALL, DENY_A], evaluation.Decision(False, 1), id="deny after allow"),
            pytest.param([DENY_A, ALLOW_ALL], evaluation.Decision(False, 0), id="deny before allow"),
            pytest.param(
                [ALLOW_ALL, {**DENY_A, "condition": {"string_equal": {"cos:x-cos-acl": "private"}}}],
                evaluation.Decision(True, 0),
                id="deny whose condition fails",
            ),
            pytest.param(
                [ALLOW_ALL, {**DENY_A, "condition": {"string_equal_if_exist": {"cos:x-cos-acl": "private"}}}],
                evaluation.Decision(False, 1),
                id="deny whose condition holds without a value",
            ),
            pytest.param(
                [ALLOW_ALL, {**DENY_A, "resource": f"{RESOURCE}b"}],
                evaluation.Decision(True, 0),
                id="deny of another key",
            ),
        ],
    )
    def test_statements(self, statements: list[dict[str, Any]], decision: evaluation.Decision) -> None:
        """Any matching deny wins, then the first matching allow; otherwise it is denied by nothing."""
        document = {"version": "2.0", "statement": statements}
        assert evaluation.evaluate(document, GET, f"{RESOURCE}a", {}) == decision


class TestBuiltDocuments:
    """What our own documents allow."""

    @pytest.mark.parametrize(
        ("values", "holds"),
        [
            ({"cos:content-type": "image/png", "cos:content-length": "5242880"}, True),
            ({"cos:content-type": "image/png", "cos:content-length": "5242881"}, False),
            ({"cos:content-type": "image/png"}, False),
            ({"cos:content-type": "text/html", "cos:content-length": "1"}, False),
            ({"cos:content-length": "1"}, False),
            ({"cos:content-type": "image/png", "cos:content-length": "1", "cos:x-cos-acl": "default"}, True),
            ({"cos:content-type": "image/png", "cos:content-length": "1", "cos:x-cos-acl": "public-read"}, False),
            ({"cos:content-type": "image/png", "cos:content-length": "1", "cos:x-cos-grant-read": ""}, True),
            ({"cos:content-type": "image/png", "cos:content-length": "1", "cos:x-cos-grant-read": 'id="1"'}, False),
            ({"cos:content-type": "image/png", "cos:content-length": "1", "cos:x-cos-grant-write": 'id="1"'}, False),
            ({"cos:content-type": "image/png", "cos:content-length": "1", "cos:x-cos-grant-read-acp": 'id="1"'}, False),
            (
                {"cos:content-type": "image/png", "cos:content-length": "1", "cos:x-cos-grant-write-acp": 'id="1"'},
                False,
            ),
            (
                {"cos:content-type": "image/png", "cos:content-length": "1", "cos:x-cos-grant-full-control": 'id="1"'},
                False,
            ),
        ],
    )
    def test_upload(self, values: dict[str, str], holds: bool) -> None:
        """An upload needs a listed type and a length within the limit, and may name no ACL or grant of its own."""
        statement = cam.statement([PUT], [f"{RESOURCE}avatars/u1/*"], cam.put_condition(["image/png"], 5242880))
        document = cam.document([statement])
        assert evaluation.evaluate(document, PUT, f"{RESOURCE}avatars/u1/x.png", values).allowed is holds

    @pytest.mark.parametrize(
        ("values", "holds"),
        [
            ({}, True),
            ({"cos:versionid": ""}, True),
            ({"cos:versionid": "MTg0"}, False),
            ({"cos:response-content-type": "image/jpeg"}, True),
            ({"cos:response-content-type": "text/html"}, False),
        ],
    )
    def test_download(self, values: dict[str, str], holds: bool) -> None:
        """A download may name a listed response type, and no other version."""
        statement = cam.statement([GET], [f"{RESOURCE}a"], cam.read_condition([], ["image/jpeg"], get=True))
        assert evaluation.evaluate(cam.document([statement]), GET, f"{RESOURCE}a", values).allowed is holds


class TestUnknown:
    """What the evaluator does not know is an error, whichever statement would decide."""

    KNOWN: ClassVar[dict[str, Any]] = {"effect": "allow", "action": "*", "resource": "*"}

    @pytest.mark.parametrize(
        "statement",
        [
            {**KNOWN, "effect": "Deny"},
            {**KNOWN, "condition": {"date_greater_than": {}}},
            {**KNOWN, "condition": {"string_equal": {"cos:nothing": "x"}}},
            {**KNOWN, "condition": {"string_like": {"cos:content-type": "im*/png"}}},
            {**KNOWN, "condition": {"string_like_if_exist": {"cos:content-type": "im*/png"}}},
            {**KNOWN, "resource": "qcs::cos:*:uid/1:b-1/a"},
            {**KNOWN, "resource": f"{RESOURCE}*a"},
            {**KNOWN, "action": "name/cos:*Object"},
            {**KNOWN, "principal": "*"},
            {"effect": "allow", "not_action": "name/cos:GetObject", "resource": "*"},
        ],
    )
    def test_unknown_after_a_deny(self, statement: dict[str, Any]) -> None:
        """A deny that would win does not hide it."""
        document = {"version": "2.0", "statement": [{**self.KNOWN, "effect": "deny"}, statement]}
        for decide in (evaluation.evaluate, evaluation.readings):
            with pytest.raises(evaluation.UnknownCondition):
                decide(document, GET, f"{RESOURCE}a", {})

    def test_unknown_version(self) -> None:
        """Only version 2.0 is understood."""
        with pytest.raises(evaluation.UnknownCondition, match=r"'1\.0'"):
            evaluation.evaluate({"version": "1.0", "statement": [self.KNOWN]}, GET, f"{RESOURCE}a", {})
        assert evaluation.evaluate({"version": "2.0", "statement": [self.KNOWN]}, GET, f"{RESOURCE}a", {}).allowed

    def test_negated_lists(self) -> None:
        """Not equal to a list means equal to none of it, for numbers as for strings."""
        numbers = {**self.KNOWN, "condition": {"numeric_not_equal": {"cos:content-length": [1, 2]}}}
        document = {"version": "2.0", "statement": [numbers]}
        assert not evaluation.evaluate(document, GET, f"{RESOURCE}a", {"cos:content-length": "1"}).allowed
        assert evaluation.evaluate(document, GET, f"{RESOURCE}a", {"cos:content-length": "3"}).allowed


class TestReadings:
    """Why a statement matches or not, in words."""

    STATEMENT: ClassVar[dict[str, Any]] = {
        "effect": "allow",
        "action": [PUT],
        "resource": [f"{RESOURCE}u1/*"],
        "condition": {
            "string_equal": {"cos:content-type": ["image/png", "image/jpeg"]},
            "numeric_less_than_equal": {"cos:content-length": 9},
            "string_equal_if_exist": {"cos:x-cos-acl": ""},
        },
    }
    FIT: ClassVar[dict[str, str]] = {"cos:content-type": "image/png", "cos:content-length": "9"}

    def read(self, action: str = PUT, key: str = "u1/a", values: dict[str, str] | None = None) -> evaluation.Reading:
        """How the statement reads for a request."""
        document = {"version": "2.0", "statement": [self.STATEMENT]}
        return evaluation.readings(document, action, f"{RESOURCE}{key}", self.FIT if values is None else values)[0]

    def test_fits(self) -> None:
        """A request that fits has nothing against it."""
        assert self.read() == evaluation.Reading("allow", (), ())

    def test_misses(self) -> None:
        """Everything that keeps it from matching is named, with both sides."""
        found = self.read(GET, "u10/a", {**self.FIT, "cos:x-cos-acl": "public-read", "cos:content-length": "10"})
        assert found.misses == (
            "is about cos:PutObject, not cos:GetObject",
            f"reaches {RESOURCE}u1/*, not {RESOURCE}u10/a",
            "demands that cos:content-length is at most 9, got '10'",
            "demands that cos:x-cos-acl is empty, got 'public-read'",
        )

    def test_provisos(self) -> None:
        """What the request was not told to carry is open, unless it may be absent."""
        found = self.read(values={})
        assert found.misses == ()
        assert found.provisos == (
            "cos:content-type is image/png or image/jpeg",
            "cos:content-length is at most 9",
        )

    def test_empty_value(self) -> None:
        """An empty value is one that the request carries."""
        found = self.read(values={**self.FIT, "cos:content-type": ""})
        assert found.misses == ("demands that cos:content-type is image/png or image/jpeg, got ''",)
        assert found.provisos == ()

    @pytest.mark.parametrize("action", [PUT, GET])
    @pytest.mark.parametrize("key", ["u1/a", "u1", "u2/a"])
    @pytest.mark.parametrize("length", ["9", "10", None])
    def test_agrees(self, action: str, key: str, length: str | None) -> None:
        """A reading without misses and provisos is a request that is allowed, and no other."""
        values = {name: value for name, value in {**self.FIT, "cos:content-length": length}.items() if value}
        found = self.read(action, key, values)
        decided = evaluation.evaluate({"version": "2.0", "statement": [self.STATEMENT]}, action, RESOURCE + key, values)
        assert (not found.misses and not found.provisos) is decided.allowed
