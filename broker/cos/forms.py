"""POST Object forms: what a browser uploads one file with, bound to its key, its length and every other field.

The signature covers the policy text and nothing else, so the policy pins each field of the form. COS ignores the type
that the file's own part declares; the field Content-Type counts.

Specification: "POST Object", https://cloud.tencent.com/document/product/436/14690
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import NamedTuple

from broker.cos.signing import TOKEN_NAME, Signer, Window


class Form(NamedTuple):
    """One object to be uploaded by a form. `fields` go with it as they are; `max_bytes` None: of any length."""

    bucket: str
    key: str
    fields: Mapping[str, str]
    max_bytes: int | None = None


def fields(form: Form, signer: Signer, window: Window) -> dict[str, str]:
    """All fields of the form in their order; the file itself goes last, as `file`."""
    secret_id, key_time = signer.secret_id, f"{window.valid_from};{window.valid_until}"
    policy = policy_text(form, secret_id, window)
    return {
        "key": form.key,
        **form.fields,
        TOKEN_NAME: signer.session_token,
        "policy": base64.b64encode(policy.encode()).decode(),
        "q-sign-algorithm": "sha1",
        "q-ak": secret_id,
        "q-key-time": key_time,
        "q-signature": signer.policy_signature(policy, window),
    }


def policy_text(form: Form, secret_id: str, window: Window) -> str:
    """The policy of a form: which fields must be there, each with the one value it may have."""
    conditions: list[object] = [
        {"q-sign-algorithm": "sha1"},
        {"q-ak": secret_id},
        # NOTE: the form's field is q-key-time, the condition is q-sign-time.
        {"q-sign-time": f"{window.valid_from};{window.valid_until}"},
        {"bucket": form.bucket},
        ["eq", "$key", form.key],
        *({name: value} for name, value in form.fields.items()),
    ]
    if form.max_bytes is not None:
        conditions.append(["content-length-range", 0, form.max_bytes])
    expiration = datetime.fromtimestamp(window.valid_until, UTC).strftime("%Y-%m-%dT%H:%M:%S.000Z")
    return json.dumps({"expiration": expiration, "conditions": conditions}, separators=(",", ":"), ensure_ascii=False)
