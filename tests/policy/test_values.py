"""Headers and parameters of an ask, and the disposition a filename makes."""

from __future__ import annotations

import pytest

from broker.policy.values import attachment

IN = {"inputs": {"ext": "png"}}
META = "x-cos-meta-"


@pytest.fixture
def upload(route):
    """A route without content limits and with these headers."""

    def make(**headers):
        return route("upload", {"content": ..., "headers": {n.replace("_", "-"): rule for n, rule in headers.items()}})

    return make


class TestHeaders:
    """What a header may hold."""

    @pytest.mark.parametrize(
        ("rule", "granted", "refused_values"),
        [
            ({"const": "no-store"}, "no-store", ["no-cache", "No-Store", ""]),
            ({"enum": ["a", "b"]}, "b", ["A", "ab", "", "a,b"]),
            ({"pattern": "a+"}, "aaa", ["", "aab", "baa", "a a"]),
            ({"pattern": ".*"}, "a" * 1024, ["a" * 1025]),
            (
                {"pattern": "(?s).*"},
                "a b",
                [" a", "a ", "a\r\nX: y", "a\n", "a\tb", "é", "a\x00", "\x7f", "", "a\u2028"],
            ),
        ],
    )
    def test_rule(self, upload, order, refused, rule, granted, refused_values):
        """A value meets its rule entirely, and no rule admits what a header cannot carry."""
        route = upload(X_A=rule)
        assert order(route, **IN, headers={"X-A": granted}).request.headers["X-A"] == granted
        for value in refused_values:
            assert refused(route, **IN, headers={"X-A": value}) == ("header_not_allowed", ["headers.X-A"])

    def test_const_is_added(self, upload, order):
        """A constant is signed whether it is asked for or not."""
        route = upload(Cache_Control={"const": "no-store"})
        assert order(route, **IN).request.headers["Cache-Control"] == "no-store"
        asked = order(route, **IN, headers={"cache-control": "no-store"}).request.headers
        assert [(n, v) for n, v in asked.items() if n.lower() == "cache-control"] == [("Cache-Control", "no-store")]

    def test_const_of_claims(self, upload, order, refused):
        """A constant may be a template of claims; somebody else's value is refused."""
        route = upload(x_cos_meta_by={"const": "user {principal.sub}"})
        assert order(route, **IN).request.headers["x-cos-meta-by"] == "user u1"
        assert order(route, **IN, headers={"x-cos-meta-by": "user u1"}).request.headers["x-cos-meta-by"] == "user u1"
        assert refused(route, **IN, headers={"x-cos-meta-by": "user u2"})[0] == "header_not_allowed"

    def test_required(self, upload, order, refused):
        """A required header that is missing has a code of its own; an optional one may be missing."""
        rules = {"X_A": {"enum": ["a"], "required": True}, "X_B": {"enum": ["b"]}}
        assert refused(upload(**rules), **IN) == ("header_required", ["headers.X-A"])
        assert refused(upload(**rules), **IN, headers={"X-B": "b"}) == ("header_required", ["headers.X-A"])
        assert set(order(upload(**rules), **IN, headers={"x-a": "a"}).request.headers) == {"Host", "X-A"}

    def test_unlisted(self, upload, order, refused):
        """What is not listed is refused, and every one of them is named."""
        route = upload(X_A={"enum": ["a"]})
        asked = {"X-A": "a", "X-B": "b", "X-C": "c"}
        assert refused(route, **IN, headers=asked) == ("header_not_allowed", ["headers.X-B", "headers.X-C"])
        assert order(route, **IN, headers={"X-A": "a"})

    def test_missing_and_wrong(self, upload, refused):
        """Wrong headers give the code, missing ones are listed beside them."""
        route = upload(X_A={"enum": ["a"], "required": True})
        assert refused(route, **IN, headers={"X-B": "b"}) == ("header_not_allowed", ["headers.X-B", "headers.X-A"])

    @pytest.mark.parametrize("names", [("X-A", "x-a"), ("x-cos-meta-q", "X-Cos-Meta-Q")])
    def test_twice(self, upload, order, refused, names):
        """Two spellings of one header are refused, even with equal values."""
        route = upload(X_A={"enum": ["a"]}, **{"x_cos_meta_*": {"pattern": "a"}})
        assert refused(route, **IN, headers=dict.fromkeys(names, "a"))[0] == "header_not_allowed"
        assert order(route, **IN, headers={names[1]: "a"})

    @pytest.mark.parametrize(
        "name",
        [
            "Host",
            "Authorization",
            "x-cos-security-token",
            "x-cos-acl",
            "x-cos-grant-read",
            "Pic-Operations",
            "q-ak",
            "",
            "Transfer-Encoding",
            "x-cos-copy-source",
            "Expect",
            "X-A\r\nX-B",
            "X-A ",
            "é",
        ],
    )
    def test_reserved(self, upload, order, refused, name):
        """Reserved names stay refused beside a rule that takes anything."""
        route = upload(**{"X_A": {"pattern": ".*"}, "x_cos_meta_*": {"pattern": ".*"}})
        assert refused(route, **IN, headers={name: "a"})[0] == "header_not_allowed"
        assert order(route, **IN, headers={"X-A": "a"})

    @pytest.mark.parametrize(
        ("name", "granted"),
        [
            ("x-cos-meta-a", True),
            ("X-Cos-Meta-Color-2", True),
            ("x-cos-meta-" + "a" * 64, True),
            ("x-cos-meta-" + "a" * 65, False),
            ("x-cos-meta-", False),
            ("x-cos-meta", False),
            ("x-cos-meta-*", False),
            ("x-cos-meta-a_b", False),
            ("x-cos-meta-a b", False),
            ("x-cos-meta-a\n", False),
            ("x-cos-meta-é", False),
            ("xx-cos-meta-a", False),
            ("x-cos-metaa", False),
        ],
    )
    def test_metadata_prefix(self, upload, order, refused, name, granted):
        """The prefix stands for 1 to 64 of a-z 0-9 -, and for nothing else, itself included."""
        route = upload(**{"x_cos_meta_*": {"pattern": "[a-z]+"}})
        if granted:
            assert order(route, **IN, headers={name: "v"}).request.headers[name] == "v"
            assert refused(route, **IN, headers={name: "5"})[0] == "header_not_allowed"
        else:
            assert refused(route, **IN, headers={name: "v"})[0] == "header_not_allowed"

    def test_metadata_rule_before_the_prefix(self, upload, order, refused):
        """A name with a rule of its own obeys that one, not the prefix."""
        route = upload(**{"x_cos_meta_a": {"const": "fixed"}, "x_cos_meta_*": {"pattern": ".*"}})
        assert order(route, **IN).request.headers["x-cos-meta-a"] == "fixed"
        assert refused(route, **IN, headers={"X-Cos-Meta-A": "other"})[0] == "header_not_allowed"
        assert order(route, **IN, headers={"x-cos-meta-b": "other"})

    @pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "POST"])
    def test_upload_headers_elsewhere(self, route, order, refused, method):
        """Headers of an upload are neither added to nor accepted by other methods."""
        headers = {
            "Cache-Control": {"const": "a"},
            "X-A": {"enum": ["a"], "required": True},
            "If-Match": {"enum": ["e"]},
        }
        both = route("read", {"methods": ["PUT", method], "headers": headers})
        assert set(order(both, method=method, inputs={"name": "a"}).request.headers) == {"Host"}
        assert refused(both, method=method, inputs={"name": "a"}, headers={"X-A": "a"})[0] == "header_not_allowed"
        if method != "POST":
            asked = {"If-Match": "e"}
            assert order(both, method=method, inputs={"name": "a"}, headers=asked).request.headers["If-Match"] == "e"

    def test_value_stays_out_of_messages(self, upload, order):
        """A refusal never quotes a header's value."""
        with pytest.raises(Exception, match="X-A") as caught:
            order(upload(X_A={"enum": ["a"]}), **IN, headers={"X-A": "private-value"})
        assert "private-value" not in str(caught.value)

    @pytest.mark.parametrize("kind", ["headers", "params", "inputs"])
    def test_name_is_escaped(self, upload, order, kind):
        """A caller's name enters a message escaped, and at most 64 characters of it."""
        asked = {"inputs": {"ext": "png"}}
        asked[kind] = {**asked.get(kind, {}), "x\n\x1b[31m" + "y" * 100: "v"}
        with pytest.raises(Exception, match="not") as caught:
            order(upload(), **asked)
        for text in (str(caught.value), *(error.field for error in caught.value.errors)):
            assert text.isprintable()
            assert "y" * 65 not in text


