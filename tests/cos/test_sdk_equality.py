"""Our signer against the vendor's Python SDK, byte for byte."""

from dataclasses import replace

import pytest

from tests.vectors import cases

CHUNKS = 8
PER_CHUNK = 300


@pytest.mark.parametrize("seed", range(CHUNKS))
def test_generated_presigned_urls(seed: int) -> None:
    """A pre-signed URL equals `get_presigned_url` for any request, key, token and lifetime."""
    for case in cases.generate(seed, PER_CHUNK):
        assert case.signer.presigned_url(case.request, case.window) == cases.sdk_url(case), case


@pytest.mark.parametrize("seed", range(CHUNKS))
def test_generated_download_urls(seed: int) -> None:
    """A pre-signed GET equals `get_presigned_download_url`."""
    for case in cases.generate(seed, PER_CHUNK):
        request = case.request._replace(method="GET")
        assert case.signer.presigned_url(request, case.window) == cases.sdk_download_url(case), case


@pytest.mark.parametrize("seed", range(CHUNKS))
def test_generated_authorizations(seed: int) -> None:
    """An `Authorization` value equals `get_auth` with the token among the headers."""
    for case in cases.generate(seed, PER_CHUNK):
        assert case.signer.authorization(case.request, case.window) == cases.sdk_authorization(case), case


def test_one_signer_for_many_requests() -> None:
    """A signer that is kept gives what a new one gives: nothing of one request stays for the next."""
    kept = cases.Case("GET", "a", "TOKEN_abc-123").signer
    for case in cases.generate(99, PER_CHUNK):
        same = replace(case, token="TOKEN_abc-123", secret_id=cases.SECRET_ID, secret_key=cases.SECRET_KEY)
        assert kept.presigned_url(same.request, same.window) == cases.sdk_url(same), same


def test_same_seed() -> None:
    """The corpus is the same on every run, and other seeds give other cases."""
    assert list(cases.generate(1, 20)) == list(cases.generate(1, 20))
    assert list(cases.generate(1, 20)) != list(cases.generate(2, 20))


@pytest.mark.parametrize(
    "inside",
    [
        pytest.param(lambda case: case.key.startswith("/"), id="leading slash"),
        pytest.param(lambda case: case.key.startswith("//"), id="two leading slashes"),
        pytest.param(lambda case: "./" in case.key, id="dot segment"),
        pytest.param(lambda case: "../" in case.key, id="double dot segment"),
        pytest.param(lambda case: "//" in case.key[2:], id="slashes inside"),
        pytest.param(lambda case: not case.key.isascii(), id="unicode key"),
        pytest.param(lambda case: len(case.key) > 200, id="long key"),
        pytest.param(lambda case: set("%?#+ ~!'()*") <= set(case.key), id="all special characters in one key"),
        pytest.param(lambda case: case.token.endswith("="), id="padded token"),
        pytest.param(lambda case: "+" in case.token and "/" in case.token, id="base64 token"),
        pytest.param(lambda case: "" in case.params.values(), id="empty parameter"),
        pytest.param(lambda case: any(" " in name for name in case.params), id="space in a parameter's name"),
        pytest.param(lambda case: any("[" in name for name in case.params), id="bracket in a parameter's name"),
        pytest.param(lambda case: any(" " in value for value in case.params.values()), id="space in a parameter"),
        pytest.param(lambda case: any(not name.isascii() for name in case.params), id="unicode parameter"),
        pytest.param(lambda case: any("meta-" in name for name in case.headers), id="metadata"),
        pytest.param(lambda case: "host" in map(str.lower, case.headers), id="host given"),
        pytest.param(lambda case: not case.sign_host, id="host not signed"),
        pytest.param(lambda case: not case.params and not case.headers, id="bare"),
    ],
)
def test_corpus_holds(inside) -> None:
    """The generated cases cover what they are there for, several times each."""
    assert sum(inside(case) for seed in range(CHUNKS) for case in cases.generate(seed, PER_CHUNK)) >= 5
