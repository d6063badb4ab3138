"""STS signatures: the published vectors, as literals."""

import hmac

from broker.emulator import callers

POLICY = (
    "%7B%22version%22%3A%222.0%22%2C%22statement%22%3A%5B%7B%22effect%22%3A%22allow%22%2C%22action%22%3A%5B%22name/cos"
    "%3APutObject%22%5D%2C%22resource%22%3A%5B%22qcs%3A%3Acos%3Aap-guangzhou%3Auid/1250000000%3Aexamplebucket-1250000000"
    "/dir/%2A%22%5D%7D%5D%7D"
)


def tc3_stages(secret_key, service, timestamp, date, headers, body):
    """The hash of the canonical request, and the signature."""
    request = callers.tc3_canonical_request("POST", "", headers, body)
    text = callers.tc3_string_to_sign(timestamp, service, request)
    key = callers.tc3_key(secret_key, date, service)
    return text.rpartition("\n")[2], hmac.digest(key, text.encode(), "sha256").hex()


def test_tc3_vector_of_the_specification():
    """The example of "Signature v3" comes out, canonical request and signature."""
    body = rb'{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}'
    headers = [("content-type", "application/json; charset=utf-8"), ("host", "cvm.tencentcloudapi.com")]
    hashed, signature = tc3_stages("Gu5t9xGARNpq86cd98joQYCN3EXAMPLE", "cvm", 1551113065, "2019-02-25", headers, body)
    assert hashed == "5ffe6a04c0664d6b969fab9a13bdab201d63ee709638e2749d62a09ca18d7031"
    assert signature == "72e494ea809ad7a8c8f7a4507b9bddcbaa8e581f516e8da2f66e2c5a96525168"


def test_tc3_vector_with_a_signed_action():
    """The newer page's example comes out, where x-tc-action is signed in lower case."""
    body = rb'{"Limit": 1, "Filters": [{"Values": ["\u672a\u547d\u540d"], "Name": "instance-name"}]}'
    headers = [
        ("content-type", "application/json; charset=utf-8"),
        ("host", "cvm.tencentcloudapi.com"),
        ("x-tc-action", "describeinstances"),
    ]
    text = callers.tc3_string_to_sign(1551113065, "cvm", callers.tc3_canonical_request("POST", "", headers, body))
    key = bytes.fromhex("b596b923aad85185e2d1f6659d2a062e0a86731226e021e61bfe06f7ed05f5af")
    assert text.endswith("\n7019a55be8395899b900fb5564e4200d984910f34794a27cb3fb7d10ff6a1e84")
    assert (
        hmac.digest(key, text.encode(), "sha256").hex()
        == "10b1a37a7301a02ca19a647ad722d5e43b4b3cff309d421d85b46093f6ab6c4f"
    )


def test_tc3_vector_of_the_python_sdk():
    """What the official SDK sends for GetFederationToken verifies."""
    body = f'{{"Name": "broker", "Policy": "{POLICY}", "DurationSeconds": 1800}}'.encode()
    headers = [("content-type", "application/json"), ("host", "127.0.0.1:8900")]
    hashed, signature = tc3_stages("SKEXAMPLE00000000000000000000000", "sts", 1700000000, "2023-11-14", headers, body)
    assert hashed == "fae631c99198e0419244996f1d864bc06a697bf699261e1af55b88dacbcc5a4b"
    assert signature == "ec0d72ee6589fbc54d5bdccd931da72b429a5b842625d419e59914e800b7082b"


def test_v1_vector():
    """The older form signature of qcloud-python-sts comes out."""
    fields = {
        "Action": "GetFederationToken",
        "DurationSeconds": "1800",
        "Name": "cos-sts-python",
        "Nonce": "123456",
        "Policy": POLICY,
        "Region": "ap-guangzhou",
        "SecretId": "AKIDEXAMPLE",
        "Timestamp": "1700000000",
        "Version": "2018-08-13",
    }
    signature = callers.v1_signature("SKEXAMPLE00000000000000000000000", "POST", "sts.tencentcloudapi.com", fields)
    assert signature == "JKPhvczd/a387L65GjkxKzMtQKM="
