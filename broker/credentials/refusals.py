"""How STS fails, by its error codes: worth another try or not, and whose fault it is.

Codes: https://cloud.tencent.com/document/product/1150/49458; `ClientNetworkError` and `ServerNetworkError` are the
SDK's own, for no answer and for a status other than 200.
"""

from __future__ import annotations

from dataclasses import dataclass

from broker.errors import Subject, UpstreamError, UpstreamUnavailable

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
# Refusals of the key that asks, whatever it asks for (in the role that it assumes, if it does).
_CONFIGURATION = (
    "AuthFailure",
    "FailedOperation.TempKeyNotAllowed",
    "InvalidParameter.AccessKeyNotSupport",
    "InvalidParameter.AccountNotAvaliable",
    "UnauthorizedOperation",
    "UnsupportedRegion",
)
# "Frequency exceeded"; the second is STS's own, whatever its prefix says.
_THROTTLING = ("RequestLimitExceeded", "InvalidParameter.OverLimit")
_NETWORK = ("ClientNetworkError", "ServerNetworkError")
_RETRYABLE = (*_THROTTLING, *_NETWORK, "InternalError", "ResourceUnavailable")
# Our clock was off; the answer has told by how much.
_CLOCK = "AuthFailure.SignatureExpire"


@dataclass(eq=False)
class Refusal(Exception):
    """One try that brought no credential.

    `tries`: how many such tries are worth it in all. `answered`: STS is there and judged what was asked. `outcome` is
    for counting: `refused`, `throttled`, `unavailable`.
    """

    error: UpstreamError
    outcome: str
    tries: int = 1
    answered: bool = False


def refusal(code: str, request_id: str | None) -> Refusal:
    """What an error code of STS (or of its SDK) means."""
    told = f"{code}, RequestId {request_id}" if request_id else code
    throttled = _among(code, _THROTTLING)
    if _among(code, _PERMANENT) and not throttled and code != _CLOCK:
        own = _among(code, _CONFIGURATION)
        about: Subject = "source" if own else "scope"
        return Refusal(UpstreamError("sts_refused", f"STS refused: {told}", about=about), "refused", 1, not own)
    error = UpstreamUnavailable(
        "sts_unavailable",
        f"STS does not serve now: {told}",
        retry_after_seconds=2,
        about="source" if throttled else "network" if _among(code, _NETWORK) or code == _CLOCK else "scope",
    )
    tries = 2 if code == _CLOCK else 3 if _among(code, _RETRYABLE) else 1
    return Refusal(error, "throttled" if throttled else "unavailable", tries)


def _among(code: str, families: tuple[str, ...]) -> bool:
    return any(code == family or code.startswith(f"{family}.") for family in families)