class TestParams:
    """What a parameter may hold."""

    @pytest.mark.parametrize(
        ("rule", "granted", "refused_values"),
        [
            ({"const": "1"}, "1", ["2", ""]),
            ({"enum": ["", "a"]}, "", ["A", " "]),
            ({"pattern": "[0-9]{1,3}"}, "12", ["1234", "", "１"]),
            ({"pattern": "(?s).*"}, "é 漢+&=%#", ["a\n", "\x00", "\x85", "\ud800", "\u2028"]),
            ({"pattern": ".*"}, "a" * 1024, ["a" * 1025]),
        ],
    )
    def test_rule(self, route, order, refused, rule, granted, refused_values):
        """A value meets its rule entirely; control characters never do."""
        read = route("read", {"params": {"p": rule}})
        ask = {"inputs": {"name": "a"}}
        assert order(read, **ask, params={"p": granted}).request.params == {"p": granted}
        for value in refused_values:
            assert refused(read, **ask, params={"p": value}) == ("param_not_allowed", ["params.p"])

    def test_names_are_exact(self, route, order, refused):
        """A parameter's name is case-sensitive; what is not listed is refused, sub-resources included."""
        read = route("read", {"params": {"imageMogr2/thumbnail/200x": {"const": ""}, "p": {"pattern": ".*"}}})
        ask = {"inputs": {"name": "a"}}
        assert order(read, **ask).request.params == {"imageMogr2/thumbnail/200x": ""}
        for name in ("P", "acl", "uploads", "q-ak", "x-cos-security-token", "sign", "", "p "):
            assert refused(read, **ask, params={name: ""})[0] == "param_not_allowed"

    def test_required(self, route, order, refused):
        """A required parameter that is missing has a code of its own."""
        read = route("read", {"params": {"p": {"enum": ["a"], "required": True}}})
        assert refused(read, inputs={"name": "a"}) == ("param_required", ["params.p"])
        assert order(read, inputs={"name": "a"}, params={"p": "a"}).request.params == {"p": "a"}

    def test_const_of_claims(self, route, order, refused):
        """A constant may be a template of claims."""
        read = route("read", {"params": {"by": {"const": "{principal.sub}"}}})
        assert order(read, inputs={"name": "a"}).request.params == {"by": "u1"}
        assert refused(read, inputs={"name": "a"}, params={"by": "u2"})[0] == "param_not_allowed"


