from __future__ import annotations

import subprocess
import sys

import pytest
import requests

from broker.client import BrokerClient, Credentials, RouteDescription, SignedUrl
from broker.client.errors import Refused
from tests.conftest import BUCKET, REPOSITORY

PLAIN = {"Content-Type": "text/plain", "Content-Length": "4"}


def put(grant, body=b"mine"):
    """What COS answers to an upload with a grant."""
    return requests.put(grant.url, data=body, headers=dict(grant.headers), timeout=5)


def test_presigned_url(client):
    """The official SDK's parameters bring a URL that works, typed, and say when it ends."""
    grant = client.get_presigned_url("files", Method="PUT", Bucket=BUCKET, Key="files/u1/a", Expired=60, Headers=PLAIN)
    assert isinstance(grant, SignedUrl)
    assert (grant.method, grant.bucket, grant.key, grant.expires_in) == ("PUT", BUCKET, "files/u1/a", 60)
    assert grant.raw["url"] == grant.url
    assert isinstance(grant.expires_at, int)
    assert put(grant).status_code == 200


def test_download_url(client):
    """`Filename` is the name under which a browser saves what it downloads."""
    put(client.get_presigned_url("files", Inputs={"name": "a"}, Headers=PLAIN))
    link = client.get_presigned_download_url("read", Key="files/u1/a", Filename="mine.txt", Params={})
    answer = requests.get(link.url, headers=dict(link.headers), timeout=5)
    assert (answer.content, "mine.txt" in answer.headers["Content-Disposition"]) == (b"mine", True)


def test_signature(client):
    """A signature comes with all that is to be sent."""
    grant = client.get_auth("files", Method="PUT", Key="files/u1/b", Headers=PLAIN, Params={})
    assert grant.headers["Authorization"] == grant.authorization
    assert put(grant).status_code == 200


def test_credentials(client):
    """Temporary keys, and their raw shape for the official SDKs."""
    keys = client.credentials("user-folder")
    assert isinstance(keys, Credentials)
    assert keys.raw["credentials"]["sessionToken"] == keys.session_token
    assert keys.key_prefix == "files/u1/"
    assert keys.expires_at - keys.start_at >= 600
    assert "name/cos:PutObject" in keys.actions


def test_form_and_confirmation(client):
    """A form uploads, and the confirmation tells what arrived."""
    form = client.form("files", inputs={"name": "c"}, headers={"Content-Type": "text/plain"}, expires_in=60)
    fields = [(name, (None, value)) for name, value in form.fields.items()]
    sent = requests.post(form.url, files=[*fields, ("file", ("c", b"mine", "text/plain"))], timeout=5)
    assert sent.status_code == 204
    found = client.confirm("files", form.key)
    assert (found.content_length, found.content_type, found.satisfies, found.problems) == (4, "text/plain", True, ())


def test_multipart_steps(client):
    """Each step is there for those who send the parts elsewhere."""
    step = client.multipart(
        "files", "initiate", inputs={"name": "d"}, headers={"Content-Type": "text/plain"}, size=3 * 2**20
    )
    assert (step.step, step.part_bytes, step.requests[0].method) == ("initiate", 2**20, "POST")
    parts = client.multipart("files", "parts", key=step.key, upload_id="abc", size=3 * 2**20, parts=(2, 3))
    assert [one.part_number for one in parts.requests] == [2, 3]


def test_batch(client):
    """Each ask has its own grant or refusal, in their order; both spellings are understood."""
    results = client.batch(
        "files",
        [
            {"Method": "PUT", "Inputs": {"name": "a"}, "Headers": PLAIN},
            {"vend": "url", "key": "files/u2/a", "headers": PLAIN},
            {"vend": "signature", "method": "PUT", "key": "files/u1/b", "headers": PLAIN},
        ],
    )
    assert [one.status for one in results] == [200, 422, 200]
    assert results[0].granted().key == "files/u1/a"
    with pytest.raises(Refused, match="key_not_allowed"):
        results[1].granted()
    assert results[2].granted().method == "PUT"


def test_routes(client):
    """The routes that this principal may use, typed."""
    found = {one.route: one for one in client.routes()}
    assert isinstance(found["files"], RouteDescription)
    assert found["files"].content["part_bytes"] == 2**20
    assert found["read"].takes_header("range")
    assert not found["read-whole"].takes_header("range")


def test_principals(url, door, connect):
    """A BFF's API key acts for its users, one after another, over the same connections."""
    bff = connect(url, door.identities.api_key, principal="u7")
    assert bff.get_presigned_download_url("read", Inputs={"name": "a"}).key == "files/u7/a"
    other = bff.acting_for("u8")
    assert other.get_presigned_download_url("read", Inputs={"name": "a"}).key == "files/u8/a"


def test_principal_claims(scripted, connect):
    """Claims are sent as base64url of JSON."""
    url, double = scripted((200, {}, {"routes": []}))
    connect(url, "bff.secret", principal="u1", principal_claims={"tenant": "acme"}).routes()
    assert double.asked[0]["HTTP_X_PRINCIPAL"] == "u1"
    assert double.asked[0]["HTTP_X_PRINCIPAL_CLAIMS"] == "eyJ0ZW5hbnQiOiJhY21lIn0"


def test_fresh_tokens(url, door, connect):
    """A token that is a callable is asked for each request."""
    given = []

    def token():
        given.append(door.token())
        return given[-1]

    client = connect(url, token)
    client.routes()
    client.routes()
    assert len(given) == 2


def test_without_token(url, door, connect):
    """Without a token nothing is said about who asks."""
    with pytest.raises(Refused) as refusal:
        connect(url, None).routes()
    assert refusal.value.code == "unauthenticated"


@pytest.mark.parametrize("base_url", ["", "ftp://h", "https://", "https://u:p@h", "https://h/?q=1"])
def test_base_url(base_url):
    """What is no base of an API is refused at once."""
    with pytest.raises(ValueError, match="base_url"):
        BrokerClient(base_url, "a.b")


def test_prefix(door, connect, scripted):
    """A prefix of the base stands before `/v1`."""
    url, double = scripted((200, {}, {"routes": []}))
    connect(f"{url}/broker/").routes()
    assert double.asked[0]["PATH_INFO"] == "/broker/v1"


def test_what_an_import_loads():
    """The client loads neither Flask nor Redis nor the cloud's SDK, nor anything else of the broker's."""
    script = (
        "import sys\nfrom broker.client import BrokerClient\n"
        "print(sorted({'flask', 'redis', 'tencentcloud', 'pydantic', 'werkzeug'} & set(sys.modules)))\n"
        "print(sorted(n for n in sys.modules if n.startswith('broker.') and not n.startswith('broker.client')))\n"
    )
    told = subprocess.run([sys.executable, "-c", script], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n[]\n"
