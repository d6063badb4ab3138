"""What a granted ask brings, field by field, and that it works at the store."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from broker.cos.signing import Request, Signer, Window, encode_key
from broker.local import send
from broker.web.messages import iso

BUCKET = "examplebucket-1250000000"
AVATAR = {"inputs": {"ext": "png"}, "headers": {"Content-Type": "image/png", "Content-Length": "9"}}
PICTURE = b"\x89PNG\r\n\x1a\n!"


def query(url: str) -> dict[str, str]:
    """The query of a URL; no name may stand twice."""
    found = parse_qs(urlsplit(url).query, keep_blank_values=True, strict_parsing=True)
    assert all(len(values) == 1 for values in found.values())
    return {name: values[0] for name, values in found.items()}


class TestUrl:
    """`POST /v1/ROUTE/url`."""

    def test_upload(self, door):
        """An upload's grant names method, object, headers and end, and the URL signs what it should."""
        grant = door.grant("avatars/url", AVATAR)
        assert list(grant) == ["method", "url", "headers", "bucket", "region", "key", "expires_in", "expires_at"]
        assert re.fullmatch(r"avatars/u1/[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}\.png",
                            grant["key"])  # fmt: skip
        assert grant["headers"] == {
            "Content-Type": "image/png",
            "Content-Length": "9",
            "Cache-Control": "no-store",
            "x-cos-forbid-overwrite": "true",
        }
        assert (grant["method"], grant["bucket"], grant["region"]) == ("PUT", BUCKET, "ap-guangzhou")
        assert (grant["expires_in"], grant["expires_at"]) == (300, iso(door.clock.now + 300))
        signed = query(grant["url"])
        window = f"{door.clock.now - 60};{door.clock.now + 300}"
        assert (signed["q-sign-time"], signed["q-key-time"]) == (window, window)
        listed = "cache-control;content-length;content-type;host;x-cos-forbid-overwrite"
        assert (signed["q-header-list"], signed["q-url-param-list"]) == (listed, "x-cos-security-token")
        assert signed["x-cos-security-token"]
        assert unquote(urlsplit(grant["url"]).path) == f"/{grant['key']}"

    def test_upload_at_the_store(self, door):
        """The store takes exactly the headers of the grant, once, and a link then reads the same bytes."""
        grant = door.grant("avatars/url", AVATAR)
        assert send("PUT", grant["url"], grant["headers"], PICTURE)[0] == 200
        again = send("PUT", grant["url"], grant["headers"], PICTURE)
        assert (again[0], b"FileAlreadyExists" in again[2]) == (409, True)
        link = door.grant("avatar-download/download-url", {"key": grant["key"]})
        assert (link["method"], link["headers"], link["expires_in"]) == ("GET", {}, 60)
        assert send("GET", link["url"], link["headers"])[::2] == (200, PICTURE)

    @pytest.mark.parametrize("left_out", ["Content-Type", "Cache-Control", "x-cos-forbid-overwrite"])
    def test_header_left_out(self, door, left_out):
        """A client that leaves out one of the headers is refused by the store."""
        grant = door.grant("avatars/url", AVATAR)
        headers = {name: value for name, value in grant["headers"].items() if name != left_out}
        assert send("PUT", grant["url"], headers, PICTURE)[0] == 403
        assert send("PUT", grant["url"], grant["headers"], PICTURE)[0] == 200

    @pytest.mark.parametrize(("method", "status"), [("GET", 200), ("HEAD", 200), ("DELETE", 204)])
    def test_other_methods(self, door, method, status):
        """Every method's URL does its one thing, and no other method's."""
        asked = {"key": "any/u1/a b/ü.txt"}
        put = door.grant("anything/url", {**asked, "method": "PUT"})
        assert send("PUT", put["url"], put["headers"], b"hello")[0] == 200
        grant = door.grant("anything/url", {**asked, "method": method})
        assert send({"GET": "HEAD", "HEAD": "GET", "DELETE": "GET"}[method], grant["url"], grant["headers"])[0] == 403
        answer = send(method, grant["url"], grant["headers"])
        assert (answer[0], answer[2]) == (status, b"hello" if method == "GET" else b"")

    def test_headers_and_params(self, door):
        """Asked headers and parameters come back in the policy's spelling, are signed, and are what the store wants."""
        asked = {"method": "PUT", "inputs": {"path": "a/b"}, "headers": {"content-language": "de", "x-cos-meta-a": "1"}}
        grant = door.grant("anything/url", {**asked, "params": {"mode": "very fast"}})
        assert grant["headers"] == {"Content-Language": "de", "x-cos-meta-a": "1"}
        signed = query(grant["url"])
        assert signed["mode"] == "very fast"
        assert signed["q-url-param-list"] == "mode;x-cos-security-token"
        assert signed["q-header-list"] == "content-language;host;x-cos-meta-a"
        assert send("PUT", grant["url"].replace("mode=very", "mode=quite"), grant["headers"], b"x")[0] == 403
        assert send("PUT", grant["url"], grant["headers"], b"x")[0] == 200

    def test_range(self, door):
        """A signed Range brings that part of the object."""
        put = door.grant("anything/url", {"method": "PUT", "key": "any/u1/r"})
        send("PUT", put["url"], put["headers"], b"0123456789")
        grant = door.grant("anything/url", {"method": "GET", "key": "any/u1/r", "headers": {"range": "bytes=2-4"}})
        assert grant["headers"] == {"Range": "bytes=2-4"}
        assert send("GET", grant["url"], grant["headers"])[::2] == (206, b"234")

    @pytest.mark.parametrize("seconds", [1, 900])
    def test_lifetime(self, door, seconds):
        """The asked lifetime is the one that is signed."""
        grant = door.grant("avatars/url", {**AVATAR, "expires_in": seconds})
        assert (grant["expires_in"], grant["expires_at"]) == (seconds, iso(door.clock.now + seconds))
        assert query(grant["url"])["q-sign-time"].endswith(f";{door.clock.now + seconds}")

    def test_repeated_ask(self, door):
        """A second ask makes another key with the same credential: one call of STS for both."""
        first, second = door.grant("avatars/url", AVATAR), door.grant("avatars/url", AVATAR)
        assert first["key"] != second["key"]
        assert query(first["url"])["q-ak"] == query(second["url"])["q-ak"]
        assert door.sts_calls() == 1

    def test_two_principals(self, door):
        """Two principals never share a credential."""
        grants = [door.grant("avatars/url", AVATAR, by=door.bearer(sub)) for sub in ("u1", "u10")]
        assert query(grants[0]["url"])["q-ak"] != query(grants[1]["url"])["q-ak"]
        assert [grant["key"].split("/")[1] for grant in grants] == ["u1", "u10"]

    def test_credential_that_ages(self, ageing_door):
        """A credential that would die less than a minute after the URL is replaced first."""
        door = ageing_door
        ask = {**AVATAR, "expires_in": 900}
        first = query(door.grant("avatars/url", ask)["url"])["q-ak"]
        door.clock.tick(1800 - 900 - 60)
        assert query(door.grant("avatars/url", ask)["url"])["q-ak"] == first
        door.clock.tick(1)
        assert query(door.grant("avatars/url", ask)["url"])["q-ak"] != first

    def test_bff(self, door):
        """An API key that acts for a user gets that user's key."""
        assert door.grant("avatars/url", AVATAR, by=door.bff("u7"))["key"].startswith("avatars/u7/")

    def test_named_bucket(self, door):
        """The route's own bucket may be named."""
        assert door.grant("avatars/url", {**AVATAR, "bucket": BUCKET})["bucket"] == BUCKET

    def test_constants_repeated(self, door):
        """A header that the policy fixes may be repeated, in any case."""
        repeated = {**AVATAR, "headers": {**AVATAR["headers"], "cache-control": "no-store"}}
        assert door.grant("avatars/url", repeated)["headers"] == door.grant("avatars/url", AVATAR)["headers"]


