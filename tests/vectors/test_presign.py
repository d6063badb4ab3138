"""Our signer against the stored vectors: the URL decides, the stages say where a mismatch began."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from broker.cos import signing
from tests.vectors import make_presign

PATHS = sorted(make_presign.FOLDER.glob("*.json"))


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in PATHS])
def test_vector(path: Path) -> None:
    """The URL is the vendor's, byte for byte."""
    vector = json.loads(path.read_text(encoding="utf-8"))
    given = vector["input"]
    signer = signing.Signer(given["secret_id"], given["secret_key"], given["session_token"])
    request, window = signing.Request(**given["request"]), signing.Window(**given["window"])
    url = signer.presigned_url(request, window)
    assert url == vector["url"], first_difference(given, vector["stages"])


def first_difference(given: dict[str, Any], stages: dict[str, str]) -> str:
    """The first stage that is not the vendor's, with both sides."""
    request, window = signing.Request(**given["request"]), signing.Window(**given["window"])
    key_time = f"{window.valid_from};{window.valid_until}"
    _, parameters = signing.pair_list({**request.params, signing.TOKEN_NAME: given["session_token"]})
    _, headers = signing.pair_list(request.headers)
    http_string = signing.http_string(request.method, request.key, parameters, headers)
    ours = {
        "key_time": key_time,
        "sign_key": signing.sign_key(given["secret_key"], key_time),
        "http_string": http_string,
        "http_string_sha1": hashlib.sha1(http_string.encode()).hexdigest(),
        "string_to_sign": signing.string_to_sign(key_time, http_string),
    }
    for stage, text in ours.items():
        if text != stages[stage]:
            return f"{stage}: ours {text!r}, the vendor's {stages[stage]!r}"
    return "every stage before the signature is equal: look at the signature, or at how the URL is written"


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem) for path in PATHS])
def test_stages(path: Path) -> None:
    """The stage functions give the vendor's stages: an explanation can be trusted."""
    vector = json.loads(path.read_text(encoding="utf-8"))
    assert first_difference(vector["input"], vector["stages"]).startswith("every stage before the signature is equal")


def test_one_wrong_stage() -> None:
    """An explanation names the stage that differs and shows both sides."""
    vector = json.loads((make_presign.FOLDER / "method-get.json").read_text(encoding="utf-8"))
    stages = {**vector["stages"], "sign_key": "0" * 40}
    assert first_difference(vector["input"], stages).startswith("sign_key: ours ")
    assert first_difference(vector["input"], stages).endswith(f"the vendor's {'0' * 40!r}")


def test_folder() -> None:
    """Every case has its file and every file its case."""
    assert {path.stem for path in PATHS} == set(make_presign.CASES)


@pytest.mark.parametrize("name", make_presign.CASES)
def test_made_again(name: str) -> None:
    """A file holds what the installed SDK says today."""
    stored = (make_presign.FOLDER / f"{name}.json").read_text(encoding="utf-8")
    assert stored == make_presign.text(make_presign.CASES[name])
