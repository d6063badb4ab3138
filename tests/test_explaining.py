"""What a route makes of a principal, and which lock decides."""

from __future__ import annotations

import json
import re
import shutil

import pytest

from broker import explaining
from broker.cli import explained as layout
from broker.errors import ConfigurationError, Refused
from broker.identity.principals import ANONYMOUS, Principal
from broker.policy import catalog
from broker.policy.asks import Ask
from broker.policy.limits import Limits
from tests.conftest import REPOSITORY

NOW = 1_700_000_000
U1 = Principal({"sub": "u1", "scope": "avatars:write folder:keys", "tenant": "acme", "role": "owner"})
UUID = "0b6c1c5e-3a51-4f0e-9d2a-6d1f2a3b4c5d"
PLACE = "qcs::cos:ap-guangzhou:uid/1250000000:examplebucket-1250000000/"


# What the samples have no reason to hold.
ODD = {
    "reads-first": {
        "vends": ["url"],
        "methods": ["GET", "PUT"],
        "key": "odd/{principal.sub}/{folder}/{uuid}.{ext}",
        "inputs": {"folder": {}, "ext": {}},
        "content": {"types": ["audio/*"]},
        "headers": {"Content-Language": {"enum": ["de", "en"], "required": True}},
        "params": {"mode": {"const": "m"}, "page": {"pattern": "[0-9]+", "required": True}},
    },
    "rated": {
        "vends": ["url"],
        "methods": ["GET"],
        "key": "rated/{principal.sub}/{name}",
        "inputs": {"name": {}},
        "rate": "10 per 2 hours",
    },
    "parted": {
        "vends": ["url", "download-url"],
        "methods": ["PUT"],
        "key": "parted/{principal.sub}/{name}",
        "inputs": {"name": {}},
    },
}


@pytest.fixture(scope="module")
def routes(tmp_path_factory):
    """The repository's samples, and the odd ones."""
    folder = tmp_path_factory.mktemp("explaining") / "policies"
    shutil.copytree(REPOSITORY / "policies", folder)
    for name, policy in ODD.items():
        place = {"bucket": "examplebucket-1250000000", "region": "ap-guangzhou"}
        (folder / f"{name}.json").write_text(json.dumps({**place, **policy}))
    return catalog.load(folder, Limits(4096, "https://{bucket}.cos.{region}.myqcloud.com"))


@pytest.fixture
def explained(routes):
    """A sample, explained for u1."""

    def explain(name: str, principal: Principal = U1, **asked) -> explaining.Explained:
        route = routes.route(name)
        return explaining.explain(route, route.admit(principal), Ask(route.document.vends[0], **asked), NOW)

    return explain


def tried(explained: explaining.Explained, text: str) -> list[str]:
    """What both locks say to a request."""
    return list(layout.tried(explained, explaining.parse_request(text), NOW))[1:]


