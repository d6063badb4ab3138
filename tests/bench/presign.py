"""Microseconds per pre-signed URL, beside the official SDK's, in one run."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from qcloud_cos import CosConfig, CosS3Client

from broker.cos.signing import Request, Signer, Window
from tests.bench.figures import Figure

ROUNDS, CALLS = 9, 3_000
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


def measure() -> list[Figure]:
    """Medians of rounds that alternate between the SDK and us."""
    client = CosS3Client(CosConfig(Region=REGION, SecretId=SECRET_ID, SecretKey=SECRET_KEY))
    signer = Signer(SECRET_ID, SECRET_KEY, TOKEN)
    tick = iter(range(10**9))

    def theirs(method: str, headers: dict[str, str]) -> Callable[[], object]:
        params = {"x-cos-security-token": TOKEN}
        return lambda: client.get_presigned_url(BUCKET, KEY, method, 300, params, dict(headers))

    def ours(method: str, headers: dict[str, str], *, same_second: bool) -> Callable[[], object]:
        def sign() -> object:
            start = 1_700_000_000 + (0 if same_second else next(tick))
            request = Request(method, f"https://{HOST}", KEY, {"Host": HOST, **headers}, {})
            return signer.presigned_url(request, Window(start, start + 360))

        return sign

    figures: list[Figure] = []
    for method, headers in (("PUT", HEADERS), ("GET", {})):
        sdk, warm, cold = _medians(
            theirs(method, headers),
            ours(method, headers, same_second=True),
            ours(method, headers, same_second=False),
        )
        figures += [
            Figure(f"pre-signed {method}, official SDK", "µs", sdk),
            Figure(f"pre-signed {method}, broker", "µs", warm),
            Figure(f"pre-signed {method}, broker, a new second for every URL", "µs", cold),
            Figure(f"pre-signed {method}, SDK / broker", "times", sdk / warm),
        ]
    return figures


def _medians(*functions: Callable[[], object]) -> list[float]:
    rounds: list[list[float]] = [[] for _ in functions]
    for _ in range(ROUNDS):
        for function, taken in zip(functions, rounds, strict=True):
            begun = time.perf_counter()
            for _ in range(CALLS):
                function()
            taken.append((time.perf_counter() - begun) / CALLS * 1e6)
    return [statistics.median(taken) for taken in rounds]
