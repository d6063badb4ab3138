"""What a shell script does: ask the broker with curl, then go to COS with curl."""

import json
import shutil
import subprocess
import time
from collections.abc import Callable
from typing import NamedTuple

import pytest

# A slim image has none; the other clients here still speak for the broker then.
pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="needs the real curl on the PATH")

BUCKET = "examplebucket-1250000000"
MINE = "files/u1/a.txt"
PICTURE = b"\x89PNG\r\n\x1a\n picture\n\0"
AVATAR = {"inputs": {"ext": "png"}, "headers": {"Content-Type": "image/png", "Content-Length": str(len(PICTURE))}}


class Answer(NamedTuple):
    """A status and a body; of a HEAD the body is the head."""

    status: int
    body: bytes

    @property
    def json(self) -> dict:
        """The body of an answer of the broker."""
        return json.loads(self.body)

    @property
    def refusal(self) -> tuple[int, bool]:
        """The status, and whether the signature was at fault."""
        return self.status, b"<Code>SignatureDoesNotMatch</Code>" in self.body


def curl(*arguments: str, body: bytes = b"") -> Answer:
    """One run of the real binary, without the user's ~/.curlrc and proxies; `@-` is the body."""
    options = ["-q", "-sS", "--noproxy", "*", "--max-time", "10", "--write-out", "%{stderr}%{http_code}"]
    done = subprocess.run(["curl", *options, *arguments], input=body, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return Answer(int(done.stderr), done.stdout)


def sending(headers: dict[str, str]) -> list[str]:
    """Headers as curl's arguments."""
    return [argument for name, value in headers.items() for argument in ("-H", f"{name}: {value}")]


@pytest.fixture(params=["jwt", "api-key"])
def identity(request, world) -> list[str]:
    """How u1 is known: by a JWT, or by a BFF's API key and X-Principal."""
    if request.param == "jwt":
        return sending({"Authorization": f"Bearer {world.identities.token('u1', int(time.time()))}"})
    return sending({"Authorization": f"Bearer {world.identities.api_key}", "X-Principal": "u1"})


@pytest.fixture
def ask(world) -> Callable[..., Answer]:
    """The broker's answer to a POST."""

    def ask(path: str, identity: list[str], ask: dict[str, object]) -> Answer:
        as_json = sending({"Content-Type": "application/json"})
        return curl("-X", "POST", f"{world.url}/v1/{path}", *identity, *as_json, "--data-binary", json.dumps(ask))

    return ask


def upload(grant: dict, changed: dict[str, str] | None = None) -> Answer:
    """The picture, sent with a grant's headers; curl itself sets the length of what it sends."""
    headers = {name: value for name, value in grant["headers"].items() if name != "Content-Length"}
    arguments = sending(headers | (changed or {}))
    return curl("-X", grant["method"], grant["url"], *arguments, "--data-binary", "@-", body=PICTURE)


def test_upload_and_download(ask, identity):
    """A URL uploads a file, another one brings the same bytes back."""
    grant = ask("avatars/url", identity, AVATAR).json
    assert upload(grant).status == 200
    link = ask("avatar-download/download-url", identity, {"key": grant["key"]}).json
    assert curl(link["url"]) == (200, PICTURE)


@pytest.mark.parametrize(
    "changed",
    [{"Content-Type": "text/html"}, {"Cache-Control": "max-age=600"}, {"x-cos-forbid-overwrite": "false"}],
    ids=lambda changed: next(iter(changed)),
)
def test_changed_header(ask, identity, changed):
    """The same URL is refused with one header changed, and works with none."""
    grant = ask("avatars/url", identity, AVATAR).json
    assert upload(grant, changed).refusal == (403, True)
    assert upload(grant).status == 200


def test_head(ask, identity, sdk):
    """A URL for HEAD tells the size, and does not open the object."""
    sdk().put_object(BUCKET, b"mine", MINE)
    grant = ask("private-files/url", identity, {"method": "HEAD", "key": MINE}).json
    assert curl(grant["url"]).refusal == (403, True)
    head = curl("--head", grant["url"])
    assert (head.status, b"\r\ncontent-length: 4\r\n" in head.body.lower()) == (200, True)


def test_delete(ask, identity, sdk):
    """A URL deletes its one object, and no other one."""
    for key in (MINE, "files/u1/b.txt"):
        sdk().put_object(BUCKET, b"mine", key)
    grant = ask("my-files-delete/url", identity, {"key": MINE}).json
    other = grant["url"].replace(MINE, "files/u1/b.txt")
    assert curl("-X", "DELETE", other).refusal == (403, True)
    assert curl("-X", "DELETE", grant["url"]).status == 204
    assert not sdk().object_exists(BUCKET, MINE)
    assert sdk().object_exists(BUCKET, "files/u1/b.txt")


def test_other_users_key(ask, identity):
    """Another user's key is refused by the broker; one's own is not."""
    refused = ask("private-files/download-url", identity, {"key": "files/u10/a.txt"})
    assert (refused.status, refused.json["code"]) == (422, "key_not_allowed")
    assert ask("private-files/download-url", identity, {"key": "files/u1/a.txt"}).status == 200


def test_no_identity(ask, identity):
    """A stranger gets nothing; with an identity the same ask is granted."""
    refused = ask("avatars/url", [], AVATAR)
    assert (refused.status, refused.json["code"]) == (401, "unauthenticated")
    assert ask("avatars/url", identity, AVATAR).status == 200