class TestFilename:
    """`filename` of a download."""

    @pytest.mark.parametrize(
        ("name", "disposition"),
        [
            ("report.pdf", 'attachment; filename="report.pdf"'),
            ("my report.pdf", 'attachment; filename="my report.pdf"'),
            ("a;b=c.pdf", 'attachment; filename="a;b=c.pdf"'),
            ('a"b.pdf', "attachment; filename=\"a_b.pdf\"; filename*=UTF-8''a%22b.pdf"),
            ("a\\b", "attachment; filename=\"a_b\"; filename*=UTF-8''a%5Cb"),
            ("a%41", "attachment; filename=\"a_41\"; filename*=UTF-8''a%2541"),
            ("Übersicht.pdf", "attachment; filename=\"_bersicht.pdf\"; filename*=UTF-8''%C3%9Cbersicht.pdf"),
            ("报告.pdf", "attachment; filename=\"__.pdf\"; filename*=UTF-8''%E6%8A%A5%E5%91%8A.pdf"),
            (
                "a\r\nSet-Cookie: b",
                "attachment; filename=\"a__Set-Cookie: b\"; filename*=UTF-8''a%0D%0ASet-Cookie%3A%20b",
            ),
            ("a\x00b", "attachment; filename=\"a_b\"; filename*=UTF-8''a%00b"),
        ],
    )
    def test_disposition(self, route, order, name, disposition):
        """Quotes and control characters cannot leave the quotes; other scripts go encoded."""
        assert attachment(name) == disposition
        assert order(route("download"), inputs={"name": "a"}, filename=name).request.params == {
            "response-content-disposition": disposition
        }

    def test_both_ways(self, route, order, refused):
        """A filename and the parameter it stands for exclude each other."""
        rule = {"params": {"response-content-disposition": {"pattern": ".*"}}}
        asked = {"inputs": {"name": "a"}, "params": {"response-content-disposition": "inline"}}
        assert refused(route("download", rule), **asked, filename="a.pdf") == ("invalid_request", ["filename"])
        assert order(route("download", rule), **asked).request.params == {"response-content-disposition": "inline"}

    def test_fixed_disposition(self, route, order, refused):
        """A disposition that the policy fixes is not changed by a filename."""
        rule = {"params": {"response-content-disposition": {"const": "inline"}}}
        ask = {"inputs": {"name": "a"}}
        assert refused(route("download", rule), **ask, filename="a.pdf")[0] == "param_not_allowed"
        assert order(route("download", rule), **ask).request.params == {"response-content-disposition": "inline"}

    def test_one_name_in_two_spellings(self, policy, problems):
        """Signed names are unique in lower case: a policy that spells the disposition otherwise is refused."""
        rule = {"const": "inline"}
        assert problems(policy("download", {"params": {"Response-Content-Disposition": rule}}))
        assert not problems(policy("download", {"params": {"response-content-disposition": rule}}))
