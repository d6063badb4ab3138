"""Whose COS requests are believed: signatures, tokens, and both expiries."""

import hmac
from urllib.parse import urlencode

import pytest
from werkzeug.test import Client

from broker.cos import signing
from broker.emulator.server import Emulator

HOST = "examplebucket-1250000000.cos.ap-guangzhou.myqcloud.com"
TOKEN = "x-cos-security-token"


@pytest.fixture
def key(world):
    """A credential for everything below dir/."""
    return world.federate(world.document("*"))


class TestSignature:
    """Which requests are those that were signed."""

    @pytest.mark.parametrize("sign_in", ["query", "header"])
    @pytest.mark.parametrize("token_in", ["params", "headers"])
    def test_places(self, world, key, sign_in, token_in):
        """Signature and token may each stand in the query or in headers."""
        assert world.send("PUT", "dir/a", by=key, sign_in=sign_in, token_in=token_in).status_code == 200

    def test_merged(self, world):
        """The whole value may stand in the parameter `sign`."""
        authorization = world.sign(world.account, "PUT", "a", {"Host": HOST}, {}, (1_699_999_940, 1_700_000_300))
        response = world.http.put("/a", query_string={"sign": authorization}, headers={"Host": HOST}, data=b"x")
        assert response.status_code == 200

    @pytest.mark.parametrize(
        "changed",
        [
            {"key": "dir/b"},
            {"method": "GET"},
            {"headers": {"Content-Type": "text/html"}},
            {"headers": {"Host": "other-1250000000.cos.ap-guangzhou.myqcloud.com"}},
            {"params": {"response-content-type": "text/html"}},
        ],
        ids=lambda changed: next(iter(changed)),
    )
    def test_changed_afterwards(self, world, key, changed, error_code):
        """Whatever was signed cannot be changed; unchanged, the same request passes."""
        asked = {"headers": {"Content-Type": "image/png"}, "params": {"response-content-type": "image/png"}}
        assert world.send("PUT", "dir/a", by=key, **asked).status_code == 200
        assert error_code(world.send("PUT", "dir/a", by=key, **asked, changed=changed)) == "SignatureDoesNotMatch"

    def test_signed_header_left_out(self, world, key, error_code):
        """A header that was signed must be sent."""
        headers = {"x-cos-forbid-overwrite": "true"}
        left_out = {"headers": {"x-cos-forbid-overwrite": ""}}
        assert world.send("PUT", "dir/a", by=key, headers=headers).status_code == 200
        response = world.send("PUT", "dir/b", by=key, headers=headers, changed=left_out)
        assert error_code(response) == "SignatureDoesNotMatch"

    def test_unsigned_parts(self, world, key):
        """What the lists do not name is free."""
        changed = {"headers": {"Cache-Control": "no-store"}, "params": {"trace": "7"}}
        assert world.send("PUT", "dir/a", by=key, changed=changed).status_code == 200

    def test_explanation(self, world, error_code):
        """A wrong signature is answered with the server's own strings, and they are right."""
        wrong = type(world.account)(world.account.secret_id, "guessed")
        response = world.send("GET", "目录/a", by=wrong)
        assert error_code(response) == "SignatureDoesNotMatch"
        assert f"<FormatString>get\n/目录/a\n\nhost={HOST}\n</FormatString>".encode() in response.data
        assert b"<StringToSign>sha1\n1699999940;1700000300\n" in response.data

    @pytest.mark.parametrize("key_name", ["a b+c~d'(e)!*.txt", "a%20b?x=1&y#z", "a/./b/../c//d.txt", "..", "a/.."])
    def test_keys(self, world, key_name):
        """A key is decoded once and kept as it is: never collapsed, never a listing."""
        assert world.send("PUT", key_name, body=b"x").status_code == 200
        assert world.send("GET", key_name).data == b"x"
        assert world.emulator.stats()["cos"] == {"PutObject": 1, "GetObject": 1}

    @pytest.mark.parametrize("name", ["K é", "a[0]", "~k", "A.b"])
    def test_parameter_names(self, world, name):
        """Names are compared encoded and in lower case."""
        world.send("PUT", "a", body=b"x")
        assert world.send("GET", "a", params={name: "v~ /ü"}).data == b"x"

    def test_parameter_twice(self, world, error_code):
        """Of two values nobody could say which was signed."""
        response = world.send("GET", "a", params={"versionId": ""}, changed={"params": {"versionid": "x"}})
        assert error_code(response) == "InvalidArgument"

    def test_anonymous(self, world, error_code):
        """Nothing here is public."""
        world.send("PUT", "a", body=b"x")
        assert error_code(world.http.get("/a", headers={"Host": HOST})) == "AccessDenied"

    def test_two_signatures(self, world, error_code):
        """A signature in the query beside one in a header is refused."""
        changed = {"headers": {"Authorization": "q-ak=x"}}
        assert error_code(world.send("GET", "a", changed=changed)) == "InvalidArgument"

    def test_missing_field(self, world, error_code):
        """All seven fields are needed."""
        response = world.http.get("/a", query_string={"q-ak": "AKIDEXAMPLE"}, headers={"Host": HOST})
        assert error_code(response) == "InvalidArgument"

    def test_unknown_secret_id(self, world, error_code):
        """A stranger is told no more than that."""
        stranger = type(world.account)("AKIDSTRANGER", world.account.secret_key)
        assert error_code(world.send("GET", "a", by=stranger)) == "InvalidAccessKeyId"

    def test_host_without_port(self, make_world):
        """The Python SDK signs the bare host name, in lower case, whatever the port; others sign it as sent."""
        world = make_world(buckets={"examplebucket-1250000000": "ap-guangzhou"})
        for signed in ("localhost", "LocalHost:9000"):
            text = world.sign(world.account, "PUT", "a", {"Host": signed}, {}, (1_699_999_940, 1_700_000_300))
            headers = {"Host": "LocalHost:9000", "Authorization": text}
            assert world.http.put("/a", data=b"x", headers=headers).status_code == 200

    @pytest.mark.parametrize(
        ("target", "signed_params", "host", "signature"),
        [
            ("/dir/a.txt?", "", HOST, "0032ef93"),
            ("/dir/a.txt?", "", HOST, "552d5e03bc3af1a9b417982dcba8aade3ad8a1e9"),
            ("//dir/a.txt?", "", HOST, "e4355cb5cdec55e9594e38bf8e7c30367a6de502"),
            ("/a/.%2Fb/..%2Fc//d.txt?", "", HOST, "77e6af60a63fe03cf59f129bd91413f179b5622f"),
            ("/a%2520b%3Fx%3D1%26y%23z?", "", HOST, "f56ed3b1f2df69130be7c88ddfc930b4b2bc040c"),
            (
                "/dir/a.txt?Response-Content-Type=a+b&~k=v~&K+%C3%A9=x",
                "k%20%c3%a9;response-content-type;~k",
                HOST,
                "67af26d885afbd493cd5a8ede9ec2e5ea298793d",
            ),
            (
                "/dir/a.txt?a_b=1&a-b=2&a.b=3&aB=4&a+b=5&a%5B0%5D=6&A0=7",
                "a%20b;a%5b0%5d;a-b;a.b;a0;a_b;ab",
                HOST,
                "05f2fed03058491e290665524c7e9af2e72ee06c",
            ),
            ("/dir/a.txt?", "", "LocalHost:9000", "71a5a34fc3cf82681ae62f257496b0a6c20134e8"),
            ("/dir/a.txt?", "", "localhost:9000", "c3820957fa3b84ed98edbcad64d7c161e65e68b0"),
        ],
    )
    def test_vectors_of_the_sdks(self, target, signed_params, host, signature, error_code):
        """What the official SDKs signed verifies as it is; with another signature it does not."""
        secrets = ("AKIDEXAMPLE0000000000000000000000000", "SKEXAMPLE00000000000000000000000")
        emulator = Emulator(secrets, clock=lambda: 1_700_000_000, buckets={"examplebucket-1250000000": "ap-guangzhou"})
        proof = {
            "q-sign-algorithm": "sha1",
            "q-ak": secrets[0],
            "q-sign-time": "1699999940;1700000300",
            "q-key-time": "1699999940;1700000300",
            "q-header-list": "host",
            "q-url-param-list": signed_params,
            "q-signature": signature,
        }
        response = Client(emulator).get(f"{target}&{urlencode(proof)}", headers={"Host": host})
        assert error_code(response) == ("NoSuchKey" if len(signature) == 40 else "SignatureDoesNotMatch")


