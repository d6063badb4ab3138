"""Made-up asks for signatures, and what the vendor's Python SDK answers to them.

`generate` is deterministic: the same seed gives the same cases, on every machine. Left out on purpose, because the SDK
itself is ambiguous about them: None and other values that are not text (it signs their `str()`), and names that are
equal in lower case (it signs the last one and puts all of them in the URL).
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

import time_machine
from qcloud_cos import CosConfig, CosS3Client

from broker.cos.signing import TOKEN_NAME, Request, Signer, Window

METHODS = ("PUT", "POST", "GET", "DELETE", "HEAD")
SECRET_ID = "AKIDEXAMPLE0000000000000000000000000"
SECRET_KEY = "SKEXAMPLE00000000000000000000000"
BUCKET = "examplebucket-1250000000"
REGION = "ap-guangzhou"
NOW = 1700000000


@dataclass(frozen=True, slots=True)
class Case:
    """One ask, in the SDK's words: `key` may start with the slash that it strips, `now` is its frozen clock."""

    method: str
    key: str
    token: str
    headers: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    expired: int = 300
    now: int = NOW
    sign_host: bool = True
    region: str = REGION
    bucket: str = BUCKET
    secret_id: str = SECRET_ID
    secret_key: str = SECRET_KEY
    scheme: str = "https"
    domain: str | None = None
    endpoint: str | None = None

    @property
    def base_url(self) -> str:
        """Scheme and authority of the object's URL."""
        endpoint = self.endpoint or f"cos.{self.region}.myqcloud.com"
        return f"{self.scheme}://{self.domain or f'{self.bucket}.{endpoint}'}"

    @property
    def signed_headers(self) -> dict[str, str]:
        """The headers with Host, which the SDK takes from the URL unless it is given or not to be signed."""
        given = any(name.lower() == "host" for name in self.headers)
        return self.headers if given or not self.sign_host else {"Host": self.base_url.split("//")[1], **self.headers}

    @property
    def request(self) -> Request:
        """The same ask as our signer takes it: Host spelled out, the SDK's one leading slash stripped."""
        key = self.key.removeprefix("/")
        return Request(self.method, self.base_url, key, self.signed_headers, self.params)

    @property
    def window(self) -> Window:
        """The window that the SDK signs with its clock at `now`."""
        return Window(self.now - 60, self.now + self.expired)

    @property
    def signer(self) -> Signer:
        """A new signer for this case's credential."""
        return Signer(self.secret_id, self.secret_key, self.token)


def client(case: Case) -> CosS3Client:
    """The vendor's client for a case's credential and place; equal ones are shared."""
    if case.domain:
        return _client(case.secret_id, case.secret_key, case.scheme, "Domain", case.domain)
    if case.endpoint:
        return _client(case.secret_id, case.secret_key, case.scheme, "Endpoint", case.endpoint)
    return _client(case.secret_id, case.secret_key, case.scheme, "Region", case.region)


@lru_cache
def _client(secret_id: str, secret_key: str, scheme: str, kind: str, place: str) -> CosS3Client:
    return CosS3Client(CosConfig(SecretId=secret_id, SecretKey=secret_key, Scheme=scheme, **{kind: place}))


def sdk_url(case: Case) -> str:
    """The vendor's `get_presigned_url`, which wants the token among the parameters."""
    with time_machine.travel(case.now, tick=False):
        return client(case).get_presigned_url(
            Method=case.method,
            Bucket=case.bucket,
            Key=case.key,
            Expired=case.expired,
            Params={**case.params, TOKEN_NAME: case.token},
            Headers=dict(case.headers),  # the SDK adds to the caller's dict
            SignHost=case.sign_host,
        )


def sdk_download_url(case: Case) -> str:
    """The vendor's `get_presigned_download_url`."""
    with time_machine.travel(case.now, tick=False):
        return client(case).get_presigned_download_url(
            Bucket=case.bucket,
            Key=case.key,
            Expired=case.expired,
            Params={**case.params, TOKEN_NAME: case.token},
            Headers=dict(case.headers),
            SignHost=case.sign_host,
        )


def sdk_authorization(case: Case) -> str:
    """The vendor's `get_auth`, with the token among the headers."""
    with time_machine.travel(case.now, tick=False):
        return client(case).get_auth(
            Method=case.method,
            Bucket=case.bucket,
            Key=case.key,
            Expired=case.expired,
            Params=dict(case.params),
            Headers={**case.headers, TOKEN_NAME: case.token},
            SignHost=case.sign_host,
        )


