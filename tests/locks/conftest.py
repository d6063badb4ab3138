"""A broker with the samples and some odd policies, the credentials behind what it vends, and requests byte by byte."""

from __future__ import annotations

import http.client
import re
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pytest
from flask import Flask
from qcloud_cos import CosConfig
from qcloud_cos.cos_auth import CosS3Auth

from broker import Broker
from broker.cos import forms
from broker.cos.signing import TOKEN_NAME, Request, Signer, Window
from broker.emulator.server import Emulator
from broker.local import AUDIENCE, ISSUER, Identities
from broker.settings import Settings
from tests.conftest import ACCOUNT, BUCKET
from tests.doubles import Clock
from tests.web.conftest import Door

Pairs = Iterable[tuple[str, str]]


class Answer(NamedTuple):
    """What COS said; `code` is the one in its XML, "" for a success and for any HEAD."""

    status: int
    code: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def authorised(self) -> bool:
        """Whether both locks opened: signature and session policy come before everything that is none of these."""
        return self.status not in (400, 403) or self.code == "IncompleteBody"


class Key(NamedTuple):
    """A key pair as its holder has it; the account's has no token."""

    secret_id: str
    secret_key: str
    token: str = ""


@dataclass
class Store:
    """COS, spoken to without a client that would tidy requests up."""

    emulator: Emulator

    @property
    def host(self) -> str:
        """The Host that means the only bucket there is."""
        return self.emulator.url.removeprefix("http://")

    def send(self, method: str, target: str, headers: Pairs, body: bytes = b"") -> Answer:
        """The answer to exactly this request. What Content-Length promises beyond the body never comes."""
        connection = http.client.HTTPConnection("127.0.0.1", self.emulator.port, timeout=10)
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers:
                connection.putheader(name, value.encode())
            connection.endheaders(body or None)
            connection.sock.shutdown(socket.SHUT_WR)
            answer = connection.getresponse()
            content = answer.read()
            found = re.search(rb"<Code>(\w+)</Code>", content) if answer.status >= 400 else None
            sent = {name.lower(): value for name, value in answer.getheaders()}
            return Answer(answer.status, found[1].decode() if found else "", sent, content)
        finally:
            connection.close()

    def signed(
        self,
        by: Key,
        method: str,
        key: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        body: bytes = b"",
        host: str = "",
    ) -> Answer:
        """The answer to a request that the holder of a key pair signs whole, every header and parameter of it."""
        sent = {"Host": host or self.host, **(headers or {})}
        if method in ("PUT", "POST") and not {"Content-Length", "Transfer-Encoding"} & set(sent):
            sent["Content-Length"] = str(len(body))
        now = int(time.time())
        request = Request(method, "http://store", key, sent, params or {})
        url = Signer(*by).presigned_url(request, Window(now - 60, now + 300))
        return self.send(method, url.removeprefix("http://store"), sent.items(), body)

    def form(
        self,
        by: Key,
        key: str,
        fields: Mapping[str, str],
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        host: str = "",
    ) -> Answer:
        """The answer to a form whose policy the holder of a key pair signs, each of its fields pinned in it."""
        host, now = host or self.host, int(time.time())
        bucket = BUCKET if host == self.host else host.partition(".")[0]
        signed = forms.fields(forms.Form(bucket, key, fields), Signer(*by), Window(now - 60, now + 300))
        return self.submit([pair for pair in signed.items() if pair[1]], body, {"Host": host, **(headers or {})})

    def submit(self, fields: Pairs, file: bytes, headers: Mapping[str, str], target: str = "/") -> Answer:
        """The answer to a form with exactly these fields, its file last."""
        named = [f'name="{name}"\r\n\r\n{value}'.encode() for name, value in fields]
        named.append(b'name="file"; filename="a.mp4"\r\nContent-Type: text/html\r\n\r\n' + file)
        body = b"".join(b"--b\r\nContent-Disposition: form-data; " + one + b"\r\n" for one in named) + b"--b--\r\n"
        own = {"Content-Type": "multipart/form-data; boundary=b", "Content-Length": str(len(body))}
        return self.send("POST", target, {**own, **headers}.items(), body)

    def begin(self, key: str) -> str:
        """COS's name for a new upload of a key."""
        answer = self.signed(Key(*ACCOUNT), "POST", key, params={"uploads": ""})
        return re.search(rb"<UploadId>(\w+)<", answer.body)[1].decode()

    def part(self, key: str, upload_id: str, body: bytes = b"mine") -> str:
        """The ETag of a first part of an upload."""
        params = {"partNumber": "1", "uploadId": upload_id}
        return self.signed(Key(*ACCOUNT), "PUT", key, params=params, body=body).headers["etag"]

    def put(self, key: str, body: bytes = b"mine", **headers: str) -> None:
        """An object that is there already."""
        assert self.signed(Key(*ACCOUNT), "PUT", key, body=body, headers=headers).status == 200

    def holds(self, key: str) -> bool:
        """Whether there is such an object."""
        return self.signed(Key(*ACCOUNT), "HEAD", key).status == 200

    def key_behind(self, grant: Mapping[str, Any]) -> Key:
        """The credential behind a grant: as the broker got it from STS."""
        if "credentials" in grant:
            given = grant["credentials"]
            return Key(given["tmpSecretId"], given["tmpSecretKey"], given["sessionToken"])
        if "requests" in grant:
            return self.key_behind(grant["requests"][0])
        if "satisfies" in grant:
            return self._key_of_confirmations(grant["key"].rpartition("/")[0])
        fields = parse_qs(urlsplit(grant["url"]).query) | parse_qs(grant.get("authorization", ""))
        fields |= {name: [value] for name, value in grant.get("fields", {}).items()}
        # The broker never shows the secret key of what it signs with; STS remembers whom it gave which.
        session = self.emulator._sessions.find(fields["q-ak"][0])
        assert session is not None
        assert session.token == (fields.get(TOKEN_NAME) or [grant["headers"].get(TOKEN_NAME)])[0]
        return Key(session.secret_id, session.secret_key, session.token)

    def _key_of_confirmations(self, folder: str) -> Key:
        """The credential that the broker itself sends a HEAD with, and shows nothing of."""
        for one in self.emulator._sessions.live(time.time()):
            (document,) = one.documents
            (statement,) = document["statement"] if len(document["statement"]) == 1 else ({"action": []},)
            if statement["action"] == ["name/cos:HeadObject"] and statement["resource"][0].endswith(f"/{folder}/*"):
                return Key(one.secret_id, one.secret_key, one.token)
        raise AssertionError(f"STS gave nothing that reads heads in {folder}")


