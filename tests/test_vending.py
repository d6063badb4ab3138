"""One ask, one grant: what is handed out, when it dies, and what is refused before STS is asked."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from broker.credentials.credential import Credential
from broker.errors import BrokerError, Forbidden, NotFound, Refused, Unauthenticated, UpstreamUnavailable
from broker.identity.principals import ANONYMOUS, Principal
from broker.limits import Rates
from broker.policy import catalog
from broker.policy.asks import Ask
from broker.policy.limits import Limits
from broker.vending import BACKDATE_SECONDS, Desk, KeysGrant, SignatureGrant, UrlGrant
from tests.doubles import NOW, Clock, IssuerDouble, open_cache

HOST = "examplebucket-1250000000.cos.ap-guangzhou.myqcloud.com"
U1 = Principal({"sub": "u1"})
PLACE = {"bucket": "examplebucket-1250000000", "region": "ap-guangzhou"}
POLICIES = {
    "read": {
        "vends": ["url", "signature", "download-url"],
        "methods": ["GET", "PUT"],
        "key": "files/{principal.sub}/{name}",
        "inputs": {"name": {}},
        "headers": {"X-A": {"const": "a"}, "Range": {"pattern": ".+"}},
        "params": {"p": {"pattern": ".*"}},
    },
    "keys": {
        "vends": ["credentials"],
        "methods": ["PUT", "GET"],
        "key": "users/{principal.sub}/{path}",
        "inputs": {"path": {"type": "path"}},
        "credential": {"min_remaining_seconds": 600},
    },
    "images": {
        "vends": ["url", "signature", "download-url"],
        "methods": ["GET", "HEAD"],
        "key": "images/{principal.sub}/{name}",
        "inputs": {"name": {}},
        "expires": {"default_seconds": 300, "max_seconds": 4000, "window_seconds": 3600},
        "credential": {"duration_seconds": 36000},
    },
    "open": {
        "principals": {"anonymous": True},
        "vends": ["download-url"],
        "key": "open/{name}",
        "inputs": {"name": {}},
    },
}


class World:
    """A desk with everything behind it in the test's hands."""

    def __init__(self, routes: catalog.Catalog) -> None:
        self.clock = Clock()
        self.issuer = IssuerDouble(self.clock)
        self.cache = open_cache(self.issuer, self.clock)
        self.desk = Desk(lambda: routes, self.cache, Rates(None, self.clock.monotonic), self.clock)

    @property
    def now(self) -> int:
        """The current second."""
        return self.clock()

    def vend(self, name: str, vend: str, principal: Principal = U1, **asked):
        """A grant of a route."""
        return self.desk.vend(name, Ask(vend, **asked), principal)


@pytest.fixture(scope="session")
def routes(tmp_path_factory: pytest.TempPathFactory) -> catalog.Catalog:
    """The policies above, loaded."""
    folder: Path = tmp_path_factory.mktemp("vending")
    for name, policy in POLICIES.items():
        (folder / f"{name}.json").write_text(json.dumps({**PLACE, **policy}))
    return catalog.load(folder, Limits(4096, "https://{bucket}.cos.{region}.myqcloud.com"))


@pytest.fixture
def world(routes) -> World:
    """A fresh world at NOW."""
    return World(routes)


