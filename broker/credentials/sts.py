"""The only file that speaks to STS: Scope -> Credential, through Tencent's own SDK.

API: GetFederationToken https://cloud.tencent.com/document/api/1312/48195, AssumeRole /1312/48197.
"""

from __future__ import annotations

from typing import Protocol
from urllib.parse import quote, urlsplit

from tencentcloud.common.credential import Credential as PermanentKey
from tencentcloud.common.credential import CVMRoleCredential, DefaultTkeOIDCRoleArnProvider, ProfileCredential
from tencentcloud.common.exception.tencent_cloud_sdk_exception import TencentCloudSDKException
from tencentcloud.common.profile.client_profile import ClientProfile
from tencentcloud.common.profile.http_profile import HttpProfile
from tencentcloud.sts.v20180813 import models
from tencentcloud.sts.v20180813.sts_client import StsClient

from broker.credentials import lifetimes
from broker.credentials.credential import Credential
from broker.credentials.scope import Scope
from broker.errors import ConfigurationError, Problem, UpstreamError, UpstreamUnavailable

TIMEOUT_SECONDS = 7
_SESSION_NAME = "broker"  # constant: a name that varies would end caching
_TEMPORARY = "temporary"

# Refusals that asking again does not change; anything else may pass.
_PERMANENT = (
    "AuthFailure",
    "FailedOperation",
    "InternalError.IllegalRole",
    "InvalidAction",
    "InvalidParameter",
    "InvalidParameterValue",
    "MissingParameter",
    "NoSuchVersion",
    "ResourceNotFound",
    "UnauthorizedOperation",
    "UnknownParameter",
    "UnsupportedOperation",
    "UnsupportedRegion",
)
# Refusals of the key that asks, whatever it asks for.
_CONFIGURATION = ("AuthFailure", "UnauthorizedOperation")
_PERMANENT_FAMILIES = tuple(f"{code}." for code in _PERMANENT)
_PASSING = ("InvalidParameter.OverLimit",)  # "frequency exceeded", whatever its prefix says


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


class Issuer:
    """STS, asked with one source key. `endpoint` is scheme and authority; `region` any valid one, STS is global."""

    def __init__(self, source: SourceKey, endpoint: str, region: str) -> None:
        self._source = source
        self._endpoint = endpoint
        parts = urlsplit(endpoint)
        profile = ClientProfile(
            httpProfile=HttpProfile(protocol=parts.scheme, endpoint=parts.netloc, reqTimeout=TIMEOUT_SECONDS),
            language="en-US",
            retryer=None,  # the SDK's own discards a success that follows a failure
            disable_region_breaker=True,  # it hides network errors
        )
        self._client = StsClient(source, region, profile)
        self._serving = True

    @property
    def temporary(self) -> bool:
        """Whether the source key is itself temporary: then STS grants it AssumeRole alone."""
        return bool(self._source.token)

    @property
    def serving(self) -> bool:
        """Whether the last call got an answer (a refusal is one)."""
        return self._serving

    def fingerprint(self, scope: Scope) -> str:
        """What a scope's credential is kept under: the same only for the same call by the same source."""
        return scope.fingerprint(_TEMPORARY if self.temporary else self._source.secret_id, self._endpoint)

    def issue(self, scope: Scope, now: int) -> Credential:
        """A new credential, one call. Raises UpstreamError (sts_refused) or UpstreamUnavailable (sts_unavailable)."""
        try:
            response = self._call(scope)
        except TencentCloudSDKException as error:
            raise self._translated(error) from None  # its text may quote the request
        given = response.Credentials
        # The SDK takes an error of an unexpected content type for a success without credentials.
        secrets = [] if given is None else [given.TmpSecretId, given.TmpSecretKey, given.Token]
        self._serving = bool(secrets) and all(isinstance(one, str) and one for one in secrets)
        if not (self._serving and isinstance(response.ExpiredTime, int)):
            self._serving = False
            raise UpstreamUnavailable("sts_unavailable", "STS answered without whole credentials")
        return Credential(
            secret_id=given.TmpSecretId,
            secret_key=given.TmpSecretKey,
            session_token=given.Token,
            issued_at=now,
            expires_at=lifetimes.expiry(response.ExpiredTime, now, scope.duration_seconds),
            request_id=str(response.RequestId),
        )

    def _call(self, scope: Scope) -> models.GetFederationTokenResponse | models.AssumeRoleResponse:
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

    def _translated(self, error: TencentCloudSDKException) -> UpstreamError:
        code, request_id = str(error.get_code()), error.get_request_id()
        told = f"{code}, RequestId {request_id}" if request_id else code
        if (code in _PERMANENT or code.startswith(_PERMANENT_FAMILIES)) and code not in _PASSING:
            self._serving = not code.startswith(_CONFIGURATION)
            return UpstreamError("sts_refused", f"STS refused: {told}")
        self._serving = False
        return UpstreamUnavailable("sts_unavailable", f"STS does not serve now: {told}")
