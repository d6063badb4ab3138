"""The only file that speaks to STS: one call, through Tencent's own SDK.

API: GetFederationToken https://cloud.tencent.com/document/api/1312/48195, AssumeRole /1312/48197.
"""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPResponse
from typing import Any, NamedTuple, Protocol, cast
from urllib.parse import quote, urlsplit

from requests import Response
from requests.adapters import HTTPAdapter
from tencentcloud.common.credential import Credential as PermanentKey
from tencentcloud.common.credential import CVMRoleCredential, DefaultTkeOIDCRoleArnProvider, ProfileCredential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.http.request import ProxyConnection
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.sts.v20180813 import models
from tencentcloud.sts.v20180813.sts_client import StsClient
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, NewConnectionError
from urllib3.util import Timeout

from broker.credentials.refusals import Refusal, refusal
from broker.credentials.scope import Scope
from broker.credentials.timekeeping import Timekeeper
from broker.deadlines import DatedSocket, connect
from broker.errors import ConfigurationError, Problem, UpstreamUnavailable

_SESSION_NAME = "broker"  # constant: a name that varies would end caching
_CONNECTIONS = 32  # kept open; more threads than that do not call at once
_TIME_SECONDS = 2.0
_BODY_BYTES = 64 * 1024
_BLOCK_BYTES = 16 * 1024


class SourceKey(Protocol):
    """The key that asks STS, as the SDK keeps it: permanent, or refreshing itself."""

    secret_id: str
    secret_key: str
    token: str | None


def source_key(secret_id: str, secret_key: str) -> SourceKey:
    """The given key, else the SDK's chain: profile file, CVM role, TKE OIDC. Raises ConfigurationError."""
    if secret_id:
        given: SourceKey = PermanentKey(secret_id, secret_key)
        return given
    for provider in (ProfileCredential(), CVMRoleCredential(), DefaultTkeOIDCRoleArnProvider()):
        try:
            found: SourceKey | None = provider.get_credential()
            if found is not None and found.secret_id:
                return found
        except (TencentCloudSDKException, OSError, AttributeError, KeyError, ValueError):
            continue  # each provider has its own way to say that it has nothing
    raise ConfigurationError(
        [
            Problem(
                "environment",
                "TENCENTCLOUD_SECRET_ID",
                "no key for STS: set TENCENTCLOUD_SECRET_ID and TENCENTCLOUD_SECRET_KEY, or provide "
                "~/.tencentcloud/credentials, a CVM role or TKE OIDC",
            )
        ]
    )


class Answer(NamedTuple):
    """What STS gave. `expired_time` is in Unix seconds."""

    secret_id: str
    secret_key: str
    session_token: str
    expired_time: int
    request_id: str

    def __repr__(self) -> str:
        return f"Answer(request_id={self.request_id!r})"


class Sts:
    """Calls STS. Whatever it answers, the `Date` of its answer goes to the timekeeper."""

    def __init__(
        self,
        source: SourceKey,
        endpoint: str,
        region: str,
        timekeeper: Timekeeper,
        monotonic: Callable[[], float],
    ) -> None:
        self._endpoint = endpoint
        parts = urlsplit(endpoint)
        profile = ClientProfile(
            httpProfile=HttpProfile(protocol=parts.scheme, endpoint=parts.netloc),
            language="en-US",
            retryer=None,  # the SDK's own discards a success that follows a failure
            disable_region_breaker=True,  # it hides network errors
        )
        self._client = _Client(source, region, profile)
        self._client.timekeeper = timekeeper
        self._line = _Line(parts.netloc, parts.scheme == "http", timekeeper, monotonic)
        self._client.request.conn = self._line

    def call(self, scope: Scope, timeout_seconds: float) -> Answer:
        """What STS gives for a scope, in one try, so long from connecting to the last byte. Raises Refusal."""
        self._line.local.timeout_seconds = timeout_seconds
        try:
            response = self._request(scope)
        except TencentCloudSDKException as error:
            # Its text may quote the request.
            raise refusal(str(error.get_code()), error.get_request_id()) from None
        given = response.Credentials
        secrets = [] if given is None else [given.TmpSecretId, given.TmpSecretKey, given.Token]
        whole = bool(secrets) and all(isinstance(one, str) and one for one in secrets)
        if not whole or isinstance(response.ExpiredTime, bool) or not isinstance(response.ExpiredTime, int):
            broken = UpstreamUnavailable("sts_unavailable", "STS answered without whole credentials", 2)
            raise Refusal(broken, "unavailable")
        return Answer(given.TmpSecretId, given.TmpSecretKey, given.Token, response.ExpiredTime, str(response.RequestId))

    def ask_time(self) -> None:
        """Have STS tell the time, if it answers: to an unsigned call, with an error, which costs no quota."""
        self._line.local.timeout_seconds = _TIME_SECONDS
        with contextlib.suppress(OSError, HTTPError):
            self._line.request("POST", f"{self._endpoint}/", "{}", {"Content-Type": "application/json"})

    def _request(self, scope: Scope) -> models.GetFederationTokenResponse | models.AssumeRoleResponse:
        # STS URL-decodes the document; the SDK does not encode it.
        document = quote(scope.document, safe="")
        if scope.role_arn is None:
            federation = models.GetFederationTokenRequest()
            federation.Name, federation.Policy = _SESSION_NAME, document
            federation.DurationSeconds = scope.duration_seconds
            return self._client.GetFederationToken(federation)
        assumption = models.AssumeRoleRequest()
        assumption.RoleArn, assumption.RoleSessionName = scope.role_arn, _SESSION_NAME
        assumption.Policy, assumption.DurationSeconds = document, scope.duration_seconds
        assumption.ExternalId = scope.external_id
        return self._client.AssumeRole(assumption)


