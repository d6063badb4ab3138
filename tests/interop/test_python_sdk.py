"""The vendor's Python SDK and a plain HTTP client, unchanged, with what a running broker hands out."""

from collections.abc import Callable
from typing import NamedTuple
from urllib.parse import parse_qsl, urlsplit

import pytest
import requests
from qcloud_cos import CosS3Client, CosServiceError

from tests.vectors.cases import Case, sdk_download_url, sdk_url

BUCKET, REGION = "examplebucket-1250000000", "ap-guangzhou"
MINE, OTHERS = "files/u1/a.txt", "files/u2/a.txt"
Call = Callable[[CosS3Client], object]

CALLS: dict[str, Callable[[CosS3Client, str], object]] = {
    "put": lambda client, key: client.put_object(BUCKET, b"changed", key),
    "get": lambda client, key: client.get_object(BUCKET, key),
    "head": lambda client, key: client.head_object(BUCKET, key),
    "delete": lambda client, key: client.delete_object(BUCKET, key),
}


def copy(source: str) -> Call:
    """A copy to a key of u1."""
    found = {"Bucket": BUCKET, "Key": source, "Region": REGION}
    return lambda client: client.copy_object(BUCKET, "files/u1/copy.txt", found)


def refused(call: Callable[[], object]) -> tuple[int, str]:
    """The status and the code that the SDK reads from a refusal."""
    with pytest.raises(CosServiceError) as refusal:
        call()
    return refusal.value.get_status_code(), refusal.value.get_error_code()


class TestKeys:
    """Temporary keys for one user's folder."""

    def test_own_folder(self, sdk):
        """The SDK puts, gets, gets a part, heads and deletes below it, whatever the name."""
        client, key, body = sdk(), "files/u1/目录/a b+c~d'(e)!*.txt", b"hello" * 100
        put = client.put_object(BUCKET, body, key, EnableMD5=True, ContentType="text/plain")
        got = client.get_object(BUCKET, key)
        assert (got["Body"].get_raw_stream().read(), got["ETag"]) == (body, put["ETag"])
        part = client.get_object(BUCKET, key, Range="bytes=5-9")
        assert (part["Body"].get_raw_stream().read(), part["Content-Range"]) == (b"hello", "bytes 5-9/500")
        assert client.head_object(BUCKET, key)["Content-Length"] == "500"
        client.delete_object(BUCKET, key)
        assert not client.object_exists(BUCKET, key)

    @pytest.mark.parametrize("owner", ["u2", "u10"])
    @pytest.mark.parametrize("name", CALLS)
    def test_other_folder(self, sdk, name, owner):
        """Nothing of another user's is reached, not even where the name begins alike; its owner's keys reach it."""
        key = f"files/{owner}/a.txt"
        sdk(owner).put_object(BUCKET, b"theirs", key)
        status, code = refused(lambda: CALLS[name](sdk(), key))
        assert status == 403
        assert code == "AccessDenied" or name == "head"  # a HEAD's refusal has no body
        assert sdk(owner).get_object(BUCKET, key)["Body"].get_raw_stream().read() == b"theirs"
        CALLS[name](sdk(owner), key)

    @pytest.mark.parametrize(
        ("outside", "inside"),
        [
            pytest.param("files/u1", "files/u1/x", id="no-slash"),
            pytest.param("files/u1.txt", "files/u1/.txt", id="beside"),
            pytest.param("files/x", "files/u1/x", id="parent"),
            pytest.param("avatars/u1/x", "files/u1/avatars/u1/x", id="other-route"),
            pytest.param("Files/u1/x", "files/u1/X", id="case"),
            pytest.param("files/u1%2Fx", "files/u1/%2Fx", id="encoded"),
        ],
    )
    def test_near_miss(self, sdk, outside, inside):
        """A key that only resembles the folder is outside; one below it may hold the same characters."""
        assert refused(lambda: CALLS["put"](sdk(), outside)) == (403, "AccessDenied")
        assert CALLS["put"](sdk(), inside)

    @pytest.mark.parametrize(
        ("call", "twin"),
        [
            pytest.param(
                lambda client: client.list_objects(BUCKET, Prefix="files/u1/"),
                lambda client: client.get_object(BUCKET, MINE),
                id="list",
            ),
            pytest.param(
                lambda client: client.get_object_acl(BUCKET, MINE),
                lambda client: client.get_object(BUCKET, MINE),
                id="read-acl",
            ),
            pytest.param(
                lambda client: client.put_object_acl(BUCKET, MINE, ACL="default"),
                lambda client: client.put_object(BUCKET, b"x", MINE),
                id="write-acl",
            ),
            pytest.param(
                lambda client: client.put_object(BUCKET, b"x", MINE, ACL="public-read"),
                lambda client: client.put_object(BUCKET, b"x", MINE, ACL="default"),
                id="public",
            ),
            pytest.param(
                lambda client: client.put_object(BUCKET, b"x", MINE, GrantRead='id="100000000001"'),
                lambda client: client.put_object(BUCKET, b"x", MINE),
                id="granted",
            ),
            pytest.param(
                lambda client: client.create_multipart_upload(BUCKET, MINE),
                lambda client: client.put_object(BUCKET, b"x", MINE),
                id="multipart",
            ),
            pytest.param(
                lambda client: client.delete_objects(BUCKET, {"Object": [{"Key": MINE}], "Quiet": "true"}),
                lambda client: client.delete_object(BUCKET, MINE),
                id="delete-many",
            ),
        ],
    )
    def test_other_operation(self, sdk, call: Call, twin: Call):
        """What the route does not vend is refused inside the folder, too; what it vends is not."""
        sdk().put_object(BUCKET, b"mine", MINE)
        assert refused(lambda: call(sdk())) == (403, "AccessDenied")
        twin(sdk())

    def test_copy_source(self, sdk):
        """A copy reads its source: another user's is refused, one's own is allowed."""
        sdk("u2").put_object(BUCKET, b"theirs", OTHERS)
        sdk().put_object(BUCKET, b"mine", MINE)
        assert refused(lambda: copy(OTHERS)(sdk())) == (403, "AccessDenied")
        # The emulator copies nothing, and says so only to those who may copy.
        assert refused(lambda: copy(MINE)(sdk())) == (501, "NotImplemented")

    def test_size(self, sdk):
        """`max_bytes` is the last size that COS takes."""
        client = sdk(route="small-folder")
        assert refused(lambda: client.put_object(BUCKET, b"x" * 1001, MINE)) == (403, "AccessDenied")
        assert client.put_object(BUCKET, b"x" * 1000, MINE)["ETag"]

    def test_other_token(self, sdk):
        """A key pair works with its own token, not with another user's."""
        assert refused(lambda: CALLS["put"](sdk("u1", token_of="u2"), MINE)) == (403, "InvalidAccessKeyId")
        assert CALLS["put"](sdk("u1", token_of="u1"), MINE)