@pytest.fixture(scope="package")
def _door(cloud: Emulator, identities: Identities, policies: Path) -> Door:
    """One broker for all tests: what it vends is made anew each time, its credentials stay in its cache."""
    settings = Settings.from_environ(
        {
            "TENCENTCLOUD_SECRET_ID": ACCOUNT[0],
            "TENCENTCLOUD_SECRET_KEY": ACCOUNT[1],
            "BROKER_STS_ENDPOINT": cloud.url,
            "BROKER_COS_ENDPOINT": cloud.url,
            "BROKER_POLICIES": str(policies),
            "BROKER_JWT_JWKS": str(identities.jwks),
            "BROKER_JWT_ISSUER": ISSUER,
            "BROKER_JWT_AUDIENCE": AUDIENCE,
            "BROKER_JWT_ALGORITHMS": "ES256",
            "BROKER_ANONYMOUS": "1",
        }
    )
    clock = Clock(int(time.time()))
    app = Flask("locks")
    Broker(app, settings=settings, clock=clock, monotonic=clock.monotonic)
    return Door(app, settings, clock, identities, cloud)


@pytest.fixture
def door(_door: Door, emulator: Emulator) -> Door:
    """The broker, at the present second, in front of a COS without objects."""
    _door.clock.tick(max(0, int(time.time()) - _door.clock.now))
    return _door


@pytest.fixture
def store(emulator: Emulator) -> Store:
    """The COS behind the broker, without objects."""
    return Store(emulator)


@pytest.fixture
def officially_signed() -> Callable[[Key, str, Mapping[str, str]], CosS3Auth]:
    """What signs a request of `requests` as the official Python SDK does: for a key pair, an object, its parameters."""

    def auth(by: Key, key: str, params: Mapping[str, str]) -> CosS3Auth:
        config = CosConfig(Region="ap-guangzhou", SecretId=by.secret_id, SecretKey=by.secret_key, Token=by.token)
        return CosS3Auth(config, key, dict(params))

    return auth


def manifest(etag: str) -> bytes:
    """What completes an upload of one part."""
    part = f"<Part><PartNumber>1</PartNumber><ETag>{etag}</ETag></Part>"
    return f"<CompleteMultipartUpload>{part}</CompleteMultipartUpload>".encode()


def query_of(url: str) -> dict[str, str]:
    """The parameters of a URL, decoded."""
    return dict(parse_qsl(urlsplit(url).query, keep_blank_values=True))