class _Client(StsClient):  # type: ignore[misc]
    """The SDK's client, dating its requests by Tencent's clock: STS refuses those that are five minutes off."""

    timekeeper: Timekeeper

    def _build_req_with_tc3_signature(self, action: str, params: Any, req: Any, options: Any = None) -> None:
        super()._build_req_with_tc3_signature(action, params, req, options)
        now = self.timekeeper()
        if str(now) == req.header["X-TC-Timestamp"]:
            return
        secret_id, secret_key, _ = self.credential.get_credential_info()
        date = datetime.fromtimestamp(now, UTC).strftime("%Y-%m-%d")
        req.header["X-TC-Timestamp"] = str(now)
        signature = self._get_tc3_signature(params, req, date, self._service, secret_key, options)
        req.header["Authorization"] = (
            f"TC3-HMAC-SHA256 Credential={secret_id}/{date}/{self._service}/tc3_request, "
            f"SignedHeaders=content-type;host, Signature={signature}"
        )


class _Line(ProxyConnection):  # type: ignore[misc]
    """The SDK's connection, with one time-out for all of a call, whole bodies, and an eye on `Date`."""

    def __init__(self, host: str, is_http: bool, timekeeper: Timekeeper, monotonic: Callable[[], float]) -> None:
        super().__init__(host, is_http=is_http)
        self._session.mount("https://", _Adapter(pool_maxsize=_CONNECTIONS))
        self._session.mount("http://", _Adapter(pool_maxsize=_CONNECTIONS))
        self._timekeeper = timekeeper
        self._monotonic = monotonic
        self.local = threading.local()

    def request(self, method: str, url: str, body: Any = None, headers: Any = None) -> Response:
        began, steps = self._monotonic(), self._timekeeper.steps
        response: Response = self._session.request(
            method,
            url,
            data=body,
            headers=headers,
            proxies=self.proxy,
            verify=self.certification,
            timeout=Timeout(total=self.local.timeout_seconds),
            stream=True,
            allow_redirects=False,
            auth=_as_it_is,
        )
        answered = self._monotonic()
        self._read(response)
        date = _date(response.headers.get("Date", ""))
        if date is not None:
            self._timekeeper.observe(date + self._monotonic() - answered, answered - began, steps)
        # The SDK takes an error of any type but this very text for a success without credentials.
        if response.headers.get("Content-Type", "").partition(";")[0].strip().lower() == "application/json":
            response.headers["Content-Type"] = "application/json"
        return response

    def _read(self, response: Response) -> None:
        body = b""
        while block := response.raw.read1(_BLOCK_BYTES, decode_content=True):
            body += block
            if len(body) > _BODY_BYTES:
                response.close()
                raise OSError("the answer was too long")
        response._content = body


class _Adapter(HTTPAdapter):
    """Connects as requests does, directly or through a proxy, and keeps to the time-out."""

    def get_connection_with_tls_context(self, *args: Any, **more: Any) -> Any:
        pool = super().get_connection_with_tls_context(*args, **more)
        pool.ConnectionCls = _DATED.get(pool.ConnectionCls, pool.ConnectionCls)
        return pool


class _Dated(HTTPConnection):
    """A connection whose time-out is for all that is waited for: any address to answer, and all of an answer.

    urllib3 sets it before either to what a total leaves, but has every address and every read take as long.
    """

    def _new_conn(self) -> socket.socket:
        deadline = time.monotonic() + cast(float, self.timeout)
        try:
            addresses = socket.getaddrinfo(self.host.strip("[]"), self.port, type=socket.SOCK_STREAM)
            sock = connect(addresses, deadline)
        except OSError as error:
            raise NewConnectionError(self, f"no connection: {type(error).__name__}") from error
        for option in self.socket_options or ():
            sock.setsockopt(*option)
        return sock

    def response_class(self, sock: socket.socket, *args: Any, **more: Any) -> HTTPResponse:  # type: ignore[override]
        # Of STS, or of a proxy before it.
        dated = DatedSocket(sock, time.monotonic() + cast(float, sock.gettimeout()))
        return HTTPResponse(cast(socket.socket, dated), *args, **more)


class _DatedTls(_Dated, HTTPSConnection):
    """The same with TLS, whose handshake has what connecting left."""


_DATED: dict[type[Any], type[Any]] = {HTTPConnection: _Dated, HTTPSConnection: _DatedTls}


def _as_it_is(request: Any) -> Any:
    # Without an `auth`, requests puts what a .netrc says of the host in the place of the signature.
    return request


def _date(text: str) -> float | None:
    try:
        return parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError):
        return None