class TestExplanation:
    """Key, credentials, documents."""

    def test_what_is_vended(self, explained, routes):
        """The documents are those that STS is asked for, whatever the vend."""
        route = routes.route("private-files")
        found = explained("private-files", key="files/u1/a")
        for held, method in zip(found.held, ("GET", "HEAD"), strict=True):
            order = route.order(Ask("url", method=method, key="files/u1/a"), route.admit(U1), NOW)
            assert (held.scope, held.kind.need_seconds) == (order.demand.scope, order.demand.need_seconds)
        keys = explained("user-folder").held[0]
        order = routes.route("user-folder").order(Ask("credentials"), routes.route("user-folder").admit(U1), NOW)
        assert (keys.scope, keys.kind.need_seconds) == (order.demand.scope, order.demand.need_seconds)

    @pytest.mark.parametrize(
        ("route", "held"),
        [
            ("avatars", [("put", ("url", "signature"))]),
            ("private-files", [("get", ("url", "download-url")), ("head", ("url",))]),
            ("avatar-download", [("get", ("download-url",))]),
            ("user-folder", [("credentials", ("credentials",))]),
            ("parted", [("put", ("url",)), ("get", ("download-url",))]),
        ],
    )
    def test_credentials(self, explained, route, held):
        """One credential for each operation, and who signs with it."""
        assert [(one.name, one.vends) for one in explained(route).kinds] == held

    @pytest.mark.parametrize(
        ("route", "asked", "key", "why"),
        [
            ("reports", {"inputs": {"month": "2026-01"}}, "reports/acme/2026-01.pdf", ""),
            ("reports", {}, None, "give --input month=…, or --key"),
            ("avatar-download", {"inputs": {"ext": "png"}}, None, "give --key: GET names an existing object"),
            ("avatar-download", {"key": f"avatars/u1/{UUID}.png"}, f"avatars/u1/{UUID}.png", ""),
            ("user-folder", {}, None, "the holder of the keys chooses one"),
            ("reads-first", {}, None, "give --input ext=…, --input folder=…, or --key"),
            ("reads-first", {"inputs": {"folder": "a"}}, None, "give --input ext=…, or --key"),
        ],
    )
    def test_key(self, explained, route, asked, key, why):
        """The key if it can be told, else what it takes."""
        found = explained(route, **asked)
        assert (found.key, found.why) == (key, why)

    def test_generated_key(self, explained):
        """The key of an upload is told wherever the policy has PUT: the broker makes its generated parts."""
        found = explained("reads-first", inputs={"folder": "a", "ext": "png"})
        assert re.fullmatch(r"odd/u1/a/[0-9a-f-]{36}\.png", found.key)

    def test_signed_parameters(self, explained):
        """Parameters that the broker adds are told like headers."""
        lines = list(layout.lines(explained("reads-first"), None))
        assert "signed      mode: m" in lines

    def test_refused_key(self, explained):
        """A key that the route refuses is refused."""
        with pytest.raises(Refused):
            explained("my-files-delete", key="files/u10/a")

    def test_object_scope(self, explained):
        """Which object a credential is for is known with the key alone."""
        assert explained("my-files-delete").held == ()
        assert "not known without its key" in list(layout.lines(explained("my-files-delete"), None))[-1]
        (held,) = explained("my-files-delete", key="files/u1/a").held
        assert held.document["statement"][0]["resource"] == [f"{PLACE}files/u1/a"]

    def test_rate(self, explained):
        """A rate is told, and nothing where there is none."""
        lines = list(layout.lines(explained("rated", inputs={"name": "a"}), None))
        assert "rate        10 per 7200 seconds: so many signed requests for each principal" in lines
        assert "rate" not in {line.split(" ")[0] for line in layout.lines(explained("parted"), None)}

    def test_lines(self, explained):
        """All of it for people: lifetimes, what is signed, size, fingerprint, the whole document."""
        found = explained("avatars", inputs={"ext": "png"})
        lines = list(layout.lines(found, lambda scope: "f" * 64))
        assert lines[0] == "route       avatars: Signed-in users upload their own avatar."
        assert "links       live 300 s, at most 900 s" in lines
        assert "signed      Cache-Control: no-store, x-cos-forbid-overwrite: true" in lines
        lives = "1800 s, by GetFederationToken; needed for up to 960 s, renewed in use after about 605 s"
        assert f"lives       {lives}" in lines
        assert f"fingerprint {'f' * 64}" in lines
        assert "document    785 of 4096 bytes" in lines
        document = lines[lines.index("document    785 of 4096 bytes") + 1 :]
        assert json.loads("".join(document)) == found.held[0].document