class TestToken:
    """A temporary key is three secrets."""

    def test_missing(self, world, key, error_code):
        """A temporary key alone opens nothing."""
        assert error_code(world.send("PUT", "dir/a", by=key, token_in="nowhere")) == "InvalidAccessKeyId"

    def test_of_another_session(self, world, key, error_code):
        """Token and key belong together, although the other token is good."""
        other = world.federate(world.document("*"))
        mixed = type(key)(key.secret_id, key.secret_key, other.token)
        assert error_code(world.send("PUT", "dir/a", by=mixed)) == "InvalidAccessKeyId"
        assert world.send("PUT", "dir/a", by=key).status_code == 200

    def test_two_places(self, world, key, error_code):
        """If both places hold one, both must be right."""
        good, bad = {"headers": {TOKEN: key.token}}, {"headers": {TOKEN: "x"}}
        assert world.send("PUT", "dir/a", by=key, changed=good).status_code == 200
        assert error_code(world.send("PUT", "dir/a", by=key, changed=bad)) == "InvalidAccessKeyId"

    def test_with_the_account_key(self, world, error_code):
        """A permanent key has no token."""
        response = world.send("PUT", "a", changed={"params": {TOKEN: "x"}})
        assert error_code(response) == "InvalidAccessKeyId"


class TestExpiry:
    """Two ends, and the earlier one counts."""

    @pytest.mark.parametrize(("now", "status"), [(99, 403), (100, 200), (200, 200), (201, 403)])
    def test_window(self, world, now, status):
        """Both ends of the signature's window are inside."""
        world.clock.now = now
        response = world.send("PUT", "a", window=(100, 200))
        assert response.status_code == status
        assert (b"<Message>Request has expired</Message>" in response.data) == (status == 403)

    @pytest.mark.parametrize(("sign_time", "key_time"), [("90;100", "1;200"), ("1;200", "90;100")])
    def test_two_windows(self, world, sign_time, key_time):
        """SignKey is bound to one window and the request to another; both must be open."""
        sign_key = signing.sign_key(world.account.secret_key, key_time)
        text = signing.string_to_sign(sign_time, f"put\n/a\n\nhost={HOST}\n")
        signature = hmac.digest(sign_key.encode(), text.encode(), "sha1").hex()
        authorization = (
            f"q-sign-algorithm=sha1&q-ak={world.account.secret_id}&q-sign-time={sign_time}&q-key-time={key_time}"
            f"&q-header-list=host&q-url-param-list=&q-signature={signature}"
        )
        for world.clock.now, status in ((100, 200), (101, 403)):
            response = world.http.put("/a", data=b"x", headers={"Host": HOST, "Authorization": authorization})
            assert response.status_code == status

    def test_session(self, world, error_code):
        """A URL whose window is still open dies with the key behind it."""
        key = world.federate(world.document("*"), 900)
        window = (world.clock.now, world.clock.now + 86_400)
        world.clock.tick(899)
        assert world.send("PUT", "dir/a", by=key, window=window).status_code == 200
        world.clock.tick(1)
        assert error_code(world.send("PUT", "dir/a", by=key, window=window)) == "InvalidAccessKeyId"

    @pytest.mark.parametrize("window", ["", "100", "100;200;300", "a;b", "-1;5"])
    def test_malformed_window(self, world, window, error_code):
        """A window that cannot be read is no open one."""
        key_time = {"q-key-time": window, "q-sign-time": window}
        assert error_code(world.send("GET", "a")) == "NoSuchKey"
        text = world.sign(world.account, "GET", "a", {"Host": HOST}, {}, (1, 2))
        fields = dict(part.split("=", 1) for part in text.split("&")) | key_time
        response = world.http.get("/a", query_string=fields, headers={"Host": HOST})
        assert error_code(response) == "InvalidArgument"
