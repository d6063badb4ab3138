"""POST Object forms, by the vendor's vectors."""

from __future__ import annotations

import base64
import json

from broker.cos.forms import Form, fields, policy_text
from broker.cos.signing import Signer, Window

ACCOUNT = ("AKIDEXAMPLE0000000000000000000000000", "SKEXAMPLE00000000000000000000000")
WINDOW = Window(1699999940, 1700000300)
VECTOR = (
    '{"expiration":"2023-11-14T22:18:20.000Z","conditions":[{"q-sign-algorithm":"sha1"},'
    '{"q-ak":"AKIDEXAMPLE0000000000000000000000000"},{"q-sign-time":"1699999940;1700000300"},'
    '{"bucket":"examplebucket-1250000000"},["starts-with","$key","dir/"],["content-length-range",1,5242880]]}'
)


def test_signature():
    """The signature of a policy text is the vendor's."""
    signer = Signer(*ACCOUNT, "")
    assert signer.policy_signature(VECTOR, WINDOW) == "24a29423459cd84fd2b42284feb6a18e8dc06385"
    assert signer.policy_signature(VECTOR + " ", WINDOW) != "24a29423459cd84fd2b42284feb6a18e8dc06385"


def test_fields():
    """Every field in its order, and the signature of the very policy that is sent."""
    signer = Signer(*ACCOUNT, "TOKEN")
    form = Form("examplebucket-1250000000", "目录/a b.png", {"acl": "default", "Content-Type": "image/png"}, 9)
    found = fields(form, signer, WINDOW)
    assert list(found) == [
        "key", "acl", "Content-Type", "x-cos-security-token", "policy", "q-sign-algorithm", "q-ak", "q-key-time",
        "q-signature",
    ]  # fmt: skip
    policy = base64.b64decode(found["policy"]).decode()
    assert policy == policy_text(form, ACCOUNT[0], WINDOW)
    assert found["q-signature"] == signer.policy_signature(policy, WINDOW)
    assert json.loads(policy) == {
        "expiration": "2023-11-14T22:18:20.000Z",
        "conditions": [
            {"q-sign-algorithm": "sha1"},
            {"q-ak": ACCOUNT[0]},
            {"q-sign-time": "1699999940;1700000300"},
            {"bucket": "examplebucket-1250000000"},
            ["eq", "$key", "目录/a b.png"],
            {"acl": "default"},
            {"Content-Type": "image/png"},
            ["content-length-range", 0, 9],
        ],
    }


def test_any_length():
    """Without a limit the policy has no range."""
    form = Form("b-1250000000", "k", {})
    assert "content-length-range" not in policy_text(form, ACCOUNT[0], WINDOW)
