"""Microseconds per pre-signed URL, beside the official SDK's, in one run."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Callable

from qcloud_cos import CosConfig, CosS3Client

from broker.cos.signing import TOKEN_NAME, Request, Signer, Window, http_string, pair_list
from tests.bench.figures import Figure, medians, ratio

ROUNDS, CALLS = 9, 2_000
SECRET_ID, SECRET_KEY, TOKEN = f"AKID{'x' * 64}", "x" * 44, "x" * 560
BUCKET, REGION = "examplebucket-1250000000", "ap-guangzhou"
HOST = f"{BUCKET}.cos.{REGION}.myqcloud.com"
KEY = "avatars/u1/0b6c5f0e-6a51-4c3c-9b43-5c5f1f0b6e11.png"
HEADERS = {
    "Content-Type": "image/png",
    "Content-Length": "1000",
    "Cache-Control": "no-store",
    "x-cos-forbid-overwrite": "true",
}


def measure(rounds: int = ROUNDS) -> list[Figure]:
    """Medians of rounds in which the SDK, we and the bare hashes have their turn."""
    client = CosS3Client(CosConfig(Region=REGION, SecretId=SECRET_ID, SecretKey=SECRET_KEY))
    signer = Signer(SECRET_ID, SECRET_KEY, TOKEN)
    tick = iter(range(10**9))

    def theirs(method: str, headers: dict[str, str]) -> Callable[[], object]:
        params = {"x-cos-security-token": TOKEN}
        return lambda: client.get_presigned_url(BUCKET, KEY, method, 300, params, dict(headers))

    def theirs_anew(method: str, headers: dict[str, str]) -> Callable[[], object]:
        def sign() -> object:
            made = CosS3Client(CosConfig(Region=REGION, SecretId=SECRET_ID, SecretKey=SECRET_KEY))
            return made.get_presigned_url(BUCKET, KEY, method, 300, {"x-cos-security-token": TOKEN}, dict(headers))

        return sign

    def ours(method: str, headers: dict[str, str], *, same_second: bool) -> Callable[[], object]:
        def sign() -> object:
            start = 1_700_000_000 + (0 if same_second else next(tick))
            request = Request(method, f"https://{HOST}", KEY, {"Host": HOST, **headers}, {})
            return signer.presigned_url(request, Window(start, start + 360))

        return sign

    figures: list[Figure] = []
    for method, headers in (("PUT", HEADERS), ("GET", {})):
        turns = _rounds(
            rounds,
            theirs(method, headers),
            ours(method, headers, same_second=True),
            ours(method, headers, same_second=False),
            _hashes(method, {"Host": HOST, **headers}),
            theirs_anew(method, headers),
        )
        sdk, warm, cold, hashes, anew = medians(turns)
        figures += [
            Figure(f"pre-signed {method}, official SDK", "µs", sdk),
            Figure(f"pre-signed {method}, official SDK, a client for each credential", "µs", anew),
            Figure(f"pre-signed {method}, broker", "µs", warm),
            Figure(f"pre-signed {method}, broker, a new second for every URL", "µs", cold),
            Figure(f"the hashes of a {method}: two HMAC-SHA1, one SHA-1, by `hmac.digest`, `hashlib`", "µs", hashes),
            Figure(f"pre-signed {method}, SDK / broker", "times", ratio(turns, 0, 1), at_least=18),
            Figure(f"pre-signed {method}, broker / its hashes", "times", ratio(turns, 1, 3), at_most=2.5),
        ]
    return figures


def _hashes(method: str, headers: dict[str, str]) -> Callable[[], object]:
    """What has to be computed for one URL on its own, as COS's documentation has it, with all texts made before."""
    _, http_parameters = pair_list({TOKEN_NAME: TOKEN})
    _, http_headers = pair_list(headers)
    text = http_string(method, KEY, http_parameters, http_headers).encode()
    secret, key_time = SECRET_KEY.encode(), "1700000000;1700000360"

    def hashes() -> str:
        key = hmac.digest(secret, key_time.encode(), "sha1").hex()
        to_sign = f"sha1\n{key_time}\n{hashlib.sha1(text).hexdigest()}\n"
        return hmac.digest(key.encode(), to_sign.encode(), "sha1").hex()

    return hashes


def _rounds(rounds: int, *functions: Callable[[], object]) -> list[list[float]]:
    """Microseconds of one call of each function, in each round."""
    return [[_microseconds(function) for function in functions] for _ in range(rounds)]


def _microseconds(function: Callable[[], object]) -> float:
    begun = time.process_time()  # others may compute on this core, too
    for _ in range(CALLS):
        function()
    return (time.process_time() - begun) / CALLS * 1e6
