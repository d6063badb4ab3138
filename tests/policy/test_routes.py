"""Asks granted and refused: what exactly will be signed, or the code and the fields."""

from __future__ import annotations

import re
import uuid

import pytest

from broker.policy.descriptions import describe
from broker.policy.limits import Limits
from broker.policy.routes import MARGIN_SECONDS

HOST = "examplebucket-1250000000.cos.ap-guangzhou.myqcloud.com"
PLACE = "examplebucket-1250000000.cos.ap-guangzhou"
PNG = {"Content-Type": "image/png", "Content-Length": "1000"}
UUID = "0b6c1c5e-3a51-4f0e-9d2a-6d1f2a3b4c5d"


class TestOrder:
    """What an ask that is granted becomes."""

    def test_url(self, route, order):
        """Method, endpoint, key, Host and the asked headers; nothing else is signed."""
        given = order(
            route("read", {"headers": {"Range": {"pattern": ".+"}}}),
            inputs={"name": "a b"},
            headers={"range": "bytes=0-1"},
        )
        assert given.request._asdict() == {
            "method": "GET",
            "base_url": f"https://{HOST}",
            "key": "files/u1/a b",
            "headers": {"Host": HOST, "Range": "bytes=0-1"},
            "params": {},
        }
        assert (given.vend, given.bucket, given.region) == ("url", "examplebucket-1250000000", "ap-guangzhou")
        assert (given.key_prefix, given.actions) == ("", ())

    def test_keys(self, route, order):
        """Keys have no request; they reach a prefix and must live at least as long as the policy says."""
        given = order(route("keys", {"credential": {"min_remaining_seconds": 700}}))
        assert (given.request, given.demand.required_seconds, given.key_prefix) == (None, 700, "users/u1/")

    @pytest.mark.parametrize(("asked", "seconds"), [(None, 300), (1, 1), (300, 300), (900, 900)])
    def test_expiry(self, route, order, asked, seconds):
        """The default, or what is asked, to the second; the credential must outlast it by the margin."""
        given = order(route("read"), inputs={"name": "a"}, expires_in=asked)
        assert (given.expires_in, given.demand.required_seconds) == (seconds, seconds + MARGIN_SECONDS)

    @pytest.mark.parametrize("asked", [901, 10**12])
    def test_expiry_too_long(self, route, refused, asked):
        """More than the maximum is refused, never shortened."""
        assert refused(route("read"), inputs={"name": "a"}, expires_in=asked) == ("expires_too_long", ["expires_in"])

    @pytest.mark.parametrize("asked", [0, -1, -(10**9)])
    def test_expiry_in_the_past(self, route, refused, asked):
        """No positive lifetime is no ask, whoever made it."""
        assert refused(route("read"), inputs={"name": "a"}, expires_in=asked) == ("invalid_request", ["expires_in"])

    def test_generated_key(self, route, order):
        """A generated key is new at each ask: a version 4 UUID in the caller's folder."""
        asks = [order(route("upload"), inputs={"ext": "png"}, headers=PNG).request.key for _ in range(600)]
        assert len(set(asks)) == 600
        for key in asks:
            found = re.fullmatch(r"avatars/u1/([0-9a-f-]{36})\.png", key)
            assert str(uuid.UUID(found[1], version=4)) == found[1]

    def test_date(self, route, order):
        """The date is the day of the ask in UTC."""
        dated = route("upload", {"key": "a/{principal.sub}/{date:%Y/%m/%d}/{ext}"})
        assert order(dated, inputs={"ext": "png"}, headers=PNG).request.key == "a/u1/2023/11/14/png"

    def test_endpoint_template(self, route, order, limits):
        """The endpoint comes from the settings' template, the Host as a client sends it."""
        local = route("read", {}, Limits(limits.policy_bytes, "http://127.0.0.1:9000"))
        request = order(local, inputs={"name": "a"}).request
        assert (request.base_url, request.headers["Host"]) == ("http://127.0.0.1:9000", "127.0.0.1:9000")

    def test_many_header_names(self, route, order, refused):
        """Names of headers stand in the URL, too: too many are refused before STS is asked."""
        meta = route("upload", {"headers.x-cos-meta-*": {"pattern": ".*"}})
        asked = {f"x-cos-meta-{number:03d}{'a' * 60}": "x" for number in range(100)}
        assert refused(meta, inputs={"ext": "png"}, headers={**PNG, **asked}) == ("url_too_long", [])
        some = dict(list(asked.items())[:20])
        assert order(meta, inputs={"ext": "png"}, headers={**PNG, **some})

    @pytest.mark.parametrize(
        ("template", "host"),
        [
            ("https://cdn.example.com/", "cdn.example.com"),
            ("https://{bucket}.cos.{region}.tencentcos.cn", f"{PLACE}.tencentcos.cn"),
            ("https://{bucket}.cos.accelerate.myqcloud.com", "examplebucket-1250000000.cos.accelerate.myqcloud.com"),
        ],
    )
    def test_endpoint_of_a_route(self, route, order, template, host):
        """A route's own endpoint replaces the settings': custom domain, another domain of COS, acceleration."""
        request = order(route("read", {"endpoint": template}), inputs={"name": "a"}).request
        assert (request.base_url, request.headers["Host"]) == (f"https://{host}", host)

    def test_bucket(self, route, order, refused):
        """The bucket may be repeated, and no other may be named."""
        assert order(route("read"), inputs={"name": "a"}, bucket="examplebucket-1250000000")
        for bucket in ("other-1250000000", "", "examplebucket-125000000", "ExampleBucket-1250000000"):
            assert refused(route("read"), inputs={"name": "a"}, bucket=bucket) == ("bucket_not_allowed", ["bucket"])
        assert order(route("keys"), bucket="examplebucket-1250000000")
        assert refused(route("keys"), bucket="other-1250000000") == ("bucket_not_allowed", ["bucket"])

    def test_describe(self, route):
        """What a caller is told about a route."""
        assert describe(route("upload")) == {
            "route": "route",
            "description": "Uploads.",
            "vends": ["url"],
            "methods": ["PUT"],
            "inputs": {"ext": {"enum": ["png", "jpg"]}},
            "content": {"types": ["image/png", "image/jpeg"], "max_bytes": 1000},
            "headers": {},
            "params": {},
            "expires": {"default_seconds": 300, "max_seconds": 900},
        }
        assert describe(route("download"))["methods"] == ["GET"]


