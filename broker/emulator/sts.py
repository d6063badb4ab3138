"""STS: GetFederationToken and AssumeRole, answered like the real one, errors included (HTTP 200 and JSON).

The account is a sub-account, so GetFederationToken goes up to 36 hours. Roles are not looked up: every well-formed
one exists and has all rights.

Specification: https://cloud.tencent.com/document/api/1312/48195 (GetFederationToken), /48197 (AssumeRole)
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from werkzeug.wrappers import Request, Response

from broker.emulator import callers, documents
from broker.emulator.buckets import Buckets
from broker.emulator.callers import Call, StsError
from broker.emulator.sessions import Document, Session, Sessions

VERSION = "2018-08-13"
MAX_BODY_BYTES = 10 * 1024**2

_REQUIRED = {"GetFederationToken": ("Name", "Policy"), "AssumeRole": ("RoleArn", "RoleSessionName")}
_OPTIONAL = {
    "GetFederationToken": ("DurationSeconds",),
    "AssumeRole": "DurationSeconds Policy ExternalId Tags SourceIdentity SerialNumber TokenCode".split(),
}
_DEFAULT_SECONDS = {"GetFederationToken": 1_800, "AssumeRole": 7_200}
_MAX_SECONDS = {"GetFederationToken": 129_600, "AssumeRole": 43_200}
_FORMATS = {
    "RoleArn": r"qcs::cam::uin/[0-9]+:(?:roleName/[\w+=,.@-]+|role/[0-9]+)",
    "RoleSessionName": r"[\w+=,.@-]{2,128}",
    "ExternalId": r"[\w+=,.@:/-]{2,128}",
    "Name": r"[\w+=,.@-]+",
}


class Sts:
    """The token service. `arrive` is told each action before anything else; it may return the code of a fault.

    `lifetime` says how many seconds it gives of those asked for.
    """

    def __init__(
        self,
        sessions: Sessions,
        buckets: Buckets,
        clock: Callable[[], float],
        arrive: Callable[[str], str | None],
        lifetime: Callable[[int], int] = lambda asked: asked,
    ) -> None:
        self._lifetime = lifetime
        self._sessions = sessions
        self._buckets = buckets
        self._clock = clock
        self._arrive = arrive

    def answer(self, request: Request) -> Response:
        """The response to one call; refusals are HTTP 200, too."""
        try:
            result = self._perform(request)
        except StsError as error:
            result = {"Error": {"Code": error.code, "Message": str(error)}}
        result["RequestId"] = str(uuid.uuid4())
        # NOTE: exactly this type; with a charset the official SDK takes an error for a success.
        return Response(json.dumps({"Response": result}), content_type="application/json")

    def _perform(self, request: Request) -> dict[str, Any]:
        if (request.content_length or 0) > MAX_BODY_BYTES:
            raise StsError("RequestSizeLimitExceeded", f"A request has at most {MAX_BODY_BYTES} bytes.")
        body = request.get_data(cache=False)
        call = callers.read(request, body)
        if call.action not in _REQUIRED:
            raise StsError("InvalidAction", f"The request action={call.action!r} is invalid or not found.")
        if code := self._arrive(call.action):
            raise StsError(code, "This failure was ordered from the emulator.")
        now = self._clock()
        caller = callers.authenticate(call, request, body, self._sessions, now)
        if call.action == "GetFederationToken" and caller.is_temporary:
            raise StsError("FailedOperation.TempKeyNotAllowed", "A temporary key cannot call GetFederationToken.")
        _check(call)
        return self._issue(call, caller, int(now))

    def _issue(self, call: Call, caller: Session, now: int) -> dict[str, Any]:
        expires_at = now + self._lifetime(_duration(call))
        chain = caller.documents
        if (own := _document(call.parameters)) is not None:
            self._buckets.learn(documents.buckets(own))
            chain = (*chain, own)
        session = self._sessions.issue(chain, now, expires_at)
        return {
            "Credentials": {
                "Token": session.token,
                "TmpSecretId": session.secret_id,
                "TmpSecretKey": session.secret_key,
            },
            "ExpiredTime": expires_at,
            "Expiration": datetime.fromtimestamp(expires_at, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        }


def _check(call: Call) -> None:
    if call.version != VERSION:
        raise StsError("NoSuchVersion", f"sts has the version {VERSION}, got {call.version!r}.")
    required, given = _REQUIRED[call.action], call.parameters
    missing = [name for name in required if given.get(name) in (None, "")] + ["Region"] * (not call.region)
    if missing:
        raise StsError("MissingParameter", f"The parameter {missing[0]} is missing.")
    known = {*required, *_OPTIONAL[call.action]}
    if unknown := [name for name in given if name.partition(".")[0] not in known]:
        raise StsError("UnknownParameter", f"The parameter {unknown[0]!r} is not recognized.")
    for name, pattern in _FORMATS.items():
        if name in given and not (isinstance(given[name], str) and re.fullmatch(pattern, given[name], re.ASCII)):
            raise StsError("InvalidParameter.ParamError", f"{name} must match {pattern}.")


def _duration(call: Call) -> int:
    given = call.parameters.get("DurationSeconds", _DEFAULT_SECONDS[call.action])
    if isinstance(given, bool) or not re.fullmatch(r"[0-9]{1,9}", str(given)) or int(given) < 1:
        raise StsError("InvalidParameter.ParamError", f"DurationSeconds must be a positive integer, got {given!r}.")
    if int(given) > _MAX_SECONDS[call.action]:
        message = f"DurationSeconds must be at most {_MAX_SECONDS[call.action]}, got {given}."
        raise StsError("InvalidParameter.OverTimeError", message)
    return int(given)


def _document(parameters: Mapping[str, Any]) -> Document | None:
    """The session policy; None, full rights, only where it was not given at all."""
    if "Policy" not in parameters:
        return None
    if not isinstance(parameters["Policy"], str):
        raise StsError("InvalidParameter.StrategyFormatError", "Policy must be URL-encoded JSON text.")
    try:
        return documents.parse(parameters["Policy"])
    except documents.InvalidDocument as error:
        raise StsError(error.code, str(error)) from error