class TestWindows:
    """Routes whose URLs stay the same for a while, so that browsers and CDNs can keep what they read."""

    START = NOW - NOW % 3600

    @pytest.fixture
    def world(self, routes) -> World:
        """A world whose STS gives what is asked for."""
        return self.lasting(routes)

    def lasting(self, routes: catalog.Catalog) -> World:
        """The same, as often as wanted."""
        made = World(routes)
        made.issuer.lifetime = 36000
        return made

    @pytest.mark.parametrize("ask", [{"vend": "url", "method": "GET"}, {"vend": "url", "method": "HEAD"},
                                     {"vend": "signature", "method": "GET"}, {"vend": "download-url"}])  # fmt: skip
    def test_equal_asks(self, world, ask):
        """Within a window equal asks get the same, byte for byte; in the next one something else."""
        grants = []
        world.clock.tick(self.START - NOW)
        for _ in range(3):
            grants.append(world.vend("images", inputs={"name": "a"}, **ask))
            world.clock.tick(1799.5)
        signed = [getattr(grant, "authorization", grant.url) for grant in grants]
        assert signed[0] == signed[1] == signed[2]
        assert {grant.expires_at for grant in grants} == {self.START + 3900}
        assert [grant.expires_in for grant in grants] == [3900, 2101, 301]
        world.clock.tick(1)
        after = world.vend("images", inputs={"name": "a"}, **ask)
        assert getattr(after, "authorization", after.url) != signed[0]
        assert (after.expires_in, after.expires_at) == (2101, self.START + 3600 + 3900)

    def test_signed(self, world):
        """From a minute before the window to `expires_in` after it; how long to keep it is signed, too."""
        grant = world.vend("images", "url", method="GET", inputs={"name": "a"}, expires_in=400)
        signed = parse_qs(urlsplit(grant.url).query)
        assert signed["q-sign-time"] == [f"{self.START - 60};{self.START + 4000}"]
        assert signed["response-cache-control"] == ["private, max-age=3600"]
        assert signed["q-url-param-list"] == ["response-cache-control;x-cos-security-token"]

    @pytest.mark.parametrize("ask", [{"expires_in": 401}, {"params": {"response-cache-control": "public"}}])
    def test_refused(self, world, ask):
        """The window counts into `max_seconds`, and what browsers keep is not the caller's choice."""
        with pytest.raises(Refused) as caught:
            world.vend("images", "url", method="GET", inputs={"name": "a"}, **ask)
        assert caught.value.code in ("expires_too_long", "param_not_allowed")
        assert world.vend("images", "url", method="GET", inputs={"name": "a"}, expires_in=400)

    @given(st.lists(st.tuples(st.integers(0, 4000), st.integers(1, 400)), min_size=1, max_size=20))
    def test_never_outlives_its_credential(self, routes, asks):
        """Whenever it is asked for, a URL ends a minute before its credential, and no sooner than asked."""
        world = self.lasting(routes)
        for passed, seconds in asks:
            world.clock.tick(passed)
            grant = world.vend("images", "url", method="GET", inputs={"name": "a"}, expires_in=seconds)
            assert world.now + seconds <= grant.expires_at <= world.now + seconds + 3600
            token = parse_qs(urlsplit(grant.url).query)["x-cos-security-token"][0]
            assert grant.expires_at + 60 <= world.issuer.expiries[int(token.removeprefix("TOKEN")) - 1]