class TestMethods:
    """Which method is signed."""

    def test_only_one(self, route, order, refused):
        """One method need not be said; another is refused."""
        assert order(route("read"), inputs={"name": "a"}).request.method == "GET"
        assert order(route("read"), inputs={"name": "a"}, method="GET").request.method == "GET"
        for method in ("PUT", "HEAD", "get", "PATCH"):
            found = refused(route("read"), inputs={"name": "a"}, method=method)
            assert found == ("method_not_allowed_by_policy", ["method"])

    def test_signature_alone(self, route, order):
        """Signatures are made for the methods of the policy, with or without URLs."""
        made = order(route("read", {"vends": ["signature"]}), method="GET", inputs={"name": "a"})
        assert (made.request.method, made.request.key) == ("GET", "files/u1/a")

    def test_choice(self, route, order, refused):
        """Where two are possible, the ask has to say."""
        both = route("read", {"methods": ["GET", "HEAD"]})
        assert refused(both, inputs={"name": "a"}) == ("invalid_request", ["method"])
        assert order(both, inputs={"name": "a"}, method="HEAD").request.method == "HEAD"

    def test_download(self, route, order, refused):
        """A download is a GET whatever the methods are, and they do not follow from it."""
        mixed = route("read", {"vends": ["download-url", "url"], "methods": ["PUT"]})
        assert order(mixed, vend="download-url", inputs={"name": "a"}).request.method == "GET"
        assert order(mixed, vend="url", inputs={"name": "a"}).request.method == "PUT"
        assert refused(mixed, vend="url", method="GET", inputs={"name": "a"})[0] == "method_not_allowed_by_policy"
        assert (
            refused(mixed, vend="download-url", method="PUT", inputs={"name": "a"})[0] == "method_not_allowed_by_policy"
        )

    @pytest.mark.parametrize("vend", ["signature", "download-url", "credentials", "form", "multipart", "URL", ""])
    def test_vend(self, route, refused, vend):
        """A vend that the policy does not name does not exist."""
        assert refused(route("read"), vend=vend, inputs={"name": "a"})[0] == "vend_not_allowed"


