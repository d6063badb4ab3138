"""Writes `presign/*.json`: pre-signed URLs and their stages, by the vendor's own signer with its clock frozen.

From the repository's root: `.venv/bin/python -m tests.vectors.make_presign`

Each file holds `input` (what our signer takes), `stages` (what the vendor's signer logs on its way) and `url`. The URL
decides, the stages explain a mismatch. Every key and token is made up.
"""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from tests.vectors.cases import METHODS, Case, sdk_url

FOLDER = Path(__file__).parent / "presign"
TOKEN = "EXAMPLEtoken-abc_123"
LONG_TOKEN = "EXAMPLEtoken" + "-_0aZ" * 108  # 552 characters, as STS gives them

CASES = {
    **{f"method-{method.lower()}": Case(method, "dir/a.txt", TOKEN) for method in METHODS},
    "token-base64": Case("GET", "dir/a.txt", "a+b/c=="),
    "token-long": Case("GET", "dir/a.txt", LONG_TOKEN),
    "key-leading-slash": Case("GET", "/dir/a.txt", TOKEN),
    "key-two-leading-slashes": Case("GET", "//dir/a.txt", TOKEN),
    "key-slashes-inside": Case("GET", "a//b///c", TOKEN),
    "key-dot-segments": Case("GET", "a/./b/../c//d.txt", TOKEN),
    "key-dots-only": Case("GET", "..", TOKEN),
    "key-dot-before-slash": Case("GET", "folder./file", TOKEN),
    "key-root": Case("GET", "/", TOKEN, params={"prefix": "a/", "max-keys": "10"}),
    "key-unicode": Case("PUT", "目录/测 试.txt", TOKEN),
    "key-emoji-and-combining": Case("PUT", "🎈/e\u0301.png", TOKEN),
    "key-sub-delims": Case("PUT", "目录/a b+c~d'(e)!*.txt", TOKEN),
    "key-percent-and-delimiters": Case("GET", "a%20b?x=1&y#z", TOKEN),
    "key-quotes-and-brackets": Case("GET", 'a"b\\c[1]{2}|^`<>', TOKEN),
    "key-long": Case("PUT", "long/" + "x" * 845, TOKEN),
    "headers-content": Case(
        "PUT",
        "dir/a.png",
        TOKEN,
        headers={"Content-Type": "image/png", "Content-Length": "1024", "Content-MD5": "mQ/fVh815F3k6TAUm8m0eg=="},
    ),
    "headers-metadata": Case(
        "PUT", "dir/a.txt", TOKEN, headers={"x-cos-meta-Title": "测 试", "X-COS-META-a.b": "1", "x-cos-acl": "default"}
    ),
    "headers-range": Case(
        "GET",
        "dir/a.txt",
        TOKEN,
        headers={"Range": "bytes=0-1023", "If-None-Match": '"5d41402abc4b2a76b9719d911017c592"'},
    ),
    "headers-empty-value": Case("PUT", "dir/a.txt", TOKEN, headers={"Cache-Control": ""}),
    "headers-host-given": Case("PUT", "dir/a.txt", TOKEN, headers={"HOST": "files.example.com"}),
    "host-not-signed": Case("PUT", "dir/a.txt", TOKEN, sign_host=False),
    "host-not-signed-header": Case("PUT", "dir/a.txt", TOKEN, {"Content-Type": "text/plain"}, sign_host=False),
    "host-domain": Case("GET", "dir/a.txt", TOKEN, domain="files.example.com"),
    "host-domain-with-port": Case(
        "GET", "dir/a.txt", TOKEN, {"Host": "localhost:9000"}, domain="localhost:9000", scheme="http"
    ),
    "host-acceleration": Case("GET", "dir/a.txt", TOKEN, endpoint="cos.accelerate.myqcloud.com"),
    "host-other-region": Case("GET", "dir/a.txt", TOKEN, region="na-siliconvalley", bucket="my-bucket-2-1309999999"),
    "params-disposition": Case(
        "GET", "dir/a.txt", TOKEN, params={"response-content-disposition": 'attachment; filename="测 试.txt"'}
    ),
    "params-empty-value": Case("GET", "dir/a.jpg", TOKEN, params={"imageMogr2/thumbnail/!50p": "", "uploads": ""}),
    "params-names": Case(
        "GET", "dir/a.txt", TOKEN, params={"Response-Content-Type": "a b", "~k": "v~", "K é": "x", "*": "'()!"}
    ),
    "params-order": Case(
        "GET",
        "dir/a.txt",
        TOKEN,
        params={"a_b": "1", "a-b": "2", "a.b": "3", "aB": "4", "a b": "5", "a[0]": "6", "A0": "7", "zz": "8"},
    ),
    "params-multipart": Case("PUT", "big.bin", TOKEN, params={"partNumber": "1", "uploadId": "1585130821cbb7df1d"}),
    "expired-zero": Case("GET", "dir/a.txt", TOKEN, expired=0),
    "expired-day": Case("GET", "dir/a.txt", TOKEN, expired=86400),
    "clock-beyond-2038": Case("GET", "dir/a.txt", TOKEN, now=2_147_483_648),
    "secret-key-with-padding": Case("GET", "dir/a.txt", TOKEN, secret_key="SKEXAMPLE/0000+0000="),
    "secret-key-beyond-block": Case("GET", "dir/a.txt", TOKEN, secret_key="SKEXAMPLE" + "0" * 60),
    "everything": Case(
        "PUT",
        "/目录/./a b+c.png",
        "a+b/c==",
        headers={"Content-Type": "image/png", "x-cos-meta-名": "值", "Cache-Control": "no-store, max-age=0"},
        params={"versionId": "MTg0NDUxNTc", "a[0]": "x y", "空": ""},
        expired=3600,
    ),
}


class _Stages(logging.Handler):
    """Keeps what the vendor's signer logs about each stage."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep one message."""
        self.messages.append(record.getMessage())

    def __getitem__(self, label: str) -> str:
        return next(message.removeprefix(label) for message in self.messages if message.startswith(label))


def vector(case: Case) -> dict[str, Any]:
    """One file's content: the input as our signer takes it, the vendor's stages, the vendor's URL."""
    logger, kept = logging.getLogger("qcloud_cos.cos_auth"), _Stages()
    level, propagate = logger.level, logger.propagate
    logger.addHandler(kept)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        url = sdk_url(case)
    finally:
        logger.removeHandler(kept)
        logger.setLevel(level)
        logger.propagate = propagate
    request, window = case.request, case.window
    return {
        "input": {
            "secret_id": case.secret_id,
            "secret_key": case.secret_key,
            "session_token": case.token,
            "request": request._asdict(),
            "window": window._asdict(),
        },
        "stages": {
            "key_time": kept["str_to_sign: "].split("\n")[1],
            "sign_key": kept["sign_key: "],
            "http_string": kept["format str: "],
            "http_string_sha1": kept["str_to_sign: "].split("\n")[2],
            "string_to_sign": kept["str_to_sign: "],
            "signature": kept["sign: "],
        },
        "url": url,
    }


def text(case: Case) -> str:
    """One file's text."""
    return json.dumps(vector(case), indent=2, ensure_ascii=False) + "\n"


def main() -> None:
    """Write every file and remove those that no case makes any more."""
    FOLDER.mkdir(exist_ok=True)
    for path in FOLDER.glob("*.json"):
        if path.stem not in CASES:
            path.unlink()
    for name, case in CASES.items():
        (FOLDER / f"{name}.json").write_text(text(case), encoding="utf-8")


if __name__ == "__main__":
    main()
