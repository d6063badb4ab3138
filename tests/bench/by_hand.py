"""What people write today: one Flask route on the official SDKs, and no broker.

A new credential for each request, as Tencent's samples have it; or, with BENCH_CACHED=1, one that is kept in a dict
for each user until it is nearly over. Checks of its own are the few that `policies/avatars.json` makes many of.
"""

from __future__ import annotations

import os
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import jwt
from flask import Flask, abort, request
from qcloud_cos import CosConfig, CosS3Client
from sts.sts import Sts

from broker.local import AUDIENCE, ISSUER
from broker.serving import run

BUCKET, REGION = "examplebucket-1250000000", "ap-guangzhou"
SECONDS, SPARE_SECONDS, MAX_BYTES = 1800, 600, 5_242_880
TYPES = {"png": "image/png", "jpg": "image/jpeg", "webp": "image/webp"}

app = Flask("by_hand")
key_set = jwt.PyJWKSet.from_json(Path(os.environ["BENCH_JWKS"]).read_text())
cached = os.environ.get("BENCH_CACHED") == "1"
clients: dict[str, tuple[CosS3Client, str, int]] = {}


def client_for(sub: str) -> tuple[CosS3Client, str, int]:
    """A client with a user's credential, its token, and when that ends."""
    if cached and sub in clients and clients[sub][2] > time.time() + SPARE_SECONDS:
        return clients[sub]
    url = os.environ["BENCH_STS"]
    answer = Sts({
        "url": f"{url}/", "domain": url.rpartition("/")[2], "duration_seconds": SECONDS,
        "secret_id": os.environ["TENCENTCLOUD_SECRET_ID"], "secret_key": os.environ["TENCENTCLOUD_SECRET_KEY"],
        "bucket": BUCKET, "region": REGION, "allow_prefix": f"avatars/{sub}/*", "allow_actions": ["name/cos:PutObject"],
    }).get_credential()  # fmt: skip
    found = answer["credentials"]
    config = CosConfig(
        Region=REGION, SecretId=found["tmpSecretId"], SecretKey=found["tmpSecretKey"], Token=found["sessionToken"]
    )
    clients[sub] = CosS3Client(config), found["sessionToken"], answer["expiredTime"]
    return clients[sub]


@app.post("/v1/avatars/url")
def presigned_url() -> dict[str, Any]:
    """The route."""
    try:
        token = request.headers["Authorization"].removeprefix("Bearer ")
        key = key_set[jwt.get_unverified_header(token)["kid"]].key
        claims = jwt.decode(token, key, algorithms=["ES256"], audience=AUDIENCE, issuer=ISSUER)
    except (jwt.InvalidTokenError, KeyError):
        abort(401)
    if "avatars:write" not in claims["scope"].split():
        abort(403)
    ask = request.get_json()
    ext, given = ask["inputs"]["ext"], ask["headers"]
    if given["Content-Type"] != TYPES.get(ext) or not 0 <= int(given["Content-Length"]) <= MAX_BYTES:
        abort(422)
    headers = {**given, "Cache-Control": "no-store", "x-cos-forbid-overwrite": "true"}
    key = f"avatars/{claims['sub']}/{uuid.uuid4()}.{ext}"
    client, token, _ = client_for(claims["sub"])
    url = client.get_presigned_url(
        Bucket=BUCKET, Key=key, Method="PUT", Expired=300, Headers=headers, Params={"x-cos-security-token": token}
    )
    return {"method": "PUT", "url": url, "headers": headers, "key": key, "expires_in": 300}


@app.get("/readyz")
def ready() -> dict[str, Any]:
    """For who waits until it listens."""
    return {}


def load_app(_draining: Any) -> Flask:
    """The same application, for Granian."""
    return app


if __name__ == "__main__":
    run(load_app, "127.0.0.1", int(sys.argv[1]), 1, 32)