class TestKeys:
    """Keys that are given."""

    @pytest.mark.parametrize(
        ("key", "granted"),
        [
            ("files/u1/a", True),
            ("files/u1/a b.txt", True),
            ("files/u1/目录", True),
            ("files/u1/.hidden", True),
            ("files/u10/a", False),
            ("files/u2/a", False),
            ("files/u1", False),
            ("files/u1/", False),
            ("files/u1/a/b", False),
            ("files/u1/../u2/a", False),
            ("files/u1/..", False),
            ("files/u1/.", False),
            ("files//u1/a", False),
            ("/files/u1/a", False),
            ("files/u1/a*", False),
            ("files/u1/*", False),
            ("files/u1/?", False),
            ("files/u1/a%2e", False),
            ("files/u1/${x}", False),
            ("files/u1/a\\b", False),
            ("files/u1/a\n", False),
            ("files/u1/\u202ea", False),
            ("files/u1/e\u0301", False),
            ("files/u1/\ud800", False),
            ("files/{principal.sub}/a", False),
            ("FILES/u1/a", False),
            ("", False),
            ("/", False),
            ("files/u1/" + "a" * 128, True),
            ("files/u1/" + "a" * 129, False),
        ],
    )
    def test_given_key(self, route, order, refused, key, granted):
        """A given key is the principal's own and sound, or refused: never trimmed, never normalised."""
        if granted:
            assert order(route("read"), key=key).request.key == key
        else:
            assert refused(route("read"), key=key) == ("key_not_allowed", ["key"])

    def test_whole_key_length(self, route, order, refused):
        """A key has at most 850 bytes, given or rendered."""
        names = [f"i{n}" for n in range(7)]
        template = {"key": "f/" + "/".join(f"{{{n}}}" for n in names), "inputs": {n: {} for n in names}}
        fits = dict.fromkeys(names, "a" * 120)
        assert len(order(route("read", template), inputs=fits).request.key) == 848
        assert order(route("read", template), key="f/" + "/".join(["a" * 120] * 6 + ["a" * 122]))
        assert refused(route("read", template), inputs={**fits, "i0": "a" * 123})[0] == "input_not_allowed"
        assert (
            refused(route("read", template), key="f/" + "/".join(["a" * 120] * 6 + ["a" * 123]))[0] == "key_not_allowed"
        )

    def test_generated_parts_for_writes(self, route, order, refused):
        """A writer may name a generated key only in a folder of its own: nobody can name another's UUID."""
        own = f"avatars/u1/{UUID}.png"
        assert order(route("upload"), key=own, headers=PNG).request.key == own
        assert refused(route("upload"), key=f"avatars/u2/{UUID}.png", headers=PNG) == ("key_not_allowed", ["key"])
        shared = {"key": "drop/{uuid}.{ext}", "credential": {"shared_writes": True}}
        found = refused(route("upload", shared), key=f"drop/{UUID}.png", headers=PNG)
        assert found == ("key_not_allowed", ["key"])
        assert order(route("upload", shared), inputs={"ext": "png"}, headers=PNG)

    @pytest.mark.parametrize("method", ["GET", "HEAD", "DELETE", "POST"])
    def test_generated_parts_elsewhere(self, route, order, refused, method):
        """What is not an upload names an existing key: inputs cannot make it."""
        existing = route("upload", {"methods": ["PUT", method]})
        assert refused(existing, method=method, inputs={"ext": "png"}) == ("invalid_request", ["key"])
        assert refused(existing, method=method) == ("invalid_request", ["key"])
        key = f"avatars/u1/{UUID}.png"
        assert order(existing, method=method, key=key).request.key == key

    @pytest.mark.parametrize("method", ["GET", "HEAD"])
    def test_generated_parts_for_readers(self, route, order, refused, method):
        """Who knows a UUID may read it where the template holds no claim."""
        shared = route("upload", {"key": "drop/{uuid}.{ext}", "methods": [method], "content": ...})
        assert order(shared, key=f"drop/{UUID}.png").request.key == f"drop/{UUID}.png"
        assert refused(shared, key=f"drop/{UUID.upper()}.png")[0] == "key_not_allowed"

    def test_fixed_key(self, route, order, refused):
        """A key without placeholders need not be said."""
        fixed = route("read", {"key": "f/a.txt", "inputs": {}})
        assert order(fixed).request.key == "f/a.txt"
        assert order(fixed, key="f/a.txt").request.key == "f/a.txt"
        assert refused(fixed, key="f/b.txt") == ("key_not_allowed", ["key"])
        assert refused(fixed, inputs={"x": "y"}) == ("input_not_allowed", ["inputs.x"])

    def test_long_name(self, route, refused):
        """The name of an input that is none is told, cut and escaped."""
        code, fields = refused(route("read"), inputs={"name": "a", "x\n" * 500: "b"})
        assert code == "input_not_allowed"
        assert [("\n" in field, len(field) < 120) for field in fields] == [(False, True)]

    def test_message_is_escaped(self, route, order):
        """A refusal quotes at most 64 escaped characters of a key."""
        with pytest.raises(Exception, match="key") as caught:
            order(route("read"), key="files/\n\x1b[31m" + "漢" * 300)
        assert str(caught.value).isprintable()
        assert "漢" not in str(caught.value)
        assert len(str(caught.value)) < 200