class TestUrl:
    """Pre-signed URLs."""

    def test_literal(self, world):
        """The whole URL: window from a minute ago, token in the query and in the signed list."""
        grant = world.vend("read", "url", method="GET", inputs={"name": "a b.txt"})
        assert grant == UrlGrant(
            method="GET",
            url=f"https://{HOST}/files/u1/a%20b.txt?q-sign-algorithm=sha1&q-ak=AKID1"
            "&q-sign-time=1699999940%3B1700000300&q-key-time=1699999940%3B1700000300&q-header-list=host"
            "&q-url-param-list=x-cos-security-token&q-signature=47e04da5af728166a97084b9c4ba04fae557bb5c"
            "&x-cos-security-token=TOKEN1",
            headers={},
            bucket="examplebucket-1250000000",
            region="ap-guangzhou",
            key="files/u1/a b.txt",
            expires_in=300,
            expires_at=NOW + 300,
            credential=Credential("AKID1", "KEY1", "TOKEN1", NOW, NOW + 1800, "request-1"),
        )

    @pytest.mark.parametrize("seconds", [1, 300, 900])
    def test_window(self, world, seconds):
        """From a minute before now to exactly what is asked, and the answer says so."""
        grant = world.vend("read", "url", method="GET", inputs={"name": "a"}, expires_in=seconds)
        signed = parse_qs(urlsplit(grant.url).query)
        assert signed["q-sign-time"] == signed["q-key-time"] == [f"{NOW - BACKDATE_SECONDS};{NOW + seconds}"]
        assert (grant.expires_in, grant.expires_at) == (seconds, NOW + seconds)

    def test_slow_credential(self, world):
        """A URL is signed from the second its credential is there, not from the one it was asked for in."""
        issue = world.issuer.issue

        def slowly(scope, permit):
            world.clock.tick(7)
            return issue(scope, permit)

        world.issuer.issue = slowly
        grant = world.vend("read", "url", method="GET", inputs={"name": "a"})
        assert parse_qs(urlsplit(grant.url).query)["q-sign-time"] == [f"{NOW + 7 - 60};{NOW + 7 + 300}"]
        assert (grant.expires_in, grant.expires_at) == (300, NOW + 307)

    def test_headers_and_params(self, world):
        """All that must be sent besides Host is listed; all of it, and every parameter, is signed."""
        grant = world.vend("read", "url", method="PUT", inputs={"name": "a"}, params={"p": "é"})
        signed = parse_qs(urlsplit(grant.url).query)
        assert dict(grant.headers) == {"X-A": "a"}
        assert signed["q-header-list"] == ["host;x-a"]
        assert signed["q-url-param-list"] == ["p;x-cos-security-token"]
        assert (signed["p"], signed["x-cos-security-token"]) == (["é"], ["TOKEN1"])

    def test_download(self, world):
        """A download is a GET of the same kind."""
        grant = world.vend("open", "download-url", ANONYMOUS, inputs={"name": "a"}, filename="é.pdf")
        assert (grant.method, grant.key) == ("GET", "open/a")
        signed = parse_qs(urlsplit(grant.url).query)
        assert signed["q-url-param-list"] == ["response-content-disposition;x-cos-security-token"]
        assert signed["response-content-disposition"] == ["attachment; filename=\"_.pdf\"; filename*=UTF-8''%C3%A9.pdf"]

    def test_long_token(self, world):
        """A token that makes the URL too long for proxies is refused, a shorter one is not."""
        world.issuer.token = "t" * 7900
        with pytest.raises(Refused) as caught:
            world.vend("read", "url", method="GET", inputs={"name": "a"})
        assert caught.value.code == "url_too_long"
        assert "ttt" not in str(caught.value)
        world.issuer.token = "t" * 7000
        assert len(world.vend("read", "url", Principal({"sub": "u2"}), method="GET", inputs={"name": "a"}).url) <= 8000

    def test_no_secret_shown(self, world):
        """A grant's representation holds neither URL nor token nor key."""
        for vend in ("url", "signature"):
            shown = repr(world.vend("read", vend, method="GET", inputs={"name": "a"}))
            assert not any(secret in shown for secret in ("TOKEN1", "KEY1", "q-signature"))
        keys = repr(world.vend("keys", "credentials"))
        assert not any(secret in keys for secret in ("TOKEN2", "KEY2"))


class TestSignature:
    """Authorization values."""

    def test_literal(self, world):
        """The token is a signed header; the URL holds the parameters and nothing of the signature."""
        grant = world.vend("read", "signature", method="PUT", inputs={"name": "a b.txt"}, params={"p": "é"})
        authorization = (
            "q-sign-algorithm=sha1&q-ak=AKID1&q-sign-time=1699999940;1700000300&q-key-time=1699999940;1700000300"
            "&q-header-list=host;x-a;x-cos-security-token&q-url-param-list=p"
            "&q-signature=68080944a8f8d934b855179c58f58ea43d0794e9"
        )
        assert grant == SignatureGrant(
            authorization=authorization,
            headers={"Authorization": authorization, "x-cos-security-token": "TOKEN1", "X-A": "a"},
            method="PUT",
            url=f"https://{HOST}/files/u1/a%20b.txt?p=%C3%A9",
            bucket="examplebucket-1250000000",
            region="ap-guangzhou",
            key="files/u1/a b.txt",
            expires_in=300,
            expires_at=NOW + 300,
            credential=Credential("AKID1", "KEY1", "TOKEN1", NOW, NOW + 1800, "request-1"),
        )

    def test_no_params(self, world):
        """Without parameters the URL ends with the key."""
        grant = world.vend("read", "signature", method="GET", inputs={"name": "a"})
        assert grant.url == f"https://{HOST}/files/u1/a"
        assert set(grant.headers) == {"Authorization", "x-cos-security-token"}

    def test_same_credential_as_the_url(self, world):
        """Both vends of one operation share a credential; another operation has its own."""
        world.vend("read", "url", method="GET", inputs={"name": "a"})
        world.vend("read", "signature", method="GET", inputs={"name": "b"})
        world.vend("read", "download-url", inputs={"name": "c"})
        assert len(world.issuer.calls) == 1
        world.vend("read", "url", method="PUT", inputs={"name": "a"})
        assert len(world.issuer.calls) == 2