class TestLocks:
    """Which lock says what to a request."""

    def test_allowed(self, explained):
        """A request that both let through, with what it has to carry."""
        assert tried(explained("avatars"), f"PUT avatars/u1/{UUID}.png") == [
            "  broker      grants it by url, with Content-Type: image/png, Content-Length: 1",
            "  put         allows cos:PutObject by statement 1, provided that",
            "                cos:content-length is at most 5242880",
            "                cos:content-type is image/png or image/jpeg or image/webp",
        ]

    def test_other_principal(self, explained):
        """Somebody else's key: both locks say no, and why."""
        assert tried(explained("avatars"), f"PUT avatars/u2/{UUID}.png") == [
            "  broker      refuses, key_not_allowed: key must be of the form avatars/{principal.sub}/{uuid}.{ext}, "
            "got 'avatars/u2/0b6c1c5e-3a51-4f0e-9d2a-6d1f2a3b4c5d.png'",
            "  put         denies cos:PutObject: no statement allows it",
            f"                statement 1 reaches {PLACE}avatars/u1/*, not {PLACE}avatars/u2/{UUID}.png",
        ]

    def test_inside_the_folder(self, explained):
        """What the policy's form forbids and CAM cannot: the first lock alone."""
        broker, cam, *_ = tried(explained("avatars"), "PUT avatars/u1/index.html")
        assert (broker.split()[1], cam.split()[1]) == ("refuses,", "allows")

    def test_headers(self, explained):
        """What the request carries is judged, by both."""
        headers = {"Content-Type": "text/html", "Content-Length": "5242881"}
        broker, *cam = tried(explained("avatars", headers=headers), f"PUT avatars/u1/{UUID}.png")
        assert broker.startswith("  broker      refuses, content_type_not_allowed")
        assert cam[1:] == [
            "                statement 1 demands that cos:content-length is at most 5242880, got '5242881'",
            "                statement 1 demands that cos:content-type is image/png or image/jpeg or image/webp, "
            "got 'text/html'",
        ]

    @pytest.mark.parametrize(
        ("request_text", "action"),
        [
            ("GET avatars/u1/a.png", "GetObject"),
            ("GET avatars/u1/a.png?acl", "GetObjectACL"),
            ("PUT avatars/u1/a.png?tagging", "PutObjectTagging"),
            ("POST avatars/u1/a.png?uploads", "InitiateMultipartUpload"),
            ("DELETE avatars/u1/a.png", "DeleteObject"),
            ("get ?prefix=avatars/u1/", "GetBucket"),
        ],
    )
    def test_other_operation(self, explained, request_text, action):
        """One credential does one operation."""
        broker, cam, *_ = tried(explained("avatars"), request_text)
        assert "refuses, " in broker
        assert cam == f"  put         denies cos:{action}: no statement allows it"

    def test_union(self, explained):
        """Keys are judged by CAM alone, statement by statement."""
        lines = tried(explained("user-folder"), "DELETE files/u10/a")
        assert lines[0] == "  credentials denies cos:DeleteObject: no statement allows it"
        assert len([line for line in lines if "reaches" in line]) == 3
        assert tried(explained("user-folder"), "DELETE files/u1/a") == [
            "  credentials allows cos:DeleteObject by statement 3"
        ]

    def test_other_version(self, explained):
        """A parameter in the request is judged, too."""
        lines = tried(explained("private-files"), "GET files/u1/a?versionId=v1")
        assert "refuses, param_not_allowed" in lines[0]
        assert "                statement 1 demands that cos:versionid is empty, got 'v1'" in lines

    def test_required(self, explained):
        """What an ask must carry is added as far as it is not given, to uploads what the content needs, too."""
        found = explained("reads-first", params={"page": "1"})
        assert tried(found, f"PUT odd/u1/a/{UUID}.png")[0] == (
            "  broker      grants it by url, with Content-Type: audio/x, Content-Language: de"
        )
        assert tried(found, f"GET odd/u1/a/{UUID}.png")[0] == "  broker      grants it by url"
        given = explained("reads-first", params={"page": "1"}, headers={"content-language": "en"})
        assert tried(given, f"PUT odd/u1/a/{UUID}.png")[0] == (
            "  broker      grants it by url, with Content-Type: audio/x"
        )

    @pytest.mark.parametrize(
        ("asked", "query", "answer"),
        [
            ({}, "", "refuses, param_required"),
            ({}, "?page=1", "grants"),
            ({"page": "1"}, "", "grants"),
            ({"page": "x"}, "?page=1", "grants"),
            ({"page": "1"}, "?page=x", "refuses, param_not_allowed"),
        ],
    )
    def test_parameters(self, explained, asked, query, answer):
        """Parameters may be given with the ask or in the request, whose own word counts."""
        broker, *_ = tried(explained("reads-first", params=asked), f"GET odd/u1/a/{UUID}.png{query}")
        assert broker.removeprefix("  broker      ").startswith(answer)

    def test_anonymous(self, explained):
        """Everybody's route is explained for nobody in particular."""
        broker, cam = tried(explained("downloads", ANONYMOUS), "GET downloads/a.zip")
        assert broker == "  broker      grants it by download-url"
        assert cam == "  get         allows cos:GetObject by statement 1"

    def test_object_scope(self, explained):
        """With a credential for one object, the one that the request would get is tried; others' is not minted."""
        for asked in ({}, {"inputs": {"path": "other"}}):
            assert tried(explained("my-files-delete", **asked), "DELETE files/u1/a") == [
                "  broker      grants it by url",
                "  delete      allows cos:DeleteObject by statement 1",
            ]
        broker, *_ = tried(explained("my-files-delete"), "DELETE files/u10/a")
        assert broker.startswith("  broker      refuses, key_not_allowed")
        _, cam, miss = tried(explained("my-files-delete", key="files/u1/a"), "GET files/u1/a")
        assert (cam.split()[1], miss.split()[2:4]) == ("denies", ["is", "about"])

    @pytest.mark.parametrize(
        ("header", "words"), [("Pic-Operations", "every fileid"), ("x-cos-copy-source", "the copy's source")]
    )
    def test_what_a_header_needs(self, explained, header, words):
        """A header that makes COS read or write other objects is told of."""
        lines = tried(explained("user-folder", headers={header: "x"}), "PUT files/u1/a")
        assert any("what it needs besides is allowed" in line and words in line for line in lines)

    def test_unknown_method(self, explained):
        """COS has no such method, and the route signs none."""
        broker, cam = tried(explained("avatars"), "PATCH avatars/u1/a")
        assert broker == "  broker      refuses, method_not_allowed_by_policy: this route signs PUT"
        assert cam == "  put         denies: COS has no PATCH."


@pytest.mark.parametrize(
    ("text", "method", "key", "params"),
    [
        ("PUT a/b", "PUT", "a/b", {}),
        ("  put   a b.png ", "PUT", "a b.png", {}),
        ("GET a?acl", "GET", "a", {"acl": ""}),
        ("GET a?versionId=v&x=%20", "GET", "a", {"versionId": "v", "x": " "}),
        ("GET ?uploads", "GET", "", {"uploads": ""}),
    ],
)
def test_request(text, method, key, params):
    """A request is a method, a key and a query."""
    found = explaining.parse_request(text)
    assert (found.method, found.key, found.params) == (method, key, params)


@pytest.mark.parametrize("text", ["", "PUT", "PUT ", "a/b.png", "  "])
def test_no_request(text):
    """Anything else is told what would be one."""
    with pytest.raises(ConfigurationError, match="must be METHOD KEY"):
        explaining.parse_request(text)