class TestInputs:
    """What fills the placeholders."""

    @pytest.mark.parametrize(
        ("inputs", "fields"),
        [
            (None, ["inputs.ext"]),
            ({}, ["inputs.ext"]),
            ({"ext": "gif"}, ["inputs.ext"]),
            ({"ext": "PNG"}, ["inputs.ext"]),
            ({"ext": ""}, ["inputs.ext"]),
            ({"ext": "png", "uuid": UUID}, ["inputs.uuid"]),
            ({"ext": "png", "principal.sub": "u2"}, ["inputs.principal.sub"]),
            ({"ext": "png", "sub": "u2"}, ["inputs.sub"]),
            ({"name": "a", "ext": "gif"}, ["inputs.name", "inputs.ext"]),
        ],
    )
    def test_enum(self, route, refused, inputs, fields):
        """Missing, undeclared and illegal inputs are refused, all at once."""
        assert refused(route("upload"), inputs=inputs, headers=PNG) == ("input_not_allowed", fields)

    @pytest.mark.parametrize(
        "value", ["a/b", "..", ".", "", "a*", "a?", "a%2f", "{x}", "\n", "e\u0301", "\ud800", "\u202e", "a" * 129]
    )
    def test_free_input(self, route, order, refused, value):
        """An input is one sound segment."""
        assert refused(route("read"), inputs={"name": value}) == ("input_not_allowed", ["inputs.name"])
        assert order(route("read"), inputs={"name": "a"})

    @pytest.mark.parametrize(
        ("value", "granted"),
        [
            ("a", True),
            ("a/b/c.txt", True),
            ("a/.b", True),
            ("../a", False),
            ("a/..", False),
            ("a//b", False),
            ("/a", False),
            ("a/", False),
        ],
    )
    def test_path(self, route, order, refused, value, granted):
        """A path holds several sound segments."""
        read = route("read", {"inputs": {"name": {"type": "path"}}})
        if granted:
            assert order(read, inputs={"name": value}).request.key == f"files/u1/{value}"
        else:
            assert refused(read, inputs={"name": value}) == ("input_not_allowed", ["inputs.name"])

    @pytest.mark.parametrize(
        ("template", "bad", "sound"),
        [
            ("f/e{name}", "\u0301", "x"),
            ("f/.{name}", ".", "x"),
            ("f/{name}.", ".", "x"),
        ],
    )
    def test_joint(self, route, order, refused, template, bad, sound):
        """Sound parts that join to something unsound are refused, as inputs and as a key."""
        read = route("read", {"key": template})
        assert refused(read, inputs={"name": bad})[0] == "input_not_allowed"
        assert refused(read, key=template.replace("{name}", bad))[0] == "key_not_allowed"
        assert order(read, inputs={"name": sound})


class TestUrlLength:
    """A URL of at most 8,000 bytes with a token of usual length."""

    def test_asked_values(self, route, order, refused):
        """Values that make a URL too long are refused before any credential is asked for."""
        names = [f"p{n}" for n in range(8)]
        read = route("read", {"params": {name: {"pattern": ".*"} for name in names}})
        asked = dict.fromkeys(names, "a" * 600)
        assert order(read, inputs={"name": "a"}, params=asked)
        assert refused(read, inputs={"name": "a"}, params=dict.fromkeys(names, "a" * 900))[0] == "url_too_long"
        assert refused(read, inputs={"name": "a"}, params=dict.fromkeys(names, "漢" * 100))[0] == "url_too_long"


