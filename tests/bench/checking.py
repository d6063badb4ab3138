"""Whether answers under load are right: the official SDK signs the same anew, and the emulator takes uploads."""

from __future__ import annotations

import base64
import contextlib
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import parse_qs, urlsplit

import time_machine
from qcloud_cos import CosConfig, CosS3Client

from broker import local
from broker.credentials.credential import Credential
from broker.credentials.sealing import Sealer
from broker.credentials.store import CredentialStore
from broker.fleet import topology
from broker.fleet.connection import Connection

_BACKDATED_SECONDS = 60  # by the SDK
_UPLOADS = 3


def check(bodies: Sequence[bytes], environ: Mapping[str, str]) -> int:
    """How many URLs equal, byte for byte, what the official SDK makes of the same credential, request and time.

    The credentials are read from the Redis of the broker's `environ`, the way the broker itself reads them. Raises
    RuntimeError at the first that differs, or that is refused where it points to.
    """
    credentials = _credentials(environ)
    grants = [json.loads(body) for body in bodies]
    for grant in grants:
        if grant["url"] != (theirs := _by_sdk(grant, credentials)):
            raise RuntimeError(f"expected the URL of the official SDK, got one that differs: {len(theirs)} characters")
    for grant in grants[:_UPLOADS]:
        status, _, answer = local.send("PUT", grant["url"], grant["headers"], b"x" * 1000)
        if status != 200:
            raise RuntimeError(f"expected an upload, got {status} {answer[:200]!r}")
    return len(grants)


def _by_sdk(grant: Mapping[str, Any], credentials: Mapping[str, Credential]) -> str:
    url = urlsplit(grant["url"])
    fields = parse_qs(url.query)
    credential = credentials[fields["q-ak"][0]]
    start, end = (int(text) for text in fields["q-sign-time"][0].split(";"))
    config = CosConfig(
        Region=grant["region"],
        SecretId=credential.secret_id,
        SecretKey=credential.secret_key,
        Scheme=url.scheme,
        Domain=url.netloc,
    )
    with time_machine.travel(start + _BACKDATED_SECONDS, tick=False):
        signed: str = CosS3Client(config).get_presigned_url(
            Bucket=grant["bucket"],
            Key=grant["key"],
            Method=grant["method"],
            Expired=end - start - _BACKDATED_SECONDS,
            Headers={"Host": url.netloc, **grant["headers"]},
            Params={"x-cos-security-token": credential.session_token},
        )
    return signed


def _credentials(environ: Mapping[str, str]) -> dict[str, Credential]:
    servers = topology.parse(environ["BROKER_REDIS_URL"])
    with contextlib.closing(Connection(servers, time.monotonic)) as connection:
        store = CredentialStore(connection, Sealer([base64.b64decode(environ["BROKER_CACHE_KEYS"])]))
        found = [one.opened[0] for one in store.listed() if one.opened]
    return {credential.secret_id: credential for credential in found}