class TestDownloadUrl:
    """`POST /v1/ROUTE/download-url`."""

    @pytest.mark.parametrize(
        ("filename", "disposition"),
        [
            ("report.pdf", 'attachment; filename="report.pdf"'),
            ("März 2026.pdf", "attachment; filename=\"M_rz 2026.pdf\"; filename*=UTF-8''M%C3%A4rz%202026.pdf"),
            ('a"b;c.pdf', "attachment; filename=\"a_b;c.pdf\"; filename*=UTF-8''a%22b%3Bc.pdf"),
        ],
    )
    def test_filename(self, door, filename, disposition):
        """A file name becomes a safe disposition that is signed and that the store answers with."""
        grant = door.grant("reports/download-url", {"inputs": {"month": "2026-10"}, "filename": filename})
        signed = query(grant["url"])
        assert grant["key"] == "reports/acme/2026-10.pdf"
        assert signed["response-content-disposition"] == disposition
        assert signed["response-content-type"] == "application/pdf"
        listed = "response-content-disposition;response-content-type;x-cos-security-token"
        assert signed["q-url-param-list"] == listed
        assert send("GET", grant["url"], grant["headers"])[0] == 404

    @pytest.mark.parametrize("filename", ["", "a/b", "a\\b", "a\nb", "..", "x" * 256, "a\u202eb"])
    def test_unsafe_filename(self, door, filename):
        """A file name that is none is refused."""
        answer = door.ask("reports/download-url", {"inputs": {"month": "2026-10"}, "filename": filename})
        assert (answer.status_code, answer.json["code"]) == (400, "invalid_request")
        assert [error["field"] for error in answer.json["errors"]] == ["filename"]