class TestDocumentLength:
    """What load could not measure."""

    def test_quotes(self, policy, problems, route, order, refused, limits):
        """Quotation marks take six bytes in a document: a key full of them is refused before STS sees it."""
        scoped = {"credential": {"scope": "object"}}
        whole = problems(policy("read", scoped), Limits(1, limits.cos_endpoint))[""]
        tight = Limits(int(whole.partition("reach ")[2].split()[0]), limits.cos_endpoint)
        read = route("read", scoped, tight)
        sub = "é" * 64
        for name in ("x" * 128, "é" * 64, " " * 128, '"' * 64):
            assert order(read, {"sub": sub}, inputs={"name": name})
        assert refused(read, {"sub": sub}, inputs={"name": '"' * 65})[0] in ("key_not_allowed", "input_not_allowed")
        assert refused(read, {"sub": sub}, key=f"files/{sub}/" + '"' * 65) == ("key_not_allowed", ["key"])


class TestStepOrder:
    """The first step that fails gives the code, and errors list that step alone."""

    STEPS = (
        ("vend", {"vend": "signature"}, {"vend": "url"}, "vend_not_allowed"),
        ("method", {"method": "DELETE"}, {"method": "PUT"}, "method_not_allowed_by_policy"),
        ("bucket", {"bucket": "other-1250000000"}, {}, "bucket_not_allowed"),
        ("inputs", {"inputs": {"ext": "gif"}}, {"inputs": {"ext": "png"}}, "input_not_allowed"),
        (
            "content",
            {"headers": {**PNG, "Content-Length": "1001", "X-Z": "z"}},
            {"headers": {**PNG, "X-Z": "z"}},
            "content_too_large",
        ),
        ("headers", {}, {"headers": PNG}, "header_not_allowed"),
        ("params", {"params": {"p": "q"}}, {}, "param_not_allowed"),
        ("expires", {"expires_in": 901}, {"expires_in": 900}, "expires_too_long"),
    )

    @pytest.mark.parametrize("step", range(len(STEPS)))
    def test_first_failure(self, route, refused, step):
        """With all later steps wrong too, the earliest wrong one decides."""
        ask: dict = {}
        for _, _, sound, _ in self.STEPS[:step]:
            ask |= sound
        for name, wrong, _, _ in reversed(self.STEPS[step:]):
            ask |= {"headers": {**PNG, "X-Z": "z"}} if name == "headers" else wrong
        code, fields = refused(route("upload", {"methods": ["PUT", "GET"]}), **ask)
        assert code == self.STEPS[step][3]
        assert len(fields) <= 1

    def test_all_sound(self, route, order):
        """The twin with every step sound is granted."""
        ask: dict = {}
        for _, _, sound, _ in self.STEPS:
            ask |= sound
        assert order(route("upload", {"methods": ["PUT", "GET"]}), **ask)

    def test_claims_before_the_ask(self, route, refused):
        """Who may not use a route learns nothing about its asks."""
        assert refused(route("upload"), {"sub": "*"}, vend="signature", bucket="x")[0] == "principal_not_allowed"


class TestSteps:
    """Uploads in parts: one request, or several, for each step."""

    KEY = "clips/u1/a"

    @pytest.mark.parametrize(
        ("method", "ask"),
        [
            ("POST", {"step": "initiate", "size": 1}),
            ("PUT", {"step": "parts", "size": 1, "parts": (1, 1), "upload_id": "u"}),
            ("GET", {"step": "list", "upload_id": "u"}),
            ("POST", {"step": "complete", "upload_id": "u"}),
            ("DELETE", {"step": "abort", "upload_id": "u"}),
        ],
    )
    def test_step(self, uploads, order, method, ask):
        """Each step has its method."""
        [one] = order(uploads, key=self.KEY, **ask).step.requests
        assert one.request.method == method

    @pytest.mark.parametrize("step", [None, "", "Abort", "delete"])
    def test_no_step(self, uploads, order, step):
        """What is no step signs nothing: that it got here is a bug."""
        with pytest.raises(ValueError, match="no step"):
            order(uploads, key=self.KEY, step=step, upload_id="u")

    @pytest.fixture
    def uploads(self, route):
        """A route of uploads in parts."""
        return route("read", {"vends": ["multipart"], "methods": ..., "key": "clips/{principal.sub}/{name}"})