class TestKeys:
    """Temporary keys."""

    def test_grant(self, world):
        """The credential, the moment of vending, and what it reaches."""
        grant = world.vend("keys", "credentials")
        assert isinstance(grant, KeysGrant)
        assert (grant.credential.secret_id, grant.credential.expires_at) == ("AKID1", NOW + 1800)
        assert (grant.bucket, grant.region, grant.key_prefix) == (
            "examplebucket-1250000000",
            "ap-guangzhou",
            "users/u1/",
        )
        assert set(grant.actions) == {"name/cos:PutObject", "name/cos:GetObject"}

    def test_start(self, world):
        """The start is the moment of vending, not of issuing: client SDKs sign from it."""
        world.vend("keys", "credentials")
        world.clock.tick(1000)
        grant = world.vend("keys", "credentials")
        assert (grant.issued_at, grant.credential.issued_at) == (NOW + 1000, NOW)

    @pytest.mark.parametrize(("age", "number"), [(1200, 1), (1201, 2)])
    def test_minimum(self, world, age, number):
        """Never fewer seconds than the policy's minimum are left, and no keys are thrown away before."""
        world.vend("keys", "credentials")
        world.clock.tick(age)
        grant = world.vend("keys", "credentials")
        assert grant.credential.secret_id == f"AKID{number}"
        assert grant.credential.expires_at - world.now >= 600


class TestLifetime:
    """Nothing outlives the credential behind it."""

    @pytest.mark.parametrize(("age", "number"), [(1440, 1), (1441, 2)])
    def test_margin(self, world, age, number):
        """A URL ends at least a minute before its credential; one second less, and there is a new one first."""
        world.vend("read", "url", method="GET", inputs={"name": "a"})
        world.clock.tick(age)
        grant = world.vend("read", "url", method="GET", inputs={"name": "a"}, expires_in=300)
        assert f"q-ak=AKID{number}&" in grant.url
        assert grant.expires_at + 60 <= world.issuer.expiries[number - 1]

    def test_short_credential(self, world):
        """What even a new credential cannot outlive is refused, never shortened; a shorter ask is granted."""
        world.issuer.lifetime = 500
        with pytest.raises(UpstreamUnavailable) as caught:
            world.vend("read", "url", method="GET", inputs={"name": "a"}, expires_in=441)
        assert caught.value.code == "lifetime_unavailable"
        assert world.vend("read", "url", method="GET", inputs={"name": "a"}, expires_in=440).expires_in == 440

    @settings(derandomize=True, max_examples=60, deadline=None, database=None)
    @given(
        st.lists(
            st.tuples(
                st.integers(0, 2000),
                st.sampled_from(["url", "signature", "credentials"]),
                st.integers(1, 900),
                st.sampled_from([1800, 1799, 1000, 700, 61, 1, 0, -5]),
            ),
            min_size=1,
            max_size=25,
        )
    )
    def test_never_a_longer_promise(self, routes, steps):
        """Whatever clocks, ages and lifetimes meet: no grant outlives the credential that signed it."""
        world = World(routes)
        for pause, vend, seconds, lifetime in steps:
            world.clock.tick(pause)
            world.issuer.lifetime = lifetime
            try:
                if vend == "credentials":
                    grant = world.vend("keys", vend)
                    assert grant.credential.expires_at - world.now >= 600
                    continue
                grant = world.vend("read", vend, method="GET", inputs={"name": "a"}, expires_in=seconds)
            except UpstreamUnavailable as error:
                if error.code != "lifetime_unavailable":
                    raise
                continue
            text = grant.url if vend == "url" else grant.authorization
            number = int(text.partition("q-ak=AKID")[2].partition("&")[0])
            assert grant.expires_at == world.now + seconds
            assert grant.expires_at + 60 <= world.issuer.expiries[number - 1]


