"""Our signer against the vendor's Node SDK."""

import json
import subprocess
from itertools import islice
from pathlib import Path
from urllib.parse import parse_qs, quote, urlsplit

from broker.cos.signing import TOKEN_NAME
from tests.vectors import cases

HERE = Path(__file__).parent
COUNT = 100


def comparable(case: cases.Case) -> bool:
    """Whether Node and Python agree on what to sign.

    Node orders the pairs by their raw lower-case names but lists them by their encoded ones; COS and we use the encoded
    names for both. So only names that stand in the same order either way can be compared.
    """
    return all(
        sorted(names, key=str.lower) == sorted(names, key=lambda name: quote(name, safe="").lower())
        for names in ([*case.headers, TOKEN_NAME], [*case.params, TOKEN_NAME])
    )


CASES = list(islice(filter(comparable, cases.generate(2024, 1000)), COUNT))


def node(asks: list[dict[str, object]]) -> list[str]:
    """What the vendor's Node SDK signs for each ask."""
    done = subprocess.run(
        ["node", HERE / "sign.js"], input=json.dumps(asks), capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout)


def ask(case: cases.Case, headers: dict[str, str], params: dict[str, str]) -> dict[str, object]:
    """One ask in the Node SDK's words: its window is given, and Host stands among the headers."""
    return {
        "SecretId": case.secret_id,
        "SecretKey": case.secret_key,
        "KeyTime": f"{case.window.valid_from};{case.window.valid_until}",
        "Method": case.method,
        "Pathname": f"/{case.request.key}",
        "Headers": headers,
        "Query": params,
        "ForceSignHost": case.sign_host,
    }


def test_sample() -> None:
    """The sample is full and still varied: parameters, headers and keys of other scripts are in it."""
    assert len(CASES) == COUNT
    assert sum(bool(case.params) for case in CASES) > COUNT / 4
    assert sum(bool(case.headers) for case in CASES) > COUNT / 4
    assert sum(not case.key.isascii() for case in CASES) > COUNT / 4


def test_authorizations() -> None:
    """Our Authorization value, with the token among the headers, is Node's."""
    asks = [ask(case, {**case.signed_headers, TOKEN_NAME: case.token}, case.params) for case in CASES]
    for case, authorization in zip(CASES, node(asks), strict=True):
        assert case.signer.authorization(case.request, case.window) == authorization, case


def test_url_signatures() -> None:
    """The signature in our URLs, with the token among the parameters, is Node's for the same request."""
    asks = [ask(case, case.signed_headers, {**case.params, TOKEN_NAME: case.token}) for case in CASES]
    for case, authorization in zip(CASES, node(asks), strict=True):
        url = case.signer.presigned_url(case.request, case.window)
        fields = parse_qs(urlsplit(url).query, keep_blank_values=True)
        ours = "&".join(f"{name}={values[0]}" for name, values in fields.items() if name.startswith("q-"))
        assert ours == authorization, case