PICTURE = b"\x89PNG\r\n\x1a\n picture"
AVATAR = {
    "inputs": {"ext": "png"},
    "headers": {"Content-Type": "image/png", "Content-Length": str(len(PICTURE))},
}
NOT_WHAT_WAS_SIGNED = [
    pytest.param({"Content-Type": "text/html"}, PICTURE, id="type"),
    pytest.param({"Content-Length": None}, PICTURE + b"x", id="length"),
    pytest.param({"Cache-Control": "max-age=600"}, PICTURE, id="const"),
    pytest.param({"x-cos-forbid-overwrite": None}, PICTURE, id="left-out"),
]


class TestUrl:
    """Pre-signed URLs and a client that knows no SDK."""

    @pytest.mark.parametrize(("changed", "body"), NOT_WHAT_WAS_SIGNED)
    def test_upload(self, vend, changed, body):
        """A URL uploads what was asked for; with one thing changed it uploads nothing."""
        grant = vend("avatars/url", AVATAR)
        answer = requests.put(grant["url"], data=body, headers=grant["headers"] | changed, timeout=5)
        assert (answer.status_code, "<Code>SignatureDoesNotMatch</Code>" in answer.text) == (403, True)
        assert requests.put(grant["url"], data=PICTURE, headers=grant["headers"], timeout=5).status_code == 200

    def test_download(self, vend):
        """What was uploaded comes back by a second URL, which opens nothing else."""
        key = self.uploaded(vend)
        link = vend("avatar-download/download-url", {"key": key})
        got = requests.get(link["url"], headers=link["headers"], timeout=5)
        assert (got.status_code, got.content, got.headers["Content-Type"]) == (200, PICTURE, "image/png")
        other = requests.get(link["url"].replace(key, self.uploaded(vend)), headers=link["headers"], timeout=5)
        assert (other.status_code, "<Code>SignatureDoesNotMatch</Code>" in other.text) == (403, True)

    def test_twice(self, vend):
        """The signed header that forbids overwriting holds: the URL uploads once."""
        grant = vend("avatars/url", AVATAR)
        answers = [requests.put(grant["url"], data=PICTURE, headers=grant["headers"], timeout=5) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [200, 409]
        assert "<Code>FileAlreadyExists</Code>" in answers[1].text

    def test_range(self, vend, sdk):
        """A URL for a part gives that part, and no other."""
        sdk().put_object(BUCKET, b"0123456789", MINE)
        grant = vend("private-files/url", {"method": "GET", "key": MINE, "headers": {"Range": "bytes=2-4"}})
        part = requests.get(grant["url"], headers=grant["headers"], timeout=5)
        assert (part.status_code, part.content) == (206, b"234")
        assert requests.get(grant["url"], headers={"Range": "bytes=2-5"}, timeout=5).status_code == 403

    def test_delete(self, vend, sdk):
        """A URL that deletes one object only deletes."""
        sdk().put_object(BUCKET, b"mine", MINE)
        grant = vend("my-files-delete/url", {"key": MINE})
        assert requests.get(grant["url"], headers=grant["headers"], timeout=5).status_code == 403
        assert sdk().object_exists(BUCKET, MINE)
        assert requests.delete(grant["url"], headers=grant["headers"], timeout=5).status_code == 204
        assert not sdk().object_exists(BUCKET, MINE)

    def uploaded(self, vend) -> str:
        """The key of a new avatar."""
        grant = vend("avatars/url", AVATAR)
        assert requests.put(grant["url"], data=PICTURE, headers=grant["headers"], timeout=5).status_code == 200
        return grant["key"]


class TestSignature:
    """Authorization values and a client that knows no SDK."""

    @pytest.mark.parametrize(("changed", "body"), NOT_WHAT_WAS_SIGNED)
    def test_upload(self, vend, changed, body):
        """The headers of the answer, and nothing else, upload what was asked for."""
        grant = vend("avatars/signature", AVATAR)
        assert grant["headers"]["Authorization"] == grant["authorization"]
        answer = requests.put(grant["url"], data=body, headers=grant["headers"] | changed, timeout=5)
        assert (answer.status_code, "<Code>SignatureDoesNotMatch</Code>" in answer.text) == (403, True)
        assert requests.put(grant["url"], data=PICTURE, headers=grant["headers"], timeout=5).status_code == 200

    def test_token(self, vend):
        """The token is among the signed headers: without it there is no upload."""
        grant = vend("avatars/signature", AVATAR)
        without = grant["headers"] | {"x-cos-security-token": None}
        assert requests.put(grant["url"], data=PICTURE, headers=without, timeout=5).status_code == 403
        assert requests.put(grant["url"], data=PICTURE, headers=grant["headers"], timeout=5).status_code == 200


class Asked(NamedTuple):
    """An ask of a URL, and the request parameters that must be in it."""

    path: str
    ask: dict[str, object]
    params: dict[str, str]


URLS = {
    "put": Asked("avatars/url", AVATAR, {}),
    "get": Asked("private-files/url", {"method": "GET", "key": "files/u1/目录/a b+c.txt", "expires_in": 900}, {}),
    "range": Asked("private-files/url", {"method": "GET", "key": MINE, "headers": {"Range": "bytes=0-9"}}, {}),
    "head": Asked("private-files/url", {"method": "HEAD", "key": MINE, "expires_in": 1}, {}),
    "delete": Asked("my-files-delete/url", {"key": MINE}, {}),
    "download": Asked("private-files/download-url", {"key": MINE}, {}),
    "params": Asked(
        "reports/download-url",
        {"key": "reports/acme/2026-01.pdf", "params": {"response-content-type": "application/pdf"}},
        {"response-content-type": "application/pdf"},
    ),
}


@pytest.mark.parametrize("name", URLS)
def test_sdks_own_url(vend, place, name):
    """The broker's URL is the SDK's own for that request and window.

    The credential behind a URL is never shown. So two comparisons make the claim: with one credential our signer and
    the SDK write the same URL, and the broker's differs from it in nothing but the credential and the signature.
    """
    path, ask, params = URLS[name]
    grant, keys = vend(path, ask), vend("user-folder/credentials")["credentials"]
    start, end = map(int, dict(parse_qsl(urlsplit(grant["url"]).query))["q-sign-time"].split(";"))
    assert end - start == grant["expires_in"] + 60
    case = Case(
        grant["method"],
        grant["key"],
        keys["sessionToken"],
        # The SDK would sign a Host without the port; what clients send has one.
        headers={"Host": place, **grant["headers"]},
        params=params,
        expired=grant["expires_in"],
        now=start + 60,
        secret_id=keys["tmpSecretId"],
        secret_key=keys["tmpSecretKey"],
        scheme="http",
        domain=place,
    )
    theirs = sdk_url(case)
    assert case.signer.presigned_url(case.request, case.window) == theirs
    assert without_credential(grant["url"]) == without_credential(theirs)
    if path.endswith("/download-url"):
        assert sdk_download_url(case) == theirs


def without_credential(url: str) -> list[str]:
    """A URL in order and as written, without the three values that depend on the credential."""
    place, _, fields = url.partition("?")
    secret = ("q-ak", "q-signature", "x-cos-security-token")
    parts = [field.partition("=") for field in fields.split("&")]
    return [place, *(name if name in secret else f"{name}={value}" for name, _, value in parts)]
