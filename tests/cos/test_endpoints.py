"""The endpoints that a bucket can have, each against the vendor's Python SDK."""

from __future__ import annotations

import pytest
import time_machine
from qcloud_cos import CosConfig, CosS3Client

from broker.cos.requests import endpoint
from broker.cos.signing import Request, Signer, Window

NOW = 1_700_000_000
ACCOUNT = {"SecretId": "AKIDEXAMPLE0000000000000000000000000", "SecretKey": "SKEXAMPLE00000000000000000000000"}
TOKEN = "TOKEN"
BUCKET = "examplebucket-1250000000"

# Kind: (our template, the SDK's configuration, the host, the signature of GET dir/a.png).
ENDPOINTS = {
    "regional": (
        "https://{bucket}.cos.{region}.myqcloud.com", {"Region": "ap-guangzhou"},
        f"{BUCKET}.cos.ap-guangzhou.myqcloud.com", "af5b4c15618c8598f6032d622ab7c0716dde6915",
    ),
    "tencentcos.cn": (
        "https://{bucket}.cos.{region}.tencentcos.cn",
        {"Region": "ap-guangzhou", "EnableOldDomain": False, "EnableInternalDomain": False},
        f"{BUCKET}.cos.ap-guangzhou.tencentcos.cn", "53801a056679a383de9bd358312e1938d916f8e6",
    ),
    "internal": (
        "https://{bucket}.cos-internal.{region}.tencentcos.cn", {"Region": "ap-guangzhou", "EnableOldDomain": False},
        f"{BUCKET}.cos-internal.ap-guangzhou.tencentcos.cn", "20690252584e65a93192304f6b748919602f029d",
    ),
    "acceleration": (
        "https://{bucket}.cos.accelerate.myqcloud.com", {"Endpoint": "cos.accelerate.myqcloud.com"},
        f"{BUCKET}.cos.accelerate.myqcloud.com", "9017948268494996d1f2e7174d7755a7e7a03582",
    ),
    "acceleration by tencentcos.cn": (
        "https://{bucket}.cos.accelerate.tencentcos.cn", {"Endpoint": "cos.accelerate.tencentcos.cn"},
        f"{BUCKET}.cos.accelerate.tencentcos.cn", "a8bfb192cd0e56c8252b4960656f0b50ec5b46cc",
    ),
    "custom domain": (
        "https://files.example.com", {"Region": "ap-guangzhou", "Domain": "files.example.com"},
        "files.example.com", "f0d5847805ad2bd09cbb41ac901386a78e00feba",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", ENDPOINTS)
def test_endpoint(kind: str) -> None:
    """The URL for each kind of endpoint is the SDK's, and its signature the one that stands here."""
    template, config, host, signature = ENDPOINTS[kind]
    found = endpoint(template, BUCKET, "ap-guangzhou")
    assert found == (f"https://{host}", host)
    request = Request("GET", found.base_url, "dir/a.png", {"Host": found.host}, {})
    url = Signer(*ACCOUNT.values(), TOKEN).presigned_url(request, Window(NOW - 60, NOW + 300))
    with time_machine.travel(NOW, tick=False):
        client = CosS3Client(CosConfig(Scheme="https", **ACCOUNT, **config))
        params = {"x-cos-security-token": TOKEN}
        assert url == client.get_presigned_url(BUCKET, "dir/a.png", "GET", 300, params, SignHost=True)
    assert f"&q-signature={signature}&" in url


def test_all_differ() -> None:
    """A URL for one host is none for another."""
    assert len({signature for _, _, _, signature in ENDPOINTS.values()}) == len(ENDPOINTS)