class TestSignature:
    """`POST /v1/ROUTE/signature`."""

    def test_upload(self, door):
        """A signature's grant has every header to send, the token among the signed ones, and works at the store."""
        grant = door.grant("avatars/signature", AVATAR)
        assert set(grant) == {
            "authorization", "headers", "method", "url", "key", "bucket", "region", "expires_in", "expires_at"
        }  # fmt: skip
        token = grant["headers"]["x-cos-security-token"]
        assert grant["headers"] == {
            "Authorization": grant["authorization"],
            "x-cos-security-token": token,
            "Content-Type": "image/png",
            "Content-Length": "9",
            "Cache-Control": "no-store",
            "x-cos-forbid-overwrite": "true",
        }
        assert "x-cos-security-token" in grant["authorization"]
        assert token not in grant["authorization"]
        assert urlsplit(grant["url"]).query == ""
        assert grant["expires_at"] == iso(door.clock.now + 300)
        assert send("PUT", grant["url"], {**grant["headers"], "Content-Type": "text/html"}, PICTURE)[0] == 403
        assert send("PUT", grant["url"], grant["headers"], PICTURE)[0] == 200

    def test_params(self, door):
        """Signed parameters stand in the URL."""
        grant = door.grant("anything/signature", {"method": "GET", "key": "any/u1/p", "params": {"mode": "a b"}})
        assert query(grant["url"]) == {"mode": "a b"}
        assert send("GET", grant["url"], grant["headers"])[0] == 404
        assert send("GET", grant["url"].partition("?")[0], grant["headers"])[0] == 403