# `date` is not here: the SDK never signs it, our signer signs what it is given.
HEADER_NAMES = (
    "Cache-Control Content-Disposition content-encoding Content-Type Content-MD5 content-length Expect EXPIRES "
    "If-Match if-modified-since If-None-Match If-Unmodified-Since Origin Range Transfer-Encoding Pic-Operations "
    "x-cos-acl X-Cos-Storage-Class x-cos-forbid-overwrite x-cos-traffic-limit X-CI-Process"
).split()
META_NAMES = ("name", "Title", "a.b", "a-b", "A_B", "ünïcode", "标题", "9")
PARAM_NAMES = (
    "response-content-type Response-Content-Disposition versionId VersionID partNumber uploadId uploads prefix "
    "max-keys imageMogr2/thumbnail/!50p a[0] a[] A0 aB a_b a-b a.b ~k q w é 名 *"
).split()
SPACED_PARAM_NAMES = ("a b", "K é", " lead", "a+b", "a=b", "a&b", "a;b", "a%20b", "a/b?c#d")
VALUES = (
    "",
    "1",
    "5242880",
    "text/plain; charset=utf-8",
    "image/png",
    "bytes=0-1023",
    'attachment; filename="测 试.txt"',
    "attachment; filename*=UTF-8''%e6%b5%8b",
    "a+b/c==",
    "100%",
    "~!'()*",
    "&=?#;:@,$",
    " spaced  out ",
    "tab\there",
    "Ünïcödé 🎈",
    "max-age=600",
    "Thu, 16 May 2019 06:45:51 GMT",
    "x" * 79,
    "y" * 80,
    "é" * 90,
)
KEY_PARTS = (
    "a b.txt",
    "all %?#+~!'()*",
    "目录",
    "photo.JPG",
    "+plus+",
    "~!'()*",
    "100%",
    "%20",
    "a?b=c",
    "x#y",
    "a&b;c=d",
    "é",
    "e\u0301",
    "🎈",
    '"quoted"',
    "back\\slash",
    "[1]{2}|^`",
    "a.",
    ".hidden",
    "file.tar.gz",
    "UPPER",
    ":@,$",
    "tab\t",
    " ",
    "-_.~",
)
KEY_SHAPES = ("..", ".", "./", "../", "a/./b", "a/../b", "a//b", "//a", "/", "a/", "a./b", "/./", "...", "./.././/")
EXPIRED = (0, 1, 60, 299, 300, 900, 3600, 7200, 86400, 129600)
REGIONS = ("ap-guangzhou", "ap-beijing-1", "eu-frankfurt", "na-siliconvalley")
BUCKETS = (BUCKET, "a-10000", "my-bucket-2-1309999999")
URL_SAFE = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
SECRET_KEYS = (SECRET_KEY, "SKEXAMPLE/0000+0000=", "SKEXAMPLE" + "0" * 60)  # shorter and longer than SHA-1's block


def generate(seed: int, count: int) -> Iterator[Case]:
    """`count` cases that follow from `seed` alone."""
    rng = random.Random(seed)
    for _ in range(count):
        yield Case(
            method=rng.choice(METHODS),
            key=_key(rng),
            token=_token(rng),
            headers=_headers(rng),
            params=_params(rng),
            expired=rng.choice(EXPIRED),
            now=rng.choice((NOW, 999_999_999, 1_700_000_001, 2_147_483_648, 1)),
            sign_host=rng.random() < 0.9,
            region=rng.choice(REGIONS),
            bucket=rng.choice(BUCKETS),
            secret_id=rng.choice((SECRET_ID, "AKIDEXAMPLE_short-0")),
            secret_key=rng.choice(SECRET_KEYS),
        )


def _key(rng: random.Random) -> str:
    kind = rng.random()
    if kind < 0.15:
        return rng.choice(KEY_SHAPES)
    if kind < 0.20:
        return rng.choice("xé名") * rng.randint(200, 850)
    parts = [rng.choice(KEY_PARTS if rng.random() < 0.8 else KEY_SHAPES) for _ in range(rng.randint(1, 5))]
    return rng.choice(("", "", "", "/", "//")) + rng.choice(("/", "/", "//", "./")).join(parts)


def _token(rng: random.Random) -> str:
    if rng.random() < 0.5:
        return "".join(rng.choices(URL_SAFE, k=rng.choice((1, 45, 79, 80, 555))))
    return "".join(rng.choices(BASE64, k=rng.choice((2, 46, 554)))) + rng.choice(("", "=", "=="))


def _value(rng: random.Random) -> str:
    return rng.choice(VALUES) if rng.random() < 0.9 else rng.choice(VALUES) + rng.choice(VALUES)


def _headers(rng: random.Random) -> dict[str, str]:
    names = rng.sample(HEADER_NAMES, rng.choice((0, 0, 1, 2, 3, 8)))
    names += [f"x-cos-meta-{name}" for name in rng.sample(META_NAMES, rng.choice((0, 0, 1, 3)))]
    rng.shuffle(names)
    headers = {name: _value(rng) for name in names}
    if rng.random() < 0.05:
        headers[rng.choice(("Host", "host", "HOST"))] = rng.choice(("localhost:9000", "files.example.com"))
    return _unique(headers)


def _params(rng: random.Random) -> dict[str, str]:
    names = rng.sample(PARAM_NAMES, rng.choice((0, 0, 1, 2, 5, 9)))
    names += rng.sample(SPACED_PARAM_NAMES, rng.choice((0, 0, 0, 1, 3)))
    rng.shuffle(names)
    return _unique({name: _value(rng) for name in names})


def _unique(pairs: dict[str, str]) -> dict[str, str]:
    """The pairs without names that another one equals in lower case."""
    return {name: pairs[name] for name in {name.lower(): name for name in pairs}.values()}