class TestRefusals:
    """A refusal precedes any STS call."""

    @pytest.mark.parametrize(
        ("name", "vend", "claims", "asked", "code"),
        [
            ("nothing", "url", {"sub": "u1"}, {}, "route_not_found"),
            ("read", "credentials", {"sub": "u1"}, {}, "vend_not_allowed"),
            ("read", "url", {}, {"method": "GET", "inputs": {"name": "a"}}, "principal_not_allowed"),
            ("read", "url", {"sub": "u*"}, {"method": "GET", "inputs": {"name": "a"}}, "principal_not_allowed"),
            ("read", "url", {"sub": "u1"}, {"method": "GET", "key": "files/u10/a"}, "key_not_allowed"),
            ("read", "url", {"sub": "u1"}, {"method": "DELETE", "key": "files/u1/a"}, "method_not_allowed_by_policy"),
            (
                "read",
                "url",
                {"sub": "u1"},
                {"method": "GET", "key": "files/u1/a", "expires_in": 901},
                "expires_too_long",
            ),
            (
                "read",
                "url",
                {"sub": "u1"},
                {"method": "GET", "key": "files/u1/a", "params": {"acl": ""}},
                "param_not_allowed",
            ),
            ("keys", "credentials", {"sub": ".."}, {}, "principal_not_allowed"),
            ("keys", "credentials", {"sub": "u1"}, {"bucket": "other-1250000000"}, "bucket_not_allowed"),
        ],
    )
    def test_refused(self, world, name, vend, claims, asked, code):
        """What a policy forbids costs no STS call."""
        with pytest.raises(BrokerError) as caught:
            world.vend(name, vend, Principal(claims), **asked)
        assert caught.value.code == code
        assert world.issuer.calls == []

    def test_granted_twin(self, world):
        """The sound ask of the same route costs one."""
        assert world.vend("read", "url", method="GET", key="files/u1/a")
        assert len(world.issuer.calls) == 1

    def test_strangers(self, world):
        """Who proves nothing cannot tell a route that exists from one that does not."""
        told = set()
        for name in ("read", "nothing", "keys"):
            with pytest.raises(Unauthenticated) as caught:
                world.vend(name, "url", ANONYMOUS)
            told.add((caught.value.code, str(caught.value), caught.value.errors))
        assert len(told) == 1
        assert world.vend("open", "download-url", ANONYMOUS, inputs={"name": "a"})
        with pytest.raises(NotFound):
            world.vend("nothing", "url", U1)

    def test_confined_key(self, world):
        """An API key confined to other routes is refused, one confined to this route is not."""
        with pytest.raises(Forbidden):
            world.vend("open", "download-url", Principal({}, "bff", frozenset({"keys"})), inputs={"name": "a"})
        assert world.vend("open", "download-url", Principal({}, "bff", frozenset({"open"})), inputs={"name": "a"})


def test_principals_share_no_credential(world):
    """One user's grant is never signed with another's credential."""
    urls = [
        world.vend("read", "url", Principal({"sub": sub}), method="GET", inputs={"name": "a"}).url
        for sub in ("u1", "u2", "u10")
    ]
    assert [parse_qs(urlsplit(url).query)["q-ak"] for url in urls] == [["AKID1"], ["AKID2"], ["AKID3"]]
    assert len({scope.document for scope, _ in world.issuer.calls}) == 3