class TestCredentials:
    """`POST /v1/ROUTE/credentials`."""

    def test_shape(self, door):
        """Keys come under the names that the official SDKs read."""
        grant = door.grant("user-folder/credentials")
        assert list(grant) == [
            "credentials", "startTime", "expiredTime", "expiration", "requestId", "bucket", "region", "key_prefix",
            "actions",
        ]  # fmt: skip
        assert list(grant["credentials"]) == ["tmpSecretId", "tmpSecretKey", "sessionToken"]
        assert all(grant["credentials"].values())
        assert grant["startTime"] == door.clock.now
        assert abs(grant["expiredTime"] - door.clock.now - 1800) <= 1
        assert grant["expiration"] == iso(grant["expiredTime"])
        assert re.fullmatch(r"[0-9a-f-]{36}", grant["requestId"])
        assert (grant["bucket"], grant["region"], grant["key_prefix"]) == (BUCKET, "ap-guangzhou", "files/u1/")
        assert sorted(grant["actions"]) == [f"name/cos:{verb}Object" for verb in ("Delete", "Get", "Head", "Put")]

    def test_start_of_cached_keys(self, door):
        """`startTime` is the moment of vending, not of issuing: clients sign from it."""
        first = door.grant("user-folder/credentials")
        door.clock.tick(700)
        second = door.grant("user-folder/credentials")
        assert second["startTime"] == first["startTime"] + 700
        assert second["credentials"] == first["credentials"]

    def test_minimum_of_life(self, ageing_door):
        """Nobody gets keys with less than `min_remaining_seconds` left."""
        door = ageing_door
        first = door.grant("user-folder/credentials")
        door.clock.now = first["expiredTime"] - 600
        assert door.grant("user-folder/credentials")["credentials"] == first["credentials"]
        door.clock.tick(1)
        assert door.grant("user-folder/credentials")["credentials"] != first["credentials"]

    def test_at_the_store(self, door):
        """The keys work in the folder and nowhere else, not even where a name merely begins the same."""
        keys = door.grant("user-folder/credentials")["credentials"]
        signer = Signer(keys["tmpSecretId"], keys["tmpSecretKey"], keys["sessionToken"])

        def put(key: str) -> int:
            url = door.emulator.url
            request = Request("PUT", url, key, {"Host": url.removeprefix("http://"), "Content-Length": "1"}, {})
            authorization = signer.authorization(request, Window(door.clock.now - 60, door.clock.now + 60))
            headers = {
                "Content-Length": "1", "Authorization": authorization, "x-cos-security-token": keys["sessionToken"]
            }  # fmt: skip
            return send("PUT", f"{url}/{encode_key(key)}", headers, b"x")[0]

        assert [put(key) for key in ("files/u1/a", "files/u10/a", "files/u2/a", "avatars/u1/a")] == [200, 403, 403, 403]

    def test_named_bucket(self, door):
        """The one member the ask may have."""
        assert door.grant("user-folder/credentials", {"bucket": BUCKET})["bucket"] == BUCKET


class TestRoutes:
    """`GET /v1`."""

    def test_own_routes(self, door):
        """A principal sees the routes it may use, with what each needs."""
        routes = {route["route"]: route for route in door.client.get("/v1", headers=door.bearer()).json["routes"]}
        assert {"avatars", "avatar-download", "user-folder", "anything"} <= set(routes)
        assert routes["avatars"] == {
            "route": "avatars",
            "description": "Signed-in users upload their own avatar.",
            "vends": ["url", "signature"],
            "methods": ["PUT"],
            "inputs": {"ext": {"enum": ["png", "jpg", "webp"]}},
            "content": {"types": ["image/png", "image/jpeg", "image/webp"], "max_bytes": 5242880},
            "headers": {"Cache-Control": {"const": "no-store"}, "x-cos-forbid-overwrite": {"const": "true"}},
            "params": {},
            "expires": {"default_seconds": 300, "max_seconds": 900},
        }

    def test_routes_without_methods(self, door):
        """Where the file names no methods, a download is a GET, and forms, parts and confirmations have none."""
        routes = {route["route"]: route for route in door.client.get("/v1", headers=door.bearer()).json["routes"]}
        assert routes["avatar-download"]["methods"] == ["GET"]
        assert (routes["videos"]["vends"], routes["videos"]["methods"]) == (["multipart", "form", "confirm"], [])

    def test_routes_of_others(self, door):
        """A principal without a claim does not see the routes that want it."""
        answer = door.client.get("/v1", headers=door.bearer(scope="nothing", role="guest"))
        names = {route["route"] for route in answer.json["routes"]}
        assert {"avatars", "user-folder", "reports"} & names == set()
        assert "avatar-download" in names
