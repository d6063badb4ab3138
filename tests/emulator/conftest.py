"""An emulator with a clock that tests move, and callers that sign by the vendors' recipes."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from urllib.parse import quote, urlencode
from xml.etree import ElementTree

import pytest
from tencentcloud.common.sign import Sign
from werkzeug.test import Client, TestResponse

from broker.cos import cam, signing
from broker.emulator.server import Emulator

ACCOUNT = ("AKIDEXAMPLE", "SKEXAMPLE00000000000000000000000")
BUCKET = "examplebucket-1250000000"
REGION = "ap-guangzhou"
HOST = f"{BUCKET}.cos.{REGION}.myqcloud.com"
NOW = 1_700_000_000


class Clock:
    """Unix seconds that only a test moves."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> float:
        """The current second."""
        return self.now

    def tick(self, seconds: int) -> None:
        """Let time pass."""
        self.now += seconds


@dataclass(frozen=True)
class Key:
    """A key pair as a caller holds it; the account's has no token."""

    secret_id: str
    secret_key: str
    token: str = ""
    expires_at: int = 0


@dataclass
class World:
    """The emulator as a WSGI application, without a socket."""

    emulator: Emulator
    clock: Clock
    account: Key = field(default_factory=lambda: Key(*ACCOUNT))

    def __post_init__(self) -> None:
        self.http = Client(self.emulator)

    def document(self, *actions: str, key: str = "dir/*", condition: dict | None = None) -> dict:
        """A session policy with one allow statement on one resource."""
        names = [f"name/cos:{action}" for action in actions]
        return cam.document([cam.statement(names, [cam.resource(REGION, BUCKET, key)], condition or {})])

    def sts(
        self,
        action: str,
        parameters: dict,
        *,
        by: Key | None = None,
        dated: int | None = None,
        also_signed: dict | None = None,
        **headers,
    ) -> dict:
        """What STS answers to a TC3 call, `Response` opened; the vendor's own function signs."""
        caller, timestamp = by or self.account, int(self.clock()) if dated is None else dated
        body = json.dumps(parameters)
        date = datetime.fromtimestamp(timestamp, UTC).strftime("%Y-%m-%d")
        hashed = hashlib.sha256(body.encode()).hexdigest()
        signed = {"content-type": "application/json", "host": "127.0.0.1"} | (also_signed or {})
        lines, names = "".join(f"{name}:{value}\n" for name, value in signed.items()), ";".join(signed)
        canonical = f"POST\n/\n\n{lines}\n{names}\n{hashed}"
        scope = f"{date}/sts/tc3_request"
        text = f"TC3-HMAC-SHA256\n{timestamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
        signature = Sign.sign_tc3(caller.secret_key, date, "sts", text)
        proof = f"Credential={caller.secret_id}/{scope}, SignedHeaders={names}, Signature={signature}"
        sent = {
            "Host": "127.0.0.1",
            "Content-Type": "application/json",
            "X-TC-Action": action,
            "X-TC-Version": "2018-08-13",
            "X-TC-Region": REGION,
            "X-TC-Timestamp": str(timestamp),
            "Authorization": f"TC3-HMAC-SHA256 {proof}",
        }
        if caller.token:
            sent["X-TC-Token"] = caller.token
        response = self.http.post("/", data=body, headers=sent | headers)
        assert (response.status_code, response.headers["Content-Type"]) == (200, "application/json")
        return response.json["Response"]

    def federate(self, document: dict, seconds: int = 1800) -> Key:
        """A credential of GetFederationToken."""
        policy = quote(json.dumps(document))
        answer = self.sts("GetFederationToken", {"Name": "broker", "Policy": policy, "DurationSeconds": seconds})
        return self.key(answer)

    def key(self, answer: dict) -> Key:
        """The credential in an answer of STS."""
        given = answer["Credentials"]
        return Key(given["TmpSecretId"], given["TmpSecretKey"], given["Token"], answer["ExpiredTime"])

    def sign(self, by: Key, method: str, key: str, headers: dict, params: dict, window: tuple[int, int]) -> str:
        """The `Authorization` value: the recipe of the specification, stage by stage."""
        names, http_headers = signing.pair_list(headers)
        param_names, http_parameters = signing.pair_list(params)
        key_time = f"{window[0]};{window[1]}"
        sign_key = signing.sign_key(by.secret_key, key_time)
        text = signing.string_to_sign(key_time, signing.http_string(method, key, http_parameters, http_headers))
        signature = hmac.digest(sign_key.encode(), text.encode(), "sha1").hex()
        return (
            f"q-sign-algorithm=sha1&q-ak={by.secret_id}&q-sign-time={key_time}&q-key-time={key_time}"
            f"&q-header-list={names.joined}&q-url-param-list={param_names.joined}&q-signature={signature}"
        )

    def send(
        self,
        method: str,
        key: str,
        *,
        by: Key | None = None,
        body: bytes = b"",
        headers: dict | None = None,
        params: dict | None = None,
        window: tuple[int, int] | None = None,
        token_in: str = "params",
        sign_in: str = "query",
        changed: dict | None = None,
        host: str = HOST,
    ) -> TestResponse:
        """One signed request. `changed` replaces signed parts afterwards: `headers`, `params`, `key`, `method`."""
        caller, headers, params, changed = by or self.account, dict(headers or {}), dict(params or {}), changed or {}
        if caller.token and token_in != "nowhere":
            {"params": params, "headers": headers}[token_in]["x-cos-security-token"] = caller.token
        if body or method == "PUT":
            headers.setdefault("Content-Length", str(len(body)))
        start, end = window or (self.clock.now - 60, self.clock.now + 300)
        authorization = self.sign(caller, method, key, {"Host": host, **headers}, params, (start, end))
        headers |= changed.get("headers", {})
        params |= changed.get("params", {})
        if sign_in == "query":
            params |= dict(part.split("=", 1) for part in authorization.split("&"))
        else:
            headers["Authorization"] = authorization
        length = {"CONTENT_LENGTH": headers["Content-Length"]} if "Content-Length" in headers else {}
        return self.http.open(
            f"/{signing.encode_key(changed.get('key', key))}?{urlencode(params)}",
            method=changed.get("method", method),
            headers={"Host": host, **headers},
            data=body,
            environ_overrides=length,
        )

    def form(
        self,
        *conditions: object,
        by: Key | None = None,
        expiration: str = "2023-11-14T22:18:20.000Z",
        window: tuple[int, int] | None = None,
        policy: bytes | None = None,
        **fields: str,
    ) -> dict[str, str]:
        """The fields of a POST Object for dir/a, signed; `policy` replaces the text that is made of `conditions`."""
        caller, (start, end) = by or self.account, window or (NOW - 60, NOW + 300)
        key_time = f"{start};{end}"
        signed = [{"q-sign-algorithm": "sha1"}, {"q-ak": caller.secret_id}, {"q-sign-time": key_time}, *conditions]
        text = json.dumps({"expiration": expiration, "conditions": signed}).encode() if policy is None else policy
        sign_key = hmac.digest(caller.secret_key.encode(), key_time.encode(), "sha1").hex()
        signature = hmac.digest(sign_key.encode(), hashlib.sha1(text).hexdigest().encode(), "sha1").hex()
        token = {"x-cos-security-token": caller.token} if caller.token else {}
        proof = {"q-sign-algorithm": "sha1", "q-ak": caller.secret_id, "q-key-time": key_time, "q-signature": signature}
        return {"key": "dir/a", **token, "policy": base64.b64encode(text).decode(), **proof, **fields}

    def post(
        self,
        fields: dict[str, str],
        file: bytes = b"hello",
        *,
        filename: str = "photo.png",
        headers: dict[str, str] | None = None,
        host: str = HOST,
    ) -> TestResponse:
        """A form with its file at the end; the browser gives the file a type."""
        parts = [f'name="{name}"\r\n\r\n{value}'.encode() for name, value in fields.items()]
        parts.append(f'name="file"; filename="{filename}"\r\nContent-Type: image/gif\r\n\r\n'.encode() + file)
        body = b"".join(b"--XX\r\nContent-Disposition: form-data; " + part + b"\r\n" for part in parts) + b"--XX--\r\n"
        return self.post_raw(body, headers=headers, host=host)

    def post_raw(self, body: bytes, *, boundary: str = "boundary=XX", headers=None, host: str = HOST) -> TestResponse:
        """A POST with any body that says it is a form."""
        sent = {"Host": host, "Content-Type": f"multipart/form-data; {boundary}"}
        return self.http.post("/", data=body, headers=sent | (headers or {}))


def code_of(response: TestResponse) -> str:
    """The error code in COS's XML."""
    assert response.headers["Content-Type"] == "application/xml"
    return ElementTree.fromstring(response.data).findtext("Code")


@pytest.fixture
def clock() -> Clock:
    """A clock that stands at 2023-11-14 22:13:20 UTC."""
    return Clock()


@pytest.fixture
def world(clock: Clock) -> World:
    """An empty emulator and everything to ask it with."""
    return World(Emulator(ACCOUNT, clock=clock), clock)


@pytest.fixture
def server() -> Iterator[Emulator]:
    """A started emulator on the real clock, for SDKs that read it."""
    with Emulator(ACCOUNT) as emulator:
        yield emulator


@pytest.fixture
def error_code():
    """The function that reads COS's error code."""
    return code_of


@pytest.fixture
def message():
    """The function that reads COS's error message."""
    return lambda response: ElementTree.fromstring(response.data).findtext("Message")


@pytest.fixture
def make_world():
    """Worlds with other constructor arguments."""

    def make(account: tuple[str, str] = ACCOUNT, now: int = NOW, **arguments) -> World:
        clock = Clock()
        clock.now = now
        return World(Emulator(account, clock=clock, **arguments), clock, Key(*account))

    return make
